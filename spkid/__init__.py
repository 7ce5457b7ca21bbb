"""spkid: a Kaldi-style recipe pipeline for speaker recognition. See README.md for the recipes, docs/ for the parts."""

__version__ = "0.1.0"
