"""compute-spectrogram-feats: computes log power spectra of waves (featbin/compute-spectrogram-feats.cc)."""

from __future__ import annotations

import sys

from spkid.bin._extraction import ExtractionOptions, VtlnOptions, extract
from spkid.features.htk import FBANK, WITH_C0
from spkid.features.options import SpectrogramOptions
from spkid.features.spectral import spectrogram
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line

USAGE = """Create log power spectra, one matrix (frames, bins) for each wave; column 0 is the log energy.
Usage: compute-spectrogram-feats [options] <wav-rspecifier> <feats-wspecifier>
e.g.: compute-spectrogram-feats scp:data/train/wav.scp ark,scp:spectrogram.ark,spectrogram.scp"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [SpectrogramOptions, ExtractionOptions, ReportOptions]
    (features, extraction, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    return extract(
        lambda wave, _, utterance: spectrogram(wave, features, utterance=utterance),
        features,
        extraction,
        VtlnOptions(),
        FBANK | WITH_C0,
        source,
        target,
        reporting.report,
    )


if __name__ == "__main__":
    sys.exit(main())
