"""Explanations as HTML for notebooks: coloured words, pictures under their maps."""

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tlkeras.explain.results import ImageExplanation, TextExplanation

# For and against: the same as in the plots, told apart by the colour-blind too.
_FOR, _AGAINST = "213, 94, 0", "0, 114, 178"
_STYLE = """
.tlkeras-words { margin: 0.8em 0; line-height: 1.9; max-width: 50em; }
.tlkeras-words span { padding: 0.1em 0.15em; border-radius: 0.2em; }
.tlkeras-words .against { text-decoration: underline dotted; }
.tlkeras-words small { opacity: 0.8; }
"""


def texts(found: "Sequence[TextExplanation]") -> str:
    """Returns texts with each word on a background that tells its score."""
    rows = "\n".join(map(_text, found))
    legend = (
        f'<p><small><span style="background: rgba({_FOR}, 0.5)">for</span> '
        f'<span class="against" style="background: rgba({_AGAINST}, 0.5)">against'
        "</span> the class; the scores are shown where the pointer rests on a word."
        "</small></p>"
    )
    return f'<style>{_STYLE}</style><div class="tlkeras-words">{rows}{legend}</div>'


def _text(one: "TextExplanation") -> str:
    largest = float(np.abs(one.scores).max(initial=0.0)) or 1.0
    shown, part = [], 0
    for word, score, number in zip(one.words, one.scores, one.parts, strict=True):
        if number != part:
            shown.append("<br>")
            part = number
        shown.append(_word(word, float(score), largest))
    if one.truncated:
        shown.append("<small>(the rest is not read)</small>")
    top = ", ".join(f"{escape(word)} {score:+.2f}" for word, score in one.top())
    return (
        f"<p><strong>{escape(one.title)}</strong><br>{' '.join(shown)}<br>"
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


def pictures(found: "Sequence[ImageExplanation]") -> str:
    """Returns a figure with the maps over the pictures."""
    from tlkeras.plots import heats_size, plot_heats, to_jpeg

    triples: list[Any] = [(one.image, one.map, one.title) for one in found]
    data = to_jpeg(lambda ax: plot_heats(triples, ax), heats_size(len(triples)))
    encoded = base64.b64encode(data).decode()
    alt = escape("; ".join(_where(one) for one in found))
    return (
        f'<figure><img src="data:image/jpeg;base64,{encoded}" alt="{alt}" '
        'style="max-width: 100%; background: white"></figure>'
    )


def _where(one: "ImageExplanation") -> str:
    """Says in words where in a picture the map is strongest."""
    strength = np.abs(one.map)
    if not strength.any():
        return f"{one.title}: no evidence in the picture"
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    down = ("top", "middle", "bottom")[3 * row // strength.shape[0]]
    across = ("left", "centre", "right")[3 * column // strength.shape[1]]
    return f"{one.title}: strongest at the {down} {across}"
