"""Kaldi's file of a PLDA model: `<Plda>`, mean, transform, psi, `</Plda>` (Plda::Write and Plda::Read in plda.cc)."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import BINARY_MARK
from spkid.kaldi.io import open_input, open_output
from spkid.kaldi.matrix import read_matrix, read_vector, write_matrix, write_vector


def read_plda(rxfilename: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean (dims,), transform (dims, dims) and psi (dims,) in a file, text or binary, float64.

    Raises:
        InputError: the file cannot be read or is not a PLDA model.
    """
    with open_input(rxfilename) as stream:
        name = rxfilename
        first = stream.read(1)
        binary = first == BINARY_MARK[:1]
        if binary:
            stream.read(1)
            first = b""
        _expect(stream, "<Plda>", first, name)
        mean = read_vector(stream, binary).astype(np.float64)
        transform = read_matrix(stream, binary).astype(np.float64)
        psi = read_vector(stream, binary).astype(np.float64)
        _expect(stream, "</Plda>", b"", name)
    dims = mean.size
    if dims == 0 or transform.shape != (dims, dims) or psi.shape != (dims,):
        raise InputError(
            f"{name}: the parts of the PLDA model disagree: mean of {dims}, transform of "
            f"{transform.shape[0]} x {transform.shape[1]}, psi of {psi.size} values"
        )
    if not all(np.isfinite(part).all() for part in (mean, transform, psi)) or (psi < 0).any():
        raise InputError(f"{name}: the PLDA model holds NaN, infinite or negative variances: train it again")
    return mean, transform, psi


def write_plda(wxfilename: str, mean: np.ndarray, transform: np.ndarray, psi: np.ndarray, binary: bool = True) -> None:
    """Writes a model as Kaldi does; the arguments as `read_plda` returns them.

    Raises:
        InputError: the file cannot be written.
    """
    with open_output(wxfilename) as stream:
        stream.write((BINARY_MARK if binary else b"") + b"<Plda> ")
        write_vector(stream, mean, binary, mark=False)
        write_matrix(stream, transform, binary, mark=False)
        write_vector(stream, psi, binary, mark=False)
        stream.write(b"</Plda> ")


def _expect(stream: BinaryIO, token: str, first: bytes, name: str) -> None:
    # A token ends with one blank, which belongs to it.
    word = first
    while len(word) <= 16:
        byte = stream.read(1)
        if not byte or (byte.isspace() and word):
            break
        word += byte.strip()
    if word != token.encode():
        found = repr(word.decode(errors="replace")) if word else "the end of the file"
        raise InputError(f"{name}: not a PLDA model of Kaldi's (expected {token}, found {found})")
