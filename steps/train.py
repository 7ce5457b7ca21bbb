#!/usr/bin/env python3
"""Trains a network: one YAML file is the whole recipe, one directory the whole result."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from plumbum import cli

from spkid.jobs import Program, Step
from spkid.jobs.manifest import manifest
from spkid.kaldi import DataDir, InputError
from spkid.train.config import TrainConfig, load_config
from spkid.train.inputs import input_files


class Train(Program):
    """Trains a network on DATA-DIR (utt2spk; feats.scp, or wav.scp; vad.scp where non-speech is removed) into EXP-DIR.

    EXP-DIR receives config.json, train.log, metrics.jsonl, tensorboard/, curves.png, checkpoints/ and at the end
    final.safetensors and final.json. Killed and started again, training goes on where it stood and ends in the same
    bytes.
    """

    EXAMPLE = "steps/train.py --config conf/xvector.yaml --set optimizer.lr=0.002 data/train_egs exp/xvector"

    config = cli.SwitchAttr("--config", str, mandatory=True, help="the recipe, a YAML file")
    overrides = cli.SwitchAttr("--set", str, list=True, argname="KEY=VALUE", help="changes one value of the recipe")
    initial_model = cli.SwitchAttr(
        "--initial-model", str, default="", help="start from this experiment (initial_model of the recipe)"
    )
    dev_data = cli.SwitchAttr("--dev-data", cli.ExistingDirectory, help="development set of other speakers")
    dev_trials = cli.SwitchAttr(
        "--dev-trials", cli.ExistingFile, help="trials of the development set, whose EER is watched (default: its own)"
    )
    valid_data = cli.SwitchAttr(
        "--valid-data",
        cli.ExistingDirectory,
        help="other utterances of the training speakers to validate on; by default some of DATA-DIR are held out",
    )
    cmd = cli.SwitchAttr("--cmd", str, default="", help="launcher to train under; by default training runs right here")
    force = cli.Flag("--force", help="train again although nothing has changed")

    num_processes = cli.SwitchAttr(
        "--num-processes", cli.Range(1, 1024), default=1, help="on this machine, each with a GPU where there are some"
    )
    shows_model = cli.Flag("--show-model", help="only print network and loss layer by layer (no EXP-DIR needed)")
    num_classes = cli.SwitchAttr(
        "--num-classes", cli.Range(1, 1 << 31), default=0, help="speakers of --show-model (default: those of DATA-DIR)"
    )
    in_job = cli.Flag("--in-job", help="only train: what the launcher of --cmd is given to run")

    def main(self, data_dir: cli.ExistingDirectory, exp_dir: str = ""):
        data, exp = Path(data_dir), Path(exp_dir)
        if self.shows_model:
            return self._show(data)
        if not exp_dir:
            raise InputError("EXP-DIR is missing: where the network is to be trained into (--help shows the usage)")
        if "RANK" not in os.environ:
            return self._run(data, exp)
        from spkid.train.distributed import Processes, SaidElsewhere  # torch: not where the step may be done already

        try:
            with Processes() as processes:
                return self._run(data, exp, processes) if processes.is_first else self._follow(data, exp, processes)
        except SaidElsewhere:
            return 1

    def _run(self, data: Path, exp: Path, processes=None) -> int:
        config = load_config(self.config, self._overrides())
        development = self._development()
        audio = config.features.source == "audio"
        for directory in filter(None, (data, self._validation())):
            DataDir(directory).check(needs=("utt2spk", "wav.scp" if audio else "feats.scp"))
        if self.in_job:
            return self._train(config, data, exp, processes)
        inputs = input_files(config, data, *development, self._validation())
        outputs = [exp / "final.json", exp / "final.safetensors"]
        with Step("train", exp, inputs, config.what_decides(), outputs, self.force) as step:
            if step.is_done:
                if processes:
                    processes.exchange(False)
                return 0
            if self.force:
                shutil.rmtree(exp / "checkpoints", ignore_errors=True)
            if self.cmd:
                step.run_jobs(self.cmd, 1, exp / "log" / "train.JOB.log", self._words(data, exp, self.num_processes))
            elif status := self._train(config, data, exp, processes, (step.lock_descriptor,)):
                return status
            description = json.loads((exp / "final.json").read_text(encoding="utf-8"))
            name, values = description["config"]["model"]["name"], description["values"]
            step.finish(
                f"{name} in {exp}, {values['epoch']} epochs, {spell(values)}",
                manifest(DataDir(data).utterances),
                **values,
            )
        return 0

    def _overrides(self) -> list[str]:
        return [*self.overrides, *([f"initial_model={json.dumps(self.initial_model)}"] * bool(self.initial_model))]

    def _development(self) -> tuple[Path | None, Path | None]:
        data = Path(self.dev_data) if self.dev_data else None
        return data, Path(self.dev_trials or data / "trials") if self.dev_trials or data else None

    def _validation(self) -> Path | None:
        return Path(self.valid_data) if self.valid_data else None

    def _words(self, data: Path, exp: Path, processes: int) -> list[str]:
        """This command again, to train only."""
        words = [sys.executable, Path(__file__).resolve(), "--in-job", "--config", self.config]
        words += [f"--set={override}" for override in self._overrides()] + [f"--num-processes={processes}"]
        named = zip(("dev-data", "dev-trials", "valid-data"), (*self._development(), self._validation()), strict=True)
        return [*map(str, words), *(f"--{name}={path}" for name, path in named if path), str(data), str(exp)]

    def _train(self, config: TrainConfig, data: Path, exp: Path, processes=None, locks: Sequence[int] = ()) -> int:
        """Trains, alone, as the first of several processes, or by starting these; the status."""
        from spkid.train.launch import number_of_nodes, run_processes

        if self.num_processes * number_of_nodes() > 1 and processes is None:
            return run_processes(self.num_processes, self._words(data, exp, 1), locks)
        from spkid.train.run import train_from_directory  # torch: not where the step is done

        config.check_names(self.config)
        if processes:
            processes.exchange(True)
        train_from_directory(config, data, exp, *self._development(), processes, self._validation())
        return 0

    def _show(self, data: Path) -> int:
        from spkid.train.show import show_model

        config = load_config(self.config, self._overrides())
        config.check_names(self.config)
        print(show_model(config, data, self.num_classes))
        return 0

    def _follow(self, data: Path, exp: Path, processes) -> int:
        """Trains as one of several processes that is not the first, and says nothing."""
        from spkid.train.run import train_from_directory

        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
                if processes.exchange(None)[0]:
                    config = load_config(self.config, self._overrides())
                    train_from_directory(config, data, exp, *self._development(), processes, self._validation())
        except KeyboardInterrupt as interrupt:
            return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
        return 0


def spell(values: dict) -> str:
    """What the last epoch achieved."""
    kinds = {"train_accuracy": "training accuracy", "valid_accuracy": "held-out accuracy", "dev_eer": "development EER"}
    return ", ".join(f"{kind} {100 * values[key]:.2f}%" for key, kind in kinds.items() if key in values)


if __name__ == "__main__":
    Train.run()
