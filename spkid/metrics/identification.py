"""Closed-set identification: who of the enrolled speakers is it; and Deep Speaker's one-versus-99 trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Identification:
    """Which candidate each question was answered with. A question is, for example, a test utterance.

    Attributes:
        questions: (questions,) codes of the questions that have a right answer among their candidates, ascending.
        ranks: (questions,) rank of the right answer, from 1; candidates of the same score stand before it.
        num_candidates: (questions,) how many there were to choose from.
        truth: (questions,) index of a trial with the right answer: the best of them.
        decided: (questions,) index of the trial that scored highest; of a wrong one where there is a tie.
        num_unanswerable: questions without a right answer among their candidates, which are left out.
    """

    questions: np.ndarray
    ranks: np.ndarray
    num_candidates: np.ndarray
    truth: np.ndarray
    decided: np.ndarray
    num_unanswerable: int

    def top_k(self, k: int) -> float:
        """Fraction of the questions whose right answer is among the k best."""
        return float(np.mean(self.ranks <= k))


def identify(questions: ArrayLike, is_target: ArrayLike, scores: ArrayLike) -> Identification:
    """Ranks the candidates of every question.

    Args:
        questions: (trials,) integer codes: trials of one question are its candidates.
        is_target: (trials,) bool, whether the candidate is the right answer.
        scores: (trials,) higher means more alike.

    Raises:
        ValueError: the lists differ in length, a score is NaN, or no question has a right answer.
    """
    questions, scores = np.asarray(questions), np.asarray(scores, dtype=np.float64)
    is_target = np.asarray(is_target, dtype=bool)
    if not questions.shape == is_target.shape == scores.shape:
        raise ValueError(f"{questions.size} questions, {is_target.size} labels and {scores.size} scores do not match")
    if np.isnan(scores).any():
        raise ValueError(f"{np.count_nonzero(np.isnan(scores))} of {scores.size} scores are NaN")
    # within a question from the best down; of equal scores the wrong answer first
    order = np.lexsort((is_target, -scores, questions))
    ordered = questions[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, ordered.size))
    hits = np.flatnonzero(is_target[order])
    question_of_hit = np.searchsorted(starts, hits, side="right") - 1
    answered, first = np.unique(question_of_hit, return_index=True)
    if not answered.size:
        raise ValueError("no question has its right answer among its candidates: identification needs target trials")
    best = hits[first]
    return Identification(
        questions=ordered[starts[answered]],
        ranks=best - starts[answered] + 1,
        num_candidates=sizes[answered],
        truth=order[best],
        decided=order[starts[answered]],
        num_unanswerable=starts.size - answered.size,
    )


def confusion_matrix(truth: ArrayLike, decided: ArrayLike, num_classes: int) -> np.ndarray:
    """(num_classes, num_classes) int64 counts: rows are the truth, columns what was decided.

    Args:
        truth: integer classes, any shape.
        decided: integer classes, the same shape.
        num_classes: classes are 0 ... num_classes - 1.

    Raises:
        ValueError: the shapes differ or a class is out of range.
    """
    truth, decided = np.asarray(truth).ravel(), np.asarray(decided).ravel()
    if truth.size != decided.size:
        raise ValueError(f"there are {truth.size} true and {decided.size} decided classes")
    if truth.size and not 0 <= min(truth.min(), decided.min()) <= max(truth.max(), decided.max()) < num_classes:
        raise ValueError(f"a class is not one of 0 ... {num_classes - 1}")
    counts = np.bincount(truth.astype(np.int64) * num_classes + decided, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def one_versus_many(
    speakers: ArrayLike, num_negatives: int = 99, rounds: int = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trials of one anchor, one positive and many negatives, as in Deep Speaker's evaluation.

    Args:
        speakers: (utterances,) the speaker of each utterance, codes or names.
        num_negatives: utterances of other speakers in a round, each at most once.
        rounds: rounds for each speaker; anchor and positive are drawn anew.
        seed: the same seed draws the same.

    Returns:
        anchors: (rounds x speakers, 1 + num_negatives) indices of utterances, each row one index repeated.
        others: the same shape; column 0 is the positive, the others are negatives in random order.
        is_target: the same shape, bool. 40 speakers and 99 negatives make 4,000 trials.

    Raises:
        ValueError: a speaker has a single utterance, or fewer than `num_negatives` utterances of others exist.
    """
    names, codes = np.unique(np.asarray(speakers), return_inverse=True)
    counts = np.bincount(codes, minlength=names.size)
    if counts.size < 2 or counts.min() < 2:
        alone = f"; {names[np.argmin(counts)]} has {counts.min()}" if counts.size else ""
        raise ValueError(f"a round needs two speakers or more, each with two utterances or more{alone}")
    if codes.size - counts.max() < num_negatives:
        raise ValueError(
            f"{num_negatives} negatives are wanted and {names[np.argmax(counts)]} has "
            f"{codes.size - counts.max()} utterances of others: ask for fewer"
        )
    random = np.random.default_rng(seed)
    anchors, others = [], []
    for _ in range(rounds):
        for speaker in range(names.size):
            anchor, positive = random.choice(np.flatnonzero(codes == speaker), 2, replace=False)
            negatives = random.choice(np.flatnonzero(codes != speaker), num_negatives, replace=False)
            anchors.append(np.full(1 + num_negatives, anchor))
            others.append(np.concatenate(([positive], negatives)))
    is_target = np.zeros((len(anchors), 1 + num_negatives), dtype=bool)
    is_target[:, 0] = True
    return np.array(anchors), np.array(others), is_target
