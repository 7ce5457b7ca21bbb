#!/usr/bin/env python3
"""Scores of several systems for the same trials, fused."""

import json
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend.calibration import LogisticCalibration
from spkid.backend.fusion import GreedyFusion, zscore_mean
from spkid.backend.score_files import read_columns, read_labelled_trials, read_scored_pairs
from spkid.backend.trials import write_scores
from spkid.backend.vectors import blaming
from spkid.jobs import Program, Step, fraction
from spkid.jobs.manifest import trial_manifest
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write


class FuseScores(Program):
    """Writes lines `enrolment test score`, and <out-scores>.model.json. Arguments: two or more score files, the output.

    Methods: `logistic` regression trained on development trials, whose scores by the same systems in the same order are
    --dev-scores: the result is a log-likelihood ratio. `greedy`: the same of the few systems that help the most.
    `zscore`: the mean over systems of scores in units of their own spread, over the development trials where
    --dev-scores are given and over these trials where not.
    """

    EXAMPLE = (
        "steps/fuse_scores.py --method logistic --prior 0.05 --dev-trials data/dev/trials --dev-scores "
        "exp/a/results/scores_dev,exp/b/results/scores_dev exp/a/results/scores exp/b/results/scores exp/fused/scores"
    )

    method = cli.SwitchAttr(
        "--method", cli.Set("logistic", "greedy", "zscore", case_sensitive=True), default="logistic", help="how to fuse"
    )
    prior = cli.SwitchAttr("--prior", fraction, default=0.5, help="probability of a target to train for")
    dev_trials = cli.SwitchAttr("--dev-trials", str, default="", help="labelled trials to train on")
    dev_scores = cli.SwitchAttr(
        "--dev-scores", str, default="", help="the systems' scores of --dev-trials, in order, commas between them"
    )
    max_systems = cli.SwitchAttr("--max-systems", cli.Range(1, 10**6), default=10, help="the most that greedy chooses")
    min_gain = cli.SwitchAttr(
        "--min-gain", fraction, default=0.01, help="share of the training cost that another system must save (greedy)"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, *files: str) -> int:
        if len(files) < 3:
            raise InputError("give the score files of two or more systems, and last the file to write")
        *systems, output = files
        dev_files = [name for name in self.dev_scores.split(",") if name]
        if bool(dev_files) != bool(self.dev_trials) or (self.method != "zscore" and not dev_files):
            raise InputError(f"--method {self.method} needs both --dev-trials and --dev-scores")
        if dev_files and len(dev_files) != len(systems):
            raise InputError(
                f"--dev-scores names {len(dev_files)} systems and {len(systems)} are to be fused: the same systems are "
                "needed, in the same order"
            )
        output = Path(output)
        model_file = Path(f"{output}.model.json")
        inputs = [*systems, *dev_files, *([self.dev_trials] if self.dev_trials else [])]
        options = {"method": self.method, "systems": systems, "dev_scores": dev_files}
        if self.method != "zscore":
            options["prior"] = self.prior
        if self.method == "greedy":
            options |= {"max_systems": self.max_systems, "min_gain": self.min_gain}
        record = output.parent / f".{output.name}.step"
        with Step("fuse_scores", record, inputs, options, [output, model_file], self.force) as step:
            if step.is_done:
                return 0
            trials, first = read_scored_pairs(systems[0])
            columns = np.column_stack((first, read_columns(systems[1:], trials)))
            dev, dev_columns, is_target = None, None, None
            if dev_files:
                dev, is_target = read_labelled_trials(self.dev_trials)
                dev_columns = read_columns(dev_files, dev)
            with blaming(f"fusion of {', '.join(systems)}"):
                scores, description = self._fuse(step, systems, columns, dev_columns, is_target)
            if dev is not None:
                description["trials"] = {
                    "file": self.dev_trials, "md5": dev.md5, "count": len(dev), "targets": int(is_target.sum())
                }  # fmt: skip
            write_scores(str(output), trials, scores)
            with atomic_write(model_file) as stream:
                json.dump(description, stream, indent=1, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            step.finish(
                f"{len(trials)} scores of {len(systems)} systems fused by {self.method} in {output}",
                trial_manifest(trials.md5, len(trials), len(trials)),
                model=description,
            )
        return 0

    def _fuse(
        self,
        step: Step,
        systems: list[str],
        columns: np.ndarray,
        dev_columns: np.ndarray | None,
        is_target: np.ndarray | None,
    ) -> tuple[np.ndarray, dict[str, object]]:
        """The fused scores (trials,), and the model as a record."""
        if self.method == "zscore":
            return zscore_mean(columns, dev_columns), {"method": "zscore", "systems": systems}
        if self.method == "greedy":
            fusion = GreedyFusion(self.prior, self.max_systems, self.min_gain).fit(dev_columns, is_target)
            names, model = [systems[index] for index in fusion.chosen_], fusion.calibration_
            for name, cost in zip(names, fusion.costs_, strict=True):
                step.say(f"{cost:.4f} bits with {name}")
        else:
            names, model = systems, LogisticCalibration(self.prior)
            fusion = model.fit(dev_columns, is_target)
        if model.is_separable_:
            step.say(
                f"warning: the fused scores tell all targets of {self.dev_trials} from all non-targets, so the ratios "
                "will be overconfident: train on more and harder trials"
            )
        for name, weight in zip(names, model.weights_, strict=True):
            if weight < 0:
                step.say(f"warning: {name} has the negative weight {weight:.3g}: without it the fusion may be safer")
        return fusion.transform(columns), {"method": self.method, **model.describe(names)}


if __name__ == "__main__":
    FuseScores.run()
