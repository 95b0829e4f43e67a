"""A report as HTML: a fragment for notebooks, a page that needs nothing else."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from tlkeras.evaluation import _text
from tlkeras.evaluation._pictures import Picture, pictures
from tlkeras.evaluation._table import FIGURES, number

if TYPE_CHECKING:
    from tlkeras.evaluation.report import Report

_MOST_TABLE_CLASSES = 20
_STYLE = """
.tlkeras-report table { border-collapse: collapse; margin: 0.8em 0; }
.tlkeras-report caption { text-align: left; font-weight: bold; padding: 0.3em 0; }
.tlkeras-report th, .tlkeras-report td { padding: 0.2em 0.8em; text-align: right; }
.tlkeras-report tbody th { text-align: left; font-weight: normal; }
.tlkeras-report tr { border-bottom: 1px solid #8884; }
.tlkeras-report .scroll { max-height: 30em; overflow: auto; }
.tlkeras-report figure { margin: 0.8em 0; }
.tlkeras-report img { max-width: 100%; background: white; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font-family: sans-serif; margin: 2em auto; max-width: 60em;
padding: 0 1em; }}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{fragment}
</main>
</body>
</html>
"""


def page(report: "Report", drawn: Sequence[Picture]) -> str:
    """Returns a whole HTML document with the pictures `drawn` inside."""
    title = _text.title(report)
    title = escape(f"Evaluation: {title}")
    return _PAGE.format(title=title, fragment=_fragment(report, drawn))


def fragment(report: "Report") -> str:
    """Returns the report for a notebook cell: tables and pictures in one element."""
    title = _text.title(report)
    heading = f"<p><strong>{escape(title[0].upper() + title[1:])}</strong></p>"
    return heading + _fragment(report, pictures(report))


def _fragment(report: "Report", drawn: Sequence[Picture]) -> str:
    parts = [f"<style>{_STYLE}</style>", _metrics(report)]
    if report.per_class is not None:
        parts.append(_per_class(report))
    parts += [f"<p>{escape(sentence)}</p>" for sentence in _text.missing(report)]
    parts += [_figure(picture) for picture in drawn]
    exclusive = report.task == "classification"
    if exclusive and len(report.class_names) <= _MOST_TABLE_CLASSES:
        parts.append(_confusion(report))
    return '<div class="tlkeras-report">\n' + "\n".join(parts) + "\n</div>"


def _metrics(report: "Report") -> str:
    rows = [(name, number(value)) for name, value in report.metrics.items()]
    return _table("Metrics", ("metric", "value"), rows)


def _per_class(report: "Report") -> str:
    kind = "class" if report.task == "classification" else "label"
    rows = [
        (row["class"], *(f"{row[name]:.3f}" for name in FIGURES), row["support"])
        for row in [*report.per_class, *_text.average_rows(report)]
    ]
    caption = f"Figures per {kind}"
    table = _table(caption, (kind, *FIGURES, "support"), rows)
    # A region that scrolls must be reachable by keyboard.
    region = f'class="scroll" role="region" aria-label="{caption}" tabindex="0"'
    return f"<div {region}>{table}</div>"


def _confusion(report: "Report") -> str:
    rows = [
        (name, *counts)
        for name, counts in zip(
            report.class_names, report.confusion.tolist(), strict=True
        )
    ]
    caption = "Confusion matrix: true class by row, predicted class by column"
    table = _table(caption, ("true class", *report.class_names), rows)
    return f"<details><summary>Confusion matrix as a table</summary>{table}</details>"


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" '
        f'alt="{escape(picture.description)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(caption: str, header: Iterable[Any], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col">{escape(str(cell))}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(first))}</th>'
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )
