#!/usr/bin/env python3
"""Scores of a trial list by cosine or PLDA."""

from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend import BackEnd, score_trials
from spkid.backend.trials import Trials, read_trials, repeated_pairs, self_comparisons, write_scores
from spkid.backend.vectors import VectorTable, blaming, first_ids, load_vectors, table_file, table_specifier
from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from spkid.kaldi.lists import read_id_map

METHODS = ("cosine", "lda-cosine", "plda")


class ScoreTrials(Program):
    """Writes lines `enrolment test score`, in the order of the trial list.

    Methods: `cosine` of the vectors, less the mean of --backend where one is given; `lda-cosine` of the vectors after
    mean and LDA; `plda` the log-likelihood ratio after mean, LDA and length normalisation. The list is Kaldi's
    (`a b target|nontarget`), VoxCeleb's (`1 a b`) or bare pairs. A trial without a vector is an error, because an error
    rate over the others would look like a result.
    """

    EXAMPLE = (
        "steps/score_trials.py --method plda --backend exp/xvector/backend data/test/trials "
        "exp/xvector/xvectors_test/xvector.scp exp/xvector/xvectors_test/xvector.scp exp/xvector/results/scores_plda"
    )

    method = cli.SwitchAttr("--method", cli.Set(*METHODS, case_sensitive=True), default="cosine", help="how to score")
    backend = cli.SwitchAttr("--backend", str, default="", help="directory that steps/train_plda.py wrote")
    num_utts = cli.SwitchAttr(
        "--num-utts",
        str,
        default="",
        help="file of lines 'model n': how many vectors were averaged into each enrolment vector (plda)",
    )
    allow_missing = cli.Flag("--allow-missing", help="leave out, and count, trials of which a vector is missing")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, trials: str, enroll_vectors: str, test_vectors: str, scores_file: str) -> int:
        if self.method != "cosine" and not self.backend:
            raise InputError(f"--method {self.method} needs --backend, a directory that steps/train_plda.py wrote")
        if self.num_utts and self.method != "plda":
            raise InputError("--num-utts matters to --method plda only: leave it out")
        enroll_table, test_table = table_specifier(enroll_vectors), table_specifier(test_vectors)
        output = Path(scores_file)
        inputs = [trials, *table_file(enroll_table), *table_file(test_table)]
        inputs += [Path(self.backend) / name for name in self._backend_files()]
        inputs += [self.num_utts] if self.num_utts else []
        options = {
            "method": self.method,
            "backend": self.backend,
            "enroll_vectors": enroll_table,
            "test_vectors": test_table,
            "allow_missing": self.allow_missing,
        }
        # beside the scores, because one directory holds the scores of several methods
        record = output.parent / f".{output.name}.step"
        with Step("score_trials", record, inputs, options, [output], self.force) as step:
            if step.is_done:
                return 0
            listed = read_trials(trials)
            enroll = load_vectors(enroll_table, set(listed.enroll_ids))
            test = enroll if enroll_table == test_table else None
            if test is None or not set(listed.test_ids) <= test.rows.keys():
                test = load_vectors(test_table, set(listed.test_ids))
            for warning in _warnings(listed):
                step.say(f"warning: {warning}")
            usable = self._usable(listed, enroll, test)
            scores = self._scores(usable, enroll, test)
            write_scores(str(output), usable, scores)
            left_out = len(listed) - len(usable)
            step.finish(
                f"{len(usable)} scores by {self.method} in {output}"
                + (f", {left_out} trials left out for missing vectors" if left_out else ""),
                trials=len(listed),
                scores=len(usable),
            )
        return 0

    def _backend_files(self) -> list[str]:
        return [] if not self.backend else ["mean.vec", "transform.mat", "plda"]

    def _usable(self, trials: Trials, enroll: VectorTable, test: VectorTable) -> Trials:
        """The trials of which both vectors are there."""
        no_enroll = np.array([key not in enroll.rows for key in trials.enroll_ids])
        no_test = np.array([key not in test.rows for key in trials.test_ids])
        missing = no_enroll[trials.enroll] | no_test[trials.test]
        count = int(np.count_nonzero(missing))
        if not count:
            return trials
        sentence = []
        for ids, absent, table in ((trials.enroll_ids, no_enroll, enroll), (trials.test_ids, no_test, test)):
            lost = [key for key, is_absent in zip(ids, absent, strict=True) if is_absent]
            if lost:
                sentence.append(f"{table.source} lacks {len(lost)} of {len(ids)} vectors ({first_ids(lost)})")
        text = f"{count} of {len(trials)} trials of {trials.source} cannot be scored: {', and '.join(sentence)}"
        if count == len(trials):
            raise InputError(text)
        if not self.allow_missing:
            raise InputError(f"{text}; extract them, or leave those trials out with --allow-missing")
        print(f"score_trials: warning: {text}", flush=True)
        return trials.select(~missing)

    def _scores(self, trials: Trials, enroll: VectorTable, test: VectorTable) -> np.ndarray:
        enroll_rows = np.array([enroll.rows.get(key, -1) for key in trials.enroll_ids])[trials.enroll]
        test_rows = np.array([test.rows.get(key, -1) for key in trials.test_ids])[trials.test]
        backend = BackEnd.read(self.backend) if self.backend else None
        sides = []
        for table in (enroll, test):
            with blaming(table.source):
                sides.append(self._prepare(table.matrix, backend))
        if self.method == "plda":
            counts = self._enroll_counts(enroll)
            sides = [backend.plda.transform(sides[0], counts), backend.plda.transform(sides[1])]
            return score_trials(*sides, enroll_rows, test_rows, backend.plda, counts)
        for table, side in zip((enroll, test), sides, strict=True):
            zero = np.flatnonzero(~side.any(axis=1))
            if zero.size:
                raise InputError(f"{table.source}: the vector of {table.ids[zero[0]]} is zero and has no cosine")
        return score_trials(*sides, enroll_rows, test_rows)

    def _prepare(self, matrix: np.ndarray, backend: BackEnd | None) -> np.ndarray:
        if self.method == "plda":
            return backend.prepare(matrix)
        if self.method == "lda-cosine":
            return backend.project(matrix)
        return matrix - backend.mean if backend else matrix

    def _enroll_counts(self, enroll: VectorTable) -> np.ndarray:
        if not self.num_utts:
            return np.ones(len(enroll), dtype=np.int64)
        given = read_id_map(self.num_utts)
        counts = []
        for key in enroll.ids:
            if not given.get(key, "").isdecimal() or int(given[key]) == 0:
                raise InputError(f"{self.num_utts}: no number of utterances, 1 or more, for the model {key}")
            counts.append(int(given[key]))
        return np.array(counts)


def _warnings(trials: Trials) -> list[str]:
    warnings = []
    repeated = repeated_pairs(trials)
    if repeated:
        warnings.append(f"{repeated} of the {len(trials)} trials of {trials.source} repeat an earlier pair")
    same = self_comparisons(trials)
    if same.any():
        warnings.append(
            f"{np.count_nonzero(same)} trials of {trials.source} compare an utterance with itself, the first is "
            f"{trials.pair(int(np.argmax(same)))}: such scores flatter the result"
        )
    return warnings


if __name__ == "__main__":
    ScoreTrials.run()
