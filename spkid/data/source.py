"""The features of a data directory as the network sees them, by the row.

Mean normalisation and the removal of non-speech are done on the fly where the directory has not applied them, and give
exactly what written-out features hold. Only the rows behind the rows asked for are read (for `cmn_utterance`: all, so
keep such a set in memory).
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spkid.data.front_end import DEVIATION_FLOOR, FRAME_KIND, FeatureRecord, sliding_window
from spkid.features import CmvnOptions, apply_cmvn_sliding, cmvn_window
from spkid.features.deep_speaker import normalize_frames
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_vector, matrix_shape, read_rows
from spkid.kaldi.rows import RowReader
from spkid.kaldi.tables import read_id_map, read_script

UTTERANCE_KINDS = ("cmn_utterance", "cmvn_utterance")
ORDERS = (
    *([], ["sliding"], ["vad"], ["sliding", "vad"]),
    *([*selection, kind] for kind in (*UTTERANCE_KINDS, FRAME_KIND) for selection in ([], ["vad"])),
)


class FeatureSource:
    """Utterances of a data directory under some transforms.

    Args:
        data_dir: with feats.scp, vad.scp where "vad" is among the transforms, and preferably utt2num_frames.
        transforms: what is done on the fly, in this order: `FeatureRecord.remaining`.
        utterances: the ids wanted, in the order of all arrays here; by default all of feats.scp.
        failed: where given, an utterance that cannot be used is left out of `ids`, and this says why (id -> reason);
            without it the first such utterance is an InputError.

    `num_frames` holds the frames of each utterance after the transforms, (utterances,) int64.
    """

    def __init__(
        self,
        data_dir: str | Path,
        transforms: Sequence[str],
        utterances: Sequence[str] | None = None,
        failed: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir)
        window = sliding_window(transforms[0]) if transforms else None
        steps = ["sliding", *transforms[1:]] if window is not None else list(transforms)
        if steps not in ORDERS:
            raise InputError(f"{' then '.join(transforms)}: features cannot be transformed in this order on the fly")
        self._cmn_window, self._vad = window, "vad" in steps
        self._utterance_kind = next((step for step in steps if step in UTTERANCE_KINDS), None)
        self._by_frame = FRAME_KIND in steps
        self._reader = RowReader()
        scripts = read_script(self.data_dir / "feats.scp")
        voiced_scripts = read_script(self.data_dir / "vad.scp") if self._vad else {}
        wanted = list(scripts) if utterances is None else list(utterances)
        raw_counts = self._recorded_counts("utt2num_frames")
        voiced_counts = self._recorded_counts("utt2num_voiced") if self._vad else {}
        self.dims = 0
        self.ids: list[str] = []
        self._feats: list[str] = []
        self._vads: list[str] = []
        raw_frames, num_frames = [], []
        for utterance in wanted:
            try:
                feats = _entry(scripts, utterance, self.data_dir / "feats.scp")
                vad = _entry(voiced_scripts, utterance, self.data_dir / "vad.scp") if self._vad else ""
                if utterance not in raw_counts or not self.ids:  # else no header need be read
                    rows, columns = self._shape(utterance, feats)
                    raw_counts.setdefault(utterance, rows)
                    self.dims = self.dims if self.ids else columns
                raw = raw_counts[utterance]
                count = raw
                if self._vad:
                    voiced = voiced_counts.get(utterance)
                    count = len(self._read_voiced(utterance, vad, raw)) if voiced is None else voiced
            except InputError as error:
                if failed is None:
                    raise
                failed[utterance] = str(error)
                continue
            self.ids.append(utterance)
            self._feats.append(feats)
            self._vads.append(vad)
            raw_frames.append(raw)
            num_frames.append(count)
        self.raw_frames = np.array(raw_frames, np.int64)
        self.num_frames = np.array(num_frames, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, keep: np.ndarray) -> "FeatureSource":
        """The utterances where `keep` (utterances,) is true, without looking at the files again."""
        part = copy.copy(self)
        indices = np.flatnonzero(keep)
        part.ids, part._feats, part._vads = (
            [values[index] for index in indices] for values in (self.ids, self._feats, self._vads)
        )
        part.raw_frames, part.num_frames = self.raw_frames[indices], self.num_frames[indices]
        return part

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of the utterance after the transforms, (stop - start, dims) float32."""
        if self._utterance_kind is not None:
            whole = self._selected(index, 0, int(self.num_frames[index]))
            return normalize_utterance(whole, self._utterance_kind)[start:stop]
        rows = self._selected(index, start, stop)
        return normalize_frames(rows) if self._by_frame else rows

    def whole(self, index: int) -> np.ndarray:
        """All rows of the utterance after the transforms, (num_frames, dims) float32."""
        return self.rows(index, 0, int(self.num_frames[index]))

    def _selected(self, index: int, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of the speech, or of all frames where nothing is removed."""
        if stop <= start:
            return np.zeros((0, self.dims), np.float32)
        if not self._vad:
            return self._normalized(index, start, stop)
        voiced = self._voiced(index)[start:stop]
        if len(voiced) < stop - start:
            raise InputError(
                f"{self.data_dir / 'vad.scp'}: utterance {self.ids[index]} has fewer frames of speech than recorded in "
                f"utt2num_voiced; run the preparation of features again"
            )
        first, last = int(voiced[0]), int(voiced[-1]) + 1
        return self._normalized(index, first, last)[voiced - first]

    def _normalized(self, index: int, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of all frames, less the sliding mean where there is one."""
        if self._cmn_window is None:
            return self._read(index, start, stop)
        total = int(self.raw_frames[index])
        options = CmvnOptions(cmn_window=self._cmn_window, center=True)
        first, last = cmvn_window(start, total, options)[0], cmvn_window(stop - 1, total, options)[1]
        rows = self._read(index, first, last)
        return apply_cmvn_sliding(rows, options, first=first, total=total, start=start, stop=stop)

    def _read(self, index: int, start: int, stop: int) -> np.ndarray:
        feats = self._feats[index]
        try:
            values = (self._reader.read if _is_plain(feats) else read_rows)(feats, start, stop)
        except InputError as error:
            raise InputError(f"utterance {self.ids[index]}: {error}") from None
        values = np.asarray(values, np.float32)
        if values.shape[1] != self.dims:
            raise InputError(
                f"{self.data_dir / 'feats.scp'}: utterance {self.ids[index]} has features of {values.shape[1]} "
                f"dimensions, the first one has {self.dims}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.data_dir / 'feats.scp'}: utterance {self.ids[index]} has NaN or infinite features")
        return values

    def _shape(self, utterance: str, rxfilename: str) -> tuple[int, int]:
        try:
            return (self._reader.shape if _is_plain(rxfilename) else matrix_shape)(rxfilename)
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None

    def _voiced(self, index: int) -> np.ndarray:
        return self._read_voiced(self.ids[index], self._vads[index], int(self.raw_frames[index]))

    def _read_voiced(self, utterance: str, rxfilename: str, frames: int) -> np.ndarray:
        """Numbers of the rows that are speech."""
        try:
            decisions = load_vector(rxfilename)
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None
        if len(decisions) != frames:
            raise InputError(
                f"{self.data_dir / 'vad.scp'}: utterance {utterance} has {len(decisions)} decisions, but its features "
                f"have {frames} frames; make the decisions from these features again"
            )
        return np.flatnonzero(decisions)

    def _recorded_counts(self, name: str) -> dict[str, int]:
        path = self.data_dir / name
        if not path.exists():
            return {}
        counts = read_id_map(path)
        try:
            return {utterance: int(count) for utterance, count in counts.items()}
        except ValueError:
            bad = next(utterance for utterance, count in counts.items() if not count.isdigit())
            raise InputError(f"{path}: the count of utterance {bad} is not a whole number") from None


class MemorySource:
    """The same rows as another source, all read once and kept: (total frames, dims) float32 in one array."""

    def __init__(self, source: FeatureSource) -> None:
        self.ids, self.num_frames, self.dims = source.ids, source.num_frames, source.dims
        self._offsets = np.concatenate([[0], np.cumsum(source.num_frames)])
        self._rows = np.empty((int(self._offsets[-1]), source.dims), np.float32)
        for index in range(len(source)):
            self._rows[self._offsets[index] : self._offsets[index + 1]] = source.whole(index)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of the utterance, (stop - start, dims) float32; not to be written to."""
        first = int(self._offsets[index])
        return self._rows[first + start : first + stop]

    def whole(self, index: int) -> np.ndarray:
        """All rows of the utterance; not to be written to."""
        return self.rows(index, 0, int(self.num_frames[index]))

    def gather(self, indices: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Single rows of several utterances: indices (n,) and row numbers (n, k) give (n, k, dims), a copy."""
        return self._rows[self._offsets[indices][:, None] + rows]


def keep_in_memory(source: FeatureSource, memory_mb: int) -> FeatureSource | MemorySource:
    """The source read into memory where it fits in `memory_mb` megabytes, else the source itself."""
    size = int(source.num_frames.sum()) * source.dims * 4
    return MemorySource(source) if size <= memory_mb * 2**20 else source


def open_source(
    data_dir: str | Path,
    record: FeatureRecord,
    wanted: Sequence[str],
    utterances: Sequence[str] | None = None,
    failed: dict[str, str] | None = None,
) -> FeatureSource:
    """The source that gives a directory's features under all the transforms wanted, doing those that are not done."""
    return FeatureSource(data_dir, record.remaining(wanted, data_dir), utterances, failed)


def normalize_utterance(features: np.ndarray, kind: str) -> np.ndarray:
    """Features (frames, dims) less their mean (`cmn_utterance`), and over their deviation too (`cmvn_utterance`).

    The deviation is that of a sample (frames - 1), as in asv_beginner; of a single frame it is 0. `cmvn_frame` takes
    mean and deviation of each frame over its dimensions instead.
    """
    if kind == FRAME_KIND:
        return normalize_frames(features)
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    if kind == "cmn_utterance":
        return centred
    deviation = centred.std(axis=0, ddof=min(1, len(centred) - 1), dtype=np.float64)
    return centred / (deviation + DEVIATION_FLOOR).astype(np.float32)


def _is_plain(rxfilename: str) -> bool:
    """Whether the name is a file with perhaps an offset: neither a command nor a range of rows."""
    return not rxfilename.endswith(("|", "]"))


def _entry(scripts: dict[str, str], utterance: str, path: Path) -> str:
    if utterance not in scripts:
        raise InputError(f"{path}: has no entry for utterance {utterance}")
    return scripts[utterance]
