"""compute-mfcc-feats: computes mel-frequency cepstral coefficients (MFCC) of waves (featbin/compute-mfcc-feats.cc)."""

from __future__ import annotations

import sys

from spkid.bin._extraction import ExtractionOptions, VtlnOptions, extract, log_mel_bank
from spkid.features.htk import MFCC, WITH_C0, WITH_ENERGY
from spkid.features.mel import mel_bank
from spkid.features.options import MfccOptions
from spkid.features.spectral import mfcc
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line

USAGE = """Create mel-frequency cepstral coefficients (MFCC), one matrix (frames, dims) for each wave.
Usage: compute-mfcc-feats [options] <wav-rspecifier> <feats-wspecifier>
e.g.: compute-mfcc-feats --config=conf/mfcc.conf scp:data/train/wav.scp ark,scp:mfcc.ark,mfcc.scp
  or: extract-segments scp:wav.scp segments ark:- | compute-mfcc-feats --snip-edges=false ark:- ark:mfcc.ark"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [MfccOptions, ExtractionOptions, VtlnOptions, ReportOptions]
    (features, extraction, vtln, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    bank = mel_bank(features, vtln.vtln_warp)  # what is wrong with the options is said before any work
    if features.debug_mel:
        log_mel_bank(bank)
    return extract(
        lambda wave, warp, utterance: mfcc(wave, features, warp, utterance=utterance),
        features,
        extraction,
        vtln,
        MFCC | (WITH_ENERGY if features.use_energy else WITH_C0),
        source,
        target,
        reporting.report,
    )


if __name__ == "__main__":
    sys.exit(main())
