"""utils/audit_labels.py on directories with known mistakes: it finds them, ranks them, and changes nothing."""

import hashlib

import numpy as np
import pytest

from spkid.kaldi.tables import VECTOR, TableWriter
from tests.backend.corpus import drawn
from tests.steps.running import refuse, succeed


def write_set(directory, ids, speakers, vectors, audio):
    directory.mkdir(parents=True)
    lines = sorted(zip(ids, speakers, audio, vectors, strict=True))
    (directory / "utt2spk").write_text("".join(f"{one} {speaker}\n" for one, speaker, _, _ in lines))
    members = {}
    for one, speaker, _, _ in lines:
        members.setdefault(speaker, []).append(one)
    (directory / "spk2utt").write_text("".join(f"{key} {' '.join(value)}\n" for key, value in sorted(members.items())))
    for name in {name for _, _, name, _ in lines}:
        (directory / name).write_text(name.split("=")[-1])
    (directory / "wav.scp").write_text("".join(f"{one} {directory / name}\n" for one, _, name, _ in lines))
    with TableWriter(f"ark,scp:{directory}/v.ark,{directory}/v.scp", VECTOR) as writer:
        for one, _, _, vector in lines:
            writer.write(one, vector.astype(np.float32))


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vectors, speakers = drawn(10, (6,), 24, between=40.0)
    names = [f"s{speaker}" for speaker in speakers]
    ids = [f"{name}-u{row:02d}" for row, name in enumerate(names)]
    audio = [f"{row:02d}.wav=content {row:02d}" for row in range(60)]
    vectors[8] = vectors[7] + 1e-3  # a near copy
    audio[13] = "13.wav=content 12"  # a copy of the file of utterance 12
    train = [row for row in range(60) if row not in (40, 41, 42)]
    take = lambda values, rows: [values[row] for row in rows]  # noqa: E731
    labels = list(names)
    labels[20] = "s1"  # the utterance's own name keeps the right speaker, s3
    write_set(tmp_path / "train", take(ids, train), take(labels, train), take(vectors, train), take(audio, train))
    rows = [40, 41, 42, 5]
    test_ids = ["new-u0", "new-u1", "new-u2", "s0-u05"]
    write_set(tmp_path / "test", test_ids, ["new", "new", "new", "s0"], take(vectors, rows), take(audio, rows))
    return tmp_path


def contents(directory):
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def findings(path):
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert [int(row[0]) for row in rows[1:]] == list(range(1, len(rows)))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_known_mistakes_are_found_and_nothing_is_changed(corpus):
    before = contents(corpus / "train"), contents(corpus / "test")
    printed = succeed(
        "audit_labels.py", "--test-data", "test", "--test-vectors", "test/v.scp", "train", "train/v.scp", "audit"
    )
    assert (contents(corpus / "train"), contents(corpus / "test")) == before
    found = findings(corpus / "audit/audit.tsv")
    pairs = {(one["kind"], one["utterance"], one["other"]) for one in found}
    assert ("same audio", "s2-u12", "s2-u13") in pairs
    assert ("same audio", "s0-u05", "s0-u05") in pairs  # in train and in test
    assert ("near copy", "s1-u07", "s1-u08") in pairs
    doubted = [one for one in found if one["kind"] == "other speaker"]
    first = doubted[0]
    assert (first["utterance"], first["speaker"], first["other_speaker"]) == ("s3-u20", "s1", "s3")
    assert [one["speaker"] for one in found if one["kind"] == "speaker in both"] == ["s0"]
    assert ("s6", "new") in {
        (one["speaker"], one["other_speaker"]) for one in found if one["kind"] == "one voice, two names"
    }
    assert "nothing was changed" in printed


def test_without_embeddings_of_the_test_set_only_names_and_audio_are_compared(corpus):
    succeed("audit_labels.py", "--test-data", "test", "train", "train/v.scp", "audit")
    kinds = {one["kind"] for one in findings(corpus / "audit/audit.tsv")}
    assert {"same audio", "speaker in both"} <= kinds
    assert "one voice, two names" not in kinds


def test_vectors_of_another_set_are_refused(corpus):
    with TableWriter("ark,scp:o.ark,o.scp", VECTOR) as writer:
        writer.write("somebody", np.ones(4, np.float32))
    assert "o.scp: has no vector of an utterance of train" in refuse("audit_labels.py", "train", "o.scp", "audit")
    assert not (corpus / "audit/audit.tsv").exists()
