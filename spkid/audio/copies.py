"""Data directories whose recordings are corrupted copies of another's: ids, files that go along, files that do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from spkid.audio.durations import utterance_durations
from spkid.audio.recording import Recording
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_combine import combine_data_dirs, copy_data_dir
from spkid.kaldi.data_subset import remove_files
from spkid.kaldi.lists import write_id_map

# Facts about the features of the clean audio; decisions on speech (vad.scp) hold for the copy too.
OF_FEATURES = {"feats.scp", "cmvn.scp", "utt2num_frames", "feats.json", "frame_shift"}
OF_LENGTH = {"vad.scp", "vad.json", "utt2dur", "reco2dur"}


def recording_durations(data: DataDir, jobs: int = 1) -> dict[str, float]:
    """Seconds of each recording of wav.scp: from reco2dur, utt2dur where no segments are, else from the audio.

    Raises:
        InputError: a recording that cannot be read, or whose line is missing or is no number.
    """
    name = "reco2dur" if data.has("reco2dur") else "utt2dur" if not data.has("segments") else ""
    if name and data.has(name):
        written = data.read(name)
        try:
            return {recording: float(written[recording]) for recording in data.wav_scp}
        except KeyError as error:
            raise InputError(f"{data.path(name)}: lacks {error.args[0]} of wav.scp: make it again") from None
        except ValueError as error:
            raise InputError(f"{data.path(name)}: {error}: make it again") from None
    durations = utterance_durations(data, jobs=jobs)
    for recording, why in durations.failed.items():
        raise InputError(f"{data.path('wav.scp')}: recording {recording}: {why}")
    return durations.recordings or durations.utterances


def write_copy(
    source: DataDir,
    target: str | os.PathLike,
    wav_scp: Mapping[str, str],
    *,
    rename: Callable[[str], str],
    rename_speaker: Callable[[str], str] = str,
    same_length: bool = True,
) -> DataDir:
    """Writes a directory whose recordings have other audio under other ids.

    utt2spk, vad.scp, utt2dur, text and what else is said of the utterances goes along under their new ids, also
    segments and reco2dur; features do not. utt2uniq tells which utterance a copy comes from.

    Args:
        wav_scp: recording of `source` -> the copy's entry.
        rename: for ids of utterances and of recordings.
        same_length: False leaves out what is only true of audio that is as long as the original's.
    """
    copy = copy_data_dir(
        source,
        target,
        rename_utterance=lambda key: rename(key.decode()).encode(),
        rename_speaker=lambda key: rename_speaker(key.decode()).encode(),
    )
    remove_files(copy.root, OF_FEATURES if same_length else OF_FEATURES | OF_LENGTH)
    write_id_map(copy.path("wav.scp"), {rename(name): entry for name, entry in wav_scp.items()})
    if source.has("segments"):
        lines = ((rename(key), value.split(None, 1)) for key, value in source.read("segments").items())
        write_id_map(copy.path("segments"), {key: f"{rename(name)} {rest}" for key, (name, rest) in lines})
        for table in ("reco2dur", "reco2file_and_channel"):
            if source.has(table) and copy.has(table):
                write_id_map(copy.path(table), {rename(key): value for key, value in source.read(table).items()})
    if not copy.has("utt2uniq"):
        write_id_map(copy.path("utt2uniq"), {rename(utterance): utterance for utterance in source.utterances})
    DataDir(target).check()
    return DataDir(target)


def combine_copies(target: str | os.PathLike, copies: Sequence[DataDir]) -> DataDir:
    """Writes several copies as one directory."""
    return combine_data_dirs(target, copies)[0]


def numbers(text: str, name: str, convert: type[int] | type[float] = float, least: float = -1e9) -> list:
    """`15:10:5:0` of a command line as numbers. Raises InputError, which names the option."""
    try:
        found = [convert(word) for word in text.split(":")]
        if all(least <= number < 1e9 for number in found):
            return found
    except ValueError:
        pass
    kind = "whole numbers" if convert is int else "numbers"
    raise InputError(f"--{name} takes {kind} between colons, as in 15:10:5, not {text!r}")


def check_rate(data: DataDir, location: str, hint: str) -> None:
    """Raises InputError where the first recording of a directory has another rate than a noise or a response.

    hint: what to do about it.
    """
    recording, entry = next(iter(data.wav_scp.items()))
    with Recording(entry) as speech, Recording(location) as added:
        if speech.rate != added.rate:
            raise InputError(
                f"{location}: is sampled at {added.rate:g} Hz and recording {recording} of {data.root} at "
                f"{speech.rate:g} Hz: {hint}"
            )


def fits_between_commas(locations: Iterable[str]) -> None:
    """Raises InputError for the first file or command that holds a comma, which stands between noises."""
    for location in locations:
        if "," in location:
            raise InputError(f"{location}: a noise's name cannot hold a comma, which stands between noises: rename it")
