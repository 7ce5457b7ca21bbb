"""One page about an evaluation that needs nothing else: pictures inside, no scripts, light and dark."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from html import escape

from spkid.metrics.sections import Results, Section, Table, headline, sections

LONG = 60  # characters: cells of more are wrapped
PICTURE_TEXTS = {
    "scores.png": "Histograms of the scores of target and non-target trials, with the threshold.",
    "det.png": "Detection error tradeoff: misses against false alarms on normal-deviate axes.",
    "roc.png": "Receiver operating characteristic, with the point of equal errors.",
    "calibration.png": "Reliability diagram, and normalised Bayes error at every prior.",
    "confusion.png": "Confusion matrix: truth in rows, decisions in columns.",
    "durations.png": "Histogram of the utterances' durations.",
    "levels.png": "Histogram of the utterances' levels.",
    "per_speaker.png": "Histogram of the numbers of utterances of the speakers.",
}

STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1c2024; --soft: #5b636d; --line: #dfe2e6; --tint: #f1f3f5;
  --accent: #0a62a3; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e4e7ea; --soft: #9aa4af; --line: #2d3339; --tint: #1d2125; --accent: #6cb6ee; }
  figure img { filter: invert(0.9) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; letter-spacing: -0.01em; }
h2 { margin: 3.5rem 0 0.75rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.3rem; }
p { max-width: 44rem; margin: 0.6rem 0; }
.kind { margin: 0 0 0.25rem; color: var(--soft); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1px; margin: 1.75rem 0 0;
  border: 1px solid var(--line); border-radius: 0.5rem; background: var(--line); overflow: hidden; }
.numbers div { padding: 0.9rem 1.1rem; background: var(--paper); }
.numbers dt { color: var(--soft); font-size: 0.85rem; }
.numbers dd { margin: 0; font-size: 1.7rem; font-weight: 650; line-height: 1.35; font-variant-numeric: tabular-nums; }
.numbers dd.remark { color: var(--soft); font-size: 0.85rem; font-weight: 400; }
.scroll { overflow-x: auto; margin: 1.1rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.35rem 1.4rem 0.35rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
th { color: var(--soft); font-weight: 500; border-bottom-color: var(--soft); }
td, th { white-space: nowrap; }
.label { text-align: left; }
.long { white-space: normal; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.25rem; }
figure { margin: 1rem 0 0; }
figure.square { max-width: 38rem; }
figure img { display: block; width: 100%; height: auto; border-radius: 0.4rem; }
figcaption { margin-top: 0.4rem; color: var(--soft); font-size: 0.85rem; }
pre { margin: 0.5rem 0 0; padding: 0.9rem 1.1rem; border-radius: 0.4rem; background: var(--tint); font-size: 0.85rem;
  line-height: 1.5; white-space: pre-wrap; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) { .label { white-space: normal; min-width: 9rem; } th, td { padding-right: 0.9rem; } }
@media print { body { padding: 0; max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def html_report(title: str, results: Results, pictures: Mapping[str, bytes]) -> str:
    """A page that opens offline: nothing is loaded from anywhere, every text is escaped.

    Args:
        title: of the page.
        results: of an evaluation (see `sections`).
        pictures: PNG files by name; a section shows those of its pictures that are here.
    """
    return html_page(title, "Speaker verification results", headline(results), sections(results), pictures)


def html_page(
    title: str,
    kind: str,
    numbers: Sequence[tuple[str, str, str]],
    parts: Sequence[Section],
    pictures: Mapping[str, bytes],
) -> str:
    """The page of any report: a line of large numbers, then sections.

    Args:
        title: of the page.
        kind: the line above the title.
        numbers: name, value and remark ("" for none) of each large number.
        parts: what follows.
        pictures: PNG files by name; a section shows those of its pictures that are here.
    """
    large = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        + (f'<dd class="remark">{escape(remark)}</dd>' if remark else "")
        + "</div>"
        for name, value, remark in numbers
    )
    body = "\n".join(_section(section, pictures) for section in parts)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser enforces what we promise
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<p class="kind">{escape(kind)}</p>\n<h1>{escape(title)}</h1>\n'
        f'<dl class="numbers">{large}</dl>\n{body}\n</body>\n</html>\n'
    )


def _section(section: Section, pictures: Mapping[str, bytes]) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    parts += map(_table, section.tables)
    shown = [_figure(name, pictures[name]) for name in section.pictures if name in pictures]
    if shown:
        parts.append('<div class="pictures">' + "".join(shown) + "</div>")
    for name, text in section.code.items():
        block = f"<pre>{escape(text.rstrip())}</pre>"
        is_long = text.count("\n") > 5
        parts.append(
            f"<details><summary>{escape(name)}</summary>{block}</details>"
            if is_long
            else f"<p>{escape(name)}</p>{block}"
        )
    return "\n".join([*parts, "</section>"])


def _table(table: Table) -> str:
    def row(cells: list[str], tag: str) -> str:
        texts = [
            f'<{tag} class="label">{escape(cell)}</{tag}>'
            if at < table.num_labels
            else f"<{tag}>{escape(cell)}</{tag}>"
            for at, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(texts)}</tr>"

    head = f"<thead>{row(list(table.header), 'th')}</thead>" if any(table.header) else ""
    rows = "\n".join(row(list(cells), "td") for cells in table.rows)
    return f'<div class="scroll"><table>{head}<tbody>\n{rows}\n</tbody></table></div>'


def _figure(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    text = escape(PICTURE_TEXTS.get(name, name))
    width, height = struct.unpack(">II", png[16:24])  # of the PNG's first chunk
    kind = ' class="square"' if width < 1.3 * height else ""
    return (
        f'<figure{kind}><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )
