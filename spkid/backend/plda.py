"""Probabilistic linear discriminant analysis: two full covariances, between speakers and within a speaker."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.statistics import SpeakerStatistics, speaker_statistics


class Plda:
    """The two-covariance PLDA of Kaldi (ivector/plda.cc; Ioffe, "Probabilistic linear discriminant analysis", 2006).

    A speaker is a draw from N(mean, between), a vector of the speaker a draw from N(speaker, within). `transform_` maps
    vectors into the space where the within covariance is the identity and the between covariance is diag(psi_).

    Args:
        num_em_iters: iterations of expectation-maximisation in `fit`.

    Attributes:
        mean_: (dims,) float64, the mean of the speakers' means.
        transform_: (dims, dims) float64.
        psi_: (dims,) float64, descending, >= 0.
        objective_: (num_em_iters,) log-likelihood per vector before each iteration; only after `fit`.
    """

    def __init__(self, num_em_iters: int = 10) -> None:
        self.num_em_iters = num_em_iters

    @classmethod
    def from_parameters(cls, mean: ArrayLike, transform: ArrayLike, psi: ArrayLike) -> Plda:
        """A model of known mean (dims,), transform (dims, dims) and psi (dims,).

        Raises:
            ValueError: the shapes disagree, a value is not finite, or psi is negative.
        """
        model = cls()
        model.mean_ = np.array(mean, dtype=np.float64)
        model.transform_ = np.array(transform, dtype=np.float64)
        model.psi_ = np.array(psi, dtype=np.float64)
        dims = model.mean_.size
        if model.mean_.ndim != 1 or model.transform_.shape != (dims, dims) or model.psi_.shape != (dims,):
            raise ValueError(
                f"the parts of the PLDA model disagree: mean {model.mean_.shape}, transform {model.transform_.shape}, "
                f"psi {model.psi_.shape}"
            )
        if dims == 0 or not all(np.isfinite(part).all() for part in (model.mean_, model.transform_, model.psi_)):
            raise ValueError("the PLDA model is empty or holds values that are not finite")
        if (model.psi_ < 0).any():
            raise ValueError("the PLDA model has a negative between-speaker variance")
        return model

    @classmethod
    def from_covariances(cls, mean: ArrayLike, within: ArrayLike, between: ArrayLike) -> Plda:
        """The model with these covariances (dims, dims) in the space of the vectors.

        Raises:
            ValueError: `within` is not positive definite.
        """
        transform, psi = diagonalize(np.asarray(within, dtype=np.float64), np.asarray(between, dtype=np.float64))
        return cls.from_parameters(mean, transform, np.maximum(psi, 0))

    @property
    def dims(self) -> int:
        """Dimensions of the vectors."""
        return self.mean_.size

    @property
    def within_covariance(self) -> np.ndarray:
        """(dims, dims) in the space of the vectors."""
        inverse = np.linalg.inv(self.transform_)
        return inverse @ inverse.T

    @property
    def between_covariance(self) -> np.ndarray:
        """(dims, dims) in the space of the vectors."""
        inverse = np.linalg.inv(self.transform_)
        return (inverse * self.psi_) @ inverse.T

    def fit(self, vectors: ArrayLike, speakers: ArrayLike) -> Plda:
        """Estimates the model by expectation-maximisation, starting from identity covariances as Kaldi does.

        Args:
            vectors: (vectors, dims), commonly after LDA and length normalisation.
            speakers: (vectors,) labels. A speaker with a single vector informs the between covariance only.

        Raises:
            ValueError: not finite, fewer than two speakers, no speaker with two vectors, or a within-speaker
                covariance that is singular.
        """
        statistics = speaker_statistics(vectors, speakers)
        _check_trainable(statistics)
        means = statistics.speaker_means
        centre = means.mean(axis=0)  # the model's mean counts each speaker once, however many vectors there are
        within = np.eye(centre.size)
        between = np.eye(centre.size)
        objective = []
        for _ in range(self.num_em_iters):
            within, between, likelihood = _em_iteration(statistics, means - centre, within, between)
            objective.append(likelihood)
        transform, psi = diagonalize(within, between)
        self.mean_ = statistics.mean + centre
        self.transform_ = transform
        self.psi_ = np.maximum(psi, 0)
        self.objective_ = np.array(objective)
        return self

    def transform(
        self,
        vectors: ArrayLike,
        num_examples: ArrayLike = 1,
        normalize_length: bool = True,
        simple_length_normalization: bool = False,
    ) -> np.ndarray:
        """Maps vectors into the model's space, where `log_likelihood_ratio` works.

        Args:
            vectors: (..., dims); for an enrolled speaker, the mean of the enrolment vectors.
            num_examples: how many vectors were averaged; a number, or (...) one for each vector.
            normalize_length: scale each vector so that its squared length, weighted by the inverse of the covariance
                that the model expects of it (psi + 1/num_examples), is its dimension.
            simple_length_normalization: scale to length sqrt(dims) instead.

        Returns:
            (..., dims) float64.

        Raises:
            ValueError: the dimensions differ from the model's.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.shape[-1:] != self.mean_.shape:
            raise ValueError(f"the PLDA model takes vectors of {self.dims} dimensions, not of {vectors.shape[-1]}")
        transformed = (vectors - self.mean_) @ self.transform_.T
        if not normalize_length:
            return transformed
        if simple_length_normalization:
            weighted = transformed
        else:
            expected = self.psi_ + 1 / np.asarray(num_examples, dtype=np.float64)[..., None]
            weighted = transformed / np.sqrt(expected)
        norms = np.linalg.norm(weighted, axis=-1, keepdims=True)
        return transformed * np.divide(np.sqrt(self.dims), norms, out=np.ones_like(norms), where=norms > 0)

    def log_likelihood_ratio(self, enroll: ArrayLike, test: ArrayLike, num_examples: ArrayLike = 1) -> np.ndarray:
        """Log of p(test | the enrolled speaker) / p(test | another speaker), every enrolment against every test.

        Args:
            enroll: (dims,) or (models, dims), transformed by `transform`; means of the enrolment vectors.
            test: (dims,) or (tests, dims), transformed.
            num_examples: vectors behind each enrolment mean; a number or (models,).

        Returns:
            Natural-log likelihood ratios: (models, tests), less the axes of arguments given as (dims,).
        """
        enroll = np.asarray(enroll, dtype=np.float64)
        test = np.asarray(test, dtype=np.float64)
        models = np.atleast_2d(enroll)
        counts = np.broadcast_to(np.asarray(num_examples), models.shape[:1])
        scores = np.empty((len(models), len(np.atleast_2d(test))))
        for count in np.unique(counts):
            chosen = counts == count
            left, left_bias, right_bias = self.bilinear_form(models[chosen], np.atleast_2d(test), count)
            scores[chosen] = left @ np.atleast_2d(test).T + left_bias[:, None] + right_bias
        return scores.reshape(enroll.shape[:-1] + test.shape[:-1])

    def bilinear_form(
        self, enroll: np.ndarray, test: np.ndarray, num_examples: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The log-likelihood ratio as a dot product: score[i, j] = left[i] . test[j] + left_bias[i] + right_bias[j].

        Given n enrolment vectors of mean u, a test vector of the same speaker is distributed as
        N(n psi u / (n psi + 1), 1 + psi / (n psi + 1)), one of another speaker as N(0, 1 + psi).

        Args:
            enroll: (models, dims), transformed.
            test: (tests, dims), transformed.
            num_examples: n, the same for all of these models.

        Returns:
            left (models, dims), left_bias (models,), right_bias (tests,).
        """
        shrinkage = num_examples * self.psi_ / (num_examples * self.psi_ + 1)
        variance = 1 + self.psi_ / (num_examples * self.psi_ + 1)
        means = enroll * shrinkage
        left = means / variance
        constant = -0.5 * np.sum(np.log(variance) - np.log1p(self.psi_))
        left_bias = constant - 0.5 * np.einsum("ij,ij->i", means, left)
        right_bias = -0.5 * np.square(test) @ (1 / variance - 1 / (1 + self.psi_))
        return left, left_bias, right_bias

    def smooth(self, factor: float) -> Plda:
        """Adds `factor` (0 to 1) times the between covariance to the within covariance, in place, as ivector-copy-plda.

        Raises:
            ValueError: the factor is out of range.
        """
        if not 0 <= factor <= 1:
            raise ValueError(f"the smoothing factor of PLDA lies between 0 and 1, and {factor:g} does not")
        within = 1 + factor * self.psi_
        self.psi_ = self.psi_ / within
        self.transform_ = self.transform_ / np.sqrt(within)[:, None]
        return self

    def adapt(
        self,
        vectors: ArrayLike,
        within_covar_scale: float = 0.3,
        between_covar_scale: float = 0.7,
        mean_diff_scale: float = 1.0,
    ) -> Plda:
        """Adapts the model, in place, to unlabelled vectors of a new domain, as Kaldi's PldaUnsupervisedAdaptor.

        The mean becomes theirs. In directions where their variance exceeds what the model expects, the excess is added
        to the within and between covariances in the given shares.

        Args:
            vectors: (vectors, dims).
            within_covar_scale: share of the excess given to the within-speaker covariance.
            between_covar_scale: share given to the between-speaker covariance.
            mean_diff_scale: how much the shift of the mean counts as variance.

        Raises:
            ValueError: the dimensions differ, there is no vector, one is not finite, or a scale is negative.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[1:] != self.mean_.shape:
            raise ValueError(f"adaptation takes vectors (vectors, {self.dims}): the shape is {vectors.shape}")
        if not vectors.size or not np.isfinite(vectors).all():
            raise ValueError("PLDA adaptation needs at least one vector, and finite values only")
        if min(within_covar_scale, between_covar_scale, mean_diff_scale) < 0:
            raise ValueError("the scales of PLDA adaptation cannot be negative")
        mean = vectors.mean(axis=0)
        shift = mean - self.mean_
        centred = vectors - mean
        variance = centred.T @ centred / len(vectors) + mean_diff_scale * np.outer(shift, shift)

        # In the space where the model's total covariance is the identity, the axes of the new data's covariance.
        to_unit_total = self.transform_ / np.sqrt(1 + self.psi_)[:, None]
        eigenvalues, axes = np.linalg.eigh(to_unit_total @ variance @ to_unit_total.T)
        excess = np.maximum(eigenvalues - 1, 0)
        back = np.linalg.solve(to_unit_total, axes)  # columns: those axes in the space of the vectors
        added = (back * excess) @ back.T
        within = self.within_covariance + within_covar_scale * added
        between = self.between_covariance + between_covar_scale * added
        self.transform_, psi = diagonalize(within, between)
        self.psi_ = np.maximum(psi, 0)
        self.mean_ = mean
        return self

    @classmethod
    def read(cls, rxfilename: str) -> Plda:
        """Reads Kaldi's `<Plda>` file, text or binary.

        Raises:
            InputError: the file cannot be read or is not a PLDA model.
        """
        from spkid.backend.plda_file import read_plda

        return cls.from_parameters(*read_plda(rxfilename))

    def write(self, wxfilename: str, binary: bool = True) -> None:
        """Writes the file that Kaldi's programs load.

        Raises:
            InputError: the file cannot be written.
        """
        from spkid.backend.plda_file import write_plda

        write_plda(wxfilename, self.mean_, self.transform_, self.psi_, binary)


def diagonalize(within: np.ndarray, between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The transform T with T within T' = I and T between T' = diag(psi), psi descending.

    Returns:
        T (dims, dims), psi (dims,).

    Raises:
        ValueError: `within` is not positive definite.
    """
    try:
        cholesky = np.linalg.cholesky(within)
    except np.linalg.LinAlgError:
        raise ValueError("the within-speaker covariance is singular: reduce the vectors with LDA first") from None
    whitening = np.linalg.inv(cholesky)
    psi, rotation = np.linalg.eigh(whitening @ between @ whitening.T)
    return rotation[:, ::-1].T @ whitening, psi[::-1].copy()


def _em_iteration(
    statistics: SpeakerStatistics, means: np.ndarray, within: np.ndarray, between: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """New covariances, and the log-likelihood per vector of the old ones.

    Where both covariances are diagonal, each dimension of each speaker has its own posterior: variance
    psi / (1 + n psi) and mean n psi / (1 + n psi) times the speaker's mean. So there is nothing to invert, however many
    different numbers of vectors the speakers have.
    """
    transform, psi = diagonalize(within, between)
    psi = np.maximum(psi, 0)
    counts = statistics.counts[:, None]
    projected = means @ transform.T
    posterior_variance = psi / (1 + counts * psi)
    posterior_mean = counts * posterior_variance * projected
    rest = np.sqrt(counts) * (projected - posterior_mean)
    inverse = np.linalg.inv(transform)
    num_speakers, dims = means.shape

    new_between = posterior_mean.T @ posterior_mean
    new_between[np.diag_indices(dims)] += posterior_variance.sum(axis=0)
    new_within = rest.T @ rest
    new_within[np.diag_indices(dims)] += (counts * posterior_variance).sum(axis=0)
    # The scatter within speakers counts (vectors - speakers) times, the speakers' means once each.
    new_within = statistics.within_scatter + inverse @ new_within @ inverse.T
    new_between = inverse @ new_between @ inverse.T

    log_two_pi = np.log(2 * np.pi)
    logdet_within = -2 * np.linalg.slogdet(transform)[1]
    spread = np.sum((transform @ statistics.within_scatter) * transform)
    freedom = statistics.num_vectors - num_speakers
    likelihood = -0.5 * (freedom * (logdet_within + dims * log_two_pi) + spread)
    mean_variance = psi + 1 / counts
    likelihood -= 0.5 * (
        num_speakers * (logdet_within + dims * log_two_pi)
        + np.log(mean_variance).sum()
        + (np.square(projected) / mean_variance).sum()
    )
    return new_within / statistics.num_vectors, new_between / num_speakers, float(likelihood / statistics.num_vectors)


def _check_trainable(statistics: SpeakerStatistics) -> None:
    if statistics.num_speakers < 2:
        raise ValueError("PLDA needs at least two speakers: look at the labels (utt2spk)")
    if statistics.num_vectors == statistics.num_speakers:
        raise ValueError("every speaker has one vector, so PLDA cannot tell how much one speaker varies")
    eigenvalues = np.linalg.eigvalsh(statistics.within_scatter)
    if eigenvalues[0] <= 1e-12 * max(eigenvalues[-1], np.finfo(float).tiny):
        raise ValueError(
            f"the within-speaker covariance of these {statistics.mean.size}-dimensional vectors is singular "
            f"({statistics.num_vectors} vectors of {statistics.num_speakers} speakers): reduce them with LDA first, or "
            "take more vectors of each speaker"
        )
