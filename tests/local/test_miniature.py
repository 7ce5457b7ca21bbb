"""Small corpora in the real trees: each is made of real or synthetic voices and prepared by its own program."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from local import miniature
from local.common.marked_speech import marked_recording, speech_intervals
from local.common.walking import MINIATURE
from spkid.audio import read_audio
from spkid.audio.labels import seconds_of
from spkid.kaldi import DataDir
from spkid.kaldi.tables import MATRIX, VECTOR, read_table
from tests.local.test_speechocean762 import make_half

SIX = ("--speakers", 6, "--utterances", 3, "--test-speakers", 2)


def make(*words: object) -> int:
    return miniature.Miniature.run(["miniature.py", *map(str, words)], exit=False)[1]


def prepare(module: str, *words: object) -> None:
    """Runs a corpus' own program on the miniature."""
    name = f"local.{module}"
    loaded = sys.modules.get(name) or importlib.import_module(name)
    program = next(
        kind
        for kind in vars(loaded).values()
        if isinstance(kind, type)
        and kind.__module__ == name
        and getattr(kind, "EXAMPLE", "").startswith(f"local/{module}.py")
    )
    assert program.run([f"{module}.py", *map(str, words)], exit=False)[1] == 0


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A corpus in speechocean762's tree: eight speakers, three utterances each, with words."""
    corpus = tmp_path_factory.mktemp("speechocean762")
    make_half(corpus, "train", range(1, 9), utterances=3)
    utterances = (corpus / "train/utt2spk").read_text().splitlines()
    (corpus / "train/text").write_text("".join(f"{line.split()[0]}\tSOME WORDS\n" for line in utterances))
    return corpus


CORPORA = {
    "voxceleb": (
        "voxceleb",
        ["prepare", "--voxceleb1", "ROOT/voxceleb1", "--voxceleb2", "ROOT/voxceleb2"],
        "voxceleb1_test",
    ),
    "aishell": ("aishell", ["prepare", "--corpus", "ROOT/data_aishell", "--utterances", 2], "test"),
    "librispeech": ("librispeech", ["prepare", "--corpus", "ROOT/LibriSpeech"], "test_clean"),
    "cn_celeb": (
        "cn_celeb",
        ["prepare", "--cn-celeb1", "ROOT/CN-Celeb_flac", "--cn-celeb2", "ROOT/CN-Celeb2_flac"],
        "cnceleb_eval",
    ),
    "pav": (
        "pav",
        ["--db-path", "ROOT/mcp", "--tr-list-file", "ROOT/lists/train.list", "--te-list-file", "ROOT/lists/test.list"],
        "test",
    ),
    "vad": ("vad_lab", ["mat", "--list", "ROOT/train.lst"], ""),
    "directory": ("directory", ["--corpus", "ROOT/test"], ""),
    "musan": ("musan", ["prepare", "--corpus", "ROOT/musan"], "musan_speech"),
    "rirs_noises": ("rirs_noises", ["prepare", "--corpus", "ROOT/RIRS_NOISES"], "rirs_smallroom"),
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_what_is_made_can_be_prepared(corpus, speech, tmp_path, capsys):
    root = tmp_path / "corpus"
    assert make(corpus, "--speech", speech, *SIX, root) == 0
    module, words, directory = CORPORA[corpus]
    prepare(module, *[str(word).replace("ROOT", str(root)) for word in words], tmp_path / "data")
    assert "left out" not in capsys.readouterr().out, "nothing in it is odd"
    given = root / {"librispeech": "LibriSpeech", "musan": "musan", "rirs_noises": "RIRS_NOISES"}.get(corpus, "")
    assert [path.parent for path in root.rglob(MINIATURE)] == [given], "where recipes look for it, below --corpus"
    assert len((given / MINIATURE).read_text().splitlines()) == 1
    data = DataDir(tmp_path / "data" / directory)
    data.check()
    assert data.utterances
    if corpus in ("voxceleb", "aishell", "librispeech", "cn_celeb"):
        assert len(data.speakers) == 2
    assert make(corpus, "--speech", speech, *SIX, root) == 0
    assert "done already" in capsys.readouterr().out


def test_corpora_share_a_directory_and_are_made_anew_apart(speech, tmp_path, capsys):
    assert make("librispeech", "--speech", speech, *SIX, tmp_path) == 0
    assert make("musan", "--speech", speech, *SIX, tmp_path) == 0
    before = len(list((tmp_path / "LibriSpeech").rglob("*.flac")))
    assert make("musan", "--speech", speech, "--speakers", 3, "--utterances", 1, "--test-speakers", 1, tmp_path) == 0
    assert len(list((tmp_path / "musan/speech").rglob("*.wav"))) == 3
    assert len(list((tmp_path / "LibriSpeech").rglob("*.flac"))) == before == 18
    (tmp_path / "data_aishell").mkdir()
    assert make("aishell", "--speech", speech, *SIX, tmp_path) == 1
    assert "was not made by this program" in capsys.readouterr().err


def test_telephone_speech_in_meetings(speech, tmp_path):
    words = ["--rate", 8000, "--long", *SIX]
    assert make("directory", "--speech", speech, *words, tmp_path / "corpus") == 0
    train = tmp_path / "corpus/train"
    prepare("directory", "--corpus", train, "--table", train / "table.csv", tmp_path / "data")
    data = DataDir(tmp_path / "data")
    data.check(needs=("wav.scp", "segments"))
    assert len(data.speakers) == 4
    assert len(data.wav_scp) == 3
    assert len(data.utterances) == 12
    assert all(read_audio(path)[1] == 8000 for path in data.wav_scp.values())


def test_both_kinds_of_labels_say_the_same(speech, tmp_path):
    assert make("vad", "--speech", speech, *SIX, "--rate", 8000, tmp_path / "corpus") == 0
    root = tmp_path / "corpus"
    prepare("vad_lab", "mat", "--list", root / "valid.lst", tmp_path / "mat")
    for kind in ("voz", "lab"):
        prepare("vad_lab", "labels", "--corpus", root / "wav/valid", "--kind", kind, tmp_path / kind)
    marked = [vector for _, vector in read_table(f"scp:{tmp_path / 'mat/vad.scp'}", VECTOR)]
    for kind in ("voz", "lab"):
        for one, other in zip(marked, read_table(f"scp:{tmp_path / kind / 'vad.scp'}", VECTOR), strict=True):
            assert len(one) == len(other[1])
            assert np.mean(one != other[1]) < 0.02
    shares = np.concatenate(marked).mean()
    assert 0 < shares < 1
    matrix = next(iter(read_table(f"scp:{tmp_path / 'mat/feats.scp'}", MATRIX)))[1]
    assert matrix.shape[1] == 20


def test_synthetic_voices(tmp_path, capsys):
    words = ["--speakers", 3, "--utterances", 2, "--test-speakers", 1]
    assert make("librispeech", *words, tmp_path) == 0
    assert "nobody speaks here" in capsys.readouterr().out
    assert len(list((tmp_path / "LibriSpeech").rglob("*.flac"))) == 6
    assert make("librispeech", "--speakers", 41, tmp_path) == 1
    assert "40 synthetic voices" in capsys.readouterr().err
    assert make("librispeech", "--speakers", 8, tmp_path) == 1
    assert "leave none to train" in capsys.readouterr().err


def test_speech_is_marked_before_the_noise():
    random = np.random.default_rng(0)
    rate = 8000
    time = np.arange(rate) / rate
    word = (0.3 * np.sin(2 * np.pi * 300 * time) * (time > 0.2) * (time < 0.8)).astype(np.float32)
    ((start, end),) = speech_intervals(word, rate)
    assert (start, end) == pytest.approx((0.2, 0.8), abs=0.02)
    clean, marks = marked_recording([word, word], rate, np.random.default_rng(1), snr=60)
    noisy, same = marked_recording([word, word], rate, np.random.default_rng(1), random.standard_normal(500), snr=0)
    assert marks == same
    assert seconds_of(marks) == pytest.approx(1.2, abs=0.05)
    assert len(clean) == len(noisy)
    for start, end in marks:
        inside = clean[int((start + 0.02) * rate) : int((end - 0.02) * rate)]
        assert np.mean(inside**2) > 100 * np.mean(clean[: int(0.3 * rate)] ** 2)


def test_every_maker_has_help_with_an_example(capsys):
    for name in CORPORA:
        make(name, "--help")
        assert "Example:" in capsys.readouterr().out
    assert make() == 1
    assert "say which corpus" in capsys.readouterr().err


def test_a_voice_reads_its_own_words(speech):
    voices = miniature.recorded_voices(Path(speech), 8000)
    assert len(voices) == 8
    assert all(text == "SOME WORDS" for voice in voices for text in voice.texts)
    assert len(voices[0].read(0)) == 800
