"""A data directory: the text files that say what there is to work on (Kaldi's data preparation format).

    wav.scp     recording  path or command       segments   utterance recording start end (where there are segments)
    utt2spk     utterance speaker                spk2utt    speaker utterances
    feats.scp   utterance path:offset            and vad.scp, utt2dur, utt2num_frames, text, spk2gender, ...

Without `segments` a recording is an utterance. Every file is sorted by the bytes of its ids, whatever the locale.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property

from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import IdTable, check_order, group_by_value, read_id_table, write_id_table
from spkid.kaldi.segments import Segment, parse_segment

# What the ids of a file's lines are. Files of other names are left alone.
UTTERANCE_FILES = (
    "utt2spk",
    "segments",
    "feats.scp",
    "vad.scp",
    "text",
    "utt2dur",
    "utt2num_frames",
    "utt2lang",
    "utt2uniq",
    "utt2cond",
)
RECORDING_FILES = ("wav.scp", "reco2dur", "reco2file_and_channel")
SPEAKER_FILES = ("spk2gender", "spk2age", "spk2lang", "cmvn.scp")
# Facts about the whole directory, which go with its features wherever they go.
DIRECTORY_FILES = ("feats.json", "vad.json", "frame_shift")
# Made from the others, so that an incomplete one can be thrown away and made again.
DERIVED_FILES = ("utt2dur", "utt2num_frames", "reco2dur")


class DataDir:
    """A data directory, read when something is asked of it.

    Example:
        data = DataDir("data/train")
        data.check(needs=("wav.scp",))
        speaker = data.utt2spk[data.utterances[0]]
    """

    def __init__(self, path: str | os.PathLike):
        self.root = os.fspath(path).rstrip("/") or "/"

    def __fspath__(self) -> str:
        return self.root

    def __repr__(self) -> str:
        return f"DataDir({self.root!r})"

    def path(self, name: str) -> str:
        """Path of a file in the directory."""
        return os.path.join(self.root, name)

    def has(self, name: str) -> bool:
        """Whether the directory holds a file of that name."""
        return os.path.isfile(self.path(name))

    def table(self, name: str) -> IdTable:
        """A file's lines as bytes. Raises InputError where it is missing, empty or malformed."""
        self.require(name)
        return read_id_table(self.path(name))

    def require(self, name: str) -> None:
        """Raises InputError where the directory or this file of it is missing."""
        if self.has(name):
            return
        if not os.path.isdir(self.root):
            raise InputError(f"{self.root}: no such data directory")
        raise InputError(f"{self.path(name)}: no such file{_ORIGIN.get(name, '')}")

    def read(self, name: str) -> dict[str, str]:
        """A file as id -> rest of the line, in its order. Raises InputError as `table`, and for a duplicate id."""
        table = self.table(name)
        mapping = dict(zip(map(bytes.decode, table.keys), map(bytes.decode, table.values), strict=True))
        if len(mapping) < len(table.keys):
            check_order(table.keys, self.path(name))
        return mapping

    @cached_property
    def utt2spk(self) -> dict[str, str]:
        """Utterance -> speaker, sorted by utterance."""
        return dict(sorted(self.read("utt2spk").items()))

    @property
    def utterances(self) -> list[str]:
        """Ids of the utterances, sorted."""
        return list(self.utt2spk)

    @cached_property
    def spk2utt(self) -> dict[str, list[str]]:
        """Speaker -> utterances, both sorted; from utt2spk."""
        speakers: dict[str, list[str]] = {}
        for utterance, speaker in self.utt2spk.items():
            speakers.setdefault(speaker, []).append(utterance)
        return dict(sorted(speakers.items()))

    @property
    def speakers(self) -> list[str]:
        """Ids of the speakers, sorted."""
        return list(self.spk2utt)

    @cached_property
    def wav_scp(self) -> dict[str, str]:
        """Recording -> path or command."""
        return self.read("wav.scp")

    @cached_property
    def segments(self) -> dict[str, Segment]:
        """Utterance -> part of a recording; empty where the directory has no `segments`."""
        if not self.has("segments"):
            return {}
        path = self.path("segments")
        return {key: parse_segment(key, value, path) for key, value in self.read("segments").items()}

    def durations(self) -> dict[bytes, float] | None:
        """Length of each utterance: seconds from utt2dur or segments, else frames from utt2num_frames, else None.

        Only the ratios mean something: what splitting by length needs.
        """
        for name in ("utt2dur", "utt2num_frames"):
            if self.has(name):
                table = self.table(name)
                try:
                    return dict(zip(table.keys, map(float, table.values), strict=True))
                except ValueError as error:
                    raise InputError(f"{self.path(name)}: {error}: make it again") from None
        if self.has("segments"):
            path, table = self.path("segments"), self.table("segments")
            spans = {}
            for key, value in zip(table.keys, table.values, strict=True):
                segment = parse_segment(key.decode(), value.decode(), path)
                if segment.end < 0:
                    return None
                spans[key] = segment.end - segment.start
            return spans
        return None

    def check(
        self, needs: Iterable[str] = ("utt2spk",), *, speaker_order: bool = False, skip: Iterable[str] = ()
    ) -> list[str]:
        """What a step does first: finds what is wrong before any work starts.

        Args:
            needs: files that must be there ("wav.scp", "feats.scp", "vad.scp", ...). Other known files are checked
                where they exist; the paths in wav.scp are looked up only where it is needed.
            skip: files that are not looked at even where they exist.
            speaker_order: demand that utt2spk is sorted by speaker too (Kaldi's tools want that, ours do not).

        Returns:
            Sentences about what is unusual but possible (a speaker with one utterance, ...).

        Raises:
            InputError: the first thing that is wrong: file, id and what to do.
        """
        from spkid.kaldi.data_check import check_data_dir

        return check_data_dir(self, tuple(needs), speaker_order=speaker_order, skip=skip)

    def fix(self) -> list[str]:
        """Repairs what can be repaired; what it replaces is kept in `.backup`. Returns what it did, a sentence each."""
        from spkid.kaldi.data_fix import fix_data_dir

        return fix_data_dir(self)

    def split(self, number: int, *, per_utterance: bool = False) -> list[DataDir]:
        """Splits into directories of about equal duration: `split<number>[utt]/1` and so on, as Kaldi names them.

        Raises:
            InputError: fewer speakers (`per_utterance`: utterances) than parts.
        """
        from spkid.kaldi.data_split import split_data_dir

        return split_data_dir(self, number, per_utterance=per_utterance)

    def write_subset(self, destination: str | os.PathLike, utterances: Iterable[str]) -> DataDir:
        """Writes a data directory of some of the utterances, and of the recordings and speakers they need."""
        from spkid.kaldi.data_subset import write_parts

        return write_parts(self, {utterance.encode(): 0 for utterance in utterances}, [os.fspath(destination)])[0]


def write_spk2utt(path: str, utt2spk: IdTable) -> None:
    """Writes spk2utt beside its utt2spk."""
    write_id_table(path, group_by_value(utt2spk))


_ORIGIN = {
    "spk2utt": "; make it with utils/utt2spk_to_spk2utt.py",
    "feats.scp": "; make it with steps/make_mfcc.py or steps/make_fbank.py",
    "vad.scp": "; make it with steps/compute_vad_decision.py",
    "utt2dur": "; make it with utils/get_utt2dur.py",
    "utt2num_frames": "; make it with utils/get_utt2num_frames.py",
}
