"""steps/evaluate.py, steps/evaluate_vad.py and utils/make_results.py as commands on files."""

import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spkid.kaldi.tables import VECTOR, TableWriter
from spkid.metrics import OperatingPoint, eer, min_dcf
from spkid.metrics.bootstrap import bootstrap, interval
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

SPEAKERS = [f"s{index:02d}" for index in range(10)]
UTTERANCES = [f"{speaker}-{index}" for speaker in SPEAKERS for index in range(4)]


def evaluated(*options, scores="scores", trials="trials", out="exp/sys/results/cosine"):
    """results.json of an evaluation."""
    succeed("evaluate.py", *options, scores, trials, out)
    return json.loads(Path(out, "results.json").read_text(encoding="utf-8"))


def write(name, lines):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """The current directory: data, all pairs of its utterances with random scores; returns (pairs, labels, scores)."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    pairs = [(a, b) for a in UTTERANCES for b in UTTERANCES if a < b]
    labels = np.array([a[:3] == b[:3] for a, b in pairs])
    scores = np.round(random.normal(2.0 * labels, 1.0), 4)
    write("data/utt2spk", [f"{key} {key[:3]}" for key in UTTERANCES])
    write("data/spk2gender", [f"{key} {'fm'[index % 2]}" for index, key in enumerate(SPEAKERS)])
    write("data/utt2dur", [f"{key} {1 + index % 4}" for index, key in enumerate(UTTERANCES)])
    write(
        "trials", [f"{a} {b} {'target' if label else 'nontarget'}" for (a, b), label in zip(pairs, labels, strict=True)]
    )
    write("scores", [f"{a} {b} {score}" for (a, b), score in zip(pairs, scores, strict=True)])
    return pairs, labels, scores


class Links(html.parser.HTMLParser):
    """What a page loads and which elements it has."""

    def __init__(self):
        super().__init__()
        self.loaded, self.elements, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.text += data


class TestReport:
    def test_everything_is_written_and_the_page_needs_nothing_else(self, corpus):
        name = '<script>alert("1")</script> & `x` | y'
        results = evaluated("--name", name, "--data=data", "--bootstrap=20", "--top-k=1,3", "--prior=0.05")
        folder = Path("exp/sys/results/cosine")
        for picture in ("scores.png", "det.png", "roc.png", "calibration.png", "confusion.png"):
            assert (folder / picture).read_bytes().startswith(b"\x89PNG")
        text = (folder / "report.html").read_text(encoding="utf-8")
        page = Links()
        page.feed(text)
        assert len(page.loaded) == page.elements.count("img") == 5
        assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
        assert "script" not in page.elements
        assert name in page.text
        assert "url(" not in text
        assert "@import" not in text
        assert "prefers-color-scheme: dark" in text
        markdown = (folder / "results.md").read_text(encoding="utf-8")
        for shown in (page.text, markdown):
            assert "Which threshold do I use?" in shown
            assert f"score is {results['decision']['empirical']['threshold']:.4g} or more" in shown
            assert results["trials"]["md5"] in shown
        assert "<script>" not in markdown
        for line in markdown.splitlines():
            if line.startswith("|"):  # no cell breaks its table
                assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5, 7, 9, 10)

    def test_same_inputs_same_bytes(self, corpus):
        for out in ("a", "b"):
            evaluated("--name=x", "--data=data", "--bootstrap=10", "--seed=5", out=out)
        for name in ("results.json", "results.md", "report.html", "det.png", "scores.png", "calibration.png"):
            assert Path("a", name).read_bytes() == Path("b", name).read_bytes()

    def test_the_command_is_kept(self, corpus):
        words = [
            sys.executable,
            REPOSITORY / "steps" / "evaluate.py",
            "--force",
            "--dcf=0.2,5,1",
            "scores",
            "trials",
            "o",
        ]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
        subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
        stored = json.loads(Path("o/results.json").read_text(encoding="utf-8"))["command"]
        assert stored.endswith("evaluate.py --dcf=0.2,5,1 scores trials o")

    def test_a_second_run_returns_at_once_and_a_new_option_repeats(self, corpus):
        evaluated()
        assert "done already" in succeed("evaluate.py", "scores", "trials", "exp/sys/results/cosine")
        again = succeed("evaluate.py", "--prior=0.3", "scores", "trials", "exp/sys/results/cosine")
        assert "runs again: option" in again
        Path("exp/sys/results/cosine/roc.png").unlink()
        assert "runs again: output" in succeed(
            "evaluate.py", "--prior=0.3", "scores", "trials", "exp/sys/results/cosine"
        )


class TestNumbers:
    def test_any_operating_point_and_the_threshold_for_it(self, corpus):
        _, labels, scores = corpus
        results = evaluated("--dcf=0.2,5,1", "--dcf=0.5", "--prior=0.1", "--c-miss=3")
        assert list(results["min_dcf"]) == ["0.01", "0.05", "0.2,5,1", "0.5", "0.1,3,1"]
        for name, found in results["min_dcf"].items():
            point = OperatingPoint.parse(name)
            expected = min_dcf(scores[labels], scores[~labels], point.p_target, point.c_miss, point.c_fa)
            assert found["value"] == pytest.approx(expected)
        decision = results["decision"]
        assert decision["empirical"]["dcf"] == pytest.approx(results["min_dcf"]["0.1,3,1"]["value"])
        accepted = scores >= decision["empirical"]["threshold"]
        assert decision["empirical"]["misses"] == np.count_nonzero(labels & ~accepted)
        assert decision["empirical"]["false_alarms"] == np.count_nonzero(~labels & accepted)
        assert decision["bayes"]["threshold"] == pytest.approx(np.log(0.9 / 0.3))
        assert results["name"] == "sys cosine"

    def test_intervals_are_those_of_the_library(self, corpus):
        pairs, labels, scores = corpus
        results = evaluated("--data=data", "--bootstrap=50", "--seed=7")
        speakers = np.array([[int(a[1:3]), int(b[1:3])] for a, b in pairs])
        arguments = scores[labels], scores[~labels], speakers[labels][:, 0], speakers[~labels]
        found = bootstrap(*arguments, [OperatingPoint(0.01)], 50, 7)
        assert results["confidence"]["eer"] == pytest.approx(interval(found.eer))
        ends = results["confidence"]["min_dcf"]["0.01"]
        assert ends == pytest.approx(interval(found.min_dcf[OperatingPoint(0.01)]))
        assert results["confidence"]["speakers"] == 10
        assert results["confidence"]["eer"][0] <= results["eer"] <= results["confidence"]["eer"][1]

    def test_conditions_of_a_data_directory(self, corpus):
        pairs, labels, scores = corpus
        rows = {(row["column"], row["value"]): row for row in evaluated("--data=data")["conditions"]}
        gender = np.array([["fm"[int(key[1:3]) % 2] for key in pair] for pair in pairs])
        women, mixed = (gender == "f").all(axis=1), gender[:, 0] != gender[:, 1]
        assert rows["gender", "f"]["eer"] == pytest.approx(eer(scores[labels & women], scores[~labels & women])[0])
        assert rows["gender", "f"]["borrowed"] == []
        cross = rows["gender", "f-m"]
        assert cross["eer"] == pytest.approx(eer(scores[labels], scores[mixed])[0])
        assert (cross["borrowed"], cross["targets"]) == (["targets"], labels.sum())
        assert cross["nontargets"] == rows["same gender", "no"]["nontargets"] == mixed.sum()
        shorter = np.array([min(1 + int(key[-1]) for key in pair) for pair in pairs])
        assert rows["duration", "2 to 5 s"]["targets"] == np.count_nonzero(labels & (shorter >= 2))
        assert rows["duration", "under 2 s"]["nontargets"] == np.count_nonzero(~labels & (shorter < 2))
        bands = evaluated("--data=data", "--duration-bands=3")["conditions"]
        assert [row["value"] for row in bands if row["column"] == "duration"] == ["under 3 s", "3 s or more"]

    def test_conditions_of_a_table(self, corpus):
        pairs, labels, scores = corpus
        noise = np.arange(len(pairs)) % 3
        level = np.random.default_rng(0).normal(size=len(pairs))
        lines = [f"{a}\t{b}\tkind {n}\t{x}" for (a, b), n, x in zip(pairs, noise, level, strict=True)]
        write("table.tsv", ["enroll\ttest\tnoise\tlevel", *reversed(lines), "x\ty\tkind 9\t0"])
        rows = {(row["column"], row["value"]): row for row in evaluated("--conditions=table.tsv")["conditions"]}
        part = noise == 1
        assert rows["noise", "kind 1"]["eer"] == pytest.approx(eer(scores[labels & part], scores[~labels & part])[0])
        sizes = [row["targets"] + row["nontargets"] for (name, _), row in rows.items() if name == "level"]
        assert len(sizes) == 4
        assert sum(sizes) == len(pairs)
        assert max(sizes) - min(sizes) <= 1

    def test_missing_scores_are_left_out_of_every_part(self, corpus):
        pairs, labels, scores = corpus
        write("few", Path("scores").read_text(encoding="utf-8").splitlines()[20:])
        results = evaluated("--allow-missing", "--data=data", "--bootstrap=10", scores="few")
        assert results["eer"] == pytest.approx(eer(scores[20:][labels[20:]], scores[20:][~labels[20:]])[0])
        assert results["trials"]["without_score"] == 20
        genders = [row for row in results["conditions"] if row["column"] == "same gender" and not row["borrowed"]]
        both = ["fm"[int(a[1:3]) % 2] == "fm"[int(b[1:3]) % 2] for a, b in pairs[20:]]
        assert genders[0]["targets"] + genders[0]["nontargets"] == sum(both)

    def test_infinite_scores_make_strict_json(self, corpus):
        lines = Path("scores").read_text(encoding="utf-8").splitlines()
        for value in ("inf", "-inf"):
            write("odd", [f"{' '.join(line.split()[:2])} {value}" if k % 2 else line for k, line in enumerate(lines)])
            results = evaluated("--data=data", "--bootstrap=10", scores="odd", out=f"with{value}")
            assert results["as_log_likelihood_ratios"]["cllr"] is None
            assert 0 < results["eer"] < 1
        write("odd", [f"{' '.join(line.split()[:2])} -inf" for line in lines])
        found = evaluated("--prior=0.99", scores="odd", out="all")
        assert (found["decision"]["empirical"]["threshold"], found["decision"]["empirical"]["misses"]) == (None, 0)
        assert "accept everything" in Path("all/results.md").read_text(encoding="utf-8")

    def test_voxceleb_lists(self, corpus):
        def path(key):
            return f"{key[:3]}/{key[4:]}.wav"

        pairs, labels, _ = corpus
        write(
            "veri_test.txt", [f"{int(label)} {path(a)} {path(b)}" for (a, b), label in zip(pairs, labels, strict=True)]
        )
        expected = evaluated("--data=data", "--bootstrap=10", out="one")
        found = evaluated("--data=data", "--bootstrap=10", trials="veri_test.txt", out="two")
        for key in ("eer", "min_dcf", "confidence", "conditions"):
            assert found[key] == expected[key]

    def test_models_of_several_utterances(self, corpus):
        random = np.random.default_rng(5)
        write("models", [f"model-{speaker} {speaker}-0 {speaker}-1" for speaker in SPEAKERS])
        tests = [key for key in UTTERANCES if key[-1] in "12"]
        pairs = [(speaker, key) for speaker in SPEAKERS for key in tests]
        labels = np.array([speaker == key[:3] for speaker, key in pairs])
        scores = np.round(random.normal(3 * labels, 1), 3)
        for prefix, name in (("model-", "by_model"), ("", "by_speaker")):
            kinds = ["target" if label else "nontarget" for label in labels]
            write(name, [f"{prefix}{a} {b} {kind}" for (a, b), kind in zip(pairs, kinds, strict=True)])
            write(f"s_{name}", [f"{prefix}{a} {b} {score}" for (a, b), score in zip(pairs, scores, strict=True)])
        options = ["--data=data", "--bootstrap=10", "--top-k=1,2"]
        found = evaluated(*options, "--spk2utt=models", scores="s_by_model", trials="by_model")
        assert found["trials"]["self_comparisons"] == len(SPEAKERS)  # utterance 1 stands on both sides
        by_speaker = evaluated(*options, scores="s_by_speaker", trials="by_speaker", out="o")
        assert found["confidence"] == by_speaker["confidence"]
        duration = [row for row in found["conditions"] if row["column"] == "duration"]
        assert {row["value"] for row in duration} == {"2 to 5 s"}  # models last 1 + 2 s, tests 2 and 3 s
        matrix = scores.reshape(len(SPEAKERS), -1)
        truth = [SPEAKERS.index(key[:3]) for key in tests]
        assert found["identification"]["top_k"]["1"] == pytest.approx(np.mean(matrix.argmax(axis=0) == truth))
        wrong = sum(row["count"] for row in found["identification"]["confusions"])
        assert wrong == np.count_nonzero(matrix.argmax(axis=0) != truth)
        assert "no speaker for 10 ids" in refuse("evaluate.py", *options, "s_by_model", "by_model", "p")

    def test_one_versus_99_trials(self, corpus):
        succeed("make_trials.py", "--negatives=30", "--seed=1", "data", "rounds")
        lines = [line.split() for line in Path("rounds").read_text(encoding="utf-8").splitlines()]
        assert len(lines) == 31 * len(SPEAKERS)
        write("random", dict.fromkeys(f"{a} {b} {float(kind == 'target') or hash_score(a, b)}" for a, b, kind in lines))
        results = evaluated("--top-k=1", "--rank-by=enroll", scores="random", trials="rounds")
        assert results["identification"]["top_k"] == {"1": 1.0}
        assert results["identification"]["candidates"] == {"min": 31, "max": 31}
        assert "99 negatives are wanted" in refuse("make_trials.py", "--negatives=99", "data", "rounds")
        assert "one data directory" in refuse("make_trials.py", "--negatives=9", "data", "data", "rounds")


def hash_score(first, second):
    return sum(map(ord, first + second)) % 97 / 100


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--bootstrap=10"], "give --data"),
            (["--prior=1"], "--prior, --c-miss, --c-fa: p_target is 1"),
            (["--c-fa=-1"], "costs are positive"),
            (["--dcf=0.1,2"], "a prior, or prior,cost-of-a-miss"),
            (["--dcf=2"], "p_target is 2"),
            (["--duration-bands=5,2", "--data=data"], "ascending positive numbers"),
            (["--top-k=1,x"], "ascending positive whole numbers"),
            (["--data=nothing", "--bootstrap=5"], "nothing: no such data directory"),
            (["--conditions=nothing"], "nothing"),
            (["--bootsrap=5"], "did you mean --bootstrap?"),
        ],
    )
    def test_options_that_cannot_be(self, corpus, options, sentence):
        assert sentence in refuse("evaluate.py", *options, "scores", "trials", "out")
        assert not Path("out/results.json").exists()

    def test_speakers_that_contradict_the_labels(self, corpus):
        lines = Path("data/utt2spk").read_text(encoding="utf-8").replace("s00-1 s00", "s00-1 s01")
        write("data/utt2spk", lines.splitlines())
        line = refuse("evaluate.py", "--data=data", "--bootstrap=5", "scores", "trials", "out")
        assert "contradict the speakers in data/utt2spk, the first is s00-0 s00-1" in line

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda lines: lines[:-1], "nothing is said about 1 of the 780 trials"),
            (lambda lines: lines[:1], "nothing is said about 780"),
            (lambda lines: [*lines, lines[1]], "stands on more than one line"),
            (lambda lines: [*lines, "a\tb"], "line 782: 3 fields are expected, found 2"),
            (lambda lines: ["a\tb"], "names the columns"),
            (lambda lines: [], "names the columns"),
            (lambda lines: [lines[0], *(f"{line}{k}" for k, line in enumerate(lines[1:]))], "780 different values"),
        ],
    )
    def test_tables_of_conditions(self, corpus, change, sentence):
        lines = ["enroll\ttest\tkind", *(f"{a}\t{b}\tx" for a, b in corpus[0])]
        write("table", change(lines))
        assert sentence in refuse("evaluate.py", "--conditions=table", "scores", "trials", "out")


class TestMakeResults:
    def test_the_table_is_replaced_and_the_rest_is_kept(self, corpus):
        write("system.yaml", ["a: 1"])
        evaluated("--config=system.yaml", "--data=data", "--bootstrap=10", out="exp/one/results/plda")
        evaluated(out="exp/two/results/cosine")
        write("RESULTS.md", ["# By hand", "", "before"])
        files = ["exp/one/results/plda/results.json", "exp/two/results/cosine/results.json"]
        assert "2 results on 1 trial lists" in succeed("make_results.py", "RESULTS.md", *files)
        first = Path("RESULTS.md").read_text(encoding="utf-8")
        Path("RESULTS.md").write_text(first + "\nafter\n", encoding="utf-8")
        succeed("make_results.py", "RESULTS.md", *files)
        assert Path("RESULTS.md").read_text(encoding="utf-8") == first + "\nafter\n"
        results = json.loads(Path(files[0]).read_text(encoding="utf-8"))
        assert first.startswith("# By hand\n\nbefore\n\n<!-- results")
        assert f"780 trials, 60 of them target; MD5 of the list `{results['trials']['md5']}`" in first
        row = next(line for line in first.splitlines() if line.startswith("| one plda"))
        assert "system.yaml" in row
        assert f"{100 * results['eer']:.2f}% (" in row
        assert results["command"] in first
        succeed("make_results.py", "RESULTS.md", files[1])
        assert "one plda" not in Path("RESULTS.md").read_text(encoding="utf-8")

    def test_lists_are_told_apart_and_a_new_file_is_begun(self, corpus):
        evaluated(out="a")
        write("trials", Path("trials").read_text(encoding="utf-8").splitlines()[1:])
        evaluated(out="b")
        assert "2 results on 2 trial lists" in succeed("make_results.py", "new.md", "a/results.json", "b/results.json")
        text = Path("new.md").read_text(encoding="utf-8")
        assert text.startswith("# Results\n")
        assert "780 trials" in text
        assert "779 trials" in text

    def test_what_is_no_result_is_refused(self, corpus):
        write("list.json", ["[1]"])
        write("old.json", ['{"eer": 0.1}'])
        write("broken.json", ["{"])
        assert "list.json: no name, command" in refuse("make_results.py", "R.md", "list.json")
        assert "old.json: no name, command, min_dcf" in refuse("make_results.py", "R.md", "old.json")
        assert "not a JSON file" in refuse("make_results.py", "R.md", "broken.json")
        assert "no results.json is given" in refuse("make_results.py", "R.md")
        evaluated(out="a")
        write("R.md", ["<!-- end of results -->"])
        assert "damaged" in refuse("make_results.py", "R.md", "a/results.json")
        assert Path("R.md").read_text(encoding="utf-8") == "<!-- end of results -->\n"


class TestVad:
    def write(self, name, vectors):
        with TableWriter(f"ark,scp:{name}.ark,{name}.scp", VECTOR) as writer:
            for key, values in vectors.items():
                writer.write(key, np.array(values, dtype=np.float32))

    def test_rates_of_a_detector(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.write("truth", {"b": [1, 1, 1, 0], "a": [0, 0, 1, 1, 1, 1]})
        self.write("found", {"a": [1, 0, 1, 1, 1, 0], "b": [1, 1, 1, 0], "c": [1]})
        printed = succeed("evaluate_vad.py", "truth.scp", "found.scp", "out")
        assert "accuracy 80.00% | miss rate 14.29% | false alarm rate 33.33% | detection error rate 28.57%" in printed
        results = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
        assert results["confusion"] == [[2, 1], [1, 6]]
        lines = Path("out/utterances.tsv").read_text(encoding="utf-8").splitlines()
        assert lines[1].split("\t")[:6] == ["a", "6", "0.6667", "0.2500", "0.5000", "0.5000"]
        assert lines[1].split("\t")[6:] == ["1.0000", "0.5000", "0.6667"]  # one of two is the labelled
        assert results["segments"]["labelled"] == 2
        assert results["majority_class_accuracy"] == 0.7
        assert lines[2].startswith("b\t4\t1.0000")
        assert Path("out/confusion.png").read_bytes().startswith(b"\x89PNG")
        self.write("found", {"a": [1, 0, 1, 1, 1, 0, 1], "b": [1, 1, 1, 0]})
        assert "allow it with --tolerance" in refuse("evaluate_vad.py", "truth.scp", "found.scp", "out")
        assert "10 frames" in succeed("evaluate_vad.py", "--tolerance=1", "truth.scp", "found.scp", "out")
        self.write("found", {"a": [1, 0, 1, 1, 1, 0]})
        assert "1 of the 2 utterances are missing: b" in refuse("evaluate_vad.py", "truth.scp", "found.scp", "out")
        self.write("found", {"a": [1, 0, 1, 1, 1, 0.5], "b": [1, 1, 1, 0]})
        assert "utterance a: a decision is 0.5" in refuse("evaluate_vad.py", "truth.scp", "found.scp", "out")
