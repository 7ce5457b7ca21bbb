"""The blocked scorer: cosine, distance, PLDA and their normalised forms as matrix products in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.cohort import CohortStatistics, cohort_statistics, negated_root
from spkid.backend.plda import Plda
from spkid.backend.products import Array, dot_products, each_chunk, product_blocks, to_numpy
from spkid.backend.sides import Sides, cosine_sides, euclidean_sides, plda_sides, unit_rows

METRICS = ("cosine", "euclidean")
CHUNK_BYTES = 256 << 10  # of a block that is being finished: stays in the cache from one operation to the next


class BlockedScorer:
    """Scores enrolments against tests: those of a list, or all.

        scorer = BlockedScorer(enroll, test, cohort=cohort, top_n=300)      # AS-norm of the cosine
        scores = scorer.pairs(enroll_rows, test_rows)                       # a trial list
        for rows, block in scorer.blocks(): ...                             # the whole matrix

    Normalised scores are the mean of the score in units of the enrolment's and of the test's cohort scores (S-norm;
    adaptive with `top_n`: Matejka et al., "Analysis of score normalization in multilingual speaker recognition", 2017).

    Args:
        enroll: (models, dims); for PLDA as `Plda.transform` returns them.
        test: (tests, dims), likewise.
        metric: `cosine`, or `euclidean` for the negated distance; not looked at where there is a PLDA model.
        plda: score with this model's log-likelihood ratio.
        num_examples: vectors behind each model, a number or (models,); PLDA only.
        cohort: (cohort, dims), likewise, of speakers that are in no trial. None: scores are not normalised.
        top_n: highest cohort scores of each vector that count; None for all.
        max_memory: bytes for blocks of scores, besides the vectors and the list.
        single: whole blocks and cohort scores in float32. None: for the cosine of float32 vectors, where it costs
            less than 1e-6. Pairs are float64 always.
        array: puts a NumPy array where products are computed, for example
            `lambda a: torch.as_tensor(a, device="cuda")`.

    Attributes:
        enroll_statistics, test_statistics: of the cohort scores; None without a cohort.

    Raises:
        ValueError: dimensions differ, a vector of zeros under the cosine, a cohort or a memory limit that is too small.
    """

    def __init__(
        self,
        enroll: ArrayLike,
        test: ArrayLike,
        metric: str = "cosine",
        plda: Plda | None = None,
        num_examples: ArrayLike = 1,
        cohort: ArrayLike | None = None,
        top_n: int | None = None,
        max_memory: int = 1 << 30,
        single: bool | None = None,
        array: Callable[[np.ndarray], Array] = np.asarray,
    ) -> None:
        same = test is enroll
        enroll = np.asarray(enroll)
        test = enroll if same else np.asarray(test)
        sets = [enroll, test] if cohort is None else [enroll, test, np.asarray(cohort)]
        _check_sets(sets, metric, plda)
        self.metric, self.plda, self.max_memory, self._array = metric, plda, max_memory, array
        if single is None:
            single = plda is None and metric == "cosine" and all(vectors.dtype == np.float32 for vectors in sets)
        self.dtype = np.float32 if single else np.float64
        self._sides = self._make(enroll, test, num_examples)
        self.enroll_statistics: CohortStatistics | None = None
        self.test_statistics: CohortStatistics | None = None
        if cohort is not None:
            by_enroll, by_test = self._against_cohort(enroll, test, sets[2], num_examples)
            self.enroll_statistics = self._statistics(by_enroll.left, by_enroll.right, by_enroll.is_distance, top_n)
            if same and np.all(np.asarray(num_examples) == 1):  # then every score is symmetric
                self.test_statistics = self.enroll_statistics
            else:
                self.test_statistics = self._statistics(by_test.right, by_test.left, by_test.is_distance, top_n)

    def pairs(self, enroll_rows: ArrayLike, test_rows: ArrayLike) -> np.ndarray:
        """Scores of pairs of rows, both (trials,): (trials,) float64.

        Raises:
            ValueError: an enrolment or test whose cohort scores are all equal.
        """
        self._check_statistics()
        enroll_rows = np.asarray(enroll_rows, dtype=np.int64)
        test_rows = np.asarray(test_rows, dtype=np.int64)
        left, right = self._array(self._sides.left), self._array(self._sides.right)
        scores = dot_products(left, right, enroll_rows, test_rows, self.max_memory)
        if self._sides.is_distance:
            scores = negated_root(scores)
        if self.enroll_statistics is not None:
            enroll, test = self.enroll_statistics, self.test_statistics
            scores = 0.5 * (
                (scores - enroll.mean[enroll_rows]) / enroll.std[enroll_rows]
                + (scores - test.mean[test_rows]) / test.std[test_rows]
            )
        return scores

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All scores, a block of enrolments after the other: which rows, and their scores (rows, tests).

        Raises:
            ValueError: as for `pairs`; not even one row fits into the memory.
        """
        self._check_statistics()
        left, right = self._placed(self._sides.left), self._placed(self._sides.right)
        linear = self._linear_form()
        for rows, block in product_blocks(left, right, self.max_memory):
            if linear is not None or self._sides.is_distance:
                block = self._finish(block, rows, linear)
            yield rows, to_numpy(block)

    def _make(self, enroll: np.ndarray, test: np.ndarray, num_examples: ArrayLike) -> Sides:
        if self.plda is not None:
            return plda_sides(self.plda, enroll, test, num_examples)
        return cosine_sides(enroll, test) if self.metric == "cosine" else euclidean_sides(enroll, test)

    def _against_cohort(
        self, enroll: np.ndarray, test: np.ndarray, cohort: np.ndarray, num_examples: ArrayLike
    ) -> tuple[Sides, Sides]:
        """Enrolments against the cohort, and the cohort, as enrolments of one vector, against tests."""
        if self.plda is None and self.metric == "cosine":  # nothing but the cohort is new, and that may be large
            others = unit_rows(cohort, self.dtype)
            return Sides(self._sides.left, others), Sides(others, self._sides.right)
        return self._make(enroll, cohort, num_examples), self._make(cohort, test, 1)

    def _placed(self, vectors: np.ndarray) -> Array:
        return self._array(vectors.astype(self.dtype, copy=False))

    def _statistics(
        self, vectors: np.ndarray, cohort: np.ndarray, is_distance: bool, top_n: int | None
    ) -> CohortStatistics:
        return cohort_statistics(self._placed(vectors), self._placed(cohort), top_n, is_distance, self.max_memory)

    def _check_statistics(self) -> None:
        if self.enroll_statistics is not None:
            self.enroll_statistics.check(lambda row: f"enrolment vector {row}")
            self.test_statistics.check(lambda row: f"test vector {row}")

    def _linear_form(self) -> tuple[Array, ...] | None:
        """Normalising as score * (a[i] + b[j]) - (c[i] + d[j]): (a, b, c, d)."""
        if self.enroll_statistics is None:
            return None
        scales = [0.5 / statistics.std for statistics in (self.enroll_statistics, self.test_statistics)]
        offsets = [self.enroll_statistics.mean * scales[0], self.test_statistics.mean * scales[1]]
        return tuple(self._placed(part) for part in (*scales, *offsets))

    def _finish(self, block: Array, rows: slice, linear: tuple[Array, ...] | None) -> Array:
        def finished(part: Array, start: int) -> Array:
            if self._sides.is_distance:
                part = negated_root(part)
            if linear is None:
                return part
            scale, test_scale, offset, test_offset = linear
            these = slice(start, start + part.shape[0])
            part = part * (scale[these, None] + test_scale)
            part -= offset[these, None] + test_offset
            return part

        if not array_api_compat.is_numpy_array(block):
            return finished(block, rows.start)

        def work(chunk: slice) -> None:
            block[chunk] = finished(block[chunk], rows.start + chunk.start)

        each_chunk(work, len(block), max(1, CHUNK_BYTES // max(1, block[:1].nbytes)))
        return block


def cosine_scores(enroll: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Cosine of every enrolment (models, dims) with every test vector (tests, dims): (models, tests) float64."""
    sides = cosine_sides(np.asarray(enroll), np.asarray(test))
    return sides.left @ sides.right.T


def euclidean_scores(enroll: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Negated distance of every enrolment (models, dims) and every test vector (tests, dims): (models, tests)."""
    sides = euclidean_sides(np.asarray(enroll), np.asarray(test))
    return negated_root(sides.left @ sides.right.T)


def score_trials(
    enroll: ArrayLike,
    test: ArrayLike,
    enroll_rows: ArrayLike,
    test_rows: ArrayLike,
    plda: Plda | None = None,
    num_examples: ArrayLike = 1,
) -> np.ndarray:
    """Scores pairs of rows: with a PLDA model its log-likelihood ratio, without one the cosine.

    Args:
        enroll: (models, dims); for PLDA as `Plda.transform` returns them.
        test: (tests, dims), likewise.
        enroll_rows: (trials,) row of `enroll` of each trial.
        test_rows: (trials,) row of `test`.
        plda: the model, or None.
        num_examples: vectors behind each model, a number or (models,); PLDA only.

    Returns:
        (trials,) float64.
    """
    return BlockedScorer(enroll, test, plda=plda, num_examples=num_examples).pairs(enroll_rows, test_rows)


def _check_sets(sets: list[np.ndarray], metric: str, plda: Plda | None) -> None:
    if plda is None and metric not in METRICS:
        raise ValueError(f"the metric is cosine or euclidean, not {metric!r}")
    dims = {vectors.shape[1] if vectors.ndim == 2 else None for vectors in sets}
    if None in dims or len(dims) > 1 or (plda is not None and dims != {plda.dims}):
        shapes = ", ".join(str(vectors.shape) for vectors in sets)
        model = f", the model has {plda.dims} dimensions" if plda is not None else ""
        raise ValueError(
            f"the vectors to compare must be (vectors, dims) with equal dims: their shapes are {shapes}{model}"
        )
