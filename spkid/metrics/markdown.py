"""Sections and tables as Markdown: results.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spkid.metrics.sections import Results, Section, Table, headline, sections


def markdown_report(title: str, results: Results) -> str:
    """The whole of results.md, for an evaluation's results (see `sections`)."""
    first = Table(
        ("", "", ""), [[name, value, f"({remark})" if remark else ""] for name, value, remark in headline(results)]
    )
    parts = [f"# {escape(title)}", markdown_table(first), *map(_section, sections(results))]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A pipe table whose columns line up as plain text too."""
    rows = [[escape(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.header))]
    lines = ["| " + " | ".join(_padded(row, widths, table.num_labels)) + " |" for row in rows]
    rule = ["-" * width if at < table.num_labels else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def escape(text: str) -> str:
    """Text that stands for itself in a Markdown paragraph or cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """A block of code, whatever it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _padded(row: Sequence[str], widths: Sequence[int], num_labels: int) -> list[str]:
    return [
        cell.ljust(width) if at < num_labels else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _section(section: Section) -> str:
    parts = [f"## {section.title}", *map(escape, section.paragraphs), *map(markdown_table, section.tables)]
    parts += [f"![{escape(name)}]({name})" for name in section.pictures]
    for name, text in section.code.items():
        parts += [f"{escape(name)}:", fenced(text)]
    return "\n\n".join(parts)
