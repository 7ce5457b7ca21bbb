"""compute-fbank-feats: computes mel filter-bank (FBANK) features of waves (featbin/compute-fbank-feats.cc)."""

from __future__ import annotations

import sys

from spkid.bin._extraction import ExtractionOptions, VtlnOptions, extract, log_mel_bank
from spkid.features.htk import FBANK, WITH_C0, WITH_ENERGY
from spkid.features.mel import mel_bank
from spkid.features.options import FbankOptions
from spkid.features.spectral import fbank
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line

USAGE = """Create mel filter-bank (FBANK) features, one matrix (frames, dims) for each wave.
Usage: compute-fbank-feats [options] <wav-rspecifier> <feats-wspecifier>
e.g.: compute-fbank-feats --num-mel-bins=80 scp:data/train/wav.scp ark,scp:fbank.ark,fbank.scp
  or: extract-segments scp:wav.scp segments ark:- | compute-fbank-feats --num-mel-bins=40 ark:- ark:fbank.ark"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [FbankOptions, ExtractionOptions, VtlnOptions, ReportOptions]
    (features, extraction, vtln, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    bank = mel_bank(features, vtln.vtln_warp)  # what is wrong with the options is said before any work
    if features.debug_mel:
        log_mel_bank(bank)
    return extract(
        lambda wave, warp, utterance: fbank(wave, features, warp, utterance=utterance),
        features,
        extraction,
        vtln,
        FBANK | (WITH_ENERGY if features.use_energy else WITH_C0),
        source,
        target,
        reporting.report,
    )


if __name__ == "__main__":
    sys.exit(main())
