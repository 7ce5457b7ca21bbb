"""Agglomerative clustering and dense PLDA scores: definitions, limits, and the tools as commands on files."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from spkid.backend.clustering import agglomerative_clusters
from spkid.backend.dense import dense_plda_scores, principal_directions
from spkid.backend.plda import Plda
from spkid.bin import agglomerative_cluster, ivector_plda_scoring_dense
from spkid.kaldi.tables import INT, MATRIX, VECTOR, TableWriter, read_table
from tests.backend.corpus import drawn


def symmetric(values):
    return np.triu(values, 1) + np.triu(values, 1).T


def by_definition(costs, threshold, min_clusters, largest, clusters=None):
    """Labels by looking at every pair of clusters in every step; clusters are numbered as they are made."""
    made = clusters or [[point] for point in range(len(costs))]
    alive = list(range(len(made)))
    while len(alive) > min_clusters:
        pairs = [
            (costs[np.ix_(made[a], made[b])].sum() / (len(made[a]) * len(made[b])), a, b)
            for index, a in enumerate(alive)
            for b in alive[index + 1 :]
            if len(made[a]) + len(made[b]) <= largest
        ]
        if not pairs or min(pairs)[0] > threshold:
            break
        _, a, b = min(pairs)
        made.append(made[a] + made[b])
        alive = [cluster for cluster in alive if cluster not in (a, b)] + [len(made) - 1]
    labels = np.zeros(len(costs), dtype=int)
    for label, cluster in enumerate(alive, 1):
        labels[made[cluster]] = label
    return labels, [made[cluster] for cluster in alive]


@given(
    st.integers(0, 2**32),
    st.integers(1, 14),
    st.sampled_from([math.inf, -1.0, 0.0, 2.0]),
    st.integers(1, 4),
    st.floats(0.3, 1),
)
def test_equal_to_the_definition(seed, points, threshold, min_clusters, fraction):
    # Whole numbers, so that many costs are equal: the order of equals is Kaldi's as well.
    costs = symmetric(np.random.default_rng(seed).integers(-4, 5, (points, points)))
    expected, _ = by_definition(costs, threshold, min_clusters, math.ceil(points * fraction))
    np.testing.assert_array_equal(agglomerative_clusters(costs, threshold, min_clusters, fraction), expected)


@pytest.mark.parametrize("clusters", [1, 3, 40])
def test_average_linkage_of_scipy(clusters):
    costs = symmetric(np.random.default_rng(clusters).normal(size=(150, 150)))
    tree = linkage(squareform(costs - costs.min(), checks=False), "average")
    ours = agglomerative_clusters(costs, min_clusters=clusters)
    assert len(set(ours)) == clusters
    assert same_partition(ours, fcluster(tree, clusters, "maxclust"))
    threshold = tree[-20, 2] + 1e-9
    ours = agglomerative_clusters(costs, threshold + costs.min())
    assert same_partition(ours, fcluster(tree, threshold, "distance"))


def same_partition(first, second):
    return len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second))


def test_labels_follow_the_order_of_merging():
    costs = np.array([[0, 9, 9, 1, 9], [0, 0, 0.5, 9, 9], [0, 0, 0, 9, 9], [0, 0, 0, 0, 9], [0, 0, 0, 0, 0]])
    # Point 4 stays alone; 1 and 2 are merged first, then 0 and 3.
    np.testing.assert_array_equal(agglomerative_clusters(costs, 2), [3, 2, 2, 3, 1])


@given(st.integers(0, 2**32), st.integers(7, 14), st.integers(1, 6))
def test_two_passes(seed, points, most):
    costs = symmetric(np.random.default_rng(seed).normal(size=(points, points)))
    size = math.ceil(points / math.ceil(points / most))
    clusters = []
    for start in range(0, points, size):
        part = range(start, min(start + size, points))
        _, found = by_definition(costs[np.ix_(part, part)], 0.1, 10, points)
        clusters += [[start + point for point in cluster] for cluster in found]
    expected, _ = by_definition(costs, 0.1, 1, points, clusters)
    np.testing.assert_array_equal(agglomerative_clusters(costs, 0.1, first_pass_max_points=most), expected)


@pytest.mark.parametrize(
    ("costs", "options", "sentence"),
    [
        (np.ones((2, 3)), {}, "square"),
        (np.empty((0, 0)), {}, "square"),
        (np.full((2, 2), np.nan), {}, "finite"),
        (np.ones((2, 2)), {"min_clusters": 0}, "1 or more"),
        (np.ones((2, 2)), {"max_fraction": 0.0}, "between 0 and 1"),
    ],
)
def test_bad_input(costs, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        agglomerative_clusters(costs, **options)


@pytest.fixture(scope="module")
def model():
    return Plda().fit(*drawn(60, (5,), 8))


class TestDenseScores:
    def test_with_all_the_variance_they_are_the_scores_of_the_pairs(self, model):
        vectors, _ = drawn(4, (3,), 8, seed=5)
        transformed = model.transform(vectors)
        scores = dense_plda_scores(vectors, model, target_energy=1.0)
        np.testing.assert_allclose(scores, model.log_likelihood_ratio(transformed, transformed), atol=1e-8)
        np.testing.assert_allclose(scores, scores.T, atol=1e-9)

    @settings(max_examples=30)
    @given(st.integers(0, 1000), st.floats(0, 1), st.integers(2, 12))
    def test_directions_hold_the_share_and_one_more(self, seed, share, count):
        vectors = np.random.default_rng(seed).normal(size=(count, 6)) * np.arange(1, 7)
        directions = principal_directions(vectors, share)
        np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-9)
        variances = (vectors @ directions.T).var(axis=0)
        total = vectors.var(axis=0).sum()
        if len(directions) < 6:
            assert variances[:-1].sum() > share * total
        assert variances[:-2].sum() <= share * total + 1e-9

    def test_a_pca_of_the_vectors_is_one_of_the_model(self, model):
        # Scores of projected vectors under the model of projected vectors, whatever basis the projection is written in.
        vectors, _ = drawn(4, (3,), 8, seed=5)
        project = principal_directions(vectors, 0.5)
        assert len(project) < 8
        within = project @ model.within_covariance @ project.T
        between = project @ model.between_covariance @ project.T
        reduced = Plda.from_covariances(project @ model.mean_, within, between)
        transformed = reduced.transform(vectors @ project.T)
        expected = reduced.log_likelihood_ratio(transformed, transformed)
        np.testing.assert_allclose(dense_plda_scores(vectors, model), expected, atol=1e-9)

    @pytest.mark.parametrize("vectors", [np.full((1, 8), 2.0), np.full((3, 8), 0.1), np.zeros((2, 8))])
    def test_vectors_that_do_not_vary(self, model, vectors):
        assert np.isfinite(dense_plda_scores(vectors, model)).all()

    def test_other_dimensions_are_refused(self, model):
        with pytest.raises(ValueError, match="8 dimensions"):
            dense_plda_scores(np.ones((2, 3)), model)


class TestTools:
    @pytest.fixture
    def recordings(self, tmp_path):
        """Two recordings of two speakers each, far apart, and the model of such vectors."""
        random = np.random.default_rng(0)
        vectors, speakers = drawn(60, (5,), 8)
        Plda().fit(vectors, speakers).write(f"{tmp_path}/plda")
        with TableWriter(f"ark:{tmp_path}/vectors", VECTOR) as writer:
            for index, speaker in enumerate([0, 0, 1, 1, 0, 1, 0, 1]):
                centre = vectors[speakers == speaker].mean(axis=0)
                writer.write(f"s{index}", centre + 0.01 * random.normal(size=8))
        (tmp_path / "reco2utt").write_text("a s0 s1 s2 s3\nb s4 s5 s6 s7\nc s0 s9\n")
        return tmp_path

    def test_from_vectors_to_labels(self, recordings, capfd):
        names = [f"{recordings}/plda", f"ark:{recordings}/reco2utt", f"ark:{recordings}/vectors"]
        assert ivector_plda_scoring_dense.main(["--target-energy=0.9", *names, f"ark:{recordings}/scores"]) == 0
        assert "c: no vector of s9" in capfd.readouterr().err
        scores = dict(read_table(f"ark:{recordings}/scores", MATRIX))
        assert [matrix.shape for matrix in scores.values()] == [(4, 4), (4, 4)]
        (recordings / "numbers").write_text("a 2\nb 1\n")
        for option, expected in (
            ("--threshold=0", [1, 1, 2, 2, 1, 2, 1, 2]),
            ("--threshold=1000", [1, 2, 3, 4, 1, 2, 3, 4]),
            (f"--reco2num-spk-rspecifier=ark:{recordings}/numbers", [1, 1, 2, 2, 1, 1, 1, 1]),
        ):
            tables = f"ark:{recordings}/scores", f"ark:{recordings}/reco2utt", f"ark,t:{recordings}/labels"
            assert agglomerative_cluster.main([option, *tables]) == 0
            labels = dict(read_table(f"ark:{recordings}/labels", INT))
            assert list(labels) == [f"s{index}" for index in range(8)]
            groups = np.array(list(labels.values()))
            assert same_partition(groups[:4], expected[:4])
            assert same_partition(groups[4:], expected[4:])

    def test_costs_and_fractions(self, tmp_path, capfd):
        costs = np.array([[0, 1, 2, 9], [1, 0, 1, 9], [2, 1, 0, 9], [9, 9, 9, 0]], np.float32)
        with TableWriter(f"ark:{tmp_path}/costs", MATRIX) as writer:
            writer.write("r", costs)
            writer.write("unknown", costs)
        (tmp_path / "reco2utt").write_text("r a b c d\n")
        (tmp_path / "numbers").write_text("r 2\n")
        tables = f"ark:{tmp_path}/costs", f"ark:{tmp_path}/reco2utt", f"ark,t:{tmp_path}/labels"
        known = f"--reco2num-spk-rspecifier=ark:{tmp_path}/numbers"
        for options, expected in (
            (["--threshold=1.5"], "a 2\nb 2\nc 2\nd 1\n"),
            ([known], "a 2\nb 2\nc 2\nd 1\n"),
            ([known, "--max-spk-fraction=0.5"], "a 1\nb 1\nc 2\nd 2\n"),
            ([known, "--max-spk-fraction=0.1"], "a 2\nb 2\nc 2\nd 1\n"),
        ):
            assert agglomerative_cluster.main(["--read-costs=true", *options, *tables]) == 0
            assert (tmp_path / "labels").read_text() == expected
        messages = capfd.readouterr().err
        assert "unknown: is not in" in messages
        assert "no limit is set" in messages
