"""Tables of vectors (embeddings, means) as one matrix with its ids, checked on the way in."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import is_pipe
from spkid.kaldi.lists import read_id_map
from spkid.kaldi.tables import MATRIX, VECTOR, Holder, is_table, read_table

NUM_SHOWN = 5


@dataclass(frozen=True)
class VectorTable:
    """Vectors by id: `matrix` (ids, dims), in the type they were stored in, its rows in the order of `ids`."""

    ids: list[str]
    matrix: np.ndarray
    source: str

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each id."""
        return {key: row for row, key in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)


def table_specifier(text: str) -> str:
    """The rspecifier a user means: `x.scp` and `x.ark` may be given without the kind in front."""
    if is_table(text):
        return text
    if text.endswith((".scp", ".ark")):
        return f"{text[-3:]}:{text}"
    raise InputError(f"{text!r} is no table of vectors: give a file in .scp or .ark, or for example 'ark:command |'")


def table_file(rspecifier: str) -> list[str]:
    """The file behind an rspecifier, as a list of one; empty for a pipe. What a step's fingerprint can watch."""
    file = rspecifier.partition(":")[2]
    return [] if is_pipe(file) or file in ("", "-") else [file]


def load_vectors(rspecifier: str, wanted: Collection[str] | None = None) -> VectorTable:
    """Reads the vectors of a table.

    Args:
        rspecifier: Kaldi's, such as `scp:exp/xvector/xvector.scp`; for a name in .scp or .ark the kind may be left out.
        wanted: keep these ids only.

    Raises:
        InputError: the table cannot be read, has no (wanted) vector, an id twice, vectors of different sizes, or a
            vector that is empty or not finite.
    """
    return _load(rspecifier, VECTOR, wanted)


def load_crops(rspecifier: str, wanted: Collection[str] | None = None) -> VectorTable:
    """Reads a table of matrices (crops, dims), one a recording and all of one shape: `matrix` is (ids, crops, dims).

    Arguments and errors as for `load_vectors`.
    """
    return _load(rspecifier, MATRIX, wanted)


def _load(rspecifier: str, holder: Holder, wanted: Collection[str] | None) -> VectorTable:
    rspecifier = table_specifier(rspecifier)
    vectors: dict[str, np.ndarray] = {}
    shape: tuple[int, ...] = ()
    for key, vector in read_table(rspecifier, holder):
        if wanted is not None and key not in wanted:
            continue
        if key in vectors:
            raise InputError(f"{rspecifier}: the id {key} comes twice")
        shape = shape or vector.shape
        if vector.shape != shape or vector.size == 0:
            found, first = (" x ".join(map(str, part)) for part in (vector.shape, shape))
            raise InputError(f"{rspecifier}: the vector of {key} has {found} dimensions, the first has {first}")
        if not np.isfinite(vector).all():
            raise InputError(f"{rspecifier}: the vector of {key} is not finite: extract it again or leave it out")
        vectors[key] = vector
    if not vectors:
        if not wanted:
            raise InputError(f"{rspecifier}: holds no vector")
        example = min(wanted)
        raise InputError(
            f"{rspecifier}: holds no vector of the {len(wanted)} ids asked for, such as {example}: "
            "are list and vectors of the same set?"
        )
    return VectorTable(list(vectors), np.stack(list(vectors.values())), rspecifier)


def speakers_of(
    table: VectorTable, utt2spk: Mapping[str, str], source: str, min_fraction: float = 0.95
) -> tuple[np.ndarray, list[str], str]:
    """The vectors that have a speaker.

    Args:
        table: the vectors.
        utt2spk: speaker of each utterance.
        source: where `utt2spk` came from, for messages.
        min_fraction: the least share of the utterances that must have a vector.

    Returns:
        (vectors, dims) matrix, (vectors,) speakers, and a remark about what was left out (empty if nothing was).

    Raises:
        InputError: fewer utterances than `min_fraction` have a vector.
    """
    missing = [key for key in utt2spk if key not in table.rows]
    kept = [row for row, key in enumerate(table.ids) if key in utt2spk]
    if len(utt2spk) - len(missing) < min_fraction * len(utt2spk) or not kept:
        raise InputError(
            f"{table.source}: {len(missing)} of the {len(utt2spk)} utterances of {source} have no vector: "
            f"{first_ids(missing)}"
        )
    remarks = []
    if missing:
        remarks.append(f"{len(missing)} utterances of {source} have no vector: {first_ids(missing)}")
    if len(kept) < len(table):
        others = [key for key in table.ids if key not in utt2spk]
        remarks.append(f"{len(others)} vectors have no speaker in {source}: {first_ids(others)}")
    return table.matrix[kept], [utt2spk[table.ids[row]] for row in kept], "; ".join(remarks)


def speaker_means(table: VectorTable, utt2spk: Mapping[str, str], source: str) -> VectorTable:
    """One vector a speaker, the mean of the speaker's; ids are the speakers, sorted.

    Raises:
        InputError: a vector has no speaker.
    """
    unknown = [key for key in table.ids if key not in utt2spk]
    if unknown:
        raise InputError(f"{source}: no speaker for {len(unknown)} vectors of {table.source}: {first_ids(unknown)}")
    speakers, codes, counts = np.unique([utt2spk[key] for key in table.ids], return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(table.matrix[np.argsort(codes, kind="stable")], starts, axis=0, dtype=np.float64)
    means = (sums / counts[:, None]).astype(table.matrix.dtype)
    return VectorTable(speakers.tolist(), means, f"{table.source} by {source}")


def utterance_counts(ids: Sequence[str], path: str) -> np.ndarray:
    """(ids,) how many utterances were averaged into each vector, as a file of lines `id n` (num_utts.ark) says.

    Raises:
        InputError: an id has no number of 1 or more there.
    """
    given = read_id_map(path)
    counts = []
    for key in ids:
        if not given.get(key, "").isdecimal() or int(given[key]) == 0:
            raise InputError(f"{path}: no number of utterances, 1 or more, for the model {key}")
        counts.append(int(given[key]))
    return np.array(counts)


@contextlib.contextmanager
def blaming(source: str) -> Iterator[None]:
    """Turns a ValueError of the numerical parts into an InputError that names the user's data."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None


def first_ids(ids: Sequence[str]) -> str:
    """The first few ids for a message, with dots where there are more."""
    return " ".join(ids[:NUM_SHOWN]) + (" ..." if len(ids) > NUM_SHOWN else "")
