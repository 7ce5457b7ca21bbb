"""Measures of speaker recognition: equal error rate, detection costs, Cllr; their summary and pictures."""

from spkid.metrics.cllr import cllr, min_cllr
from spkid.metrics.cost import OperatingPoint, act_dcf, min_dcf, min_dcf_point
from spkid.metrics.curve import ErrorRates, TrialScores, error_rates
from spkid.metrics.eer import eer

__all__ = [
    "ErrorRates",
    "OperatingPoint",
    "TrialScores",
    "act_dcf",
    "cllr",
    "eer",
    "error_rates",
    "min_cllr",
    "min_dcf",
    "min_dcf_point",
]
