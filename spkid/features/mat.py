"""Labelled features in MATLAB files: X (frames, dims), Y (frames, 1) of 0 and 1; and lists of such files.

The format of the voice activity laboratory: 20 MFCC with their first and second derivatives, of which the first 20
columns are used.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

import numpy as np

from spkid.kaldi import InputError
from spkid.kaldi.io import open_file


def read_mat(path: str | PathLike, columns: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The features and labels of one recording.

    Args:
        columns: how many of X's columns are wanted, from the first.

    Returns:
        (frames, columns) float32 and (frames,) uint8, 0 or 1.

    Raises:
        InputError: no MATLAB file, without X or Y, or they do not fit each other.
    """
    from scipy.io import loadmat

    path = fspath(path)
    try:
        with open_file(path) as stream:
            values = loadmat(stream, variable_names=("X", "Y"))
    except NotImplementedError:
        raise InputError(f"{path}: is a MATLAB 7.3 file (HDF5): save it again with 'save -v7'") from None
    except InputError:
        raise
    except Exception as error:  # scipy raises whatever it trips over in a damaged file
        raise InputError(f"{path}: cannot be read as a MATLAB file ({error}): copy it again") from None
    for name in ("X", "Y"):
        if name not in values:
            raise InputError(f"{path}: holds no {name}; X (frames, dims) and Y (frames, 1) are needed")
        if values[name].dtype.kind not in "fiub":
            raise InputError(f"{path}: {name} does not hold numbers")
    features, labels = values["X"], values["Y"].ravel()
    if features.ndim != 2 or features.shape[1] < columns:
        raise InputError(f"{path}: X is {features.shape}, but (frames, {columns} or more) is needed")
    if len(labels) != len(features) or len(labels) == 0:
        raise InputError(f"{path}: X has {len(features)} frames and Y {len(labels)} labels")
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{path}: Y holds {labels[~np.isin(labels, (0, 1))][0]:g}; labels are 0 or 1")
    return features[:, :columns].astype(np.float32), labels.astype(np.uint8)


def read_mat_list(path: str | PathLike) -> list[Path]:
    """The files of a `.lst`, one a line, in its order; names are relative to the list's folder.

    Raises:
        InputError: the list cannot be read, is empty, or names a file twice or one that does not exist.
    """
    path = Path(path)
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    if not names:
        raise InputError(f"{path}: names no file")
    files = [path.parent / name for name in names]
    for index, file in enumerate(files):
        if not file.is_file():
            raise InputError(f"{path}: names {names[index]}, but there is no file {file}")
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise InputError(f"{path}: names {twice} twice")
    return files
