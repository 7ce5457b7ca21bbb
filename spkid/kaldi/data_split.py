"""Cutting a data directory into parts of about equal duration, so that parallel jobs end together."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from spkid.kaldi.data_dir import DataDir
from spkid.kaldi.data_subset import write_parts
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import group_by_value


def balanced_cuts(weights: Sequence[float], number: int) -> list[int]:
    """Cuts a sequence into consecutive, non-empty parts of about equal weight.

    Each cut falls where the weight so far is nearest to its share of the total: no part is further from the mean than
    the largest item. The result depends on the arguments alone.

    Args:
        weights: one weight per item, 0 or more.
        number: of parts, at most the number of items.

    Returns:
        `number + 1` indices: part i is items `cuts[i]:cuts[i + 1]`.
    """
    if not 1 <= number <= len(weights):
        raise ValueError(f"{len(weights)} items cannot be cut into {number} parts")
    sums = list(accumulate(weights))
    cuts = [0]
    for part in range(1, number):
        goal = sums[-1] * part / number
        index = bisect_left(sums, goal)  # the first item whose end reaches the goal
        below = sums[index - 1] if index else 0.0
        cut = index if goal - below <= sums[index] - goal else index + 1
        cuts.append(min(max(cut, cuts[-1] + 1), len(weights) - (number - part)))
    return [*cuts, len(weights)]


def assign_parts(data: DataDir, number: int, *, per_utterance: bool = False) -> dict[bytes, int]:
    """The part, from 0, of each utterance: consecutive, of about equal duration, speakers whole unless `per_utterance`.

    Durations are those of utt2dur, segments or utt2num_frames; without them every utterance counts the same.

    Raises:
        InputError: fewer speakers (`per_utterance`: utterances) than parts.
    """
    utt2spk = data.table("utt2spk").sorted()
    if per_utterance:
        groups = [[utterance] for utterance in utt2spk.keys]
    else:
        groups = [members.split() for members in group_by_value(utt2spk).values]
    if number < 1 or number > len(groups):
        advice = "use at most that many jobs" + ("" if per_utterance else ", or split by utterance (--per-utt)")
        kind = "utterances" if per_utterance else "speakers"
        raise InputError(f"{data.root}: {len(groups)} {kind} cannot be split into {number} parts: {advice}")
    durations = data.durations()
    if durations is None:
        weights = [float(len(group)) for group in groups]
    else:
        # An utterance without a length is found by `check`; here it only makes the balance a little worse.
        weights = [sum(durations.get(utterance, 0.0) for utterance in group) for group in groups]
    cuts = balanced_cuts(weights, number)
    return {
        utterance: part
        for part in range(number)
        for group in groups[cuts[part] : cuts[part + 1]]
        for utterance in group
    }


def split_data_dir(data: DataDir, number: int, *, per_utterance: bool = False) -> list[DataDir]:
    """See `DataDir.split`."""
    part_of = assign_parts(data, number, per_utterance=per_utterance)
    parent = data.path(f"split{number}utt" if per_utterance else f"split{number}")
    return write_parts(data, part_of, [os.path.join(parent, str(part)) for part in range(1, number + 1)])
