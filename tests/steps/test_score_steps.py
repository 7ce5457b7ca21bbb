"""Score normalisation, all pairs, calibration, fusion and adaptation: the steps as commands on files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from spkid.backend import BlockedScorer, LogisticCalibration, Plda, crop_pair_scores
from spkid.backend.calibration import logistic_cost
from spkid.backend.trials import read_scores, read_trials
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter
from tests.backend.corpus import drawn
from tests.steps.running import refuse, succeed

DIMS = 6


class Corpus:
    """Vectors of the sets train, dev and test, their files in the current directory, and trials of all pairs."""

    def __init__(self) -> None:
        vectors, speakers = drawn(60, (4,), DIMS, between=1.0)
        self.ids, self.vectors = {}, {}
        for name, first, last in (("train", 0, 30), ("dev", 30, 45), ("test", 45, 60)):
            chosen = (speakers >= first) & (speakers < last)
            self.vectors[name] = vectors[chosen].astype(np.float32)
            self.ids[name] = [f"{name}{speaker:02d}-{row:03d}" for row, speaker in enumerate(speakers[chosen])]
            self.write_table(name, self.ids[name], self.vectors[name])
            Path("data", name).mkdir(parents=True)
            write(f"data/{name}/utt2spk", (f"{key} {key.partition('-')[0]}" for key in self.ids[name]))
            write(f"data/{name}/utt2dur", (f"{key} {1 + row % 7}.5" for row, key in enumerate(self.ids[name])))
            pairs = [(a, b) for a in self.ids[name] for b in self.ids[name] if a < b]
            is_target = {True: "target", False: "nontarget"}
            write(
                f"{name}_trials",
                (f"{a} {b} {is_target[a.partition('-')[0] == b.partition('-')[0]]}" for a, b in pairs),
            )

    def write_table(self, name: str, ids: list[str], values: Sequence[np.ndarray]) -> None:
        with TableWriter(f"ark,scp:{name}.ark,{name}.scp", VECTOR if values[0].ndim == 1 else MATRIX) as writer:
            for key, value in zip(ids, values, strict=True):
                writer.write(key, value)


def write(path: str, lines) -> None:
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def scores_of(name: str, trials: str = "test_trials") -> np.ndarray:
    matched = read_scores(name, read_trials(trials))
    assert not matched.missing.any()
    return matched.scores


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Corpus:
    monkeypatch.chdir(tmp_path)
    return Corpus()


def score(*options: object, name: str = "test", out: str = "scores") -> str:
    return succeed("score_trials.py", *options, f"{name}_trials", f"{name}.scp", f"{name}.scp", out)


class TestScoreNorm:
    @pytest.mark.parametrize(("norm", "top_n"), [("as", 20), ("s", None)])
    def test_equals_the_library(self, corpus, norm, top_n):
        score("--score-norm", norm, "--top-n", 20, "--cohort", "train.scp")
        vectors = corpus.vectors["test"]
        scorer = BlockedScorer(vectors, vectors, cohort=corpus.vectors["train"], top_n=top_n)
        rows = np.triu_indices(len(vectors), 1)
        np.testing.assert_allclose(scores_of("scores"), scorer.pairs(*rows), atol=1e-4)
        lines = Path("scores.cohort_test").read_text(encoding="utf-8").splitlines()
        assert [line.split()[0] for line in lines] == corpus.ids["test"][1:]  # the first is no trial's test
        written = np.array([line.split()[1:] for line in lines], dtype=float)
        np.testing.assert_allclose(written[:, 0], scorer.test_statistics.mean[1:], rtol=1e-5)
        np.testing.assert_allclose(written[:, 1], scorer.test_statistics.std[1:], rtol=1e-4)

    def test_cohort_of_speakers(self, corpus):
        score("--score-norm", "as", "--top-n", 9, "--cohort", "train.scp", "--cohort-utt2spk", "data/train/utt2spk")
        means = corpus.vectors["train"].reshape(30, 4, DIMS).mean(axis=1)
        vectors = corpus.vectors["test"]
        scorer = BlockedScorer(vectors, vectors, cohort=means, top_n=9)
        np.testing.assert_allclose(scores_of("scores"), scorer.pairs(*np.triu_indices(60, 1)), atol=1e-4)

    @pytest.mark.parametrize("method", ["plda", "lda-cosine", "euclidean"])
    def test_every_method_with_a_backend(self, corpus, method):
        succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")
        options = ["--method", method, "--score-norm", "as", "--top-n", 30, "--cohort", "train.scp"]
        options += ["--backend", "backend"]
        out = score(*options)
        assert f"1770 scores by {method} with AS-norm (30 best)" in out
        assert np.isfinite(scores_of("scores")).all()
        assert "done already" in score(*options)
        Path("scores.cohort_enroll").unlink()
        assert "output scores.cohort_enroll is missing" in score(*options)

    def test_a_cohort_of_the_trials_speakers_is_said(self, corpus):
        out = score("--score-norm", "as", "--cohort", "test.scp")
        assert "warning: 60 enrolment or test vectors are themselves in the cohort test.scp" in out
        assert "fewer than --top-n 300: all of them count" in out
        others = corpus.ids["test"][::4]
        corpus.write_table("others", [f"{key}x" for key in others], corpus.vectors["test"][::4])
        write("others_utt2spk", (f"{key}x {key.partition('-')[0]}" for key in others))
        out = score("--score-norm", "s", "--cohort", "others.scp", "--cohort-utt2spk", "others_utt2spk")
        assert "warning: 60 enrolment or test vectors are of speakers in the cohort others.scp" in out

    def test_what_cannot_be_normalised(self, corpus):
        files = ("test_trials", "test.scp", "test.scp", "scores")
        write("empty.scp", [])
        assert "holds no vector" in refuse("score_trials.py", "--score-norm", "s", "--cohort", "empty.scp", *files)
        corpus.write_table("one", ["x"], np.ones((1, DIMS), np.float32))
        sentence = refuse("score_trials.py", "--score-norm", "s", "--cohort", "one.scp", *files)
        assert "cohort of two vectors or more, and there are 1" in sentence
        corpus.write_table("same", ["x", "y", "z"], np.ones((3, DIMS), np.float32))
        sentence = refuse("score_trials.py", "--score-norm", "s", "--cohort", "same.scp", *files)
        assert f"same.scp: the cohort scores of {corpus.ids['test'][0]} are all equal" in sentence
        corpus.write_table("zero", ["x", "y"], np.array([np.ones(DIMS), np.zeros(DIMS)], np.float32))
        sentence = refuse("score_trials.py", "--score-norm", "s", "--cohort", "zero.scp", *files)
        assert "zero.scp: the vector of y is zero" in sentence
        corpus.write_table("wide", ["x", "y"], np.ones((2, DIMS + 1), np.float32))
        assert "equal dims" in refuse("score_trials.py", "--score-norm", "s", "--cohort", "wide.scp", *files)
        write("some", ["train00-000 train00"])
        sentence = refuse(
            "score_trials.py", "--score-norm", "s", "--cohort", "train.scp", "--cohort-utt2spk", "some", *files
        )
        assert "some: no speaker for 119 vectors" in sentence
        assert not Path("scores").exists()

    def test_options_that_do_not_fit(self, corpus):
        files = ("test_trials", "test.scp", "test.scp", "scores")
        for options, sentence in (
            (["--score-norm", "as"], "needs both --score-norm"),
            (["--cohort", "train.scp"], "needs both --score-norm"),
            (["--cohort-utt2spk", "x"], "matters with --cohort only"),
            (["--format", "matrix"], "is for all pairs"),
            (["--method", "crop-distance", "--backend", "b"], "neither --cohort nor --backend"),
            (["--device", "nowhere"], "--device nowhere cannot be used"),
        ):
            assert sentence in refuse("score_trials.py", *options, *files)


class TestAllPairs:
    @pytest.mark.parametrize("options", [[], ["--score-norm", "as", "--top-n", 20, "--cohort", "train.scp"]])
    def test_lines_and_matrix_agree_with_the_list(self, corpus, options):
        options = [*options, "--max-memory", "30K"]
        score(*options)
        out = succeed("score_trials.py", *options, "all", "test.scp", "test.scp", "lines")
        assert "warning: 60 of the pairs compare an utterance with itself" in out
        assert "3600 scores by cosine" in out
        succeed("score_trials.py", *options, "--format", "matrix", "all", "test.scp", "test.scp", "matrix")
        matrix = load_matrix("matrix")
        assert Path("matrix.enroll").read_text(encoding="utf-8").split() == corpus.ids["test"]
        upper = np.triu_indices(60, 1)
        np.testing.assert_allclose(matrix[upper], scores_of("scores"), atol=1e-4)
        np.testing.assert_allclose(matrix[upper], scores_of("lines"), atol=1e-4)
        pairs = [line.split()[:2] for line in Path("lines").read_text(encoding="utf-8").splitlines()]
        assert pairs == [[a, b] for a in corpus.ids["test"] for b in corpus.ids["test"]]

    def test_too_little_memory_is_said(self, corpus):
        sentence = refuse("score_trials.py", "--max-memory", "100", "all", "test.scp", "test.scp", "matrix")
        assert "--max-memory: one row of 60 scores" in sentence


class TestCrops:
    def test_equals_the_library(self, corpus):
        crops = np.random.default_rng(0).normal(size=(60, 3, DIMS)).astype(np.float32)
        corpus.write_table("crops", corpus.ids["test"], crops)
        for method, normalize in (("crop-distance", True), ("raw-crop-distance", False)):
            succeed("score_trials.py", "--method", method, "test_trials", "crops.scp", "crops.scp", method)
            expected = crop_pair_scores(crops, crops, *np.triu_indices(60, 1), normalize=normalize)
            np.testing.assert_allclose(scores_of(method), expected, rtol=1e-6)
        corpus.write_table("ragged", corpus.ids["test"], [crop[: 2 + row % 2] for row, crop in enumerate(crops)])
        sentence = refuse(
            "score_trials.py", "--method", "crop-distance", "test_trials", "ragged.scp", "ragged.scp", "scores"
        )
        assert "has 3 x 6 dimensions, the first has 2 x 6" in sentence


class TestCalibration:
    def test_scores_become_ratios(self, corpus):
        score(name="dev", out="dev_scores")
        score()
        out = succeed("calibrate_scores.py", "--prior", 0.2, "dev_trials", "dev_scores", "scores", "llrs")
        dev = read_trials("dev_trials")
        model = LogisticCalibration(0.2).fit(scores_of("dev_scores", "dev_trials"), dev.is_target)
        np.testing.assert_allclose(scores_of("llrs"), model.transform(scores_of("scores")), rtol=1e-5)
        assert (
            f"1770 log-likelihood ratios in llrs, trained on 1770 trials with prior 0.2: {model.cost_:.4f} bits" in out
        )
        record = json.loads(Path("llrs.model.json").read_text(encoding="utf-8"))
        assert record["weights"]["score"] == pytest.approx(model.weights_[0])
        assert (record["trials"]["md5"], record["prior"]) == (dev.md5, 0.2)
        labels = read_trials("test_trials").is_target
        assert logistic_cost(scores_of("llrs"), labels, 0.2) < logistic_cost(scores_of("scores"), labels, 0.2)
        assert "done already" in succeed(
            "calibrate_scores.py", "--prior", 0.2, "dev_trials", "dev_scores", "scores", "llrs"
        )

    def test_measures_of_quality_join(self, corpus):
        for name, out in (("dev", "dev_scores"), ("test", "scores")):
            score("--score-norm", "as", "--top-n", 20, "--cohort", "train.scp", name=name, out=out)
        options = [
            "--durations",
            "data/dev/utt2dur,data/test/utt2dur",
            "--magnitudes",
            "dev.scp,test.scp",
            "--cohort-means",
        ]
        files = ("dev_trials", "dev_scores", "scores", "llrs")
        succeed("calibrate_scores.py", *options, *files)
        weights = json.loads(Path("llrs.model.json").read_text(encoding="utf-8"))["weights"]
        assert len(weights) == 13
        assert weights.keys() >= {"score", "duration_ratio", "magnitude_min", "cohort_mean_difference"}
        assert np.isfinite(scores_of("llrs")).all()
        sentence = refuse("calibrate_scores.py", "--durations", "data/dev/utt2dur", *files)
        assert "data/dev/utt2dur: nothing for 59 of 59 ids: test45-000" in sentence
        Path("scores.cohort_test").unlink()
        sentence = refuse("calibrate_scores.py", "--cohort-means", *files)
        assert "scores.cohort_test is missing: score with steps/score_trials.py --score-norm" in sentence

    def test_what_cannot_be_calibrated(self, corpus):
        score(name="dev", out="dev_scores")
        score()
        files = ("dev_scores", "scores", "llrs")
        write("bare", ["dev30-000 dev30-001"])
        assert "have no labels" in refuse("calibrate_scores.py", "bare", *files)
        write("targets", ["dev30-000 dev30-001 target"])
        assert "target and non-target trials, and there are 1 and 0" in refuse("calibrate_scores.py", "targets", *files)
        write("more", ["dev30-000 dev30-001 target", "dev30-000 nobody nontarget"])
        assert "no score for 1 of the 2 trials of more" in refuse("calibrate_scores.py", "more", *files)
        write("infinite", ["a b 1", "a c inf"])
        sentence = refuse("calibrate_scores.py", "dev_trials", "dev_scores", "infinite", "llrs")
        assert "infinite, line 2: the score is infinite" in sentence
        write("mixed", ["a b 1", "a c 2", "a b 3"])
        sentence = refuse("calibrate_scores.py", "dev_trials", "dev_scores", "mixed", "llrs")
        assert "mixed: a b has two different scores" in sentence
        assert "prior lies between 0 and 1" in refuse("calibrate_scores.py", "--prior", 0, "dev_trials", *files)
        write("easy", ["dev30-000 dev30-001 target", "dev30-000 dev31-004 nontarget"])
        out = succeed("calibrate_scores.py", "easy", *files)
        assert "warning: the scores" in out


class TestFusion:
    @pytest.fixture(autouse=True)
    def systems(self, corpus):
        """Two systems that see half of the dimensions each, and one that sees nothing."""
        random = np.random.default_rng(0)
        for name in ("dev", "test"):
            vectors = corpus.vectors[name]
            for system, part in {"a": vectors[:, :3], "b": vectors[:, 3:], "c": random.normal(size=(60, 3))}.items():
                corpus.write_table(f"{name}_{system}", corpus.ids[name], part.astype(np.float32))
                table = f"{name}_{system}.scp"
                succeed("score_trials.py", f"{name}_trials", table, table, f"{system}_{name}")
        self.dev = ["--dev-trials", "dev_trials", "--dev-scores", "a_dev,b_dev,c_dev"]

    def test_logistic_regression(self):
        succeed("fuse_scores.py", *self.dev, "--prior", 0.1, "a_test", "b_test", "c_test", "fused")
        columns = np.column_stack([scores_of(f"{system}_dev", "dev_trials") for system in "abc"])
        model = LogisticCalibration(0.1).fit(columns, read_trials("dev_trials").is_target)
        expected = model.transform(np.column_stack([scores_of(f"{system}_test") for system in "abc"]))
        np.testing.assert_allclose(scores_of("fused"), expected, rtol=1e-5, atol=1e-6)
        record = json.loads(Path("fused.model.json").read_text(encoding="utf-8"))
        assert list(record["weights"]) == ["a_test", "b_test", "c_test"]

    def test_greedy(self):
        out = succeed("fuse_scores.py", "--method", "greedy", *self.dev, "a_test", "b_test", "c_test", "fused")
        record = json.loads(Path("fused.model.json").read_text(encoding="utf-8"))
        assert set(record["weights"]) == {"a_test", "b_test"}
        assert "bits with a_test" in out
        assert "bits with b_test" in out

    def test_zscores(self):
        succeed("fuse_scores.py", "--method", "zscore", "a_test", "b_test", "fused")
        columns = np.column_stack([scores_of(f"{system}_test") for system in "ab"])
        own = ((columns - columns.mean(axis=0)) / columns.std(axis=0)).mean(axis=1)
        np.testing.assert_allclose(scores_of("fused"), own, rtol=1e-5, atol=1e-6)
        dev = ["--dev-trials", "dev_trials", "--dev-scores", "a_dev,b_dev"]
        succeed("fuse_scores.py", "--method", "zscore", *dev, "a_test", "b_test", "fused")
        other = np.column_stack([scores_of(f"{system}_dev", "dev_trials") for system in "ab"])
        expected = ((columns - other.mean(axis=0)) / other.std(axis=0)).mean(axis=1)
        np.testing.assert_allclose(scores_of("fused"), expected, rtol=1e-5, atol=1e-6)

    def test_what_cannot_be_fused(self):
        assert "two or more systems" in refuse("fuse_scores.py", "--method", "zscore", "a_test", "fused")
        assert "needs both --dev-trials and --dev-scores" in refuse("fuse_scores.py", "a_test", "b_test", "fused")
        assert "names 3 systems and 2" in refuse("fuse_scores.py", *self.dev, "a_test", "b_test", "fused")
        lines = Path("b_test").read_text(encoding="utf-8").splitlines()
        write("short", lines[1:])
        sentence = refuse("fuse_scores.py", "--method", "zscore", "a_test", "short", "fused")
        assert "short: no score for 1 of the 1770 trials of a_test" in sentence
        write("flat", (f"{line.rpartition(' ')[0]} 1" for line in lines))
        sentence = refuse("fuse_scores.py", "--method", "zscore", "a_test", "flat", "fused")
        assert "all scores of system 2 are equal" in sentence
        assert not Path("fused").exists()


class TestAdaptation:
    def test_every_method(self, corpus):
        succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")
        shifted = corpus.vectors["dev"] * 2 + 1
        corpus.write_table("shifted", corpus.ids["dev"], shifted)
        for method in ("kaldi", "coral", "coral+"):
            out = succeed("adapt_plda.py", "--method", method, "backend", "shifted.scp", f"adapted_{method}")
            assert f"PLDA of 4 dimensions adapted to 60 vectors by {method}" in out
            options = ["--method", "plda", "--backend", f"adapted_{method}"]
            succeed("score_trials.py", *options, "dev_trials", "shifted.scp", "shifted.scp", f"scores_{method}")
            assert np.isfinite(scores_of(f"scores_{method}", "dev_trials")).all()
        before = Plda.read("backend/plda")
        still = succeed(
            "adapt_plda.py", "--within-covar-scale", 0, "--between-covar-scale", 0, "backend", "shifted.scp", "still"
        )
        assert "by kaldi" in still
        np.testing.assert_allclose(
            Plda.read("still/plda").within_covariance, before.within_covariance, rtol=1e-4, atol=1e-6
        )

    def test_what_cannot_be_adapted(self, corpus):
        succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")
        corpus.write_table("few", ["x", "y"], corpus.vectors["dev"][:2])
        assert "singular" in refuse("adapt_plda.py", "--method", "coral", "backend", "few.scp", "out")
        assert "CORAL has no scales" in refuse(
            "adapt_plda.py", "--method", "coral", "--within-covar-scale", 1, "backend", "few.scp", "out"
        )
        assert not Path("out/plda").exists()
