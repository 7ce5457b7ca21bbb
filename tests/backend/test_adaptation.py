"""Whitening, CORAL and CORAL+: what the transforms must do to covariances, and whether adaptation helps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import Coral, Plda, Whitening, apply_transform, coral_plda, coral_plus_plda
from tests.backend.corpus import drawn


def covariance(vectors: np.ndarray) -> np.ndarray:
    return np.cov(vectors.T, bias=True)


def total(model: Plda) -> np.ndarray:
    return model.within_covariance + model.between_covariance


class TestWhitening:
    @settings(max_examples=25)
    @given(st.sampled_from(["zca", "pca"]), st.integers(1, 6), st.integers(0, 99))
    def test_mean_zero_and_unit_covariance(self, kind, dims, seed):
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(50, dims)) @ random.normal(size=(dims, dims)) + 5
        white = Whitening(kind).fit(vectors)
        moved = white.transform(vectors)
        np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(moved.T @ moved / 50, np.eye(dims), atol=1e-6)
        np.testing.assert_array_equal(moved, apply_transform(white.matrix_, vectors))

    def test_zca_stays_close_and_pca_sorts(self):
        random = np.random.default_rng(0)
        vectors = random.normal(size=(500, 4)) @ random.normal(size=(4, 4))
        zca = Whitening().fit(vectors).matrix_[:, :4]
        np.testing.assert_allclose(zca, zca.T, atol=1e-9)
        assert (np.linalg.eigvalsh(zca) > 0).all()
        pca = Whitening("pca").fit(vectors).matrix_[:, :4]
        lengths = np.linalg.norm(pca, axis=1)  # of the inverse deviations, in the order of the directions
        assert (np.diff(lengths) > 0).all()

    def test_what_cannot_be_whitened(self):
        with pytest.raises(ValueError, match="singular"):
            Whitening().fit(np.ones((5, 2)))
        with pytest.raises(ValueError, match="singular: take more vectors than the 4 dimensions"):
            Whitening().fit(np.random.default_rng(0).normal(size=(3, 4)))
        with pytest.raises(ValueError, match="vector 1 is not finite"):
            Whitening().fit([[1.0, 2.0], [np.nan, 1.0]])
        with pytest.raises(ValueError, match="shape"):
            Whitening().fit([])
        with pytest.raises(ValueError, match="zca or pca"):
            Whitening("cholesky")


class TestCoral:
    def setup_method(self):
        self.vectors, self.speakers = drawn(100, (6,), 5)
        random = np.random.default_rng(1)
        self.shift = np.eye(5) + 0.4 * random.normal(size=(5, 5))
        self.target = drawn(100, (6,), 5, seed=2)[0] @ self.shift + 2
        self.model = Plda().fit(self.vectors, self.speakers)

    def test_vectors_take_the_targets_mean_and_covariance(self):
        moved = Coral().fit(self.vectors, self.target).transform(self.vectors)
        np.testing.assert_allclose(moved.mean(axis=0), self.target.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(covariance(moved), covariance(self.target), atol=1e-9)
        same = Coral().fit(self.vectors, self.vectors).transform(self.vectors)
        np.testing.assert_allclose(same, self.vectors, atol=1e-9)

    def test_the_models_total_covariance_becomes_the_targets(self):
        before = self.model.transform_.copy()
        moved = coral_plda(self.model, self.target)
        np.testing.assert_allclose(total(moved), covariance(self.target), atol=1e-9)
        np.testing.assert_allclose(moved.mean_, self.target.mean(axis=0))
        np.testing.assert_array_equal(self.model.transform_, before)

    def test_coral_plus_grows_and_never_shrinks(self):
        moved, aligned = coral_plus_plda(self.model, self.target), coral_plda(self.model, self.target)
        for name in ("within_covariance", "between_covariance"):
            growth = getattr(moved, name) - getattr(self.model, name)
            assert np.linalg.eigvalsh(growth)[0] > -1e-9
            # with the whole share, at least what alignment asks for, in every direction
            full = coral_plus_plda(self.model, self.target, 1.0, 1.0)
            assert np.linalg.eigvalsh(getattr(full, name) - getattr(aligned, name))[0] > -1e-9
        still = coral_plus_plda(self.model, self.target, 0.0, 0.0)
        np.testing.assert_allclose(total(still), total(self.model), atol=1e-9)

    def test_nothing_changes_where_the_domain_is_the_same(self):
        random = np.random.default_rng(0)
        root = np.linalg.cholesky(total(self.model))
        drawn_from_model = random.normal(size=(5000, 5))
        drawn_from_model = Whitening().fit(drawn_from_model).transform(drawn_from_model) @ root.T + self.model.mean_
        for moved in (coral_plda(self.model, drawn_from_model), coral_plus_plda(self.model, drawn_from_model)):
            np.testing.assert_allclose(moved.within_covariance, self.model.within_covariance, atol=1e-6)
            np.testing.assert_allclose(moved.between_covariance, self.model.between_covariance, atol=1e-6)

    def test_adapted_models_fit_the_new_domain_better(self):
        def log_likelihood(model):
            centred = self.target - model.mean_
            inverse = np.linalg.inv(total(model))
            return -0.5 * (
                np.einsum("ij,jk,ik->i", centred, inverse, centred).mean() + np.linalg.slogdet(total(model))[1]
            )

        before = log_likelihood(self.model)
        assert log_likelihood(coral_plda(self.model, self.target)) > before
        assert log_likelihood(coral_plus_plda(self.model, self.target)) > before

    def test_a_direction_without_speakers_is_left_alone(self):
        model = Plda.from_parameters(np.zeros(3), np.eye(3), [4.0, 1.0, 0.0])
        moved = coral_plus_plda(model, np.random.default_rng(0).normal(size=(500, 3)) * 5)
        assert np.isfinite(moved.psi_).all()
        assert moved.psi_[0] > 0

    def test_what_cannot_be_adapted_to(self):
        with pytest.raises(ValueError, match="5 dimensions, not of 4"):
            coral_plda(self.model, self.target[:, :4])
        with pytest.raises(ValueError, match="vectors to adapt to is singular"):
            coral_plus_plda(self.model, self.target[:4])
        with pytest.raises(ValueError, match="scales of CORAL\\+"):
            coral_plus_plda(self.model, self.target, 1.5)
        with pytest.raises(ValueError, match="training vectors is singular"):
            Coral().fit(self.vectors[:3], self.target)
        with pytest.raises(ValueError, match="have 5 dimensions, those to adapt to 4"):
            Coral().fit(self.vectors, self.target[:, :4])
