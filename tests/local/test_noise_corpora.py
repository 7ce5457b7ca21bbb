"""MUSAN and RIRS_NOISES: the published trees, pieces as the VoxCeleb trainer cuts them, lists, downloads."""

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local import musan, rirs_noises
from local.common import layouts
from local.common.archives import extract
from spkid.audio import read_audio
from spkid.audio.room_lists import Response, RoomNoise, read_noises, read_responses, write_room_list
from spkid.kaldi import DataDir, InputError
from tests.local.voices import serving


def run(program, *words: object) -> int:
    name = f"{program.__name__.lower()}.py"
    return program.run([name, *map(str, words)], exit=False)[1]


@pytest.fixture(scope="module")
def musan_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora") / "musan"
    random = np.random.default_rng(0)
    noise = [(0.1 * random.standard_normal(n)).astype(np.float32) for n in (16000, 4800, 96000)]
    layouts.musan(root, speech=noise[:2], noises=noise)
    (root / "README").write_text("?")
    return root


@pytest.fixture(scope="module")
def rirs_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora") / "RIRS_NOISES"
    random = np.random.default_rng(0)
    layouts.rirs_noises(root, noises=[random.standard_normal(800).astype(np.float32) for _ in range(3)], rooms=2)
    return root


def test_musan(musan_root, tmp_path, capsys):
    assert run(musan.Musan, "prepare", "--corpus", musan_root, tmp_path) == 0
    noise = DataDir(tmp_path / "musan_noise")
    assert noise.utterances == ["noise-free-sound-0000", "noise-free-sound-0001", "noise-sound-bible-0000"]
    assert noise.read("reco2dur") == noise.read("utt2dur")
    assert noise.read("reco2dur")["noise-free-sound-0001"] == "6.0000"
    assert len(DataDir(tmp_path / "musan_music").utterances) == 4
    said = capsys.readouterr().out
    assert "musan_noise: 3 recordings (published: 930)" in said
    assert "left out" not in said, "README and ANNOTATIONS belong there"


def test_music_without_vocals(musan_root, tmp_path):
    assert run(musan.Musan, "prepare", "--corpus", musan_root, "--use-vocals", "false", tmp_path) == 0
    assert DataDir(tmp_path / "musan_music").utterances == ["music-fma-0000", "music-fma-0002"]


@pytest.mark.parametrize(
    ("seconds", "starts"), [(4.0, []), (5.0, []), (5.1, [0]), (8.0, [0]), (8.1, [0, 3]), (12, [0, 3, 6])]
)
def test_pieces_begin_where_the_trainer_s_do(seconds, starts):
    """It walks over range(0, samples - 5 * 16000, 3 * 16000)."""
    assert starts == [start // 16000 for start in range(0, int(16000 * seconds) - 80000, 48000)]
    assert musan.pieces("a", seconds) == {f"a-{start:05d}": f"a {start} {start + 5}" for start in starts}


def test_pieces_in_a_data_directory(musan_root, tmp_path, capsys):
    assert run(musan.Musan, "prepare", "--corpus", musan_root, "--pieces", tmp_path) == 1, "no speech is long enough"
    shutil.copytree(musan_root, tmp_path / "musan")
    shutil.rmtree(tmp_path / "musan/speech")
    assert run(musan.Musan, "prepare", "--corpus", tmp_path / "musan", "--pieces", tmp_path) == 0
    noise = DataDir(tmp_path / "musan_noise")
    assert noise.utterances == ["noise-free-sound-0001-00000"]
    assert noise.segments["noise-free-sound-0001-00000"].end == 5
    assert noise.read("utt2dur") == {"noise-free-sound-0001-00000": "5.0000"}
    assert "left out 2, no longer than a piece of 5 s" in capsys.readouterr().out


def test_musan_for_telephone_speech(musan_root, tmp_path, capsys):
    assert run(musan.Musan, "prepare", "--corpus", musan_root, "--rate", "8000", tmp_path / "data") == 1
    capsys.readouterr()
    copies = tmp_path / "musan 8k"
    words = ["prepare", "--corpus", musan_root, "--rate", "8000", "--resampled", copies, tmp_path / "data"]
    assert run(musan.Musan, *words) == 0
    for path in DataDir(tmp_path / "data/musan_noise").wav_scp.values():
        assert Path(path).is_relative_to(copies)
        assert read_audio(path)[1] == 8000


def test_rirs_noises(rirs_root, tmp_path, capsys):
    assert run(rirs_noises.RirsNoises, "prepare", "--corpus", rirs_root, tmp_path) == 0
    small = read_responses(tmp_path / "rirs_smallroom/rir_list")
    assert [one.room for one in small] == ["smallroom-Room001"] * 2 + ["smallroom-Room002"] * 2
    data = DataDir(tmp_path / "rirs_smallroom")
    assert data.speakers == ["smallroom-Room001", "smallroom-Room002"]
    assert sorted(data.wav_scp.values()) == sorted(one.location for one in small)
    assert all(read_audio(one.location)[1] == 16000 for one in small)
    (isotropic, _) = read_noises(tmp_path / "rirs_isotropic/noise_list")
    assert isotropic.isotropic
    assert isotropic.room in {one.room for one in read_responses(tmp_path / "rirs_real/rir_list")}
    assert [one.background for one in read_noises(tmp_path / "rirs_pointsource/noise_list")] == [False, True, False]
    assert "rirs_smallroom: 4 responses (published: 20000)" in capsys.readouterr().out


def test_rirs_noises_under_another_name_with_odd_files(rirs_root, tmp_path, capsys):
    root = Path(shutil.copytree(rirs_root, tmp_path / "Räume 28"))
    next(root.glob("simulated_rirs/smallroom/*/*.wav")).unlink()
    next(root.glob("simulated_rirs/mediumroom/*/*.wav")).write_bytes(b"RIFFnoise")
    shutil.copy(next(root.glob("pointsource_noises/*.wav")), root / "pointsource_noises/new.wav")
    assert run(rirs_noises.RirsNoises, "prepare", "--corpus", root, tmp_path / "data") == 0
    said = capsys.readouterr().out
    assert "left out 1, in a list, but not there" in said
    assert "left out 1, cannot be read" in said
    assert "left out 1, in no rir_list or noise_list: pointsource_noises/new.wav" in said
    for one in read_responses(tmp_path / "data/rirs_smallroom/rir_list"):
        assert Path(one.location).is_file()


@pytest.mark.parametrize("program", [musan.Musan, rirs_noises.RirsNoises])
def test_another_folder(program, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(program, "prepare", "--corpus", tmp_path / "empty", tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert "--corpus names the folder" in error
    assert error.count("\n") == 1


def test_lists_are_read_as_they_are_written(tmp_path):
    responses = [Response("1", "room", "/a/b.wav"), Response("2", "room", "/with blank/it's.wav")]
    noises = [RoomNoise("1", "sox x.wav -t wav - |", background=False), RoomNoise("2", "/y.wav", True, room="room")]
    write_room_list(tmp_path / "rir_list", responses)
    write_room_list(tmp_path / "noise_list", noises)
    assert read_responses(tmp_path / "rir_list") == responses
    assert read_noises(tmp_path / "noise_list") == noises


SIGNS = st.characters(exclude_categories=["C", "Z"])
WORDS = st.text(SIGNS, min_size=1, max_size=8).map(lambda name: "id" + "".join(sign for sign in name if sign.isalnum()))
PLACES = st.text(SIGNS | st.sampled_from(" '\"\\|"), min_size=1, max_size=12).map("/{}.wav".format)


@settings(max_examples=200)
@given(st.lists(st.builds(Response, WORDS, WORDS, PLACES), min_size=1, max_size=4))
def test_any_list_is_read_as_it_was_written(responses):
    with tempfile.TemporaryDirectory() as folder:
        write_room_list(f"{folder}/rir_list", responses)
        assert read_responses(f"{folder}/rir_list") == responses


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--rir-id 1 /a.wav", "expected '--rir-id"),
        ("--rir-id 1 --room-id 2", "ends without a file"),
        ("--rir-id 1 --room-id", "nothing follows --room-id"),
        ("--rir-id 1 --room-id 2 --probability 3 /a.wav", "no number from 0 to 1"),
        ("--rir-id 1 --room-id '2 /a.wav", "cannot be understood"),
        ("", "is empty"),
    ],
)
def test_lists_that_cannot_be_understood(line, sentence, tmp_path):
    (tmp_path / "rir_list").write_text(line + "\n")
    with pytest.raises(InputError, match="rir_list.*" + sentence):
        read_responses(tmp_path / "rir_list")


@pytest.fixture
def mirror(tmp_path, musan_root, rirs_root, monkeypatch):
    """A server of both archives, whose checksums are those of the programs."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with tarfile.open(folder / "musan.tar.gz", "w:gz") as tar:
        tar.add(musan_root, "musan")
    with zipfile.ZipFile(folder / "rirs_noises.zip", "w") as archive:
        for path in sorted(rirs_root.rglob("*")):
            archive.write(path, f"RIRS_NOISES/{path.relative_to(rirs_root)}")
    for module, name in ((musan, "musan.tar.gz"), (rirs_noises, "rirs_noises.zip")):
        md5 = hashlib.md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setattr(module, "ARCHIVE", module.ARCHIVE._replace(md5=(md5,)))
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize(("module", "name"), [(musan, "Musan"), (rirs_noises, "RirsNoises")])
def test_downloads_give_corpora_that_can_be_prepared(module, name, mirror, tmp_path, capsys):
    program, content = getattr(module, name), tmp_path / "downloads" / module.ARCHIVE.content
    assert run(program, "download", "--url", mirror.url, tmp_path / "downloads") == 0
    assert "(published: " in capsys.readouterr().out, "a small corpus is not the published one"
    assert run(program, "prepare", "--corpus", content, tmp_path / "data") == 0
    asked = len(mirror.asked)
    assert run(program, "download", "--url", mirror.url, tmp_path / "downloads") == 0
    assert len(mirror.asked) == asked, "nothing is fetched where the files are there"
    next(content.rglob("*.wav")).unlink()
    assert run(program, "download", "--url", mirror.url, tmp_path / "downloads") == 0
    assert len(mirror.asked) == asked + 1
    assert not list((tmp_path / "downloads").glob("*.gz")), "archives go"


def test_a_wrong_checksum(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(musan, "ARCHIVE", musan.ARCHIVE._replace(md5=("0" * 32,)))
    assert run(musan.Musan, "download", "--url", mirror.url, tmp_path / "downloads") == 1
    error = capsys.readouterr().err
    assert "has MD5" in error
    assert "it was thrown away" in error
    assert not list((tmp_path / "downloads").glob("musan*"))


def test_an_archive_that_is_there_is_checked_not_fetched(mirror, tmp_path, capsys):
    (tmp_path / "downloads").mkdir()
    archive = tmp_path / "downloads/musan.tar.gz"
    archive.write_bytes(b"something else")
    assert run(musan.Musan, "download", "--url", mirror.url, tmp_path / "downloads") == 1
    assert "remove it, so that it is fetched again" in capsys.readouterr().err
    shutil.copy(tmp_path / "mirror/musan.tar.gz", archive)
    assert run(musan.Musan, "download", "--url", mirror.url, "--keep-archive", tmp_path / "downloads") == 0
    assert mirror.asked == []
    assert archive.exists()


@pytest.mark.parametrize("member", ["../outside.wav", "/absolute.wav", "musan/../../x.wav"])
def test_zip_members_outside_are_refused(member, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, b"x")
    with pytest.raises(InputError, match="refused"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_links_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        extract(tmp_path / "a.zip", tmp_path / "out")
