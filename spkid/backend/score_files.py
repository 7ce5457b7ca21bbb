"""Scores of every enrolment with every test, written a block at a time; files of scores read without a trial list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spkid.backend.lines import Codes, Lines
from spkid.backend.trials import Trials, check_one_score, read_scores, read_trials, score_lines
from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import BINARY_MARK, SIZES
from spkid.kaldi.io import atomic_write, open_output

LINES_AT_ONCE = 1 << 16

Blocks = Iterable[tuple[slice, np.ndarray]]


def write_all_scores(wxfilename: str, enroll_ids: Sequence[str], test_ids: Sequence[str], blocks: Blocks) -> None:
    """Writes a line `enrolment test score` for every pair.

    Args:
        wxfilename: Kaldi's name of an output.
        enroll_ids: of the rows.
        test_ids: of the columns.
        blocks: which rows, and their scores (rows, tests), as `BlockedScorer.blocks` yields them.

    Raises:
        InputError: the file cannot be written, or a score is not finite.
    """
    enroll, test = [key.encode() for key in enroll_ids], [key.encode() for key in test_ids]
    columns = np.arange(len(test))
    step = max(1, LINES_AT_ONCE // max(1, len(test)))
    with open_output(wxfilename) as stream:
        for rows, block in blocks:
            _check_finite(wxfilename, enroll_ids, test_ids, rows, block)
            for start in range(0, len(block), step):
                part = block[start : start + step]
                codes = np.arange(rows.start + start, rows.start + start + len(part))
                pairs = np.repeat(codes, len(test)), np.tile(columns, len(part))
                stream.write(score_lines(enroll, test, *pairs, part.ravel()))


def write_score_matrix(wxfilename: str, enroll_ids: Sequence[str], test_ids: Sequence[str], blocks: Blocks) -> None:
    """Writes one float32 matrix as Kaldi does, and its ids, one a line, as <name>.enroll (rows) and <name>.test.

    Arguments and errors as for `write_all_scores`.
    """
    for ids, side in ((enroll_ids, "enroll"), (test_ids, "test")):
        with atomic_write(f"{wxfilename}.{side}") as stream:
            stream.writelines(f"{key}\n" for key in ids)
    with open_output(wxfilename) as stream:
        stream.write(BINARY_MARK + b"FM " + SIZES.pack(4, len(enroll_ids), 4, len(test_ids)))
        for rows, block in blocks:
            _check_finite(wxfilename, enroll_ids, test_ids, rows, block)
            stream.write(np.ascontiguousarray(block, dtype="<f4").data)


def read_scored_pairs(rxfilename: str) -> tuple[Trials, np.ndarray]:
    """The pairs of a score file `enrolment test score`, as trials without labels, and their scores (trials,) float64.

    Raises:
        InputError: the file cannot be read, is empty, a line does not fit, a score is not a finite number, or a
            pair has two different scores.
    """
    lines = Lines(rxfilename, "score file")
    enroll_codes, test_codes = Codes(rxfilename, str), Codes(rxfilename, str)
    enroll, test, scores = [], [], []
    for number, block in lines:
        columns = lines.columns(block, 3, number)
        enroll.append(enroll_codes.encode(columns[0]))
        test.append(test_codes.encode(columns[1]))
        values = lines.numbers(columns[2], number)
        if not np.isfinite(values).all():
            index = int(np.argmax(~np.isfinite(values)))
            raise InputError(f"{rxfilename}, line {number + index}: the score is infinite")
        scores.append(values)
    trials = Trials(
        rxfilename,
        list(enroll_codes.of_id),
        list(test_codes.of_id),
        np.concatenate(enroll),
        np.concatenate(test),
        None,
        lines.digest.hexdigest(),
    )
    values = np.concatenate(scores)
    codes = trials.pair_codes()
    order = np.argsort(codes, kind="stable")
    check_one_score(rxfilename, trials, codes[order], values[order])
    return trials, values


def read_columns(rxfilenames: Sequence[str], trials: Trials) -> np.ndarray:
    """The scores of several files for the same trials, (trials, files) float64.

    Raises:
        InputError: what `read_scores` refuses; a trial has no score in a file, or an infinite one.
    """
    columns = np.empty((len(trials), len(rxfilenames)))
    for column, name in zip(columns.T, rxfilenames, strict=True):
        matched = read_scores(name, trials)
        if matched.missing.any():
            raise InputError(
                f"{name}: no score for {np.count_nonzero(matched.missing)} of the {len(trials)} trials of "
                f"{trials.source}, the first is {trials.pair(int(np.argmax(matched.missing)))}"
            )
        if not np.isfinite(matched.scores).all():
            index = int(np.argmax(~np.isfinite(matched.scores)))
            raise InputError(f"{name}: the score of {trials.pair(index)} is infinite")
        column[:] = matched.scores
    return columns


def read_labelled_trials(rxfilename: str) -> tuple[Trials, np.ndarray]:
    """A trial list with its labels (trials,) bool.

    Raises:
        InputError: what `read_trials` refuses; the list has no labels.
    """
    trials = read_trials(rxfilename)
    if trials.is_target is None:
        raise InputError(f"{rxfilename}: the trials have no labels (target or nontarget) to train on")
    return trials, trials.is_target


def _check_finite(
    name: str, enroll_ids: Sequence[str], test_ids: Sequence[str], rows: slice, block: np.ndarray
) -> None:
    wrong = ~np.isfinite(block)
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), block.shape)
        raise InputError(
            f"{name} is not written: the score of {enroll_ids[rows.start + row]} {test_ids[column]} is not finite"
        )
