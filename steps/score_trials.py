#!/usr/bin/env python3
"""Scores of a trial list, or of all pairs, by cosine, distance or PLDA, normalised with a cohort or not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend import BackEnd, BlockedScorer
from spkid.backend.cohort import CohortStatistics, overlap
from spkid.backend.crops import crop_pair_scores
from spkid.backend.methods import CROP_METHODS, METHODS, ScoringMethod
from spkid.backend.score_files import write_all_scores, write_score_matrix
from spkid.backend.trials import Trials, read_trials, repeated_pairs, self_comparisons, write_scores
from spkid.backend.vectors import (
    VectorTable,
    blaming,
    first_ids,
    load_crops,
    load_vectors,
    speaker_means,
    table_file,
    table_specifier,
    utterance_counts,
)
from spkid.jobs import Program, Step
from spkid.jobs.manifest import trial_manifest
from spkid.kaldi import InputError
from spkid.kaldi.lists import read_id_map, write_id_map

ALL_PAIRS = "all"
TRIALS_AT_ONCE = 1 << 23  # enough for few products of large blocks
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def memory(text: str) -> int:
    """Bytes of `512M`, `1.5G` and the like."""
    unit = UNITS.get(text[-1:].upper())
    size = float(text[:-1]) * unit if unit else float(text)
    if not size >= 1:
        raise ValueError("a size such as 512M or 1G is needed")
    return int(size)


class ScoreTrials(Program):
    """Writes lines `enrolment test score`, in the order of the trial list.

    Methods: `cosine` and `euclidean` (negated distance) of the vectors, less the mean of --backend where one is given;
    `lda-cosine` of the vectors after mean and LDA; `plda` the log-likelihood ratio after mean, LDA and length
    normalisation; `crop-distance` the VoxCeleb trainer's negated mean distance of crop pairs, of tables that hold a
    matrix (crops x dimensions) for each recording (`raw-crop-distance`: without scaling the crops to length 1).

    The list is Kaldi's (`a b target|nontarget`), VoxCeleb's (`1 a b`) or bare pairs; the word `all` stands for every
    enrolment with every test. A trial without a vector is an error, because an error rate over the others would look
    like a result.

    --score-norm puts each score in units of what its two vectors score against a cohort: `as` against the --top-n
    nearest of the cohort, `s` against all of it. Mean and deviation of each vector's cohort scores are left in
    <scores-file>.cohort_enroll and .cohort_test, where steps/calibrate_scores.py finds them.
    """

    EXAMPLE = (
        "steps/score_trials.py --method plda --backend exp/xvector/backend data/test/trials "
        "exp/xvector/xvectors_test/xvector.scp exp/xvector/xvectors_test/xvector.scp exp/xvector/results/scores_plda"
    )

    method = cli.SwitchAttr(
        "--method", cli.Set(*METHODS, *CROP_METHODS, case_sensitive=True), default="cosine", help="how to score"
    )
    backend = cli.SwitchAttr("--backend", str, default="", help="directory that steps/train_plda.py wrote")
    num_utts = cli.SwitchAttr(
        "--num-utts",
        str,
        default="",
        help="file of lines 'model n': how many vectors were averaged into each enrolment vector (plda)",
    )
    score_norm = cli.SwitchAttr(
        "--score-norm", cli.Set("none", "s", "as", case_sensitive=True), default="none", help="normalise with a cohort"
    )
    cohort = cli.SwitchAttr("--cohort", str, default="", help="vectors of other speakers, commonly of training")
    cohort_utt2spk = cli.SwitchAttr(
        "--cohort-utt2spk", str, default="", help="speakers of the cohort: it then consists of the means of speakers"
    )
    top_n = cli.SwitchAttr("--top-n", cli.Range(2, 10**9), default=300, help="highest cohort scores that count (as)")
    max_memory = cli.SwitchAttr(
        "--max-memory",
        memory,
        default=UNITS["G"],
        help="for blocks of scores, besides the vectors: 512M, 1G",
    )
    form = cli.SwitchAttr(
        "--format",
        cli.Set("lines", "matrix", case_sensitive=True),
        default="lines",
        help="of all pairs: lines, or one matrix of Kaldi's with its ids in <scores-file>.enroll and .test",
    )
    device = cli.SwitchAttr("--device", str, default="cpu", help="where to multiply: cpu, or for example cuda")
    allow_missing = cli.Flag("--allow-missing", help="leave out, and count, trials of which a vector is missing")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, trials: str, enroll_vectors: str, test_vectors: str, scores_file: str) -> int:
        self._check_options(trials)
        enroll_table, test_table = table_specifier(enroll_vectors), table_specifier(test_vectors)
        cohort_table = table_specifier(self.cohort) if self.cohort else ""
        output = Path(scores_file)
        inputs = [] if trials == ALL_PAIRS else [trials]
        inputs += [file for table in (enroll_table, test_table, cohort_table) for file in table_file(table)]
        inputs += [Path(self.backend) / name for name in ("mean.vec", "transform.mat", "plda") if self.backend]
        inputs += [file for file in (self.num_utts, self.cohort_utt2spk) if file]
        options = {
            "method": self.method,
            "backend": self.backend,
            "trials": trials,
            "enroll_vectors": enroll_table,
            "test_vectors": test_table,
            "score_norm": self.score_norm,
            "cohort": cohort_table,
            "cohort_utt2spk": self.cohort_utt2spk,
            "top_n": self.top_n if self.score_norm == "as" else None,
            "format": self.form,
            "allow_missing": self.allow_missing,
        }
        outputs = [output]
        if self.cohort:
            outputs += [Path(f"{output}.cohort_enroll"), Path(f"{output}.cohort_test")]
        if self.form == "matrix":
            outputs += [Path(f"{output}.enroll"), Path(f"{output}.test")]
        # beside the scores, because one directory holds the scores of several methods
        record = output.parent / f".{output.name}.step"
        with Step("score_trials", record, inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            load = load_crops if self.method in CROP_METHODS else load_vectors
            if trials == ALL_PAIRS:
                enroll = load(enroll_table)
                test = enroll if enroll_table == test_table else load(test_table)
                same = len(enroll.rows.keys() & test.rows.keys())
                if same:
                    step.say(f"warning: {same} of the pairs compare an utterance with itself")
                scorer = self._scorer(step, enroll, test, str(output))
                write = write_score_matrix if self.form == "matrix" else write_all_scores
                with blaming("--max-memory"):
                    write(str(output), enroll.ids, test.ids, scorer.blocks())
                count = len(enroll) * len(test)
                step.finish(f"{count} scores by {self._description()} in {output}", trial_manifest(None, count, count))
                return 0
            listed = read_trials(trials, step.outdir)  # its columns on the disk: the list may be longer than memory
            enroll = load(enroll_table, set(listed.enroll_ids))
            test = enroll if enroll_table == test_table else None
            if test is None or not set(listed.test_ids) <= test.rows.keys():
                test = load(test_table, set(listed.test_ids))
            for warning in _warnings(listed):
                step.say(f"warning: {warning}")
            usable = self._usable(step, listed, enroll, test)
            write_scores(str(output), usable, self._pair_scores(step, usable, enroll, test, str(output)))
            left_out = len(listed) - len(usable)
            step.finish(
                f"{len(usable)} scores by {self._description()} in {output}"
                + (f", {left_out} trials left out for missing vectors" if left_out else ""),
                trial_manifest(listed.md5, len(listed), len(usable)),
            )
        return 0

    def _check_options(self, trials: str) -> None:
        if self.method in ("lda-cosine", "plda") and not self.backend:
            raise InputError(f"--method {self.method} needs --backend, a directory that steps/train_plda.py wrote")
        if self.num_utts and self.method != "plda":
            raise InputError("--num-utts matters to --method plda only: leave it out")
        if (self.score_norm != "none") != bool(self.cohort):
            raise InputError("score normalisation needs both --score-norm (s or as) and --cohort")
        if self.cohort_utt2spk and not self.cohort:
            raise InputError("--cohort-utt2spk matters with --cohort only: leave it out")
        if self.form == "matrix" and trials != ALL_PAIRS:
            raise InputError(
                f"--format matrix is for all pairs: give the word '{ALL_PAIRS}' in place of the trial list"
            )
        if self.method in CROP_METHODS and (self.cohort or self.backend or trials == ALL_PAIRS):
            raise InputError(f"--method {self.method} takes a trial list, and neither --cohort nor --backend")

    def _description(self) -> str:
        norm = {"none": "", "s": " with S-norm", "as": f" with AS-norm ({self.top_n} best)"}[self.score_norm]
        return self.method + norm

    def _usable(self, step: Step, trials: Trials, enroll: VectorTable, test: VectorTable) -> Trials:
        """The trials of which both vectors are there."""
        no_enroll = np.array([key not in enroll.rows for key in trials.enroll_ids])
        no_test = np.array([key not in test.rows for key in trials.test_ids])
        if not (no_enroll.any() or no_test.any()):
            return trials
        missing = no_enroll[trials.enroll[:]] | no_test[trials.test[:]]
        count = int(np.count_nonzero(missing))
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
        step.say(f"warning: {text}")
        return trials.select(~missing)

    def _pair_scores(
        self, step: Step, trials: Trials, enroll: VectorTable, test: VectorTable, output: str
    ) -> Iterator[np.ndarray]:
        """Scores of the trials in their order, TRIALS_AT_ONCE after TRIALS_AT_ONCE."""
        enroll_rows = np.array([enroll.rows.get(key, -1) for key in trials.enroll_ids])
        test_rows = np.array([test.rows.get(key, -1) for key in trials.test_ids])
        scorer = None if self.method in CROP_METHODS else self._scorer(step, enroll, test, output)
        for start in range(0, len(trials), TRIALS_AT_ONCE):
            these = slice(start, start + TRIALS_AT_ONCE)
            rows = enroll_rows[trials.enroll[these]], test_rows[trials.test[these]]
            if scorer is not None:
                yield scorer.pairs(*rows)
                continue
            with blaming(f"{enroll.source} and {test.source}"):
                scores = crop_pair_scores(enroll.matrix, test.matrix, *rows, CROP_METHODS[self.method], self.max_memory)
            yield scores

    def _scorer(self, step: Step, enroll: VectorTable, test: VectorTable, output: str) -> BlockedScorer:
        method = ScoringMethod(self.method, BackEnd.read(self.backend) if self.backend else None)
        cohort = self._load_cohort(step, enroll, test) if self.cohort else None
        scorer = method.scorer(
            enroll,
            test,
            utterance_counts(enroll.ids, self.num_utts) if self.num_utts else 1,
            cohort,
            self.top_n if self.score_norm == "as" else None,
            self.max_memory,
            _array_on(self.device),
        )
        if cohort is not None:
            _write_statistics(f"{output}.cohort_enroll", enroll, scorer.enroll_statistics)
            _write_statistics(f"{output}.cohort_test", test, scorer.test_statistics)
        return scorer

    def _load_cohort(self, step: Step, enroll: VectorTable, test: VectorTable) -> VectorTable:
        cohort = load_vectors(self.cohort)
        ids, speakers = set(cohort.ids), set()
        if self.cohort_utt2spk:
            utt2spk = read_id_map(self.cohort_utt2spk)
            cohort = speaker_means(cohort, utt2spk, self.cohort_utt2spk)
            speakers = set(cohort.ids)
        same, same_speaker = overlap(dict.fromkeys([*enroll.ids, *test.ids]), ids, speakers)
        for found, what in ((same, "are themselves in"), (same_speaker, "are of speakers in")):
            if found:
                step.say(
                    f"warning: {len(found)} enrolment or test vectors {what} the cohort {self.cohort}, which should "
                    f"hold other speakers: {first_ids(found)}"
                )
        if self.score_norm == "as" and len(cohort) < self.top_n:
            step.say(
                f"warning: the cohort has {len(cohort)} vectors, fewer than --top-n {self.top_n}: all of them count"
            )
        return cohort


def _array_on(device: str) -> Callable[[np.ndarray], object]:
    """Puts arrays where they are to be multiplied."""
    if device == "cpu":
        return np.asarray
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None
    return lambda array: torch.as_tensor(np.ascontiguousarray(array), device=device)


def _write_statistics(path: str, table: VectorTable, statistics: CohortStatistics) -> None:
    rows = zip(table.ids, statistics.mean.tolist(), statistics.std.tolist(), strict=True)
    write_id_map(path, {key: f"{mean:.9g} {std:.9g}" for key, mean, std in rows})


def _warnings(trials: Trials) -> list[str]:
    warnings = []
    repeated = repeated_pairs(trials)
    if repeated:
        warnings.append(f"{repeated} of the {len(trials)} trials of {trials.source} repeat an earlier pair")
    same = self_comparisons(trials)
    if len(same):
        warnings.append(
            f"{len(same)} trials of {trials.source} compare an utterance with itself, the first is "
            f"{trials.pair(int(same[0]))}: such scores flatter the result"
        )
    return warnings


if __name__ == "__main__":
    ScoreTrials.run()
