"""Normalisation by statistics of utterances, speakers and whole sets, and its two tools as commands on files."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.bin import apply_cmvn as apply_tool
from spkid.bin import compute_cmvn_stats as statistics_tool
from spkid.features.cmvn_statistics import CMVN_STATISTICS, apply_cmvn, cmvn_statistics
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table


def features_of(seed, frames=50, dims=4):
    random = np.random.default_rng(seed)
    return random.normal(random.normal(size=dims) * 10, random.uniform(1, 5, dims), (frames, dims)).astype(np.float32)


@given(st.integers(0, 1000), st.booleans())
def test_normalised_features_have_mean_zero_and_variance_one(seed, norm_vars):
    features = features_of(seed)
    normalized = apply_cmvn(features, cmvn_statistics(features), norm_vars)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized.mean(axis=0), 0, atol=1e-4)
    expected = 1 if norm_vars else features.var(axis=0, dtype=np.float64)
    np.testing.assert_allclose(normalized.var(axis=0, dtype=np.float64), expected, rtol=1e-4)


@given(st.integers(0, 1000), st.booleans())
def test_reverse_undoes(seed, norm_vars):
    features = features_of(seed)
    statistics = cmvn_statistics(features)
    normalized = apply_cmvn(features, statistics, norm_vars)
    np.testing.assert_allclose(apply_cmvn(normalized, statistics, norm_vars, reverse=True), features, atol=1e-4)


def test_statistics_are_sums():
    statistics = cmvn_statistics(np.array([[1, 2], [3, 4], [5, 6]]), np.array([1, 0, 0.5]))
    np.testing.assert_allclose(statistics, [[3.5, 5, 1.5], [13.5, 22, 0]])
    first, second = features_of(1), features_of(2, 9)
    total = cmvn_statistics(first) + cmvn_statistics(second)
    np.testing.assert_allclose(total, cmvn_statistics(np.vstack((first, second))))


def test_skipped_dimensions_stay():
    features = features_of(3)
    for reverse in (False, True):
        normalized = apply_cmvn(features, cmvn_statistics(features), True, reverse, skip_dims=[1, 3])
        np.testing.assert_array_equal(normalized[:, [1, 3]], features[:, [1, 3]])
        assert not np.allclose(normalized[:, [0, 2]], features[:, [0, 2]])


def test_constant_features_do_not_become_nan():
    normalized = apply_cmvn(np.ones((5, 2)), cmvn_statistics(np.ones((5, 2))), norm_vars=True)
    np.testing.assert_array_equal(normalized, 0)


@pytest.mark.parametrize(
    ("statistics", "options", "sentence"),
    [
        (np.ones((2, 4)), {}, "4 dimensions need statistics of 2 x 5"),
        (np.zeros((2, 5)), {}, "0 frames"),
        (np.full((2, 5), np.nan), {}, "nan frames"),
        (np.ones((1, 5)), {"norm_vars": True}, "no variances"),
        (np.ones((2, 5)), {"skip_dims": [4]}, "no dimension 4"),
    ],
)
def test_statistics_that_do_not_fit(statistics, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        apply_cmvn(features_of(0), statistics, **options)


class TestTools:
    @pytest.fixture
    def data(self, tmp_path):
        """Two utterances of one speaker, one of another, and an empty one."""
        features = {"a1": features_of(1), "a2": features_of(2, 20), "b1": features_of(3), "b2": np.zeros((0, 0))}
        with TableWriter(f"ark:{tmp_path}/feats", MATRIX) as writer:
            for key, matrix in features.items():
                writer.write(key, matrix)
        (tmp_path / "spk2utt").write_text("a a1 a2\nb b1 b2 b3\n")
        (tmp_path / "utt2spk").write_text("a1 a\na2 a\nb1 b\nb2 b\n")
        return features

    def test_of_utterances(self, tmp_path, data):
        assert statistics_tool.main([f"ark:{tmp_path}/feats", f"ark:{tmp_path}/stats"]) == 0
        assert (tmp_path / "stats").read_bytes()[3:8] == b"\0BDM "  # double precision, as Kaldi
        statistics = dict(read_table(f"ark:{tmp_path}/stats", CMVN_STATISTICS))
        assert statistics.keys() == {"a1", "a2", "b1"}
        report = f"--report={tmp_path}/report"
        names = [f"ark:{tmp_path}/stats", f"ark:{tmp_path}/feats", f"ark:{tmp_path}/out"]
        assert apply_tool.main(["--norm-vars", report, *names]) == 0
        for key, matrix in read_table(f"ark:{tmp_path}/out", MATRIX):
            np.testing.assert_array_equal(matrix, apply_cmvn(data[key], cmvn_statistics(data[key]), True))
        assert json.loads((tmp_path / "report").read_text())["failed"].keys() == {"b2"}

    def test_of_speakers(self, tmp_path, data):
        options = [f"--spk2utt=ark:{tmp_path}/spk2utt", f"--report={tmp_path}/report"]
        assert statistics_tool.main([*options, f"ark:{tmp_path}/feats", f"ark,t:{tmp_path}/stats"]) == 0
        assert json.loads((tmp_path / "report").read_text())["failed"].keys() == {"b2", "b3"}
        names = [f"ark:{tmp_path}/stats", f"ark:{tmp_path}/feats", f"ark:{tmp_path}/out"]
        assert apply_tool.main([f"--utt2spk=ark:{tmp_path}/utt2spk", *names]) == 0
        normalized = dict(read_table(f"ark:{tmp_path}/out", MATRIX))
        together = np.vstack((data["a1"], data["a2"]))
        expected = data["a1"] - together.mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(normalized["a1"], expected, atol=1e-4)

    def test_of_everything(self, tmp_path, data):
        assert statistics_tool.main([f"ark:{tmp_path}/feats", f"{tmp_path}/global"]) == 0
        statistics = load_matrix(f"{tmp_path}/global")
        assert statistics.dtype == np.float32
        assert statistics[0, -1] == 120
        names = [f"{tmp_path}/global", f"ark:{tmp_path}/feats", f"ark:{tmp_path}/out"]
        assert apply_tool.main(["--skip-dims=0:2", *names]) == 0
        normalized = dict(read_table(f"ark:{tmp_path}/out", MATRIX))
        np.testing.assert_array_equal(normalized["b1"][:, [0, 2]], data["b1"][:, [0, 2]])
        assert apply_tool.main([f"--utt2spk=ark:{tmp_path}/utt2spk", *names]) == 1
        assert apply_tool.main(["--norm-means=false", "--norm-vars=true", *names]) == 1
        assert apply_tool.main(["--skip-dims=0,2", *names]) == 1

    def test_weights(self, tmp_path, data):
        with TableWriter(f"ark:{tmp_path}/vad", VECTOR) as writer:
            writer.write("a1", np.arange(50) % 2)
            writer.write("a2", np.ones(3))
        names = [f"ark:{tmp_path}/feats", f"ark:{tmp_path}/stats"]
        assert statistics_tool.main([f"--weights=ark:{tmp_path}/vad", *names]) == 0
        ((key, statistics),) = read_table(f"ark:{tmp_path}/stats", CMVN_STATISTICS)
        assert key == "a1"
        np.testing.assert_allclose(statistics, cmvn_statistics(data["a1"][1::2]))
