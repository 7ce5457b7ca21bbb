"""How the utterances of a data directory are divided among the jobs that embed them.

The work is cut into batches first, from all utterances by their lengths: of one length, or of nearly one where
the network can be told how much of each row is padding. A batch always holds the same utterances, so that the number of
jobs changes no digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from spkid.data.audio_source import AudioSource, ComputedFeatures, SpeechAudio, open_audio
from spkid.data.front_end import FrontEnd, read_record
from spkid.data.source import FeatureSource, open_source
from spkid.kaldi import InputError

Source = FeatureSource | AudioSource | SpeechAudio | ComputedFeatures
WAVEFORM = "waveform"  # the front end of networks that take waveforms


@dataclass(frozen=True)
class Batching:
    """How utterances are put together.

    Args:
        utterances: most of them in a batch.
        frames: most in a batch, padding counted; a longer utterance is a batch by itself.
        padding: by what share of the shortest one the longest may be longer; 0: all of one length.
    """

    utterances: int
    frames: int
    padding: float = 0.0


def open_for_front_end(
    front_end: FrontEnd, data_dir: str | Path, utterances: Sequence[str] | None, failed: dict[str, str]
) -> Source:
    """What a network wants of a directory: its feats.scp, or features computed from its audio where it has none.

    Refuses (InputError) features that were made otherwise than those of training. Networks that take waveforms read
    audio, and what is counted then are samples. `failed` receives the utterances that cannot be used (id -> reason).
    """
    if reads_audio(front_end, data_dir):
        return open_audio(front_end, data_dir, utterances, failed)
    record = read_record(data_dir)
    front_end.check(record, data_dir)
    source = open_source(data_dir, record, front_end.transforms, utterances, failed)
    if source.ids and source.dims != front_end.dims:
        raise InputError(
            f"{data_dir}: features have {source.dims} dimensions, but the network was trained on {front_end.dims}"
        )
    return source


def reads_audio(front_end: FrontEnd, data_dir: str | Path) -> bool:
    """Whether a directory's audio is read, not its feats.scp."""
    has_features, has_audio = ((Path(data_dir) / name).exists() for name in ("feats.scp", "wav.scp"))
    return front_end.type == WAVEFORM or (has_audio and not has_features)


def cut_batches(ids: Sequence[str], num_frames: np.ndarray, batching: Batching) -> list[list[int]]:
    """Indices of the utterances of each batch, sorted by (frames, id); the longest batch is first.

    The memory that it needs is enough for all that follow: from short to long, on a CPU, each would need a larger
    block, and a process would end with twice the memory. Where memory does not suffice, that shows at once.
    """
    order = sorted(range(len(ids)), key=lambda index: (num_frames[index], ids[index]))
    batches: list[list[int]] = []
    for index in order:
        frames = int(num_frames[index])
        last = batches[-1] if batches else []
        fits = len(last) < batching.utterances and (len(last) + 1) * frames <= batching.frames
        if last and fits and frames <= (1.0 + batching.padding) * num_frames[last[0]]:
            last.append(index)
        else:
            batches.append([index])
    return batches[::-1]


def divide(batches: Sequence[Sequence[int]], num_frames: np.ndarray, jobs: int) -> list[list[Sequence[int]]]:
    """The batches in `jobs` runs of about equal numbers of frames, none of them empty (1 <= jobs <= batches)."""
    ends = np.cumsum([sum(int(num_frames[index]) for index in batch) for batch in batches])
    cuts = [0]
    for job in range(1, jobs):
        wanted = int(np.searchsorted(ends, ends[-1] * job / jobs)) + 1
        cuts.append(min(max(wanted, cuts[-1] + 1), len(batches) - (jobs - job)))
    cuts.append(len(batches))
    return [list(batches[first:stop]) for first, stop in pairwise(cuts)]
