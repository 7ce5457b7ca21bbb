#!/usr/bin/env python3
"""Trains a network: one YAML file is the whole recipe, one directory the whole result."""

from plumbum import cli

from spkid.data.front_end import feature_files
from spkid.jobs import Program, Step
from spkid.train.config import load_config


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
    force = cli.Flag("--force", help="train again although nothing has changed")

    def main(self, data_dir: cli.ExistingDirectory, exp_dir: str):
        config = load_config(self.config, self.overrides)
        dev_trials = self.dev_trials or (self.dev_data / "trials" if self.dev_data else None)
        inputs = feature_files(data_dir)
        if dev_trials:
            inputs += [dev_trials, *feature_files(self.dev_data or dev_trials.parent)]
        with Step("train", exp_dir, inputs, config.to_dict(), [f"{exp_dir}/final.json"], force=self.force) as step:
            if step.is_done:
                return 0
            from spkid.train.run import train_from_directory  # torch: not where the step is done

            values = train_from_directory(config, data_dir, step.outdir, self.dev_data, dev_trials)
            shown = [f"training accuracy {100 * values['train_accuracy']:.1f}%"]
            if "valid_accuracy" in values:
                shown.append(f"held-out accuracy {100 * values['valid_accuracy']:.1f}%")
            if "dev_eer" in values:
                shown.append(f"development EER {100 * values['dev_eer']:.2f}%")
            step.finish(f"{config.model['name']} in {exp_dir}, {values['epoch']} epochs, {', '.join(shown)}", **values)
        return 0


if __name__ == "__main__":
    Train.run()
