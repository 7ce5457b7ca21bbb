#!/usr/bin/env python3
"""Trains a network: one YAML file is the whole recipe, one directory the whole result."""

import json
import shutil
import sys
from pathlib import Path

from plumbum import cli

from spkid.data.front_end import training_files
from spkid.jobs import Program, Step
from spkid.kaldi import DataDir
from spkid.train.config import TrainConfig, load_config


class Train(Program):
    """Trains a network on DATA-DIR (feats.scp, utt2spk, vad.scp where the recipe removes non-speech) into EXP-DIR.

    EXP-DIR receives config.json, train.log, metrics.jsonl, tensorboard/, curves.png, checkpoints/ and at the end
    final.safetensors and final.json. Killed and started again, training goes on where it stood and ends in the same
    bytes.
    """

    EXAMPLE = "steps/train.py --config conf/xvector.yaml --set optimizer.lr=0.002 data/train_egs exp/xvector"

    config = cli.SwitchAttr("--config", str, mandatory=True, help="the recipe, a YAML file")
    overrides = cli.SwitchAttr("--set", str, list=True, argname="KEY=VALUE", help="changes one value of the recipe")
    dev_data = cli.SwitchAttr("--dev-data", cli.ExistingDirectory, help="development set of other speakers")
    dev_trials = cli.SwitchAttr(
        "--dev-trials", cli.ExistingFile, help="trials of the development set, whose EER is watched (default: its own)"
    )
    cmd = cli.SwitchAttr("--cmd", str, default="", help="launcher to train under; by default training runs right here")
    force = cli.Flag("--force", help="train again although nothing has changed")

    in_job = cli.Flag("--in-job", help="only train: what the launcher of --cmd is given to run")

    def main(self, data_dir: cli.ExistingDirectory, exp_dir: str):
        data, exp = Path(data_dir), Path(exp_dir)
        config = load_config(self.config, self.overrides)
        dev_data = Path(self.dev_data) if self.dev_data else None
        dev_trials = Path(self.dev_trials or dev_data / "trials") if self.dev_trials or dev_data else None
        DataDir(data).check(needs=("utt2spk", "feats.scp"))
        if self.in_job:
            self._train(config, data, exp, dev_data, dev_trials)
            return 0
        inputs = training_files(data, dev_data, dev_trials)
        with Step("train", exp, inputs, config.what_decides(), [exp / "final.json"], self.force) as step:
            if step.is_done:
                return 0
            if self.force:
                shutil.rmtree(exp / "checkpoints", ignore_errors=True)
            if self.cmd:
                words = [sys.executable, Path(__file__).resolve(), "--in-job", "--config", self.config]
                words += [f"--set={override}" for override in self.overrides]
                words += [f"--dev-data={dev_data}"] * bool(dev_data) + [f"--dev-trials={dev_trials}"] * bool(dev_trials)
                step.run_jobs(self.cmd, 1, exp / "log" / "train.JOB.log", [*words, data, exp])
            else:
                self._train(config, data, exp, dev_data, dev_trials)
            rows = (exp / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            values = json.loads(rows[-1])
            step.finish(f"{config.model['name']} in {exp}, {values['epoch']} epochs, {spell(values)}", **values)
        return 0

    def _train(self, config: TrainConfig, data: Path, exp: Path, dev_data: Path | None, dev_trials: Path | None):
        from spkid.train.run import train_from_directory  # torch: not where the step is done

        config.check_names(self.config)
        train_from_directory(config, data, exp, dev_data, dev_trials)


def spell(values: dict) -> str:
    """What the last epoch achieved."""
    kinds = {"train_accuracy": "training accuracy", "valid_accuracy": "held-out accuracy", "dev_eer": "development EER"}
    return ", ".join(f"{kind} {100 * values[key]:.2f}%" for key, kind in kinds.items() if key in values)


if __name__ == "__main__":
    Train.run()
