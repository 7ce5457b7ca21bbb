"""The file `segments`: which part of which recording an utterance is."""

from typing import NamedTuple

from spkid.kaldi.errors import InputError


class Segment(NamedTuple):
    """A part of a recording, in seconds; `end` -1 is the recording's end, `channel` -1 is unspecified."""

    recording: str
    start: float
    end: float
    channel: int = -1


def parse_segment(utterance: str, text: str, path: str) -> Segment:
    """Parses what follows the utterance id on a line of `segments`: `recording start end [channel]`.

    Raises:
        InputError: wrong number of fields, times that are no numbers, or an end that is not after the start.
    """
    fields = text.split()
    if len(fields) not in (3, 4):
        raise InputError(
            f"{path}: utterance {utterance}: expected 'recording start end [channel]' behind it, got {text!r}"
        )
    try:
        start, end = float(fields[1]), float(fields[2])
        channel = int(fields[3]) if len(fields) == 4 else -1
    except ValueError:
        raise InputError(f"{path}: utterance {utterance}: start, end or channel is not a number in {text!r}") from None
    if not (0 <= start < end < float("inf") or (end == -1 and start >= 0)):
        raise InputError(
            f"{path}: utterance {utterance}: a segment from {fields[1]} to {fields[2]} seconds cannot be; "
            "the start must be at least 0 and the end after it (or -1 for the recording's end)"
        )
    return Segment(fields[0], start, end, channel)
