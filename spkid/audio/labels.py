"""Where somebody marked speech: label files of four kinds as intervals in seconds, and as decisions frame by frame.

    .rttm          NIST's: SPEAKER <recording> <channel> <start> <duration> ... in seconds
    .lab           start, end, label: seconds where they are written with a point, else HTK's units of 100 ns
    .txt           Audacity's label track: start, end, label, in seconds
    .voz           one 0 or 1 a sample (the files of the LSTM laboratory sheet); needs the sample rate

A label says silence where it is one of `NOT_SPEECH`, and speech otherwise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spkid.kaldi import InputError

Interval = tuple[float, float]

NOT_SPEECH = {
    *("0", "s", "n", "sil", "!sil", "silence", "sp", "pau", "pause", "noise", "music", "#", "h#", "_"),
    *("nonspeech", "non-speech", "non_speech"),
}
HTK_UNITS = 10_000_000  # a second
SUFFIXES = (".rttm", ".lab", ".txt", ".voz")


def read_labels(path: str | Path, *, rate: float | None = None, recording: str | None = None) -> list[Interval]:
    """The speech that a label file marks: (start, end) in seconds, in order, none touching another.

    Args:
        path: its ending tells the kind (`SUFFIXES`).
        rate: samples a second of the recording; `.voz` files need it.
        recording: of an `.rttm` file only the lines of this recording; by default all.

    Raises:
        InputError: a kind that is not known, a line that cannot be understood (named), no line at all.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(f"{path}: labels are read from files in {', '.join(SUFFIXES)}; this ends in '{path.suffix}'")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8; is it a label file?") from None
    if kind == ".voz":
        return _samples(path, text, rate)
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if kind == ".rttm":
        return merge(_rttm(path, lines, recording))
    return merge(_intervals(path, lines, htk=kind == ".lab"))


def merge(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time as intervals in order, of which none overlaps or touches another."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def seconds_of(intervals: Sequence[Interval]) -> float:
    """Their length together."""
    return float(sum(end - start for start, end in intervals))


def frame_labels(
    intervals: Sequence[Interval], num_frames: int, shift: float = 0.01, length: float = 0.0
) -> np.ndarray:
    """Decisions frame by frame, (num_frames,) float32 of 0 and 1, as vad.scp holds them.

    Frame i is speech where its centre, i * shift + length / 2 seconds, lies in an interval.
    """
    centres = np.arange(num_frames) * shift + length / 2
    bounds = np.array(merge(intervals), np.float64).reshape(-1, 2)
    before = np.searchsorted(bounds[:, 0], centres, side="right") - 1
    inside = (before >= 0) & (centres < bounds[np.maximum(before, 0), 1]) if len(bounds) else np.zeros(num_frames, bool)
    return inside.astype(np.float32)


def intervals_of(decisions: np.ndarray, shift: float = 0.01) -> list[Interval]:
    """The runs of ones in decisions (frames,), `shift` seconds a frame, as intervals."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(decisions) > 0.5, [0]]).astype(np.int8)))
    return [(float(start * shift), float(end * shift)) for start, end in edges.reshape(-1, 2)]


def _samples(path: Path, text: str, rate: float | None) -> list[Interval]:
    if not rate:
        raise InputError(f"{path}: holds a value a sample, so the sample rate must be known: give its recording too")
    digits = np.frombuffer("".join(text.split()).encode(), np.uint8)
    if not len(digits) or not np.isin(digits, (ord("0"), ord("1"))).all():
        raise InputError(f"{path}: must hold a 0 or a 1 for every sample and nothing else")
    return intervals_of(digits - ord("0"), 1.0 / rate)


def _rttm(path: Path, lines: list[tuple[int, list[str]]], recording: str | None) -> list[Interval]:
    intervals, others = [], set()
    for number, words in lines:
        if words[0] != "SPEAKER":
            continue
        if len(words) < 5:
            raise InputError(f"{path}, line {number}: SPEAKER <recording> <channel> <start> <duration> is needed")
        if recording is not None and words[1] != recording:
            others.add(words[1])
            continue
        start, duration = _times(path, number, words[3:5])
        intervals.append((start, start + duration))
    if not intervals and others:
        raise InputError(f"{path}: has no line of recording {recording}; it has {', '.join(sorted(others)[:3])}")
    if not intervals:
        raise InputError(f"{path}: has no line that begins with SPEAKER")
    return intervals


def _intervals(path: Path, lines: list[tuple[int, list[str]]], htk: bool) -> list[Interval]:
    lines = [(number, words) for number, words in lines if not words[0].startswith(("\\", "#"))]  # Audacity: pitches
    if not lines:
        raise InputError(f"{path}: is empty; a line is: start end label")
    units = HTK_UNITS if htk and not any("." in word for _, words in lines for word in words[:2]) else 1
    intervals = []
    for number, words in lines:
        if len(words) < 2:
            raise InputError(f"{path}, line {number}: start, end and a label are needed, not '{' '.join(words)}'")
        start, end = _times(path, number, words[:2])
        if end < start:
            raise InputError(f"{path}, line {number}: the interval ends before it starts")
        if " ".join(words[2:]).lower() not in NOT_SPEECH:
            intervals.append((start / units, end / units))
    return intervals


def _times(path: Path, number: int, words: Sequence[str]) -> tuple[float, float]:
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        raise InputError(f"{path}, line {number}: '{' '.join(words)}' are not two times") from None
    if not (np.isfinite([first, second]).all() and first >= 0 and second >= 0):
        raise InputError(f"{path}, line {number}: times are numbers from 0 on, not {' '.join(words)}")
    return first, second
