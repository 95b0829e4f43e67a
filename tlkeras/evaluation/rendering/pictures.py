"""The pictures of a report as image files with a description for each."""

from typing import NamedTuple

import numpy as np

from tlkeras.evaluation.drawing import Drawing
from tlkeras.metrics.table import one_line
from tlkeras.outputs.shown import Plot

_TOP_LOSSES = 9
_LONGEST_TEXT = 300


class Picture(NamedTuple):
    """A picture, its file name without suffix, and what it shows in words."""

    name: str
    caption: str
    description: str
    data: bytes
    kind: str = "png"
    is_wide: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}.{self.kind}"


def pictures(report: Drawing) -> list[Picture]:
    """Draws the pictures that suit `report`: its output, its slices, its examples."""
    drawn = [_drawn(plot) for plot in report.output.plots(report)]
    drawn += [_slices(report, i, name) for i, name in enumerate(report.slices)]
    top_losses = _top_losses(report)
    return drawn if top_losses is None else [*drawn, top_losses]


def example_texts(report: Drawing, positions: np.ndarray) -> list[str] | None:
    """Returns the texts at positions, where the examples are texts."""
    inputs = _examples(report, positions)
    if inputs is None or inputs.dtype.kind not in "OU":
        return None
    texts = (" | ".join(np.atleast_1d(text)) for text in inputs)
    return [one_line(text, _LONGEST_TEXT) for text in texts]


def _examples(report: Drawing, positions: np.ndarray) -> np.ndarray | None:
    """Returns examples to show, or `None` where there is no showing them."""
    try:
        return report.examples(positions)
    except ValueError:
        return None


def _drawn(plot: Plot) -> Picture:
    from tlkeras.plots import to_png

    png = to_png(plot.draw, plot.size)
    return Picture(plot.name, plot.caption, plot.description, png)


def _slices(report: Drawing, index: int, name: str) -> Picture:
    from tlkeras.plots import to_png
    from tlkeras.plots.slices import slices_size

    table = report.slices[name]
    description = f"{table.figure} by {name}, worst slice {table[0]['slice']}."
    png = to_png(lambda ax: report.plot_slices(name, ax), slices_size(len(table)))
    return Picture(f"slices_{index + 1}", f"By {name}", description, png)


def _top_losses(report: Drawing) -> Picture | None:
    """Draws the examples of the highest losses where they are pictures."""
    from tlkeras.plots import to_jpeg
    from tlkeras.plots.examples import are_images, examples_size, plot_examples

    positions = report.top_losses(_TOP_LOSSES)
    inputs = _examples(report, positions)
    if inputs is None or not are_images(inputs):
        return None
    titles = [report.verdict(i) for i in positions]
    data = to_jpeg(
        lambda ax: plot_examples(inputs, titles, ax), examples_size(len(inputs))
    )
    description = f"The highest losses: {'; '.join(titles)}."
    caption = "Highest losses: what each is, what it was taken for, and how surely"
    return Picture("top_losses", caption, description, data, "jpeg", is_wide=True)
