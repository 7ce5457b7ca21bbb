"""The blocked scorer, score normalisation and crop distances against goldens and naive references."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import BlockedScorer, Plda, cosine_scores, crop_pair_scores, euclidean_scores
from spkid.backend.cohort import best_scores, cohort_statistics, overlap
from tests.backend.corpus import drawn
from tests.shared import golden


def model_of(dims: int) -> Plda:
    return Plda().fit(*drawn(30, (4,), dims))


def naive_scores(kind: str, a: np.ndarray, b: np.ndarray, model: Plda, counts: np.ndarray | None = None) -> np.ndarray:
    """One pair after the other, from the definitions."""
    scores = np.empty((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if kind == "cosine":
                scores[i, j] = x @ y / np.sqrt((x @ x) * (y @ y))
            elif kind == "euclidean":
                scores[i, j] = -np.sqrt(np.square(x - y).sum())
            else:
                n = 1 if counts is None else counts[i]
                psi = model.psi_
                mean, variance = n * psi / (n * psi + 1) * x, 1 + psi / (n * psi + 1)
                same = -0.5 * (np.log(variance) + np.square(y - mean) / variance).sum()
                other = -0.5 * (np.log(1 + psi) + np.square(y) / (1 + psi)).sum()
                scores[i, j] = same - other
    return scores


def normalised(scores: np.ndarray, enroll: np.ndarray, test: np.ndarray, top_n: int | None) -> np.ndarray:
    """S-norm from the scores of both sides against the cohort, in rows."""
    enroll, test = (np.sort(side, axis=1)[:, -(top_n or side.shape[1]) :] for side in (enroll, test))
    by_enroll = (scores - enroll.mean(axis=1)[:, None]) / enroll.std(axis=1)[:, None]
    return 0.5 * (by_enroll + (scores - test.mean(axis=1)) / test.std(axis=1))


def whole(scorer: BlockedScorer) -> np.ndarray:
    blocks = list(scorer.blocks())
    assert [rows.start for rows, _ in blocks[1:]] == [rows.stop for rows, _ in blocks[:-1]]
    return np.concatenate([block for _, block in blocks])


class TestAgainstTheDefinition:
    @settings(max_examples=60)
    @given(
        st.sampled_from(["cosine", "euclidean", "plda"]), st.sampled_from([None, 2, 5, 1000]), st.booleans(),
        st.booleans(), st.integers(0, 100), st.sampled_from([2048, 1 << 20]),
    )  # fmt: skip
    def test_every_score_list_and_matrix(self, kind, top_n, with_cohort, several, seed, max_memory):
        random = np.random.default_rng(seed)
        dims, (models, tests, others) = 4, random.integers((1, 1, 3), (40, 40, 30))
        model = model_of(dims)
        enroll, test, cohort = (random.normal(size=(count, dims)) for count in (models, tests, others))
        counts = random.integers(1, 4, models) if several and kind == "plda" else None
        expected = naive_scores(kind, enroll, test, model, counts)
        options = {"max_memory": max_memory}
        options |= (
            {"plda": model, "num_examples": 1 if counts is None else counts} if kind == "plda" else {"metric": kind}
        )
        if with_cohort:
            sides = (
                naive_scores(kind, enroll, cohort, model, counts),
                naive_scores(kind, cohort, test, model).T,
            )
            expected = normalised(expected, *sides, top_n)
            options |= {"cohort": cohort, "top_n": top_n}
        scorer = BlockedScorer(enroll, test, **options)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(whole(scorer), expected, atol=1e-9 * scale)
        rows, columns = random.integers(0, models, 50), random.integers(0, tests, 50)
        np.testing.assert_allclose(scorer.pairs(rows, columns), expected[rows, columns], atol=1e-9 * scale)

    @pytest.mark.parametrize("kind", ["cosine", "euclidean", "plda"])
    def test_one_set_compared_with_itself(self, kind):
        vectors, cohort = np.random.default_rng(0).normal(size=(2, 20, 4))
        model = model_of(4)
        options = {"plda": model} if kind == "plda" else {"metric": kind}
        scores = whole(BlockedScorer(vectors, vectors, cohort=cohort, top_n=6, **options))
        both = whole(BlockedScorer(vectors, vectors.copy(), cohort=cohort, top_n=6, **options))
        np.testing.assert_allclose(scores, both, atol=1e-9)
        np.testing.assert_allclose(scores, scores.T, atol=1e-6)

    def test_single_precision_stays_close(self):
        random = np.random.default_rng(0)
        enroll, test, cohort = (random.normal(size=(n, 64)).astype(np.float32) for n in (50, 60, 2500))
        single = BlockedScorer(enroll, test, cohort=cohort, top_n=100)
        double = BlockedScorer(*(part.astype(float) for part in (enroll, test)), cohort=cohort.astype(float), top_n=100)
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(whole(single), whole(double), atol=2e-5)
        np.testing.assert_allclose(single.enroll_statistics.std, double.enroll_statistics.std, rtol=1e-5)

    def test_torch_computes_the_same(self):
        torch = pytest.importorskip("torch")
        random = np.random.default_rng(0)
        enroll, test, cohort = (random.normal(size=(n, 8)) for n in (30, 40, 50))
        rows, columns = random.integers(0, 30, 100), random.integers(0, 40, 100)
        model = model_of(8)
        for options in ({"metric": "cosine"}, {"metric": "euclidean"}, {"plda": model}):
            for top_n in (7, None):
                here = BlockedScorer(enroll, test, cohort=cohort, top_n=top_n, **options)
                there = BlockedScorer(enroll, test, cohort=cohort, top_n=top_n, array=torch.as_tensor, **options)
                np.testing.assert_allclose(whole(there), whole(here), atol=1e-9)
                np.testing.assert_allclose(there.pairs(rows, columns), here.pairs(rows, columns), atol=1e-9)
                assert isinstance(there.pairs([], []), np.ndarray)

    def test_far_from_the_origin_distances_keep_their_digits(self):
        random = np.random.default_rng(0)
        a, b = random.normal(size=(2, 10, 3)) + 1e4
        np.testing.assert_allclose(euclidean_scores(a, b), naive_scores("euclidean", a, b, None), rtol=1e-9)


class TestMemory:
    @pytest.mark.parametrize("cohort", [None, 3000])
    def test_stays_within_the_bound(self, cohort):
        random = np.random.default_rng(0)
        enroll, test = random.normal(size=(2, 2000, 8)).astype(np.float32)
        others = None if cohort is None else random.normal(size=(cohort, 8)).astype(np.float32)
        limit = 4 << 20
        tracemalloc.start()
        try:
            for rows, block in BlockedScorer(enroll, test, cohort=others, top_n=50, max_memory=limit).blocks():
                assert block.shape == (rows.stop - rows.start, 2000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        copies = 4 * (enroll.size + test.size + (0 if others is None else others.size)) * 8
        assert peak < limit + copies + (2 << 20)

    def test_a_limit_below_one_row_is_refused(self):
        vectors = np.random.default_rng(0).normal(size=(100, 3))
        with pytest.raises(ValueError, match=r"one row of 100 scores .* raise the memory limit"):
            next(BlockedScorer(vectors, vectors, max_memory=1000).blocks())

    @settings(max_examples=40)
    @given(st.integers(1, 40), st.integers(2, 4000), st.integers(1, 4000), st.booleans(), st.integers(0, 99))
    def test_best_scores_are_the_best(self, rows, columns, count, is_sorted, seed):
        random = np.random.default_rng(seed)
        scores = random.normal(size=(rows, columns))
        if is_sorted:  # a sample of every eighth is then as misleading as it gets
            scores = np.sort(scores, axis=1)
            scores[0, ::8] = scores[0].max() + 1
        found = np.sort(best_scores(scores, min(count, columns)), axis=1)
        np.testing.assert_array_equal(found, np.sort(scores, axis=1)[:, -min(count, columns) :])


class TestGolden:
    @pytest.mark.parametrize("mean", ["", "_meansub"])
    @pytest.mark.parametrize(("method", "top_n"), [("asnorm", 5), ("snorm", None)])
    def test_score_normalisation(self, method, top_n, mean):
        arrays = np.load(golden("nets/ws_score_norm.npz"))
        # a mean that was stored in float32
        offset = arrays["cohort"].mean(axis=0, dtype=float).astype(np.float32) if mean else 0
        enroll, test, cohort = (arrays[name].astype(float) - offset for name in ("enrol", "test", "cohort"))
        scorer = BlockedScorer(enroll, test, cohort=cohort, top_n=top_n)
        np.testing.assert_allclose(cosine_scores(enroll, test), arrays[f"raw_cosine64{mean}"], rtol=1e-10)
        name = f"{method}{mean}"
        np.testing.assert_allclose(whole(scorer), arrays[f"{name}_score64"], rtol=1e-10)
        for side, statistics in (("enrol", scorer.enroll_statistics), ("test", scorer.test_statistics)):
            np.testing.assert_allclose(statistics.mean, arrays[f"{name}_{side}_mean64"], rtol=1e-10)
            np.testing.assert_allclose(statistics.std, arrays[f"{name}_{side}_std64"], rtol=1e-10)

    def test_crop_pairs(self):
        arrays = np.load(golden("nets/vt_scoring.npz"))
        first, second = (arrays[name].astype(float) for name in "AB")
        for normalize, name in ((True, "cdist_score64"), (False, "cdist_score_unnormalised64")):
            score = crop_pair_scores(first[None], second[None], [0], [0], normalize)
            np.testing.assert_allclose(score, arrays[name], atol=1e-12)
        # the first releases added 1e-6 to each difference
        np.testing.assert_allclose(
            crop_pair_scores(first[None], second[None], [0], [0]), arrays["old_pairwise_score64"], atol=1e-6
        )
        np.testing.assert_allclose(cosine_scores(first, second), arrays["cosine_matrix64"], atol=1e-12)
        of_means = cosine_scores(first.mean(axis=0, keepdims=True), second.mean(axis=0, keepdims=True))
        np.testing.assert_allclose(of_means[0, 0], arrays["cosine_of_means64"], atol=1e-12)


class TestCrops:
    def test_any_list_in_any_blocks(self):
        random = np.random.default_rng(0)
        enroll, test = random.normal(size=(6, 3, 5)), random.normal(size=(7, 4, 5))
        rows, columns = random.integers(0, 6, 40), random.integers(0, 7, 40)
        expected = [
            -np.mean([[np.linalg.norm(x - y) for y in test[b]] for x in enroll[a]])
            for a, b in zip(rows, columns, strict=True)
        ]
        for max_memory in (1, 1000, 1 << 30):
            scores = crop_pair_scores(enroll, test, rows, columns, normalize=False, max_memory=max_memory)
            np.testing.assert_allclose(scores, expected, rtol=1e-9)
        same = crop_pair_scores(enroll[:, :1], enroll[:, :1], [0], [0])
        np.testing.assert_allclose(same, 0, atol=1e-7)

    def test_shapes_are_checked(self):
        with pytest.raises(ValueError, match=r"equal dims: their shapes are \(2, 3\)"):
            crop_pair_scores(np.ones((2, 3)), np.ones((1, 2, 3)), [0], [0])


class TestBadSets:
    def test_what_cannot_be_scored_is_said(self):
        good = np.random.default_rng(0).normal(size=(5, 3))
        for arguments, sentence in (
            ((good, good[:, :2]), r"equal dims: their shapes are \(5, 3\), \(5, 2\)"),
            ((good, good, "manhattan"), "cosine or euclidean, not 'manhattan'"),
            ((np.zeros((1, 3)), good), "vector 0 is zero and has no cosine"),
            ((good, good, "cosine", model_of(4)), "the model has 4 dimensions"),
        ):
            with pytest.raises(ValueError, match=sentence):
                BlockedScorer(*arguments)

    def test_cohorts_that_cannot_normalise(self):
        good = np.random.default_rng(0).normal(size=(5, 3))
        with pytest.raises(ValueError, match="cohort of two vectors or more, and there are 1"):
            BlockedScorer(good, good, cohort=good[:1])
        with pytest.raises(ValueError, match="cohort of two vectors or more, and there are 0"):
            BlockedScorer(good, good, cohort=good[:0])
        with pytest.raises(ValueError, match="at least the best 2"):
            BlockedScorer(good, good, cohort=good, top_n=1)
        for dtype in (np.float32, np.float64):
            equal = BlockedScorer(
                good.astype(dtype), good.astype(dtype), cohort=np.tile(good[:1], (6, 1)).astype(dtype)
            )
            with pytest.raises(ValueError, match="the cohort scores of enrolment vector 0 are all equal"):
                equal.pairs([0], [0])
            with pytest.raises(ValueError, match="the cohort scores of enrolment vector 0 are all equal"):
                next(equal.blocks())

    def test_a_cohort_smaller_than_top_n_counts_whole(self):
        vectors, cohort = np.random.default_rng(0).normal(size=(2, 9, 3))
        few, all_of_it = (cohort_statistics(vectors, cohort, top_n) for top_n in (300, None))
        np.testing.assert_array_equal(few.mean, all_of_it.mean)

    def test_who_is_in_the_cohort_himself(self):
        ids = ["anna-01", "ben_02", "cleo", "dora-x-1", "eve"]
        same, speakers = overlap(ids, {"eve", "zoe-1"}, {"anna", "ben", "cleo", "dora-x", "ev"})
        assert same == ["eve"]
        assert speakers == ["anna-01", "ben_02", "cleo", "dora-x-1"]
