"""Ways to score tables of embeddings, by the names that programs give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spkid.backend.chain import BackEnd
from spkid.backend.cohort import CohortStatistics
from spkid.backend.products import Array
from spkid.backend.scoring import BlockedScorer
from spkid.backend.vectors import VectorTable, blaming
from spkid.kaldi.errors import InputError

METHODS = ("cosine", "euclidean", "lda-cosine", "plda")
CROP_METHODS = {"crop-distance": True, "raw-crop-distance": False}  # whether crops are scaled to length 1


@dataclass(frozen=True)
class ScoringMethod:
    """How embeddings as extracted become scores.

    Attributes:
        name: `cosine` and `euclidean` of the embeddings, less the back end's mean where there is one; `lda-cosine`
            after mean and LDA; `plda` after mean, LDA and length normalisation.
        backend: what steps/train_plda.py made; needed by the latter two.
    """

    name: str
    backend: BackEnd | None = None

    def scorer(
        self,
        enroll: VectorTable,
        test: VectorTable,
        num_examples: np.ndarray | int = 1,
        cohort: VectorTable | None = None,
        top_n: int | None = None,
        max_memory: int = 1 << 30,
        array: Callable[[np.ndarray], Array] = np.asarray,
    ) -> BlockedScorer:
        """A scorer of two tables; the other arguments are `BlockedScorer`'s.

        Raises:
            InputError: dimensions that do not fit, a vector without a direction, a cohort that cannot normalise; the
                sentence names the table and the id.
        """
        tables = [enroll, test] if cohort is None else [enroll, test, cohort]
        prepared: dict[int, np.ndarray] = {}
        for table in tables:
            if id(table) not in prepared:
                with blaming(table.source):
                    prepared[id(table)] = self._prepare(table.matrix)
                self._check(table, prepared[id(table)])
        plda = self.backend.plda if self.name == "plda" else None
        sides = [prepared[id(table)] for table in tables]
        if plda is not None:
            plain = {key: plda.transform(vectors) for key, vectors in prepared.items()}
            sides = [plain[id(table)] for table in tables]
            if np.any(np.asarray(num_examples) != 1):
                sides[0] = plda.transform(prepared[id(enroll)], num_examples)
        with blaming(" and ".join(dict.fromkeys(table.source for table in tables))):
            scorer = BlockedScorer(
                sides[0],
                sides[1],
                metric="euclidean" if self.name == "euclidean" else "cosine",
                plda=plda,
                num_examples=num_examples,
                cohort=sides[2] if cohort is not None else None,
                top_n=top_n,
                max_memory=max_memory,
                single=self.name.endswith("cosine") and all(table.matrix.dtype == np.float32 for table in tables),
                array=array,
            )
        if cohort is not None:
            for table, statistics in ((enroll, scorer.enroll_statistics), (test, scorer.test_statistics)):
                check_statistics(statistics, table, cohort)
        return scorer

    def _prepare(self, matrix: np.ndarray) -> np.ndarray:
        if self.name == "plda":
            return self.backend.prepare(matrix)
        if self.name == "lda-cosine":
            return self.backend.project(matrix)
        if self.backend is None:
            return matrix
        if matrix.shape[1] != self.backend.mean.size:
            raise ValueError(
                f"the back end was trained on {self.backend.mean.size} dimensions, these have {matrix.shape[1]}"
            )
        return matrix - self.backend.mean

    def _check(self, table: VectorTable, prepared: np.ndarray) -> None:
        zero = np.flatnonzero(~prepared.any(axis=1))
        if zero.size and self.name.endswith("cosine"):
            raise InputError(f"{table.source}: the vector of {table.ids[zero[0]]} is zero and has no cosine")


def check_statistics(statistics: CohortStatistics, table: VectorTable, cohort: VectorTable) -> None:
    """Raises InputError naming an id whose scores against the cohort cannot normalise."""
    with blaming(cohort.source):
        statistics.check(table.ids.__getitem__)
