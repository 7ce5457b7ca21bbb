"""Data directories for tests: a sound one, and every way to break it."""

from collections.abc import Callable
from pathlib import Path

SPEAKERS = ("ann", "bob", "cid", "eve")
UTTERANCES = tuple(f"{speaker}-{number}" for speaker in SPEAKERS for number in range(3))


def make_data_dir(folder: Path) -> Path:
    """Four speakers with three utterances each; audio files of a few bytes (only looked at by name and size)."""
    folder.mkdir(parents=True, exist_ok=True)
    audio = folder.parent / "audio"
    audio.mkdir(exist_ok=True)
    for utterance in UTTERANCES:
        (audio / f"{utterance}.wav").write_bytes(b"RIFF")
    archive = folder.parent / "feats.ark"
    archive.write_bytes(b"x")
    write(folder / "utt2spk", [f"{utterance} {utterance[:3]}" for utterance in UTTERANCES])
    write(folder / "spk2utt", [f"{s} " + " ".join(u for u in UTTERANCES if u[:3] == s) for s in SPEAKERS])
    write(folder / "wav.scp", [f"{utterance} {audio}/{utterance}.wav" for utterance in UTTERANCES])
    write(folder / "spk2gender", ["ann f", "bob m", "cid m", "eve f"])
    write(folder / "utt2dur", [f"{utterance} {1 + number % 3}.5" for number, utterance in enumerate(UTTERANCES)])
    write(folder / "utt2num_frames", [f"{utterance} {98 + number}" for number, utterance in enumerate(UTTERANCES)])
    write(folder / "text", [f"{utterance} some  words\tof ünïcode" for utterance in UTTERANCES])
    for name in ("feats.scp", "vad.scp"):
        write(folder / name, [f"{utterance} {archive}:{number * 10}" for number, utterance in enumerate(UTTERANCES)])
    return folder


def write(path: Path, lines: list[str]) -> None:
    """Writes lines as UTF-8."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def edit(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """A way to break a directory: `change` gets the lines of one file."""

    def apply(folder: Path) -> None:
        path = folder / name
        write(path, change(path.read_text(encoding="utf-8").splitlines()))

    return apply


def put(name: str, content: bytes) -> Callable[[Path], None]:
    """A way to break a directory: a file with other content."""
    return lambda folder: (folder / name).write_bytes(content) and None


def drop(name: str) -> Callable[[Path], None]:
    """A way to break a directory: a file is not there."""
    return lambda folder: (folder / name).unlink()


def crlf(name: str) -> Callable[[Path], None]:
    """A way to break a directory: Windows line ends."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n")) and None


def _audio(folder: Path, utterance: str) -> Path:
    return folder.parent / "audio" / f"{utterance}.wav"


def _swap(lines: list[str]) -> list[str]:
    return [lines[1], lines[0], *lines[2:]]


# name -> (how to break the directory, words of the error, whether fix_data_dir repairs it)
BROKEN: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "no utt2spk": (drop("utt2spk"), "utt2spk: no such file", True),
    "no spk2utt": (drop("spk2utt"), "spk2utt: no such file", True),
    "no wav.scp": (drop("wav.scp"), "wav.scp: no such file", False),
    "no feats.scp": (drop("feats.scp"), "feats.scp: no such file", False),
    "empty wav.scp": (put("wav.scp", b""), "wav.scp: is empty", False),
    "empty utt2spk": (put("utt2spk", b""), "utt2spk: is empty", False),
    "unsorted utt2spk": (edit("utt2spk", _swap), "utt2spk: is not sorted by bytes", True),
    "unsorted wav.scp": (edit("wav.scp", _swap), "wav.scp: is not sorted by bytes", True),
    "unsorted feats.scp": (edit("feats.scp", _swap), "feats.scp: is not sorted by bytes", True),
    "unsorted spk2utt": (edit("spk2utt", _swap), "spk2utt: is not sorted by bytes", True),
    "duplicate in utt2spk": (edit("utt2spk", lambda x: [x[0], *x]), "the id ann-0 stands on more than one line", True),
    "duplicate in wav.scp": (edit("wav.scp", lambda x: [*x, x[0]]), "wav.scp: the id ann-0 stands on more", True),
    "two values": (edit("wav.scp", lambda x: [x[0], x[0] + "2", *x[1:]]), "ann-0 stands on more than one", True),
    "wav.scp lacks one": (edit("wav.scp", lambda x: x[1:]), "wav.scp: lacks 1 utterance(s) of utt2spk", True),
    "feats.scp lacks two": (edit("feats.scp", lambda x: x[2:]), "feats.scp: lacks 2 utterance(s) of utt2spk", True),
    "vad.scp lacks one": (edit("vad.scp", lambda x: x[:-1]), "the first is eve-2", True),
    "utt2dur lacks one": (edit("utt2dur", lambda x: x[1:]), "utt2dur: lacks 1", True),
    "wav.scp has more": (edit("wav.scp", lambda x: [*x, "zoe-0 true |"]), "the first is zoe-0", True),
    "utt2spk lacks one": (edit("utt2spk", lambda x: x[1:]), "spk2utt: speaker ann has other utterances", True),
    "spk2utt lacks one": (edit("spk2utt", lambda x: x[1:]), "spk2utt: lacks 1 speaker(s) of utt2spk", True),
    "spk2gender has more": (edit("spk2gender", lambda x: [*x, "zoe f"]), "the first is zoe", True),
    "no gender": (edit("spk2gender", lambda x: ["ann x", *x[1:]]), "ann has 'x' where m or f belongs", False),
    "blank in an id": (edit("utt2spk", lambda x: ["ann 0 ann", *x[1:]]), "an id cannot hold a blank", True),
    "blank in a recording's id": (
        edit("wav.scp", lambda x: [x[0].replace("ann-0", "ann -0", 1), *x[1:]]),
        "the first is ann (does an id hold a blank?)",
        True,
    ),
    "no value": (edit("utt2dur", lambda x: ["ann-0", *x[1:]]), "line 1 holds the id 'ann-0' and nothing", True),
    "blank line": (edit("text", lambda x: [*x[:4], "", *x[4:]]), "text: line 5 is blank", True),
    "not UTF-8": (put("text", b"ann-0 caf\xe9\n"), "text: line 1 is not UTF-8 (byte 0xE9)", False),
    "cut inside a character": (put("text", "ann-0 é".encode()[:-1]), "text: line 1 is not UTF-8", False),
    "CRLF": (crlf("utt2spk"), "utt2spk: line 1 ends as Windows ends lines", True),
    "control character": (edit("utt2spk", lambda x: ["ann\x07-0 ann", *x[1:]]), "does not print", True),
    "non-breaking blank": (edit("utt2spk", lambda x: ["ann\u00a0-0 ann", *x[1:]]), "does not print", True),
    "zero width": (edit("wav.scp", lambda x: ["\ufeff" + x[0], *x[1:]]), "wav.scp: line 1: the id", True),
    "missing audio": (lambda folder: _audio(folder, "bob-1").unlink(), "recording bob-1: no such file", False),
    "empty audio": (lambda folder: _audio(folder, "bob-1").write_bytes(b""), "bob-1.wav is empty", False),
    "command without |": (edit("wav.scp", lambda x: ["ann-0 sox a.wav -", *x[1:]]), "must end with |", False),
    "no archive": (lambda folder: (folder.parent / "feats.ark").unlink(), "make the features again", False),
    "no duration": (edit("utt2dur", lambda x: ["ann-0 soon", *x[1:]]), "ann-0 has 'soon' where a number", False),
    "negative duration": (edit("utt2dur", lambda x: ["ann-0 -1", *x[1:]]), "'-1' where a number above 0", False),
    "half a frame": (edit("utt2num_frames", lambda x: ["ann-0 1.5", *x[1:]]), "where a number of frames", False),
}


def with_segments(folder: Path) -> Path:
    """The same directory cut from two long recordings."""
    audio = folder.parent / "audio"
    write(folder / "wav.scp", [f"r1 {audio}/ann-0.wav", f"r2 {audio}/ann-1.wav"])
    lines = [f"{u} r{1 + (i > 5)} {i % 6}.0 {i % 6}.9" for i, u in enumerate(UTTERANCES)]
    write(folder / "segments", lines)
    write(folder / "reco2dur", ["r1 6.0", "r2 6.0"])
    return folder


BROKEN_SEGMENTS: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "out of range": (edit("segments", lambda x: ["ann-0 r1 5 8", *x[1:]]), "lies outside its recording r1", False),
    "backwards": (edit("segments", lambda x: ["ann-0 r1 3 2", *x[1:]]), "from 3 to 2 seconds cannot be", True),
    "three fields": (edit("segments", lambda x: ["ann-0 r1 3", *x[1:]]), "expected 'recording start end", True),
    "no recording": (edit("wav.scp", lambda x: x[:1]), "wav.scp: lacks 1 recording(s) of segments", True),
    "unused recording": (edit("wav.scp", lambda x: [*x, "r3 true |"]), "the first is r3", True),
    "lacks one": (edit("segments", lambda x: x[1:]), "segments: lacks 1 utterance(s) of utt2spk", True),
}
