"""What compute-mfcc-feats, compute-fbank-feats and compute-spectrogram-feats share: waves in, features out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spkid.audio import WaveOptions, read_waves
from spkid.bin._memory import keep_freed_memory
from spkid.features.htk import HtkHolder
from spkid.features.options import FrameOptions
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, verbose, warn
from spkid.kaldi.options import option
from spkid.kaldi.report import Report
from spkid.kaldi.tables import FLOAT, MATRIX, TOKEN, TableWriter, open_table

# Features of one utterance: (wave (samples,), VTLN warp factor, id) -> (frames, dims).
Compute = Callable[[np.ndarray, float, str], np.ndarray]


@dataclass(frozen=True)
class ExtractionOptions:
    """Options of the tools rather than of the features."""

    output_format: str = option("kaldi", "Format of the output files (kaldi|htk)")
    subtract_mean: bool = option(False, "Subtract the mean of each utterance's features; sliding means serve better")
    channel: int = option(-1, "Channel to extract (-1 -> expect mono, 0 -> left, 1 -> right)")
    min_duration: float = option(0.0, "Minimum duration in seconds of the utterances to process")
    write_utt2dur: str = option(
        "", "Wspecifier to write the duration of each utterance in seconds, e.g. 'ark,t:utt2dur'"
    )

    def __post_init__(self) -> None:
        if self.output_format not in ("kaldi", "htk"):
            raise InputError(f"--output-format is kaldi or htk, not '{self.output_format}'")
        if self.channel < -1:
            raise InputError(f"--channel counts from 0, or is -1 for the only one; it is {self.channel}")


@dataclass(frozen=True)
class VtlnOptions:
    """Where VTLN warp factors come from."""

    vtln_warp: float = option(1.0, "VTLN warp factor (only applicable if vtln-map not specified)")
    vtln_map: str = option("", "Rspecifier of a map from utterance or speaker id to VTLN warp factor")
    utt2spk: str = option("", "Rspecifier of the map from utterance to speaker id, if there are warps per speaker")

    def __post_init__(self) -> None:
        if self.utt2spk and not self.vtln_map:
            raise InputError("--utt2spk is of use only with --vtln-map")


class WarpFactors:
    """The VTLN warp factor of each utterance; a context manager."""

    def __init__(self, options: VtlnOptions) -> None:
        self._options = options
        self._opened = contextlib.ExitStack()
        self._factors = self._speakers = None

    def __enter__(self) -> WarpFactors:
        if self._options.vtln_map:
            self._factors = self._opened.enter_context(open_table(self._options.vtln_map, FLOAT))
        if self._options.utt2spk:
            self._speakers = self._opened.enter_context(open_table(self._options.utt2spk, TOKEN))
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def __getitem__(self, utterance: str) -> float:
        """The factor of `utterance`; InputError if the maps do not give one."""
        if self._factors is None:
            return self._options.vtln_warp
        key = utterance
        if self._speakers is not None:
            if utterance not in self._speakers:
                raise InputError(f"no speaker for this utterance in --utt2spk={self._options.utt2spk}")
            key = self._speakers[utterance]
        if key not in self._factors:
            raise InputError(f"no warp factor for {key} in --vtln-map={self._options.vtln_map}")
        return self._factors[key]


def extract(
    compute: Compute,
    frames: FrameOptions,
    options: ExtractionOptions,
    vtln: VtlnOptions,
    htk_kind: int,
    rspecifier: str,
    wspecifier: str,
    report_path: str,
) -> int:
    """Compute features of each wave of `rspecifier` and write them to `wspecifier`; return the tool's exit status.

    An utterance that cannot be done is named in a warning and in the report, and left out.
    """
    keep_freed_memory()
    report = Report(report_path)
    holder = HtkHolder(htk_kind, frames.frame_shift) if options.output_format == "htk" else MATRIX
    waves = read_waves(
        rspecifier,
        options=WaveOptions(frames.sample_frequency, options.channel, frames.allow_downsample, frames.allow_upsample),
    )
    with contextlib.ExitStack() as opened:
        warps = opened.enter_context(WarpFactors(vtln))
        writer = opened.enter_context(TableWriter(wspecifier, holder))
        durations = None
        if options.write_utt2dur:
            durations = opened.enter_context(TableWriter(options.write_utt2dur, FLOAT))
        for utterance, wave in waves:
            if isinstance(wave, InputError):
                report.add_failed(utterance, wave)
                continue
            if wave.duration < options.min_duration:
                report.add_failed(
                    utterance, f"is too short ({wave.duration:g} s, --min-duration={options.min_duration:g})"
                )
                continue
            try:
                features = compute(wave.samples, warps[utterance], utterance)
            except InputError as error:
                report.add_failed(utterance, error)
                continue
            if not len(features):
                warn(f"{utterance}: no frame of {frames.frame_length:g} ms fits in its {wave.duration:g} s")
            elif options.subtract_mean:
                features -= features.mean(axis=0, dtype=np.float64).astype(np.float32)
            writer.write(utterance, features)
            if durations is not None:
                durations.write(utterance, wave.duration)
            report.add_done()
            verbose(2, f"Processed features for key {utterance}")
    log(f"Done {report.done} out of {report.done + len(report.failed)} utterances.")
    return report.finish()


def log_mel_bank(bank: np.ndarray) -> None:
    """Print the filters (filters, bins) as --debug-mel promises."""
    for number, weights in enumerate(bank):
        used = np.flatnonzero(weights)
        values = " ".join(f"{weight:g}" for weight in weights[used[0] : used[-1] + 1])
        log(f"bin {number}, offset = {used[0]}, vec = [ {values} ]")
