"""Explanations of rows: integrated gradients of the cells, summed over columns."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.inputs.explaining import Choose, Explainer, Explanation, Settings
from tlkeras.inputs.integrated_gradients import integrate
from tlkeras.inputs.tables.layers import TableCells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How many columns are drawn, the strongest first.
_DRAWN = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class TableExplanation(Explanation):
    """What each column of a row does for a class.

    Attributes:
        columns: The columns' names.
        cells: What the row holds of each, as the model sees it.
        scores: For each column its share of `logit - baseline`: positive for the
            target, negative against it.
        target: The class, or of a regression the number of the output.
        index: The number of the output that `target` is.
        method: `"integrated_gradients"`.
        probability: The model's probability of the target; `None` of a regression.
        output: What the model puts out for the target.
        logit: What is explained: `output` before its softmax or sigmoid.
        baseline: The logit of an average row: numbers at their medians, categories
            as often as in training.
        gap: How far the scores' sum is from `logit - baseline`, as a share of the
            logit's range on the path between them.
        steps: The points on the path.
    """

    columns: tuple[str, ...]
    cells: tuple[Any, ...]
    scores: np.ndarray

    @property
    def values(self) -> np.ndarray:
        return self.scores

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the columns of the largest scores, for or against, and the scores.

        Args:
            count: How many columns.
        """
        order = np.argsort(-np.abs(self.scores), kind="stable")[:count]
        return [(self.columns[i], float(self.scores[i])) for i in order]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the strongest columns as bars, for the target and against it.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        return self.plot_all([self], ax)

    def _rows(self, count: int) -> list[tuple[str, float]]:
        """Returns the strongest columns with their cells, and their scores."""
        texts = {
            name: f"{name} missing" if cell in ("", None) else f"{name} = {cell}"
            for name, cell in zip(self.columns, self.cells, strict=True)
        }
        return [(texts[name], score) for name, score in self.top(count)]

    @staticmethod
    def plot_all(
        found: Sequence["TableExplanation"],
        ax: "Axes | None" = None,
        columns: int | None = None,
    ) -> "Axes":
        from tlkeras.plots.bars import plot_signed_bars

        return plot_signed_bars([(one.title, one._rows(_DRAWN)) for one in found], ax)

    @staticmethod
    def html_of_all(found: Sequence["TableExplanation"]) -> str:
        blocks = []
        for one in found:
            rows = "".join(
                f"<tr><td>{html.escape(name)}</td><td>{score:+.3g}</td></tr>"
                for name, score in one._rows(_DRAWN)
            )
            blocks.append(f"<p>{html.escape(one.title)}</p><table>{rows}</table>")
        return "".join(blocks)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {score:+.2g}" for name, score in self._rows(3))
        return f"<{self.title}, {columns}{self._path()}>"


class TableExplainer(Explainer):
    """Integrated gradients from an average row to the row.

    Args:
        probe: As in `Explainer`.
        settings: As in `Explainer`.
        its_input: The model's `Tables`.

    Raises:
        ValueError: If the settings are of pictures.
    """

    method = "integrated_gradients"

    def __init__(self, probe: Any, settings: Settings, its_input: Any):
        super().__init__(probe, settings)
        self._input = its_input
        if settings.method == "grad_cam" or settings.layer is not None:
            raise ValueError(
                "Grad-CAM is for pictures: rows have no feature map. Use "
                "method='integrated_gradients' without `layer`."
            )
        if settings.baseline is not None:
            raise ValueError(
                "Rows are explained from an average row of training: leave out "
                f"`baseline`. Received: baseline={settings.baseline!r}."
            )

    def read(self, inputs: Any) -> np.ndarray:
        return self._input.read(inputs)

    def explain(self, ready: np.ndarray, choose: Choose) -> list[TableExplanation]:
        targets, facts = choose([[ready]])
        slot, layer = self._cells()
        function = self.probe.gradient_function(slot)
        cells, start = np.asarray(self.probe.at(slot, [ready])), layer.average()[0]
        columns = self._input.columns
        shown = columns.decode(ready)
        owner = np.repeat(columns.owners, layer.widths)
        found = []
        for place, (target, about) in enumerate(zip(targets, facts, strict=True)):
            choice = np.eye(self.probe.units, dtype="float32")[target]
            row = ready[place : place + 1]

            def at(points: np.ndarray, choice=choice, row=row) -> tuple:
                rows = np.broadcast_to(choice, (len(points), len(choice)))
                same = np.repeat(row, len(points), axis=0)
                values, gradients = function([points, rows, same])
                return np.asarray(values), np.asarray(gradients)

            integral = integrate(
                at,
                start,
                cells[place],
                self.settings.steps,
                self.settings.tolerance,
                self.settings.batch_size,
            )
            found.append(
                TableExplanation(
                    **about,
                    method=self.method,
                    columns=columns.names,
                    cells=tuple(shown[name][place] for name in columns.names),
                    scores=np.bincount(owner, integral.attributions, len(columns)),
                    baseline=integral.start,
                    gap=integral.gap,
                    steps=integral.steps,
                )
            )
        return found

    def _cells(self) -> tuple[int, TableCells]:
        """Returns the slot of the scaled cells, and the layer that makes them."""
        for call in self.probe.graph.calls:
            if isinstance(call.operation, TableCells):
                return call.outputs[0], call.operation
        raise ValueError(
            "The model has no layer `TableCells`: it was not built for tables."
        )
