"""LDA and length normalisation: Kaldi's matrices, and what defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import BackEnd, Lda, apply_transform, length_normalize
from spkid.backend.statistics import BLOCK_ROWS, speaker_statistics
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_matrix, load_vector, save_vector
from tests.backend.corpus import drawn, golden_speakers, golden_vectors
from tests.shared import golden


class TestKaldi:
    @pytest.mark.parametrize(("name", "dim", "factor"), [("lda_tcf0.mat", 40, 0.0), ("lda_tcf01.mat", 30, 0.1)])
    def test_matrices(self, name, dim, factor):
        table = golden_vectors("xvector_train.ark")
        mean = load_vector(str(golden("kaldi/backend/mean.vec")))
        ours = Lda(dim, factor).fit(table.matrix - mean, golden_speakers(table)).matrix_
        theirs = load_matrix(str(golden(f"kaldi/backend/{name}"))).astype(np.float64)
        signs = np.sign(np.sum(ours * theirs, axis=1))
        np.testing.assert_allclose(signs[:, None] * ours, theirs, atol=2e-5)

    def test_processed_vectors(self):
        table = golden_vectors("xvector_test.ark")
        mean = load_vector(str(golden("kaldi/backend/mean.vec")))
        matrix = load_matrix(str(golden("kaldi/backend/lda_tcf0.mat")))
        processed = golden_vectors("processed_test.ark")
        assert processed.ids == table.ids
        ours = length_normalize(apply_transform(matrix, table.matrix - mean))
        np.testing.assert_allclose(ours, processed.matrix, atol=1e-5)

    def test_back_end_makes_the_vectors_of_the_recipe(self):
        train = golden_vectors("xvector_train.ark")
        backend = BackEnd.fit(train.matrix, golden_speakers(train), 40)
        ours = backend.prepare(golden_vectors("xvector_test.ark").matrix)
        theirs = golden_vectors("processed_test.ark").matrix
        np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=2e-3)  # signs of directions are free


class TestDefinition:
    @settings(max_examples=25)
    @given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 1.0]))
    def test_chosen_covariance_is_unit_and_between_is_diagonal(self, seed, factor):
        vectors, speakers = drawn(30, (2, 5), 6, seed)
        lda = Lda(4, factor).fit(vectors, speakers)
        projected = speaker_statistics(lda.transform(vectors), speakers)
        within = projected.within_scatter / len(vectors)
        between = projected.between_scatter / len(vectors)
        np.testing.assert_allclose(within + factor * between, np.eye(4), atol=1e-8)
        np.testing.assert_allclose(between, np.diag(lda.ratios_), atol=1e-8)
        assert (np.diff(lda.ratios_) <= 1e-12).all()
        np.testing.assert_allclose(lda.transform(vectors).mean(axis=0), 0, atol=1e-9)

    def test_a_direction_without_variance_is_floored_not_divided_by(self):
        vectors, speakers = drawn(30, (5,), 4)
        vectors = np.column_stack((vectors, np.zeros(len(vectors))))
        transformed = Lda(3).fit(vectors, speakers).transform(vectors)
        assert np.isfinite(transformed).all()
        with pytest.raises(ValueError, match="covariance floor above 0"):
            Lda(3, covariance_floor=0).fit(vectors, speakers)

    def test_statistics_do_not_depend_on_blocks_or_order(self):
        random = np.random.default_rng(0)
        vectors = random.normal(size=(BLOCK_ROWS + 1000, 3)).astype(np.float32)
        speakers = random.integers(0, 50, len(vectors))
        whole = speaker_statistics(vectors, speakers)
        order = random.permutation(len(vectors))
        other = speaker_statistics(vectors[order], speakers[order])
        double = vectors.astype(np.float64)
        means = np.stack([double[speakers == speaker].mean(axis=0) for speaker in range(50)])
        deviations = double - means[speakers]
        for statistics in (whole, other):
            np.testing.assert_allclose(statistics.mean, double.mean(axis=0), atol=1e-9)
            np.testing.assert_allclose(statistics.speaker_means + statistics.mean, means, atol=1e-9)
            np.testing.assert_allclose(statistics.within_scatter, deviations.T @ deviations, rtol=1e-9, atol=1e-6)
            np.testing.assert_array_equal(statistics.counts, np.bincount(speakers))

    @given(st.integers(1, 6), st.booleans())
    def test_length_normalisation(self, dims, scaleup):
        vectors = np.random.default_rng(dims).normal(size=(5, dims)) * 100
        vectors[2] = 0
        normalized = length_normalize(vectors, scaleup)
        lengths = np.full(5, np.sqrt(dims) if scaleup else 1.0)
        lengths[2] = 0
        np.testing.assert_allclose(np.linalg.norm(normalized, axis=1), lengths)
        np.testing.assert_allclose(
            normalized[0] / np.linalg.norm(normalized[0]), vectors[0] / np.linalg.norm(vectors[0])
        )

    def test_affine_and_linear_transforms(self):
        vectors = np.arange(6.0).reshape(2, 3)
        matrix = np.arange(8.0).reshape(2, 4)
        np.testing.assert_allclose(apply_transform(matrix, vectors), vectors @ matrix[:, :3].T + matrix[:, 3])
        np.testing.assert_allclose(apply_transform(matrix[:, :3], vectors[0]), matrix[:, :3] @ vectors[0])
        with pytest.raises(ValueError, match=r"2x4 does not fit vectors of 5 dimensions"):
            apply_transform(matrix, np.ones(5))


class TestBadInput:
    @pytest.mark.parametrize(
        ("shape", "dim", "sentence"),
        [
            ((5, (4,), 3), 4, "cannot make 4 dimensions of 3"),
            ((5, (4,), 8), 5, "needs more than 5 speakers and there are 5: choose 4"),
            ((20, (1,), 3), 2, "every speaker has one vector"),
            ((5, (2,), 30), 3, "needs at least 30 of them and there are 10"),
        ],
    )
    def test_sizes(self, shape, dim, sentence):
        with pytest.raises(ValueError, match=sentence):
            Lda(dim).fit(*drawn(*shape))

    def test_speakers_whose_vectors_are_equal(self):
        with pytest.raises(ValueError, match="no within-speaker covariance"):
            Lda(1).fit(np.repeat(np.eye(2), 3, axis=0), [0, 0, 0, 1, 1, 1])

    def test_back_end_files_must_fit(self, tmp_path):
        vectors, speakers = drawn(20, (4,), 5)
        backend = BackEnd.fit(vectors, speakers, 3)
        backend.write(tmp_path)
        again = BackEnd.read(tmp_path)
        np.testing.assert_array_equal(again.prepare(vectors), backend.prepare(vectors))
        with pytest.raises(ValueError, match="trained on 5 dimensions, these have 4"):
            again.prepare(vectors[:, :4])
        save_vector(str(tmp_path / "mean.vec"), np.zeros(7))
        with pytest.raises(InputError, match=r"mean.vec has 7 dimensions, transform.mat is 3 x 6, plda has 3"):
            BackEnd.read(tmp_path)
        (tmp_path / "plda").unlink()
        with pytest.raises(InputError, match=r"is no back end, plda is missing: .* steps/train_plda\.py"):
            BackEnd.read(tmp_path)
