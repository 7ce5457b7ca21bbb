#!/usr/bin/env python3
"""Makes a published checkpoint an experiment directory: extraction, scoring, fine-tuning and export work from it."""

import dataclasses
from pathlib import Path
from typing import Any

import yaml
from plumbum import cli

from spkid.features.options import FbankOptions, MfccOptions
from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from spkid.kaldi.options import fill_from_config
from spkid.train.experiment import DESCRIPTION, WEIGHTS, read_description

SOURCES = ("wespeaker", "3dspeaker", "speechbrain", "voxceleb_trainer", "asv_beginner")


class ImportModel(Program):
    """Reads the checkpoint FILE of another toolkit and writes EXP-DIR/final.safetensors and final.json.

    The import carries the front end that the network was trained with. Sizes are read off the file's tensors; what
    they do not tell is guessed and said, and --set gives it. The loss's tensors are left out. A file whose encoder does
    not fit exactly is refused, unless --partial. No code of the file is run.
    """

    EXAMPLE = "steps/import_model.py --source wespeaker voxceleb_ECAPA512/avg_model.pt exp/wespeaker_ecapa"

    source = cli.SwitchAttr(
        "--source", cli.Set(*SOURCES, case_sensitive=True), mandatory=True, help="the toolkit that wrote the file"
    )
    name = cli.SwitchAttr("--name", str, default="", help="the network's name, where the keys leave a choice")
    settings = cli.SwitchAttr(
        "--set", str, list=True, argname="OPTION=VALUE", help="an option of the network, such as amplitude=int16"
    )
    mfcc_config = cli.SwitchAttr(
        "--mfcc-config",
        str,
        default="",
        argname="file",
        help="options of compute-mfcc-feats in its training (asv_beginner's files lack them)",
    )
    fbank_config = cli.SwitchAttr(
        "--fbank-config",
        str,
        default="",
        argname="file",
        help="options of compute-fbank-feats in its training, likewise",
    )
    partial = cli.Flag("--partial", help="load what fits, and say what does not")
    force = cli.Flag("--force", help="import again although nothing has changed")

    def main(self, file: cli.ExistingFile, exp_dir: str) -> int:
        exp = Path(exp_dir)
        options = dict(_parse(setting) for setting in self.settings)
        features = self._features()
        _refuse_trained(exp)
        all_options = {
            "source": self.source,
            "name": self.name,
            "set": options,
            "features": features,
            "partial": self.partial,
        }
        outputs = [exp / WEIGHTS, exp / DESCRIPTION]
        with Step("import_model", exp, [Path(str(file))], all_options, outputs, self.force) as step:
            if step.is_done:
                return 0
            from spkid.train.imports import import_checkpoint  # torch: not where the step is done

            path = Path(str(file))
            imported = import_checkpoint(path, self.source, exp, self.name or None, self.partial, options, features)
            report = imported.report
            for guess in report.guesses:
                step.say(f"note: {guess}")
            if report.loss_head:
                sizes = (f"{key} {tuple(value.shape)}" for key, value in sorted(report.loss_head.items()))
                step.say(f"note: the loss is left out: {', '.join(sizes)}")
            if report.unmatched:
                step.say(f"warning: these keys of the file have no place: {', '.join(report.unmatched)}")
            if report.missing:
                step.say(f"warning: these tensors are not in the file and stay random: {', '.join(report.missing)}")
            front_end = imported.front_end
            if front_end.options is None:
                step.say(
                    f"note: {self.source} does not tell with which options its {front_end.type} were made; give "
                    "--mfcc-config or --fbank-config, and audio can be embedded and features be checked"
                )
            step.finish(
                f"{report.name} of {self.source} in {exp}: {imported.parameters:,} parameters, takes "
                f"{_spell(front_end.type, front_end.dims, front_end.transforms)}"
            )
        return 0

    def _features(self) -> tuple[str, dict[str, Any]] | None:
        if self.mfcc_config and self.fbank_config:
            raise InputError("give --mfcc-config or --fbank-config, not both")
        for kind, config, table in (
            ("mfcc", self.mfcc_config, MfccOptions),
            ("fbank", self.fbank_config, FbankOptions),
        ):
            if config:
                return kind, dataclasses.asdict(fill_from_config(config, [table])[0])
        return None


def _parse(setting: str) -> tuple[str, Any]:
    option, equals, value = setting.partition("=")
    if not option or not equals:
        raise InputError(f"--set {setting}: OPTION=VALUE is needed, such as n_mels=64")
    try:
        return option, yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--set {setting}: the value is not readable as YAML") from None


def _refuse_trained(exp: Path) -> None:
    """A directory with a network that was trained there is nobody's to overwrite by an import."""
    if not (exp / DESCRIPTION).exists():
        return
    if "imported" not in read_description(exp)[0]:
        raise InputError(f"{exp} holds a network that was trained there; import into another directory")


def _spell(kind: str, dims: int, transforms: list[str]) -> str:
    if kind == "waveform":
        return "waveforms of 16 kHz"
    return " then ".join([f"{dims}-dimensional {kind}", *transforms])


if __name__ == "__main__":
    ImportModel.run()
