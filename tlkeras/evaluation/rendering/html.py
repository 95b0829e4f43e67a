"""A report as HTML: a fragment for notebooks, a page that needs nothing else."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from tlkeras.description import html_table
from tlkeras.evaluation.drawing import Drawing
from tlkeras.evaluation.rendering import text
from tlkeras.evaluation.rendering.pictures import (
    Picture,
    example_texts,
    pictures,
)
from tlkeras.metrics.slices import SliceTable, gap_sentences
from tlkeras.metrics.table import FIGURES, number
from tlkeras.outputs.shown import Table

_TOP_LOSSES = 9
_STYLE = """
.tlkeras-report { max-width: 80em; }
.tlkeras-report .columns { display: flex; flex-wrap: wrap; gap: 1em 3em;
align-items: flex-start; }
.tlkeras-report h2 { font-size: 1.15em; margin: 1.6em 0 0.4em; padding-bottom: 0.2em;
border-bottom: 2px solid #8886; }
.tlkeras-report table { border-collapse: collapse; margin: 0.4em 0; }
.tlkeras-report caption { text-align: left; font-weight: bold; padding: 0.3em 0; }
.tlkeras-report th, .tlkeras-report td { padding: 0.2em 0.8em; text-align: right; }
.tlkeras-report tbody th { text-align: left; font-weight: normal; }
.tlkeras-report thead th:first-child { text-align: left; }
.tlkeras-report tr { border-bottom: 1px solid #8884; }
.tlkeras-report .scroll { max-height: 30em; overflow: auto; }
.tlkeras-report .words th, .tlkeras-report .words td { text-align: left; }
.tlkeras-report figure { margin: 0; flex: 1 1 22em; max-width: 27em; }
.tlkeras-report figure.wide { flex-basis: 100%; max-width: 60em; }
.tlkeras-report figcaption { font-weight: bold; padding: 0.3em 0; }
.tlkeras-report img { max-width: 100%; background: white; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; }}
body {{ font-family: sans-serif; margin: 2em auto; max-width: 80em;
padding: 0 1.5em; }}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{fragment}
</main>
</body>
</html>
"""


def page(report: Drawing, drawn: Sequence[Picture]) -> str:
    """Returns a whole HTML document with the pictures `drawn` inside."""
    title = text.title(report)
    title = escape(f"Evaluation: {title}")
    return _PAGE.format(title=title, fragment=_fragment(report, drawn))


def fragment(report: Drawing) -> str:
    """Returns the report for a notebook cell: tables and pictures in one element."""
    title = text.title(report)
    heading = f"<p><strong>{escape(title[0].upper() + title[1:])}</strong></p>"
    return heading + _fragment(report, pictures(report))


def _fragment(report: Drawing, drawn: Sequence[Picture]) -> str:
    figures = [_metrics(report)]
    if report.per_class is not None:
        figures.append(_per_class(report))
    said = [*text.missing(report), *text.shift(report)]
    said += report.output.warnings(report)
    parts = [
        f"<style>{_STYLE}</style>",
        _about(report),
        _columns(figures),
        *(f"<p>{escape(sentence)}</p>" for sentence in said),
    ]
    slices = [_slices(name, table) for name, table in report.slices.items()]
    parts += _section("Parts of the data", slices)
    parts += _section("Pictures", map(_figure, drawn))
    examples = [*map(_shown, report.output.tables(report)), _top_losses(report)]
    parts += _section("Mistakes and examples", examples)
    return '<div class="tlkeras-report">\n' + "\n".join(parts) + "\n</div>"


def _about(report: Drawing) -> str:
    """Says what was evaluated, where that is known."""
    said = (
        f"<strong>{escape(name.capitalize())}:</strong> {escape(value)}"
        for name, value in report.about.items()
    )
    return f"<p>{'<br>'.join(said)}</p>" if report.about else ""


def _section(title: str, parts: Iterable[str]) -> list[str]:
    """Returns a heading and what stands below it, nothing for no parts."""
    parts = list(parts)
    return [f"<h2>{escape(title)}</h2>", _columns(parts)] if parts else []


def _columns(parts: Iterable[str]) -> str:
    """Puts parts beside one another where there is room."""
    return '<div class="columns">\n' + "\n".join(parts) + "\n</div>"


def _metrics(report: Drawing) -> str:
    rows = [(name, number(value)) for name, value in report.metrics.items()]
    table = html_table(("metric", "value"), rows, caption="Metrics")
    return f"<div>{table}<p>{escape(text.interval(report))}.</p></div>"


def _per_class(report: Drawing) -> str:
    kind = report.output.noun
    rows = [
        (row["class"], *(f"{row[name]:.3f}" for name in FIGURES), row["support"])
        for row in [*report.per_class, *text.average_rows(report)]
    ]
    return _scrolling((kind, *FIGURES, "support"), rows, f"Figures per {kind}")


def _scrolling(
    header: Iterable[Any],
    rows: Iterable[Sequence[Any]],
    caption: str,
    kind: str = "scroll",
) -> str:
    table = html_table(header, rows, caption=caption)
    # A region that scrolls must be reachable by keyboard.
    label = escape(caption)
    region = f'class="{kind}" role="region" aria-label="{label}" tabindex="0"'
    return f"<div {region}>{table}</div>"


def _shown(table: Table) -> str:
    build = _scrolling if table.scrolls else html_table
    shown = build(table.header, table.rows, caption=table.caption)
    if not table.folded_behind:
        return shown
    summary = f"<summary>{escape(table.folded_behind)}</summary>"
    return f"<details>{summary}{shown}</details>"


def _slices(name: str, table: SliceTable) -> str:
    header = ("slice", "examples", table.figure, "95% interval", "loss", "note")
    rows = [
        (
            row["slice"],
            row["examples"],
            f"{row[table.figure]:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['loss']:.3f}",
            "few examples" if row["small"] else "",
        )
        for row in table
    ]
    gap = "".join(f"<p>{escape(said)}</p>" for said in gap_sentences(table))
    return f"<div>{_scrolling(header, rows, f'By {name}')}{gap}</div>"


def _top_losses(report: Drawing) -> str:
    """Lists the examples with the highest losses, with file names and texts if any."""
    positions = report.top_losses(_TOP_LOSSES)
    names, texts = report.file_names(positions), example_texts(report, positions)
    header = ["example", "verdict", "loss"]
    columns = [positions.tolist(), map(report.verdict, positions)]
    columns.append([f"{loss:.3f}" for loss in report.losses[positions]])
    for title, column in (("file", names), ("text", texts)):
        if column is not None:
            header.append(title)
            columns.append(column)
    rows = list(zip(*columns, strict=True))
    return _scrolling(header, rows, "Highest losses", "scroll words")


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    wide = ' class="wide"' if picture.is_wide else ""
    # The caption comes first: below it would read as the next picture's heading.
    return (
        f"<figure{wide}><figcaption>{escape(picture.caption)}</figcaption>"
        f'<img src="data:image/{picture.kind};base64,{data}" '
        f'alt="{escape(picture.description)}"></figure>'
    )
