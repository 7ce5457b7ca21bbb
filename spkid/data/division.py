"""How the utterances of a data directory are divided among the jobs that embed them.

The work is cut into batches first: utterances of one length, sorted by (frames, id). A batch always holds the same
utterances, so that the number of jobs changes no digit.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from spkid.data.front_end import FrontEnd, read_record
from spkid.data.source import FeatureSource, open_source
from spkid.kaldi import InputError


def open_for_front_end(
    front_end: FrontEnd, data_dir: str | Path, utterances: Sequence[str] | None, failed: dict[str, str]
) -> FeatureSource:
    """The features of a directory as a network wants them; refuses (InputError) those that were made otherwise.

    `failed` receives the utterances that cannot be used, as in `FeatureSource`.
    """
    record = read_record(data_dir)
    front_end.check(record, data_dir)
    source = open_source(data_dir, record, front_end.transforms, utterances, failed)
    if source.ids and source.dims != front_end.dims:
        raise InputError(
            f"{data_dir}: features have {source.dims} dimensions, but the network was trained on {front_end.dims}"
        )
    return source


def cut_batches(source: FeatureSource, batch_size: int, chunk_frames: int) -> list[list[int]]:
    """Indices of utterances of one length, at most `batch_size` of them and at most `chunk_frames` frames together."""
    order = sorted(range(len(source)), key=lambda index: (source.num_frames[index], source.ids[index]))
    batches: list[list[int]] = []
    for index in order:
        frames = int(source.num_frames[index])
        last = batches[-1] if batches else []
        fits = len(last) < batch_size and (len(last) + 1) * frames <= chunk_frames
        if last and fits and source.num_frames[last[0]] == frames:
            last.append(index)
        else:
            batches.append([index])
    return batches


def divide(batches: Sequence[Sequence[int]], num_frames: np.ndarray, jobs: int) -> list[list[Sequence[int]]]:
    """The batches in `jobs` runs of about equal numbers of frames, none of them empty (1 <= jobs <= batches)."""
    ends = np.cumsum([sum(int(num_frames[index]) for index in batch) for batch in batches])
    cuts = [0]
    for job in range(1, jobs):
        wanted = int(np.searchsorted(ends, ends[-1] * job / jobs)) + 1
        cuts.append(min(max(wanted, cuts[-1] + 1), len(batches) - (jobs - job)))
    cuts.append(len(batches))
    return [list(batches[first:stop]) for first, stop in pairwise(cuts)]
