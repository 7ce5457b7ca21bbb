"""File ranges: `file[0:99]`, `file[0:99,0:12]`, `file[:,0:12]`, both ends included (util/kaldi-holder.cc)."""

from __future__ import annotations

from spkid.kaldi.errors import InputError

# A row range may end this many rows late: segment times are rounded, and the last frames of a file depend on its edge.
LATE_ROWS = 3


def split_range(rxfilename: str) -> tuple[str, str | None]:
    """Splits `file[range]` into the file and the text of the range; None where there is no range."""
    if rxfilename.endswith("]") and rxfilename.count("[") == 1:
        name, _, text = rxfilename[:-1].partition("[")
        if name:
            return name, text
    return rxfilename, None


def parse_range(text: str, rows: int, columns: int, name: str) -> tuple[slice, slice]:
    """Turns the text between the brackets into slices of a matrix (a vector counts as one column).

    Raises:
        InputError: not a range, or outside the matrix; the sentence begins with `name`.
    """
    parts = text.split(",")
    if len(parts) > 2:
        raise InputError(f"{name}: [{text}] is not a range; write [first-row:last-row,first-column:last-column]")
    row_slice = _parse_part(parts[0], rows, LATE_ROWS, text, name)
    column_slice = _parse_part(parts[1], columns, 0, text, name) if len(parts) == 2 else slice(0, columns)
    return row_slice, column_slice


def _parse_part(part: str, size: int, tolerance: int, text: str, name: str) -> slice:
    if part in ("", ":"):
        return slice(0, size)
    ends = part.split(":")
    if len(ends) != 2 or not all(end.isascii() and end.isdigit() for end in ends):
        raise InputError(f"{name}: [{text}] is not a range; write [first-row:last-row,first-column:last-column]")
    first, last = int(ends[0]), int(ends[1])
    if first > last:
        raise InputError(f"{name}: the range [{text}] ends before it begins")
    if first >= size or last >= size + tolerance:
        raise InputError(f"{name}: the range [{text}] does not fit, there are only {size} of them")
    return slice(first, min(last + 1, size))
