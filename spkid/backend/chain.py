"""The whole back end of a system as Kaldi's recipes chain it: mean, LDA, length normalisation, PLDA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.plda import Plda
from spkid.backend.transforms import Lda, apply_transform, length_normalize
from spkid.kaldi.errors import InputError
from spkid.kaldi.matrix import load_matrix, load_vector, save_matrix, save_vector


class BackEnd:
    """Subtract the mean, project with LDA, normalise the length: then PLDA.

    Attributes:
        mean: (dims,) float32, mean of the training vectors.
        matrix: (new dims, dims or dims + 1) float32, the LDA; the identity where there is none.
        plda: the model of the projected vectors.
    """

    def __init__(self, mean: np.ndarray, matrix: np.ndarray, plda: Plda) -> None:
        self.mean = mean
        self.matrix = matrix
        self.plda = plda

    @classmethod
    def fit(
        cls,
        vectors: ArrayLike,
        speakers: ArrayLike,
        lda_dim: int,
        total_covariance_factor: float = 0.0,
        num_em_iters: int = 10,
    ) -> BackEnd:
        """Trains all parts on the same vectors.

        Args:
            vectors: (vectors, dims).
            speakers: (vectors,) labels.
            lda_dim: dimensions that LDA keeps; 0 for no LDA.
            total_covariance_factor: as for `Lda`.
            num_em_iters: as for `Plda`.

        Raises:
            ValueError: what `Lda.fit` and `Plda.fit` refuse.
        """
        vectors = np.asarray(vectors)
        # Rounded to what the files hold, so that PLDA is trained on the vectors that it will be asked to score.
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        if lda_dim:
            matrix = Lda(lda_dim, total_covariance_factor).fit(vectors - mean, speakers).matrix_.astype(np.float32)
        else:
            matrix = np.eye(mean.size, dtype=np.float32)
        backend = cls(mean, matrix, Plda(num_em_iters))
        backend.plda.fit(backend.prepare(vectors), speakers)
        return backend

    def project(self, vectors: ArrayLike) -> np.ndarray:
        """Vectors (..., dims) without the mean and after LDA, (..., new dims) float64.

        Raises:
            ValueError: the dimensions differ from those in training.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.shape[-1:] != self.mean.shape:
            raise ValueError(f"the back end was trained on {self.mean.size} dimensions, these have {vectors.shape[-1]}")
        return apply_transform(self.matrix, vectors - self.mean)

    def prepare(self, vectors: ArrayLike) -> np.ndarray:
        """`project`, then length normalisation: what PLDA is trained on. Shapes and errors as there."""
        return length_normalize(self.project(vectors))

    def write(self, directory: str | os.PathLike) -> None:
        """Writes mean.vec, transform.mat and plda, which Kaldi's programs load.

        Raises:
            InputError: a file cannot be written.
        """
        directory = Path(directory)
        save_vector(str(directory / "mean.vec"), self.mean)
        save_matrix(str(directory / "transform.mat"), self.matrix)
        self.plda.write(str(directory / "plda"))

    @classmethod
    def read(cls, directory: str | os.PathLike) -> BackEnd:
        """Reads what `write`, or a recipe of Kaldi's, left in a directory.

        Raises:
            InputError: a file is missing or damaged, or they do not fit together.
        """
        directory = Path(directory)
        missing = [name for name in ("mean.vec", "transform.mat", "plda") if not (directory / name).exists()]
        if missing:
            raise InputError(
                f"{directory}: is no back end, {missing[0]} is missing: give a directory that steps/train_plda.py wrote"
            )
        mean = load_vector(str(directory / "mean.vec"))
        matrix = load_matrix(str(directory / "transform.mat"))
        plda = Plda.read(str(directory / "plda"))
        if matrix.shape[1] not in (mean.size, mean.size + 1) or matrix.shape[0] != plda.dims:
            raise InputError(
                f"{directory}: the files do not belong together: mean.vec has {mean.size} dimensions, transform.mat is "
                f"{matrix.shape[0]} x {matrix.shape[1]}, plda has {plda.dims} dimensions"
            )
        return cls(mean, matrix, plda)
