"""The extended TDNN.

Snyder, Garcia-Romero, Sell, McCree, Povey, Khudanpur, "Speaker recognition for multi-speaker conversations using
x-vectors", ICASSP 2019, table 1. No original is public to compare with: that table is the proof.

    layer   1      2   3        4   5        6   7        8   9   10
    frames  -2..2  0   -2,0,2   0   -3,0,3   0   -4,0,4   0   0   0
    width   512 each                                          512 1500
"""

from spkid.nnet.xvector import XVector


class ExtendedTdnn(XVector):
    """An x-vector network with ten frame-level layers; options and outputs as `XVector`. At least 23 frames."""

    contexts = ((5, 1), (1, 1), (3, 2), (1, 1), (3, 3), (1, 1), (3, 4), (1, 1), (1, 1), (1, 1))
