#!/usr/bin/env python3
"""Makes filter-bank features of a data directory."""

from make_features import MakeFeatures
from plumbum import cli

from spkid.features.options import FbankOptions


class MakeFbank(MakeFeatures):
    """Makes log mel filter-bank energies of a data directory: feats.scp, utt2num_frames and feats.json.

    Logs go to <log-dir> (<data-dir>/log), archives to <archive-dir> (<data-dir>/data).
    """

    EXAMPLE = "steps/make_fbank.py --nj 8 --fbank-config conf/fbank.conf data/train exp/make_fbank fbank"
    TYPE = "fbank"
    OPTIONS = FbankOptions

    fbank_config = cli.SwitchAttr(
        "--fbank-config", str, default="conf/fbank.conf", argname="file", help="options of compute-fbank-feats"
    )


if __name__ == "__main__":
    MakeFbank.run()
