"""Explanations of windows of series: evidence for each step and channel."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.inputs.explaining import Choose, Explainer, Explanation, Settings
from tlkeras.inputs.integrated_gradients import integrate
from tlkeras.inputs.series.scaling import WindowScaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How many channels of a window are drawn, those of the strongest evidence.
_DRAWN = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class SeriesExplanation(Explanation):
    """When in a window of a series the evidence for a class or a value lies.

    Channels that are known ahead are not among them: they stay as they are.

    Attributes:
        window: The window in the units of the series, `(steps, channels)`, NaN where
            missing.
        columns: The channels' names, or their numbers.
        scores: What each step of each channel adds to `logit - baseline`, `(steps,
            channels)`: positive for the target, negative against it.
        target: The class, or of a forecast or a regression the number of the output.
        index: The number of the output that `target` is.
        method: `"integrated_gradients"`.
        probability: The model's probability of the target; `None` where there is none.
        output: What the model puts out for the target; of a forecast in deviations
            from the window's mean.
        logit: What is explained: `output` before its softmax or sigmoid.
        baseline: The logit of a window of the same level and size of which no step is
            known.
        gap: How far the scores' sum is from `logit - baseline`, as a share of the
            logit's range on the path between them.
        steps: The points on the path.
    """

    window: np.ndarray
    columns: tuple[str, ...]
    scores: np.ndarray

    @property
    def values(self) -> np.ndarray:
        return self.scores

    @property
    def over_time(self) -> np.ndarray:
        """The scores summed over channels, `(steps,)`."""
        return self.scores.sum(axis=1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the channels as lines, on a ground that shows the evidence.

        Orange speaks for the target, blue against it. Of many channels the four of the
        strongest evidence are drawn.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        return self.plot_all([self], ax)

    def _rows(self) -> list[tuple[np.ndarray, np.ndarray, str]]:
        """Returns of the strongest channels values, scores and what they are called."""
        strength = np.abs(self.scores).sum(axis=0)
        order = np.argsort(-strength, kind="stable")[:_DRAWN]
        several = len(self.columns) > 1
        return [
            (
                self.window[:, at],
                self.scores[:, at],
                f"{self.title}, {self.columns[at]}" if several else self.title,
            )
            for at in order
        ]

    @staticmethod
    def plot_all(
        found: Sequence["SeriesExplanation"],
        ax: "Axes | None" = None,
        columns: int | None = None,
    ) -> "Axes":
        from tlkeras.plots import plot_evidence

        rows = [row for one in found for row in one._rows()]
        return plot_evidence(rows, ax, columns=columns)

    @staticmethod
    def html_of_all(found: Sequence["SeriesExplanation"]) -> str:
        from tlkeras.plots import evidence_size, to_png

        def draw(ax):
            return SeriesExplanation.plot_all(found, ax)

        count = sum(len(one._rows()) for one in found)
        drawn = base64.b64encode(to_png(draw, evidence_size(count))).decode()
        alt = escape("; ".join(one.title for one in found))
        return (
            f'<figure><img src="data:image/png;base64,{drawn}" alt="{alt}" '
            f'style="max-width: 100%; background: white"></figure>'
        )

    def __repr__(self) -> str:
        at = int(np.abs(self.over_time).argmax())
        score = self.over_time[at]
        return f"<{self.title}, strongest at step {at}: {score:+.2g}{self._path()}>"


class SeriesExplainer(Explainer):
    """Integrated gradients from a window of which nothing is known to the window.

    The window's level and size, and columns that are known ahead, stay as they are
    along the path. A flat window at its mean would be the other thing to start from;
    for networks that learnt to fill in gaps it is a window of a shape of its own, and
    what differs from it hardly tells.

    Args:
        probe: As in `Explainer`.
        settings: As in `Explainer`.
        its_input: The model's `Series`.

    Raises:
        ValueError: If the settings are of pictures, or the model scales no windows.
    """

    method = "integrated_gradients"

    def __init__(self, probe: Any, settings: Settings, its_input: Any):
        super().__init__(probe, settings)
        self._input = its_input
        if settings.method == "grad_cam" or settings.layer is not None:
            raise ValueError(
                "Grad-CAM is for pictures: windows are explained step by step. Use "
                "method='integrated_gradients' without `layer`."
            )
        if settings.baseline is not None:
            raise ValueError(
                "Windows are explained from one of which nothing is known: leave out "
                f"`baseline`. Received: baseline={settings.baseline!r}."
            )
        self._slot = _scaled_slot(probe)

    def read(self, inputs: Any) -> np.ndarray:
        return self._input.read(inputs)

    def explain(self, ready: np.ndarray, choose: Choose) -> list[SeriesExplanation]:
        size, channels = self.settings.batch_size, self._input.own
        shown = slice(self._input.steps), slice(channels)
        batches = [[ready[at : at + size]] for at in range(0, len(ready), size)]
        targets, facts = choose(batches)
        function = self.probe.gradient_function(self._slot)
        scaled = [np.asarray(self.probe.at(self._slot, batch)) for batch in batches]
        names = self._input.columns or tuple(map(str, range(channels)))
        found = []
        for window, seen, target, about in zip(
            ready, np.concatenate(scaled), targets, facts, strict=True
        ):
            choice = np.eye(self.probe.units, dtype="float32")[target]

            def at(points, choice=choice, window=window):
                rows = np.broadcast_to(choice, (len(points), len(choice)))
                same = np.broadcast_to(window, (len(points), *window.shape))
                values, gradients = function([points, rows, same])
                return np.asarray(values), np.asarray(gradients)

            # Values at the mean, and marks that say that none of them is known.
            start = np.repeat([[0.0, 1.0]], channels, axis=1).astype("float32")
            start = np.broadcast_to(start, seen.shape)
            integral = integrate(
                at,
                start,
                seen,
                self.settings.steps,
                self.settings.tolerance,
                self.settings.batch_size,
            )
            found.append(
                SeriesExplanation(
                    **about,
                    method=self.method,
                    window=window[shown],
                    columns=tuple(names[:channels]),
                    scores=integral.attributions.reshape(-1, 2, channels).sum(axis=1),
                    baseline=integral.start,
                    gap=integral.gap,
                    steps=integral.steps,
                )
            )
        return found


def _scaled_slot(probe: Any) -> int:
    """Returns the slot of the scaled windows in a model's graph."""
    for call in probe.graph.between(probe.graph.inputs, probe.output):
        if isinstance(call.operation, WindowScaling):
            return call.outputs[0]
    raise ValueError(
        f"Model {probe.model.name!r} has no WindowScaling layer, behind which evidence "
        "is looked for; models of `tl.series_classifier` and its like have one."
    )
