"""From vectors to the equal error rate: the steps and the tools as commands on files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spkid.backend import Plda
from spkid.bin import (
    compute_eer,
    ivector_adapt_plda,
    ivector_compute_dot_products,
    ivector_compute_lda,
    ivector_compute_plda,
    ivector_copy_plda,
    ivector_mean,
    ivector_normalize_length,
    ivector_plda_scoring,
    ivector_subtract_global_mean,
    transform_vec,
)
from spkid.kaldi.matrix import load_matrix, load_vector
from spkid.kaldi.tables import VECTOR, TableWriter, read_id_map, read_table
from tests.backend.corpus import drawn
from tests.shared import REPOSITORY, golden
from tests.steps.running import refuse, succeed

NAMES = ("plda", "plda_nolennorm", "plda_simplelen", "plda_enroll", "plda_adapted", "cosine")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current directory: data/{train,test}, vectors of 30 and 8 speakers, trials of all test pairs."""
    monkeypatch.chdir(tmp_path)
    vectors, speakers = drawn(38, (4,), 6)
    parts = {"train": speakers < 30, "test": speakers >= 30}
    for name, part in parts.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        first = speakers[part][0]
        keys = [f"{name}{speaker - first:02d}-{index:03d}" for index, speaker in enumerate(speakers[part])]
        lines = [f"{key} {key.partition('-')[0]}\n" for key in keys]
        (tmp_path / "data" / name / "utt2spk").write_text("".join(lines), encoding="utf-8")
        with TableWriter(f"ark,scp:{name}.ark,{name}.scp", VECTOR) as writer:
            for key, vector in zip(keys, vectors[part].astype(np.float32), strict=True):
                writer.write(key, vector)
    pairs = [(a, b) for a in keys for b in keys if a < b]
    lines = [f"{a} {b} {'target' if a[:6] == b[:6] else 'nontarget'}\n" for a, b in pairs]
    (tmp_path / "trials").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def train() -> None:
    succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")


def edit(path: str, change) -> None:
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    Path(path).write_text("".join(change(lines)), encoding="utf-8")


PROGRAMS = [path.name for path in sorted(REPOSITORY.glob("steps/*.py")) if os.access(path, os.X_OK)]


class TestSteps:
    @pytest.mark.parametrize("program", PROGRAMS)
    def test_help_of_the_command_shows_an_example(self, program):
        words = [sys.executable, REPOSITORY / "steps" / program, "--help"]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
        assert f"steps/{program} " in done.stdout

    def test_whole_chain_agrees_with_kaldi(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        source = golden("kaldi/backend")
        Path("train").mkdir()
        Path("train/utt2spk").write_bytes((source / "utt2spk_train").read_bytes())
        succeed("train_plda.py", "--lda-dim=40", "train", f"ark:{source}/xvector_train.ark", "backend")
        test = f"ark:{source}/xvector_test.ark"
        succeed("score_trials.py", "--method=plda", "--backend=backend", source / "trials", test, test, "scores")
        theirs = np.loadtxt(source / "scores_plda", usecols=2)
        ours = np.loadtxt("scores", usecols=2)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        printed = succeed("evaluate.py", "scores", source / "trials", "results")
        assert "results: EER 5.42% | minDCF(.01) 0.488 | minDCF(.05) 0.334 | 23951 trials (7220 target)" in printed
        results = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
        assert results["trials"]["md5"] == "4416a064bcc6cfbb453b90747f72ed5d"
        assert results["eer"] == pytest.approx(0.05415512)

    def test_every_method_scores_and_a_repeat_returns_at_once(self, folder):
        train()
        rates = {}
        given = ["--backend=backend"]
        methods = {
            "raw": [],
            "cosine": given,
            "lda": ["--method=lda-cosine", *given],
            "plda": ["--method=plda", *given],
        }
        for name, options in methods.items():
            succeed("score_trials.py", *options, "trials", "test.scp", "test.scp", f"out/{name}")
            succeed("evaluate.py", f"out/{name}", "trials", f"out/results_{name}")
            results = json.loads(Path(f"out/results_{name}/results.json").read_text(encoding="utf-8"))
            rates[name] = results["eer"]
            counts = {"count": 496, "targets": 48, "nontargets": 448, "without_score": 0, "repeated": 0}
            assert results["trials"].items() >= counts.items()
            assert {"spkid", "numpy", "python"} <= results["versions"].keys()
            for picture in ("det.png", "scores.png"):
                assert Path(f"out/results_{name}/{picture}").read_bytes().startswith(b"\x89PNG")
        assert rates["plda"] < rates["raw"]
        before = Path("out/plda").stat().st_mtime_ns
        arguments = ["--method=plda", "--backend=backend", "trials", "test.scp", "test.scp", "out/plda"]
        assert "done already" in succeed("score_trials.py", *arguments)
        assert "done already" in succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")
        repeated = succeed("evaluate.py", "out/plda", "trials", "out/results_plda")
        assert "done already" in repeated
        assert "EER" in repeated
        assert Path("out/plda").stat().st_mtime_ns == before
        succeed("train_plda.py", "--lda-dim", 3, "data/train", "train.scp", "backend")
        assert "runs again" in succeed("score_trials.py", *arguments)

    def test_no_lda_and_the_same_bytes_again(self, folder):
        succeed("train_plda.py", "--lda-dim", 0, "data/train", "train.scp", "one")
        succeed("train_plda.py", "--lda-dim", 0, "data/train", "ark:train.ark", "two")
        for name in ("mean.vec", "transform.mat", "plda"):
            assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
        np.testing.assert_array_equal(load_matrix("one/transform.mat"), np.eye(6))

    def test_models_of_several_utterances(self, folder):
        train()
        groups = {}
        for key, speaker in read_id_map("data/test/utt2spk").items():
            groups.setdefault(speaker, []).append(key)
        lines = [f"{speaker} {' '.join(keys[:3])}\n" for speaker, keys in groups.items()]
        Path("spk2utt").write_text("".join(lines), encoding="utf-8")
        assert ivector_mean.main(["ark:spk2utt", "scp:test.scp", "ark:models.ark", "ark,t:num_utts"]) == 0
        pairs = [f"{speaker} {keys[3]} target\n" for speaker, keys in groups.items()]
        pairs += [
            f"{speaker} {keys[3]} nontarget\n"
            for speaker in groups
            for other, keys in groups.items()
            if other != speaker
        ]
        Path("model_trials").write_text("".join(pairs), encoding="utf-8")
        arguments = ["--method=plda", "--backend=backend", "model_trials", "models.ark", "test.scp"]
        succeed("score_trials.py", "--num-utts=num_utts", *arguments, "three")
        succeed("score_trials.py", *arguments, "one")
        three, one = (np.loadtxt(name, usecols=2) for name in ("three", "one"))
        assert np.abs(three - one).max() > 0.1
        edit("num_utts", lambda lines: lines[1:])
        line = refuse("score_trials.py", "--force", "--num-utts=num_utts", *arguments, "three")
        assert "no number of utterances, 1 or more, for the model test00" in line

    def test_missing_vectors_are_refused_or_counted(self, folder):
        edit("test.scp", lambda lines: lines[:-2])
        arguments = ["trials", "test.scp", "test.scp", "scores"]
        line = refuse("score_trials.py", *arguments)
        assert "61 of 496 trials of trials cannot be scored" in line
        assert "scp:test.scp lacks 2 of 31 vectors (test07-030 test07-031)" in line
        assert "--allow-missing" in line
        assert not Path("scores").exists()
        printed = succeed("score_trials.py", "--allow-missing", *arguments)
        assert "61 trials left out" in printed
        assert len(Path("scores").read_text(encoding="utf-8").splitlines()) == 435
        line = refuse("evaluate.py", "scores", "trials", "results")
        assert "61 of the 496 trials of trials have no score in scores: (test00-000 test07-030)" in line
        assert not Path("results/results.json").exists()
        assert "435 trials" in succeed("evaluate.py", "--allow-missing", "scores", "trials", "results")
        results = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
        assert results["trials"]["without_score"] == 61
        edit("test.scp", lambda lines: ["other" + lines[0][lines[0].index(" ") :]])
        said = refuse("score_trials.py", "--allow-missing", *arguments)
        assert "holds no vector of the 31 ids asked for, such as test00-000:" in said

    def test_dubious_trials_are_said(self, folder):
        edit("trials", lambda lines: [*lines, lines[0], "test00-000 test00-000 target\n"])
        printed = succeed("score_trials.py", "trials", "test.scp", "test.scp", "scores")
        assert "1 of the 498 trials of trials repeat an earlier pair" in printed
        assert "compare an utterance with itself, the first is test00-000 test00-000" in printed
        succeed("evaluate.py", "scores", "trials", "results")
        results = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
        assert (results["trials"]["repeated"], results["trials"]["self_comparisons"]) == (1, 1)

    def test_configuration_is_kept_with_the_result(self, folder):
        Path("system.yaml").write_text("model:\n  name: xvector\n", encoding="utf-8")
        succeed("score_trials.py", "trials", "test.scp", "test.scp", "scores")
        succeed("evaluate.py", "--config", "system.yaml", "scores", "trials", "results")
        results = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
        assert results["config"]["content"] == {"model": {"name": "xvector"}}

    def test_training_refuses_what_cannot_work(self, folder):
        assert "cannot make 150 dimensions of 6" in refuse("train_plda.py", "data/train", "train.scp", "backend")
        edit("data/train/utt2spk", lambda lines: [line for line in lines if "train0" in line.split()[1]][:14])
        line = refuse("train_plda.py", "--lda-dim", 5, "data/train", "train.scp", "backend")
        assert "needs more than 5 speakers and there are 4: choose 3" in line
        assert not list(Path("backend").glob("[a-z]*"))
        edit("data/train/utt2spk", lambda lines: [*lines, *(f"unknown{k} s\n" for k in range(9))])
        line = refuse("train_plda.py", "--lda-dim", 2, "data/train", "train.scp", "backend")
        assert "9 of the 23 utterances of data/train/utt2spk have no vector: unknown0 unknown1" in line

    def test_what_was_left_out_of_training_is_said(self, folder):
        edit("data/train/utt2spk", lambda lines: [*lines[1:], "unknown x\n"])
        printed = succeed("train_plda.py", "--lda-dim", 4, "data/train", "train.scp", "backend")
        assert "1 utterances of data/train/utt2spk have no vector: unknown" in printed
        assert "1 vectors have no speaker in data/train/utt2spk: train00-000" in printed

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--method=plda", "trials", "test.scp", "test.scp", "s"], "--method plda needs --backend"),
            (["--method=pdla", "trials", "test.scp", "test.scp", "s"], "pdla"),
            (["--metod=plda", "trials", "test.scp", "test.scp", "s"], "did you mean --method?"),
            (["--num-utts=n", "trials", "test.scp", "test.scp", "s"], "--num-utts matters to --method plda only"),
            (["--method=plda", "--backend=none", "trials", "test.scp", "test.scp", "s"], "none: is no back end"),
            (["missing", "test.scp", "test.scp", "s"], "cannot read missing"),
            (["trials", "missing.scp", "test.scp", "s"], "missing.scp"),
            (["trials", "vectors", "test.scp", "s"], "'vectors' is no table of vectors"),
            (["trials", "nan.ark", "test.scp", "s"], "ark:nan.ark: the vector of test00-000 is not finite"),
            (["trials", "zero.ark", "test.scp", "s"], "ark:zero.ark: the vector of test00-000 is zero"),
            (["trials", "mixed.ark", "test.scp", "s"], "the vector of test00-001 has 3 dimensions, the first has 6"),
            (["trials", "twice.ark", "test.scp", "s"], "the id test00-000 comes twice"),
        ],
    )
    def test_scoring_says_what_is_wrong(self, folder, arguments, sentence):
        vectors = dict(read_table("ark:test.ark", VECTOR))
        first, second = list(vectors)[:2]
        changes = {"nan": {first: np.full(6, np.nan)}, "zero": {first: np.zeros(6)}, "mixed": {second: np.ones(3)}}
        for name, change in changes.items():
            with TableWriter(f"ark:{name}.ark", VECTOR) as writer:
                for key, vector in {**vectors, **change}.items():
                    writer.write(key, vector.astype(np.float32))
        Path("twice.ark").write_bytes(2 * Path("test.ark").read_bytes())
        assert sentence in refuse("score_trials.py", *arguments)
        assert not Path("s").exists()

    def test_evaluation_needs_both_kinds_of_trial(self, folder):
        edit("trials", lambda lines: [line for line in lines if line.endswith(" target\n")])
        succeed("score_trials.py", "trials", "test.scp", "test.scp", "scores")
        assert "scores on trials: there are no non-target scores" in refuse(
            "evaluate.py", "scores", "trials", "results"
        )
        edit("trials", lambda lines: [line.removesuffix(" target\n") + "\n" for line in lines])
        assert "have no labels" in refuse("evaluate.py", "scores", "trials", "results")


def run_tool(tool, *arguments: str) -> None:
    assert tool.main(["--print-args=false", *arguments]) == 0


class TestTools:
    """The commands of the goldens' README, one after the other."""

    @pytest.fixture(scope="class")
    @staticmethod
    def made(tmp_path_factory) -> Path:
        here, source = tmp_path_factory.mktemp("tools"), golden("kaldi/backend")
        train, test = f"ark:{source}/xvector_train.ark", f"ark:{source}/xvector_test.ark"
        run_tool(ivector_mean, train, f"{here}/mean.vec")
        run_tool(ivector_mean, f"ark:{source}/spk2utt_train", train, f"ark:{here}/speakers", f"ark,t:{here}/counts")
        run_tool(ivector_subtract_global_mean, train, f"ark:{here}/centred")
        run_tool(ivector_compute_lda, "--dim=40", f"ark:{here}/centred", f"ark:{source}/utt2spk_train", f"{here}/lda")
        for name, table in (("train", train), ("test", test)):
            run_tool(ivector_subtract_global_mean, f"{here}/mean.vec", table, f"ark:{here}/a")
            run_tool(transform_vec, f"{here}/lda", f"ark:{here}/a", f"ark:{here}/b")
            run_tool(ivector_normalize_length, f"ark:{here}/b", f"ark:{here}/{name}")
        run_tool(ivector_compute_plda, f"ark:{source}/spk2utt_train", f"ark:{here}/train", f"{here}/plda")
        run_tool(ivector_copy_plda, "--smoothing=0.1", f"{here}/plda", f"{here}/plda_smooth0.1")
        scales = ["--within-covar-scale=0.75", "--between-covar-scale=0.25"]
        run_tool(ivector_adapt_plda, *scales, f"{here}/plda", f"ark:{here}/test", f"{here}/plda_adapted")
        run_tool(
            ivector_mean, f"ark:{source}/enroll_spk2utt", f"ark:{here}/test", f"ark:{here}/models", f"ark,t:{here}/n"
        )
        run_tool(ivector_normalize_length, "--scaleup=false", test, f"ark:{here}/unit")
        sides = [f"ark:{here}/test", f"ark:{here}/test"]
        for name, options, model, tables, trials in (
            ("plda", [], "plda", sides, "trials"),
            ("plda_nolennorm", ["--normalize-length=false"], "plda", sides, "trials"),
            ("plda_simplelen", ["--simple-length-normalization=true"], "plda", sides, "trials"),
            ("plda_adapted", [], "plda_adapted", sides, "trials"),
            ("plda_enroll", [f"--num-utts=ark:{here}/n"], "plda", [f"ark:{here}/models", sides[1]], "enroll_trials"),
        ):
            pairs = f"cut -d' ' -f1,2 {source}/{trials} |"
            run_tool(ivector_plda_scoring, *options, f"{here}/{model}", *tables, pairs, f"{here}/scores_{name}")
        unit = f"ark:{here}/unit"
        run_tool(ivector_compute_dot_products, f"{source}/trials", unit, unit, f"{here}/scores_cosine")
        return here

    def test_means(self, made):
        source = golden("kaldi/backend")
        np.testing.assert_allclose(
            load_vector(f"{made}/mean.vec"), load_vector(f"{source}/mean.vec"), rtol=1e-5, atol=1e-5
        )
        assert Path(made / "mean.vec").read_bytes().startswith(b" [ 19.46")
        theirs = dict(read_table(f"ark:{source}/spk_mean_train.ark", VECTOR))
        ours = dict(read_table(f"ark:{made}/speakers", VECTOR))
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-5, atol=1e-4)
        assert Path(made / "counts").read_text().split() == (source / "num_utts_train.txt").read_text().split()

    @pytest.mark.parametrize("name", ["plda", "plda_smooth0.1", "plda_adapted"])
    def test_models(self, made, name):
        ours, theirs = Plda.read(f"{made}/{name}"), Plda.read(str(golden(f"kaldi/backend/{name}")))
        np.testing.assert_allclose(ours.psi_, theirs.psi_, rtol=1e-4)

    @pytest.mark.parametrize("name", NAMES)
    def test_scores_and_error_rates(self, made, name, capsys, tmp_path):
        source = golden("kaldi/backend")
        ours, theirs = (np.loadtxt(path / f"scores_{name}", usecols=2) for path in (made, source))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        trials = source / ("enroll_trials" if name == "plda_enroll" else "trials")
        labels = np.loadtxt(trials, usecols=2, dtype=str)
        lines = Path(made / f"scores_{name}").read_text(encoding="utf-8").splitlines()
        text = "".join(f"{line.split()[2]} {label}\n" for line, label in zip(lines, labels, strict=True))
        (tmp_path / "scores").write_text(text, encoding="utf-8")
        capsys.readouterr()
        run_tool(compute_eer, str(tmp_path / "scores"))
        printed = capsys.readouterr()
        line = next(line for line in (source / "metrics.txt").read_text().splitlines() if line.startswith(f"{name} "))
        assert f"eer={printed.out.strip()} " in line
        threshold = float(printed.err.split("at threshold ")[1])
        assert threshold == pytest.approx(float(line.split("threshold=")[1].split()[0]), abs=1e-4)

        from spkid.metrics import min_dcf

        is_target = labels == "target"
        for prior in ("0.01", "0.001", "0.05"):
            cost = min_dcf(ours[is_target], ours[~is_target], float(prior))
            assert f"mindcf_p{prior}={cost:.4f}" in line

    def test_missing_vectors_are_warned_about_and_left_out(self, folder, capsys):
        Path("pairs").write_text("test00-000 test01-004\ntest00-000 nobody\n", encoding="utf-8")
        run_tool(ivector_compute_dot_products, "pairs", "scp:test.scp", "scp:test.scp", "scores")
        assert len(Path("scores").read_text(encoding="utf-8").splitlines()) == 1
        assert (
            "WARNING (ivector-compute-dot-products): 1 of the 2 ids in pairs have no vector: nobody"
            in capsys.readouterr().err
        )
        Path("spk2utt").write_text("a test00-000 nobody\nb nobody\n", encoding="utf-8")
        run_tool(ivector_mean, "--report=report", "ark:spk2utt", "scp:test.scp", "ark:means")
        assert [key for key, _ in read_table("ark:means", VECTOR)] == ["a"]
        assert json.loads(Path("report").read_text(encoding="utf-8"))["failed"] == {
            "b": "none of its utterances has a vector"
        }

    def test_a_vector_that_is_not_finite_fails_alone(self, folder):
        with TableWriter("ark:some", VECTOR) as writer:
            writer.write("good", np.ones(6, dtype=np.float32))
            writer.write("bad", np.full(6, np.nan, dtype=np.float32))
        run_tool(ivector_normalize_length, "--report=report", "ark:some", "ark:out")
        assert [key for key, _ in read_table("ark:out", VECTOR)] == ["good"]
        report = json.loads(Path("report").read_text(encoding="utf-8"))
        assert report == {"done": 1, "failed": {"bad": "the vector is not finite"}, "given": 2}

    @pytest.mark.parametrize(
        ("tool", "arguments", "sentence"),
        [
            (compute_eer, ["scores"], "line 1: 2 fields are expected, found 3"),
            (compute_eer, ["one_kind"], "one_kind: there are no non-target scores"),
            (ivector_compute_lda, ["--dim=40", "scp:train.scp", "ark:data/train/utt2spk", "o"], "40 dimensions of 6"),
            (ivector_compute_lda, ["--dmi=4", "scp:train.scp", "ark:data/train/utt2spk", "o"], "did you mean --dim?"),
            (ivector_compute_plda, ["ark:spk2utt", "scp:train.scp", "o"], "at least two speakers"),
            (ivector_copy_plda, ["scores", "o"], "scores: not a PLDA model of Kaldi's"),
            (ivector_mean, ["ark:train.ark", "missing/mean.vec"], "the directory .*missing does not exist"),
        ],
    )
    def test_one_clear_line(self, folder, capsys, tool, arguments, sentence):
        Path("scores").write_text("a b 1\n", encoding="utf-8")
        Path("one_kind").write_text("1 target\n", encoding="utf-8")
        Path("spk2utt").write_text("train00 train00-000 train00-001\n", encoding="utf-8")
        assert tool.main(["--print-args=false", *arguments]) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("ERROR (")
        assert re.search(sentence, last)
        assert not Path("o").exists()

    def test_tools_import_neither_torch_nor_pictures(self):
        modules = "spkid.bin.ivector_plda_scoring, spkid.bin.compute_eer, spkid.bin.ivector_compute_lda"
        heavy = ("torch", "scipy", "pandas", "matplotlib")
        code = f"import sys, {modules}; print(*[name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert done.stdout.strip() == ""
