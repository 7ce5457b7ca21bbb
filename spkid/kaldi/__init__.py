"""Kaldi's files: tables, matrices, options, data directories.

`import spkid.kaldi` is cheap (no NumPy): the small tools are started thousands of times by a recipe.
"""

from spkid.kaldi.errors import InputError

__all__ = ["DataDir", "InputError"]


def __getattr__(name: str):
    if name == "DataDir":
        from spkid.kaldi.data_dir import DataDir

        return DataDir
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
