#!/usr/bin/env python3
"""Scores made log-likelihood ratios, with a calibration trained on development trials."""

import json
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend.calibration import LogisticCalibration
from spkid.backend.quality import column_names, merged, symmetric_columns, values_of
from spkid.backend.score_files import read_columns, read_labelled_trials, read_scored_pairs
from spkid.backend.trials import Trials, write_scores
from spkid.backend.vectors import blaming, load_vectors, table_file, table_specifier
from spkid.jobs import Program, Step, fraction
from spkid.jobs.manifest import trial_manifest
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import read_id_map


class CalibrateScores(Program):
    """Writes lines `enrolment test log-likelihood-ratio` (natural logarithm), and <out-scores>.model.json.

    Logistic regression of the development scores on their labels, weighted as if a share of --prior of the trials were
    targets. Measures of quality may join the score, each as four columns (smaller and larger of the two sides, their
    difference and ratio): --durations, --magnitudes of the embeddings, and --cohort-means, which steps/score_trials.py
    left beside both score files when it normalised them.
    """

    EXAMPLE = (
        "steps/calibrate_scores.py --prior 0.05 --durations data/dev/utt2dur,data/test/utt2dur data/dev/trials "
        "exp/xvector/results/scores_dev exp/xvector/results/scores exp/xvector/results/scores_calibrated"
    )

    prior = cli.SwitchAttr("--prior", fraction, default=0.5, help="probability of a target to calibrate for")
    durations = cli.SwitchAttr(
        "--durations",
        str,
        default="",
        help="utt2dur files (commas between them) of all enrolments and tests, in seconds",
    )
    max_duration = cli.SwitchAttr(
        "--max-duration", float, default=20.0, help="longer recordings count as this long: more helps no further"
    )
    magnitudes = cli.SwitchAttr(
        "--magnitudes", str, default="", help="tables of embeddings (commas between them) of all enrolments and tests"
    )
    cohort_means = cli.Flag("--cohort-means", help="use the means of cohort scores that lie beside the score files")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, dev_trials: str, dev_scores: str, test_scores: str, out_scores: str) -> int:
        output = Path(out_scores)
        model_file = Path(f"{output}.model.json")
        tables = [table_specifier(name) for name in self.magnitudes.split(",") if name]
        duration_files = [name for name in self.durations.split(",") if name]
        inputs = [dev_trials, dev_scores, test_scores, *duration_files]
        inputs += [file for table in tables for file in table_file(table)]
        if self.cohort_means:
            inputs += [f"{scores}.cohort_{side}" for scores in (dev_scores, test_scores) for side in ("enroll", "test")]
        options = {
            "prior": self.prior,
            "durations": duration_files,
            "max_duration": self.max_duration if self.durations else None,
            "magnitudes": tables,
            "cohort_means": self.cohort_means,
            "test_scores": test_scores,
        }
        record = output.parent / f".{output.name}.step"
        with Step("calibrate_scores", record, inputs, options, [output, model_file], self.force) as step:
            if step.is_done:
                return 0
            self._measures = self._load_measures(duration_files, tables)
            dev, is_target = read_labelled_trials(dev_trials)
            test, scores = read_scored_pairs(test_scores)
            names, columns = self._columns(dev, read_columns([dev_scores], dev)[:, 0], dev_scores)
            _, test_columns = self._columns(test, scores, test_scores)
            with blaming(f"{dev_scores} on {dev_trials}"):
                model = LogisticCalibration(self.prior).fit(columns, is_target)
            if model.is_separable_:
                step.say(
                    f"warning: the scores tell all targets of {dev_trials} from all non-targets, so the ratios will be "
                    "overconfident: calibrate on more and harder trials"
                )
            if model.weights_[0] <= 0:
                step.say(f"warning: the scores in {dev_scores} are higher for non-targets: look at the labels")
            write_scores(str(output), test, model.transform(test_columns))
            description = {
                **model.describe(names),
                "trials": {"file": dev_trials, "md5": dev.md5, "count": len(dev), "targets": int(is_target.sum())},
            }
            with atomic_write(model_file) as stream:
                json.dump(description, stream, indent=1, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            step.finish(
                f"{len(test)} log-likelihood ratios in {output}, trained on {len(dev)} trials with prior "
                f"{self.prior:g}: {model.cost_:.4f} bits",
                trial_manifest(test.md5, len(test), len(test)),
                model=description,
            )
        return 0

    def _load_measures(self, duration_files: list[str], tables: list[str]) -> dict[str, tuple[str, dict[str, str]]]:
        """Files that hold a value for the ids of development and test alike: name of the measure -> source, values."""
        measures = {}
        if duration_files:
            together = merged((name, read_id_map(name)) for name in duration_files)
            measures["duration"] = (self.durations, together)
        if tables:
            lengths = []
            for name in tables:
                table = load_vectors(name)
                norms = np.linalg.norm(table.matrix.astype(np.float64), axis=1).tolist()
                lengths.append((name, {key: repr(norm) for key, norm in zip(table.ids, norms, strict=True)}))
            measures["magnitude"] = (self.magnitudes, merged(lengths))
        return measures

    def _columns(self, trials: Trials, scores: np.ndarray, score_file: str) -> tuple[list[str], np.ndarray]:
        """Names and values (trials, columns) of the score and its measures of quality."""
        names, columns = ["score"], [scores[:, None]]
        sides = {name: (given, given) for name, given in self._measures.items()}
        if self.cohort_means:
            files = (f"{score_file}.cohort_enroll", f"{score_file}.cohort_test")
            for file in files:
                if not Path(file).is_file():
                    raise InputError(f"{file} is missing: score with steps/score_trials.py --score-norm as or s")
            sides["cohort_mean"] = tuple((file, read_id_map(file)) for file in files)
        for name, ((enroll_source, enroll), (test_source, test)) in sides.items():
            values = [
                values_of(trials.enroll_ids, enroll, enroll_source),
                values_of(trials.test_ids, test, test_source),
            ]
            if name == "duration":
                values = [np.minimum(side, self.max_duration) for side in values]
            names += column_names(name)
            columns.append(symmetric_columns(values[0][trials.enroll], values[1][trials.test]))
        return names, np.hstack(columns)


if __name__ == "__main__":
    CalibrateScores.run()
