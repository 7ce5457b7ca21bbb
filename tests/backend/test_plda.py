"""PLDA: Kaldi's and WeSpeaker's numbers, and the plain definition of each quantity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import Plda, length_normalize
from spkid.kaldi import InputError
from tests.backend.corpus import drawn, golden_speakers, golden_vectors
from tests.shared import golden


def log_gaussian(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Log density of one vector, by the formula."""
    difference = x - mean
    return -0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + difference @ np.linalg.inv(covariance) @ difference)


def joint_log_likelihood(vectors: np.ndarray, plda: Plda) -> float:
    """Log density of vectors of one speaker as one long Gaussian vector."""
    count = len(vectors)
    covariance = np.kron(np.ones((count, count)), plda.between_covariance)
    covariance += np.kron(np.eye(count), plda.within_covariance)
    return log_gaussian(vectors.ravel(), np.tile(plda.mean_, count), covariance)


def em_by_inversion(vectors, speakers, iterations):
    """The algorithm of plda.cc, one speaker after the other, with its matrix inversions."""
    groups = [vectors[speakers == speaker] for speaker in np.unique(speakers)]
    means = [group.mean(axis=0) for group in groups]
    centre = np.mean(means, axis=0)
    scatter = sum((group - mean).T @ (group - mean) for group, mean in zip(groups, means, strict=True))
    within = between = np.eye(vectors.shape[1])
    for _ in range(iterations):
        within_stats, between_stats = scatter.copy(), np.zeros_like(scatter)
        for group, mean in zip(groups, means, strict=True):
            count = len(group)
            mixed = np.linalg.inv(np.linalg.inv(between) + count * np.linalg.inv(within))
            posterior = mixed @ (count * np.linalg.inv(within) @ (mean - centre))
            rest = mean - centre - posterior
            between_stats += mixed + np.outer(posterior, posterior)
            within_stats += count * (mixed + np.outer(rest, rest))
        within, between = within_stats / len(vectors), between_stats / len(groups)
    return centre, within, between


@pytest.fixture(scope="module")
def processed():
    table = golden_vectors("processed_train.ark")
    return table.matrix, golden_speakers(table)


class TestKaldi:
    @pytest.mark.parametrize(("iterations", "name"), [(10, "plda"), (1, "plda_1iter")])
    def test_training(self, processed, iterations, name):
        theirs = Plda.read(str(golden(f"kaldi/backend/{name}")))
        ours = Plda(iterations).fit(*processed)
        np.testing.assert_allclose(ours.mean_, theirs.mean_, atol=1e-9)
        np.testing.assert_allclose(ours.psi_, theirs.psi_, rtol=1e-6)
        np.testing.assert_allclose(ours.within_covariance, theirs.within_covariance, atol=1e-9)
        np.testing.assert_allclose(ours.between_covariance, theirs.between_covariance, atol=1e-9)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            (lambda model: model.smooth(0.1), "plda_smooth0.1"),
            (lambda model: model.adapt(golden_vectors("processed_test.ark").matrix, 0.75, 0.25), "plda_adapted"),
        ],
    )
    def test_changed_models(self, change, name):
        ours = change(Plda.read(str(golden("kaldi/backend/plda"))))
        theirs = Plda.read(str(golden(f"kaldi/backend/{name}")))
        np.testing.assert_allclose(ours.mean_, theirs.mean_, atol=1e-6)
        np.testing.assert_allclose(ours.psi_, theirs.psi_, rtol=1e-5)
        np.testing.assert_allclose(ours.within_covariance, theirs.within_covariance, atol=1e-6)
        np.testing.assert_allclose(ours.between_covariance, theirs.between_covariance, atol=1e-6)

    def test_files_are_kaldis_byte_for_byte(self, tmp_path):
        source = golden("kaldi/backend/plda")
        model = Plda.read(str(source))
        model.write(str(tmp_path / "binary"))
        model.write(str(tmp_path / "text"), binary=False)
        assert (tmp_path / "binary").read_bytes() == source.read_bytes()
        assert (tmp_path / "text").read_bytes() == golden("kaldi/backend/plda.txt").read_bytes()

    def test_text_holds_the_model_to_seven_digits(self):
        text = Plda.read(str(golden("kaldi/backend/plda.txt")))
        binary = Plda.read(str(golden("kaldi/backend/plda")))
        np.testing.assert_allclose(text.transform_, binary.transform_, rtol=1e-6)
        np.testing.assert_allclose(text.psi_, binary.psi_, rtol=1e-6)


class TestWespeaker:
    @pytest.mark.parametrize("case", ["plain", "lnorm", "sub_lnorm"])
    def test_training_and_scores(self, case):
        arrays = np.load(golden("nets/ws_plda.npz"))
        train = arrays["train"].reshape(-1, 8).astype(np.float64)
        normalize = length_normalize if case != "plain" else np.asarray
        if case == "sub_lnorm":
            train = train - arrays["train"].reshape(-1, 8).mean(axis=0)
        model = Plda(5).fit(normalize(train), np.repeat(np.arange(30), 6))
        np.testing.assert_allclose(model.mean_, arrays[f"{case}/mu"], atol=1e-6)
        np.testing.assert_allclose(model.psi_, arrays[f"{case}/psi"], rtol=1e-6)
        np.testing.assert_allclose(model.within_covariance, arrays[f"{case}/W"], atol=1e-6)
        np.testing.assert_allclose(model.between_covariance, arrays[f"{case}/B"], atol=1e-6)

        style = {"normalize_length": case != "plain", "simple_length_normalization": True}
        enroll = model.transform(normalize(arrays["enrol"].astype(np.float64).mean(axis=1)), **style)
        test = model.transform(normalize(arrays["test"]), **style)
        for name, count in (("avg", 1), ("multi", 3)):
            scores = model.log_likelihood_ratio(enroll, test, count)
            np.testing.assert_allclose(scores, arrays[f"{case}/score_{name}"], rtol=1e-6, atol=1e-5)


class TestDefinition:
    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_score_is_the_ratio_of_joint_densities(self, count):
        model = Plda().fit(*drawn(20, (3, 4), 4))
        random = np.random.default_rng(count)
        enroll, test = random.normal(3, 2, (count, 4)), random.normal(3, 2, (1, 4))
        expected = joint_log_likelihood(np.vstack((enroll, test)), model)
        expected -= joint_log_likelihood(enroll, model) + joint_log_likelihood(test, model)
        left = model.transform(enroll.mean(axis=0), normalize_length=False)
        right = model.transform(test[0], normalize_length=False)
        assert model.log_likelihood_ratio(left, right, count) == pytest.approx(expected, abs=1e-9)

    def test_score_of_one_against_one_is_symmetric(self):
        model = Plda().fit(*drawn(20, (4,), 5))
        vectors = model.transform(np.random.default_rng(0).normal(size=(6, 5)))
        scores = model.log_likelihood_ratio(vectors, vectors)
        np.testing.assert_allclose(scores, scores.T, atol=1e-10)

    @settings(max_examples=25)
    @given(st.integers(0, 1000), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 4))
    def test_em_is_that_of_the_speakers_one_by_one(self, seed, counts, iterations):
        vectors, speakers = drawn(12, (2, *counts), 3, seed)
        model = Plda(iterations).fit(vectors, speakers)
        mean, within, between = em_by_inversion(vectors, speakers, iterations)
        np.testing.assert_allclose(model.mean_, mean, atol=1e-9)
        np.testing.assert_allclose(model.within_covariance, within, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(model.between_covariance, between, rtol=1e-6, atol=1e-9)

    def test_objective_is_the_likelihood_and_never_falls(self):
        vectors, speakers = drawn(30, (1, 2, 7), 4)
        model = Plda(12).fit(vectors, speakers)
        assert (np.diff(model.objective_) > -1e-10).all()
        start = Plda.from_parameters(model.mean_, np.eye(4), np.ones(4))
        groups = [vectors[speakers == speaker] for speaker in np.unique(speakers)]
        expected = sum(joint_log_likelihood(group, start) for group in groups) / len(vectors)
        # The density of a group is that of its mean times that of the deviations; the two differ from the joint one by
        # the constant of the change of variables, log of the number of vectors in each dimension.
        constant = sum(4 / 2 * np.log(len(group)) for group in groups) / len(vectors)
        assert model.objective_[0] == pytest.approx(expected + constant, abs=1e-9)

    def test_the_model_finds_what_made_the_data(self):
        random = np.random.default_rng(3)
        within, between = np.diag([1.0, 0.5, 2.0]), np.diag([3.0, 1.0, 0.5])
        means = random.normal(size=(3000, 3)) @ np.sqrt(between)
        vectors = np.repeat(means, 10, axis=0) + random.normal(size=(30000, 3)) @ np.sqrt(within)
        model = Plda().fit(vectors, np.repeat(np.arange(3000), 10))
        np.testing.assert_allclose(model.within_covariance, within, atol=0.06)
        np.testing.assert_allclose(model.between_covariance, between, atol=0.25)

    @settings(max_examples=25)
    @given(st.integers(0, 1000))
    def test_scores_do_not_depend_on_the_coordinates(self, seed):
        vectors, speakers = drawn(25, (3, 5), 4, seed)
        random = np.random.default_rng(seed)
        matrix, offset = random.normal(size=(4, 4)) + 3 * np.eye(4), random.normal(size=4)
        plain = Plda.from_covariances(*_parameters(Plda().fit(vectors, speakers)))
        mean, within, between = _parameters(plain)
        moved = Plda.from_covariances(mean @ matrix.T + offset, matrix @ within @ matrix.T, matrix @ between @ matrix.T)
        ours = plain.transform(vectors[:8])
        theirs = moved.transform(vectors[:8] @ matrix.T + offset)
        np.testing.assert_allclose(
            moved.log_likelihood_ratio(theirs, theirs), plain.log_likelihood_ratio(ours, ours), rtol=1e-6, atol=1e-6
        )

    @pytest.mark.parametrize("count", [1, 4])
    def test_length_normalisation_by_the_expected_covariance(self, count):
        model = Plda().fit(*drawn(20, (4,), 5))
        transformed = model.transform(np.random.default_rng(0).normal(size=(7, 5)), count)
        np.testing.assert_allclose((transformed**2 / (model.psi_ + 1 / count)).sum(axis=1), 5)
        simple = model.transform(np.random.default_rng(0).normal(size=5), count, simple_length_normalization=True)
        assert simple @ simple == pytest.approx(5)

    def test_counts_may_differ_between_models(self):
        model = Plda().fit(*drawn(20, (4,), 5))
        vectors = np.random.default_rng(0).normal(size=(6, 5))
        counts = np.array([1, 3, 1, 7, 3, 2])
        left, right = model.transform(vectors, counts), model.transform(vectors)
        one_by_one = [
            model.log_likelihood_ratio(model.transform(vector, count), right, count)
            for vector, count in zip(vectors, counts, strict=True)
        ]
        np.testing.assert_allclose(model.log_likelihood_ratio(left, right, counts), one_by_one, atol=1e-10)

    def test_smoothing_moves_variance_within(self):
        model = Plda().fit(*drawn(20, (4,), 3))
        within, between = model.within_covariance, model.between_covariance
        model.smooth(0.25)
        np.testing.assert_allclose(model.within_covariance, within + 0.25 * between, atol=1e-9)
        np.testing.assert_allclose(model.between_covariance, between, atol=1e-9)

    def test_adapting_to_data_that_the_model_expects_moves_the_mean_only(self):
        model = Plda().fit(*drawn(40, (5,), 3))
        within, between = model.within_covariance, model.between_covariance
        narrow = model.mean_ + 0.01 * np.random.default_rng(0).normal(size=(50, 3))
        model.adapt(narrow)
        np.testing.assert_allclose(model.mean_, narrow.mean(axis=0))
        np.testing.assert_allclose(model.within_covariance, within, atol=1e-9)
        np.testing.assert_allclose(model.between_covariance, between, atol=1e-9)


def _parameters(model):
    return model.mean_, model.within_covariance, model.between_covariance


class TestBadInput:
    @pytest.mark.parametrize(
        ("vectors", "speakers", "sentence"),
        [
            (np.eye(4), [0, 1, 2, 3], "every speaker has one vector"),
            (np.eye(4), [0, 0, 0, 0], "at least two speakers"),
            (np.eye(4), [0, 0, 1, 1], r"singular \(4 vectors of 2 speakers\).*LDA first"),
            (np.full((4, 2), np.nan), [0, 0, 1, 1], "is not finite"),
            (np.ones((6, 2)), [0, 0, 0, 1, 1, 1], "singular"),
            (np.eye(4), [0, 1], "shapes are"),
            (np.empty((0, 3)), [], "no vector"),
        ],
    )
    def test_training_says_what_is_wrong(self, vectors, speakers, sentence):
        with pytest.raises(ValueError, match=sentence):
            Plda().fit(vectors, speakers)

    def test_a_speaker_with_one_vector_is_no_error(self):
        vectors, speakers = drawn(20, (1, 4), 3)
        assert np.isfinite(Plda().fit(vectors, speakers).psi_).all()

    def test_wrong_dimensions_factors_and_vectors(self):
        model = Plda().fit(*drawn(20, (4,), 3))
        with pytest.raises(ValueError, match="3 dimensions, not of 4"):
            model.transform(np.ones(4))
        with pytest.raises(ValueError, match="between 0 and 1"):
            model.smooth(1.5)
        with pytest.raises(ValueError, match="adaptation"):
            model.adapt(np.ones((2, 4)))
        with pytest.raises(ValueError, match="at least one vector"):
            model.adapt(np.empty((0, 3)))
        with pytest.raises(ValueError, match="negative"):
            model.adapt(np.ones((2, 3)), within_covar_scale=-1)

    @settings(max_examples=60)
    @given(st.data())
    def test_a_damaged_file_is_refused_by_name(self, tmp_path_factory, data):
        folder = tmp_path_factory.mktemp("plda")
        model = Plda().fit(*drawn(20, (4,), 2))
        binary = data.draw(st.booleans())
        model.write(str(folder / "plda"), binary)
        content = (folder / "plda").read_bytes()
        cut = data.draw(st.integers(0, len(content) - 5))
        (folder / "plda").write_bytes(content[:cut])
        with pytest.raises(InputError, match="plda"):
            Plda.read(str(folder / "plda"))

    def test_other_files_are_refused(self, tmp_path):
        for name, content in {"text": b"hello world\n", "empty": b"", "negative": _text([1, 2], [3, -1])}.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=name):
                Plda.read(str(tmp_path / name))
        (tmp_path / "sizes").write_bytes(b"<Plda>  [ 1 2 ]\n [\n  1 0 \n  0 1 ]\n [ 1 2 3 ]\n</Plda> ")
        with pytest.raises(InputError, match=r"mean of 2.*2 x 2, psi of 3"):
            Plda.read(str(tmp_path / "sizes"))
        with pytest.raises(InputError, match="cannot read"):
            Plda.read(str(tmp_path / "missing"))


def _text(mean, psi):
    numbers = " ".join(map(str, mean)), " ".join(map(str, psi))
    return f"<Plda>  [ {numbers[0]} ]\n [\n  1 0 \n  0 1 ]\n [ {numbers[1]} ]\n</Plda> ".encode()
