"""egs/mydata whole: a folder at 8 kHz with bad files, long recordings with segments, an import that is fine-tuned."""

import csv
import itertools
import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from local import miniature
from local.common.own_data import common_rate, kind_of, split_speakers
from local.common.own_system import choose_system, summarize
from spkid.data.front_end import FrontEnd
from spkid.kaldi import DataDir, InputError
from spkid.nnet import build_model
from spkid.train.config import load_config
from spkid.train.experiment import save_final
from tests.recipes.running import call, copy_recipe
from tests.shared import REPOSITORY, corpora

ORIGINAL = REPOSITORY / "egs" / "mydata"

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe in a directory of its own."""
    return copy_recipe(tmp_path_factory.mktemp("recipe"), "mydata")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """28 speakers, as a folder each at 8 kHz; and in long recordings at 16 kHz, 20 in a table and 8 of Kaldi's kind."""
    root = tmp_path_factory.mktemp("corpus")
    shared = ["directory", "--speech", corpora("speechocean762"), "--speakers", 28]
    folders = ["--utterances", 8, "--rate", 8000, root / "folders"]
    for words in ([*shared, *folders], [*shared, "--utterances", 10, "--long", root / "long"]):
        assert miniature.Miniature.run(["miniature.py", *map(str, words)], exit=False)[1] == 0
    for half in ("train", "test"):  # one collection of all speakers
        for folder in (root / "folders" / half).iterdir():
            folder.rename(root / "folders" / f"{half} {folder.name}")
        (root / "folders" / half).rmdir()
    turns = {half: read_turns(root / "long" / half / "table.csv") for half in ("train", "test")}
    rows = [("remark", "from", "to", "who", "recording")]
    rows += [("", turn["start"], turn["end"], turn["speaker"], turn["file"]) for turn in turns["train"]]
    values = (ORIGINAL / "conf/lde_xvector.yaml").read_text().replace("embedding_dim: 192", "embedding_dim: 64")
    (root / "long/train/small.yaml").write_text(values)  # three utterances a dimension, as PLDA wants them
    (root / "long/train/turns.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    write_kaldi(root / "long/kaldi", [turn for turn in turns["test"] if turn["file"] < "session 6"])
    return root


def read_turns(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_kaldi(directory: Path, turns: list[dict[str, str]]) -> None:
    """A data directory with segments and paths relative to it; and trials, of which one is of an unknown utterance."""
    directory.mkdir()
    sessions = sorted({turn["file"] for turn in turns})
    names = {file: f"session{number}" for number, file in enumerate(sessions)}
    (directory / "wav.scp").write_text("".join(f"{names[file]} ../test/{file}\n" for file in sessions))
    lines = []
    for turn in turns:
        speaker = turn["speaker"].replace("speaker ", "guest")  # other people than those of the table
        lines.append((f"{speaker}-{names[turn['file']]}", speaker, names[turn["file"]], turn["start"], turn["end"]))
    lines.sort()
    (directory / "utt2spk").write_text("".join(f"{line[0]} {line[1]}\n" for line in lines))
    (directory / "segments").write_text("".join(f"{line[0]} {' '.join(line[2:])}\n" for line in lines))
    pairs = [(one[0], two[0], one[1] == two[1]) for one, two in itertools.combinations(lines, 2) if one[2] != two[2]]
    text = "".join(f"{one} {two} {'target' if same else 'nontarget'}\n" for one, two, same in pairs)
    (directory / "pairs").write_text(text + "guest00-session0 nobody nontarget\n")


def start(recipe: Path, *options: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return call("bash", recipe / "run.sh", "--nj", 1, *options, cwd=cwd)


def run(recipe: Path, *options: object, cwd: Path | None = None) -> str:
    done = start(recipe, *options, cwd=cwd)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def results(directory: Path) -> dict:
    assert (directory / "report.html").stat().st_size > 10_000
    return json.loads((directory / "results.json").read_text())


def test_a_folder_at_8_khz_with_bad_files(recipe, corpus, tmp_path):
    folder = corpus / "folders" / "train speaker 00" / "day one"
    wave, rate = soundfile.read(folder / "1.wav")
    soundfile.write(folder / "silent.wav", np.zeros(rate), rate)
    soundfile.write(folder / "short.wav", wave[rate : rate + rate // 4], rate)
    soundfile.write(folder / "wide.wav", np.repeat(wave, 2), 2 * rate)
    (folder / "notes.txt").write_text("not audio")
    (folder / "broken.wav").write_text("nor this")
    said = run(recipe, "--data", "folders", "--out", tmp_path, "--prior", 0.02, cwd=corpus)
    assert re.findall(r"^Stage (\d)", said, re.MULTILINE) == ["0", "1", "3", "4", "5"]  # nothing to train
    decisions = (tmp_path / "data" / "decisions").read_text()
    for sentence in (
        "all: 1 utterances are left out: silent",
        "all: 1 utterances are left out: short",
        "sampling rate 8000: ",
        "divided by speaker: 22 to train on, 6 to test",
        "1 recordings of 16000 Hz are copied at 8000 Hz",
    ):
        assert sentence in decisions
    assert "left out 1, cannot be read as audio" in said or "broken.wav" in said
    assert "statistics: too little to train a network" in said
    result = results(tmp_path / "exp" / "statistics" / "results" / "plda")
    assert 0 < result["eer"] < 0.25
    assert result["decision"]["p_target"] == 0.02
    assert len((tmp_path / "exp" / "audit" / "audit.tsv").read_text().splitlines()) >= 1
    summary = (tmp_path / "exp" / "summary.md").read_text()
    assert f"{result['decision']['empirical']['threshold']:.4f}" in summary
    speakers = {name: set(DataDir(tmp_path / "data" / name).speakers) for name in ("train", "test")}
    assert not speakers["train"] & speakers["test"]
    again = run(recipe, "--data", corpus / "folders", "--out", tmp_path, "--prior", 0.02, "--stop-stage", 1)
    assert "runs again" not in again


@pytest.fixture(scope="module")
def trained(recipe, corpus, tmp_path_factory):
    """A small network of the long recordings: where it lies, the words of the call, and what was said."""
    out = tmp_path_factory.mktemp("long")
    words = ["--train", "turns.tsv", "--path-column", "recording", "--speaker-column", "WHO", "--out", out]
    words += ["--test", corpus / "long/kaldi", "--trials", corpus / "long/kaldi/pairs"]
    settings = "schedule.epochs=1 data.chunks_per_utterance=12"
    options = ["--config", "small.yaml", "--settings", settings]
    return out, words, run(recipe, *words, *options, cwd=corpus / "long/train")


def test_a_table_with_its_own_columns_and_a_data_directory_with_trials_and_plda(trained):
    out, _, said = trained
    assert "sampling rate 16000" in said
    train, test = DataDir(out / "data" / "train"), DataDir(out / "data" / "test")
    assert (len(train.speakers), len(train.utterances), len(test.segments)) == (20, 200, 48)
    assert "trials: 960 of the 961 of" in said  # 6 x 5 / 2 pairs of sessions, 8 x 8 pairs of speakers in each
    for scoring in ("cosine", "plda"):
        result = results(out / "exp" / "small" / "results" / scoring)
        assert 0 < result["eer"] < 0.25
        assert (result["trials"]["count"], result["trials"]["targets"]) == (960, 120)
    assert "speaker in both" not in (out / "exp" / "audit" / "audit.tsv").read_text()


def test_the_commands_at_the_end_work(trained, corpus):
    _, _, said = trained
    (line,) = (line for line in said.splitlines() if line.startswith("spkid verify"))
    wave = next((corpus / "folders").glob("*/*/3.wav"))
    words = shlex.split(line.replace("FIRST.wav", shlex.quote(str(wave))).replace("SECOND.wav", shlex.quote(str(wave))))
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^decision +same speaker$", done.stdout, re.MULTILINE)


def test_an_import_is_measured_as_it_is_and_fine_tuned(recipe, trained, corpus, tmp_path):
    out, words, _ = trained
    torch.manual_seed(0)
    network = build_model("asv_xvector", input_dim=30, channels=64, pooled_channels=128, embedding_dim=64)
    torch.save(network.state_dict(), tmp_path / "net.pth")  # an untrained network has our names as well as theirs
    words = [*words, "--source", "asv_beginner", "--initial-model", tmp_path / "net.pth", "--stage", 1]
    # the random network of this test has to be taught more than a published one
    settings = "schedule.epochs=3 freeze_epochs=1 optimizer.body_lr_factor=1 data.chunks_per_utterance=6"
    options = ["--mfcc-config", "conf/mfcc_16000.conf", "--settings", settings]
    said = run(recipe, *words, *options, cwd=corpus / "long/train")
    assert "net.pth" in (out / "exp" / "import" / "final.json").read_text()
    assert "fine-tuning of" in said
    assert "with a new head" in (out / "exp" / "tune" / "train.log").read_text()
    before = results(out / "exp" / "import" / "results" / "cosine")["eer"]
    after = results(out / "exp" / "tune" / "results" / "cosine")["eer"]
    assert after < min(before, 0.25)
    assert re.search(rf"import,cosine *\| *{100 * before:.2f}%", said)
    assert re.search(rf"tune,cosine *\| *{100 * after:.2f}%", said)


def test_a_network_of_ones_own_can_be_fine_tuned(recipe, trained, corpus):
    out, words, _ = trained
    first = out / "exp" / "small"
    said = run(recipe, *words, "--initial-model", first, "--stage", 1, "--stop-stage", 1, cwd=corpus / "long/train")
    assert "tune: fine-tuning of" in said
    kept = {name: (out / "exp/import" / name).read_bytes() for name in ("final.json", "final.safetensors")}
    assert kept == {name: (first / name).read_bytes() for name in kept}
    front_end = json.loads(kept["final.json"])["front_end"]
    features = load_config(out / "exp" / "tune.yaml").features
    assert (features.type, features.options) == (front_end["type"], front_end["options"])


def test_what_is_wrong_with_the_options_is_said_first(recipe, tmp_path):
    for options, sentence in (
        ([], "say where your recordings are"),
        (["--train", "x"], "--train and --test go together"),
        (["--data", tmp_path / "none"], "no such file or folder"),
        (["--data", tmp_path, "--test", tmp_path], "--data divides one collection"),
        (["--data", tmp_path, "--initial-model", "none.pt"], "none.pt: no such file, and no experiment directory"),
        (["--date", tmp_path], "unknown option --date"),
    ):
        done = start(recipe, *options)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Stage" not in done.stdout


# The choices


def directory(root: Path, speakers: int, seconds: float, utterances: int = 2) -> DataDir:
    root.mkdir(parents=True)
    ids = [
        (f"s{speaker:05d}-{number}", f"s{speaker:05d}") for speaker in range(speakers) for number in range(utterances)
    ]
    (root / "utt2spk").write_text("".join(f"{utterance} {speaker}\n" for utterance, speaker in ids))
    (root / "utt2dur").write_text("".join(f"{utterance} {seconds}\n" for utterance, _ in ids))
    return DataDir(root)


@pytest.mark.parametrize(
    ("speakers", "seconds", "name", "method"),
    [
        (12, 1000, "statistics", "cosine"),
        (120, 1, "statistics", "plda"),
        (200, 10, "lde_xvector", "cosine"),
        (300, 10, "lde_xvector", "plda"),
        (1000, 100, "xvector", "plda"),
        (2000, 500, "ecapa_tdnn", "cosine"),
        (6000, 500, "resnet34", "cosine"),
    ],
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_choice_goes_by_size_and_every_configuration_is_valid(tmp_path, speakers, seconds, name, method, rate):
    train = directory(tmp_path / "train", speakers, seconds)
    test = directory(tmp_path / "test", 4, 3)
    choice = choose_system(train, test, rate, "", "", ORIGINAL / "conf", tmp_path / "exp")
    assert (choice.name, choice.method) == (name, method)
    assert choice.lda_dim < speakers
    assert f"{speakers} speakers" in choice.why
    if choice.config:
        config = load_config(choice.config)
        if config.features.source == "audio":
            assert config.features.options["sample_frequency"] == rate
            assert config.features.options.get("high_freq", 0) <= rate / 2
        assert config.data.chunks_per_utterance * len(train.utterances) >= 2400


@pytest.mark.parametrize(("rates", "said"), [((1.0, 0.0), "accept nobody"), ((0.0, 1.0), "accept everybody")])
def test_a_system_without_a_threshold_is_told_so(tmp_path, rates, said):
    best = {"threshold": None, "miss_rate": rates[0], "false_alarm_rate": rates[1]}
    found = {"eer": 0.4, "min_dcf": {"0.01": {"value": 1.0}}, "decision": {"p_target": 0.01, "empirical": best}}
    (tmp_path / "statistics/results/cosine").mkdir(parents=True)
    (tmp_path / "statistics/results/cosine/results.json").write_text(json.dumps(found))
    word = f"statistics,cosine={tmp_path}/statistics/results/cosine"
    test = directory(tmp_path / "test", 4, 3)
    text = summarize(tmp_path / "statistics", "cosine", [word], test, "", str(tmp_path))
    assert f"Where 1% of the comparisons are of one person, nothing is cheaper than to {said}: this system" in text
    assert f"| {said}" in text


def test_an_import_brings_its_features(tmp_path):
    front_end = FrontEnd("fbank", {"num_mel_bins": 80, "sample_frequency": 16000.0}, ["cmn_utterance"], 80)
    network = build_model("xvector", input_dim=80, channels=8, pooled_channels=8, embedding_dim=8)
    (tmp_path / "import").mkdir()
    model = {"name": "xvector", "channels": 8, "pooled_channels": 8, "embedding_dim": 8}
    save_final(tmp_path / "import", network, None, front_end, {"model": model}, {})
    train, test = directory(tmp_path / "train", 30, 5), directory(tmp_path / "test", 4, 3)
    choice = choose_system(train, test, 16000, "", str(tmp_path / "import"), ORIGINAL / "conf", tmp_path)
    features = load_config(choice.config).features
    assert (features.type, features.cmn, features.vad, features.source) == ("fbank", "utterance", False, "audio")
    assert (choice.name, choice.method) == ("tune", "cosine")


def test_an_import_whose_features_nobody_told_is_refused(tmp_path):
    network = build_model("asv_xvector", input_dim=30, channels=8, pooled_channels=8, embedding_dim=8)
    front_end = FrontEnd("mfcc", None, ["cmvn_utterance"], 30)
    (tmp_path / "import").mkdir()
    save_final(tmp_path / "import", network, None, front_end, {"model": {"name": "asv_xvector"}}, {})
    train, test = directory(tmp_path / "train", 30, 5), directory(tmp_path / "test", 4, 3)
    with pytest.raises(InputError, match="name the file of these options, --mfcc-config FILE"):
        choose_system(train, test, 16000, "", str(tmp_path / "import"), ORIGINAL / "conf", tmp_path)


def test_rates_and_splits():
    assert common_rate([48000] * 99 + [8000])[0] == 16000
    assert common_rate([16000] * 9 + [8000])[0] == 8000
    counts = {f"s{number}": 3 for number in range(50)}
    chosen = split_speakers(counts, 0.2)
    assert len(chosen) == 10
    assert len(split_speakers({**counts, "new": 3}, 0.2) & chosen) >= 9  # one more speaker moves hardly anyone
    assert split_speakers({"a": 1, "b": 2, "c": 2, "d": 1}, 0.2) == {"b", "c"}
    with pytest.raises(InputError, match="at least two are needed on each side"):
        split_speakers({"a": 5, "b": 5, "c": 5}, 0.2)


def test_what_may_be_given(tmp_path):
    (tmp_path / "ann").mkdir()
    assert kind_of(tmp_path)[0] == "tree"
    (tmp_path / "list.csv").write_text("path,speaker\n")
    assert kind_of(tmp_path) == ("table", tmp_path / "list.csv")
    for name in ("wav.scp", "utt2spk"):
        (tmp_path / name).write_text("")
    assert kind_of(tmp_path)[0] == "kaldi"
    with pytest.raises(InputError, match="no such file or folder"):
        kind_of(tmp_path / "none")
