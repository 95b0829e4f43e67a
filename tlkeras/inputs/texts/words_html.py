"""Texts as HTML for notebooks, each word on a background that tells its score."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

# For and against: the same as in the plots, told apart by the colour-blind too.
_FOR, _AGAINST = "213, 94, 0", "0, 114, 178"
_STYLE = """
.tlkeras-words { margin: 0.8em 0; line-height: 1.9; max-width: 50em; }
.tlkeras-words span { padding: 0.1em 0.15em; border-radius: 0.2em; }
.tlkeras-words .against { text-decoration: underline dotted; }
.tlkeras-words small { opacity: 0.8; }
"""


class Row(NamedTuple):
    """One text, its words and their scores.

    Attributes:
        title: What stands above.
        words: The words.
        scores: For each word its score.
        parts: For each word 0, or 1 in the second text of a pair.
        top: The words of the largest scores, and the scores.
        truncated: Whether the text goes on.
    """

    title: str
    words: Sequence[str]
    scores: np.ndarray
    parts: Sequence[int]
    top: Sequence[tuple[str, float]]
    truncated: bool


def words_html(rows: Sequence[Row]) -> str:
    """Returns texts with each word on a background that tells its score."""
    shown = "\n".join(map(_text, rows))
    legend = (
        f'<p><small><span style="background: rgba({_FOR}, 0.5)">for</span> '
        f'<span class="against" style="background: rgba({_AGAINST}, 0.5)">against'
        "</span> the class; the scores are shown where the pointer rests on a word."
        "</small></p>"
    )
    return f'<style>{_STYLE}</style><div class="tlkeras-words">{shown}{legend}</div>'


def _text(row: Row) -> str:
    largest = float(np.abs(row.scores).max(initial=0.0)) or 1.0
    shown, part = [], 0
    for word, score, number in zip(row.words, row.scores, row.parts, strict=True):
        if number != part:
            shown.append("<br>")
            part = number
        shown.append(_word(word, float(score), largest))
    if row.truncated:
        shown.append("<small>(the rest is not read)</small>")
    top = ", ".join(f"{escape(word)} {score:+.2f}" for word, score in row.top)
    return (
        f"<p><strong>{escape(row.title)}</strong><br>{' '.join(shown)}<br>"
        f"<small>{top}</small></p>"
    )


def _word(word: str, score: float, largest: float) -> str:
    colour = _FOR if score >= 0 else _AGAINST
    kind = ' class="against"' if score < -0.1 * largest else ""
    strength = 0.75 * abs(score) / largest
    return (
        f'<span{kind} style="background: rgba({colour}, {strength:.2f})" '
        f'title="{score:+.3f}">{escape(word)}</span>'
    )
