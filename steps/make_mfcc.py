#!/usr/bin/env python3
"""Makes MFCC features of a data directory."""

from make_features import MakeFeatures
from plumbum import cli

from spkid.features.options import MfccOptions


class MakeMfcc(MakeFeatures):
    """Makes mel-frequency cepstral coefficients of a data directory: feats.scp, utt2num_frames and feats.json.

    Logs go to <log-dir> (<data-dir>/log), archives to <archive-dir> (<data-dir>/data).
    """

    EXAMPLE = "steps/make_mfcc.py --nj 8 --mfcc-config conf/mfcc.conf data/train exp/make_mfcc mfcc"
    TYPE = "mfcc"
    OPTIONS = MfccOptions

    mfcc_config = cli.SwitchAttr(
        "--mfcc-config", str, default="conf/mfcc.conf", argname="file", help="options of compute-mfcc-feats"
    )


if __name__ == "__main__":
    MakeMfcc.run()
