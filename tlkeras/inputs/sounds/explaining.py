"""Explanations of sounds: evidence over time and pitch, on the spectrogram."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.inputs.explaining import Choose, Explainer, Explanation, Settings
from tlkeras.inputs.integrated_gradients import integrate
from tlkeras.inputs.pictures.explaining import feature_map, grad_cam
from tlkeras.inputs.sounds.showing import player
from tlkeras.inputs.sounds.spectrogram import LogMelSpectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundExplanation(Explanation):
    """When and at which pitches in a sound the evidence for a class lies.

    Attributes:
        wave: The window as the model reads it, `(samples,)`.
        sample_rate: Samples per second.
        spectrogram: What the backbone sees of it, `(mels, columns)`, 0 to 255, high
            pitches first.
        map: `(mels, columns)`, in units of the logit. Of Grad-CAM at least 0: evidence
            for the target. Of integrated gradients positive for, negative against it.
        target: The class, or of a regression the number of the output.
        index: The number of the output that `target` is.
        method: `"grad_cam"` or `"integrated_gradients"`.
        probability: The model's probability of the target; `None` of a regression.
        output: What the model puts out for the target.
        logit: What is explained: `output` before its softmax or sigmoid.
        layer: Of Grad-CAM, the layer whose feature map was read.
        baseline: Of integrated gradients, the logit of the baseline.
        gap: Of integrated gradients, how far `map.sum()` is from `logit - baseline`,
            as a share of the logit's range on the path between them.
        steps: Of integrated gradients, the points on the path.
    """

    wave: np.ndarray
    sample_rate: int
    spectrogram: np.ndarray
    map: np.ndarray
    layer: str | None = None

    @property
    def values(self) -> np.ndarray:
        return self.map

    @property
    def over_time(self) -> np.ndarray:
        """The map summed over pitches, `(columns,)`, from begin to end."""
        return self.map.sum(axis=0)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the map over the spectrogram.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_heat

        return plot_heat(self.spectrogram[..., None], self.map, ax, title=self.title)

    @staticmethod
    def plot_all(
        found: Sequence["SoundExplanation"],
        ax: "Axes | None" = None,
        columns: int | None = None,
    ) -> "Axes":
        from tlkeras.plots import plot_heats

        triples = [(one.spectrogram[..., None], one.map, one.title) for one in found]
        return plot_heats(triples, ax, columns=columns)

    @staticmethod
    def html_of_all(found: Sequence["SoundExplanation"]) -> str:
        from tlkeras.plots import heats_size, to_png

        def draw(ax):
            return SoundExplanation.plot_all(found, ax)

        drawn = base64.b64encode(to_png(draw, heats_size(len(found)))).decode()
        alt = escape("; ".join(one.title for one in found))
        rows = "".join(
            f"<tr><td>{escape(one.title)}</td>"
            f"<td>{player(one.wave, one.sample_rate)}</td></tr>"
            for one in found
        )
        return (
            f'<figure><img src="data:image/png;base64,{drawn}" alt="{alt}" '
            f'style="max-width: 100%; background: white"></figure>'
            f"<table>{rows}</table>"
        )

    def __repr__(self) -> str:
        at = f" at {self.layer!r}" if self.layer else ""
        return f"<{self.title}, {self.method}{at}{self._path()}>"


class SoundExplainer(Explainer):
    """Grad-CAM where there is a feature map, otherwise integrated gradients.

    Both are about the spectrogram, which lies within the model: a sample of a wave
    means little by itself.

    Args:
        probe: As in `Explainer`.
        settings: As in `Explainer`.
        sounds: The model's input, `Sounds`.

    Raises:
        ValueError: If the settings do not go together, or the model has no spectrogram,
            or no feature map where one is asked for.
    """

    def __init__(self, probe: Any, settings: Settings, sounds: Any):
        super().__init__(probe, settings)
        self._sounds = sounds
        self._spectrogram = _spectrogram_slot(probe)
        if settings.baseline is not None:
            raise ValueError(
                "`baseline` of sounds is a black spectrogram, silence; leave it out. "
                f"Received: baseline={settings.baseline!r}."
            )
        by_path = settings.method == "integrated_gradients" or (
            settings.method == "auto" and settings.steps is not None
        )
        if settings.layer is not None and by_path:
            raise ValueError(
                "`layer` is of Grad-CAM alone; integrated gradients start at the "
                f"spectrogram. Received: layer={settings.layer!r}."
            )
        self._place = None if by_path else feature_map(probe, settings.layer)
        if self._place is None and settings.method == "grad_cam":
            raise ValueError(
                f"Model {probe.model.name!r} has no feature map of shape (batch, "
                "height, width, channels) for Grad-CAM. Use "
                "method='integrated_gradients'."
            )
        self.method = "integrated_gradients" if self._place is None else "grad_cam"

    def read(self, inputs: Any) -> np.ndarray:
        return self._sounds.read(inputs)

    def explain(self, ready: np.ndarray, choose: Choose) -> list[SoundExplanation]:
        size = self.settings.batch_size
        starts = range(0, len(ready), size)
        targets, facts = choose([[ready[start : start + size]] for start in starts])
        seen = np.concatenate(
            [
                np.asarray(
                    self.probe.at(self._spectrogram, [ready[start : start + size]])
                )
                for start in starts
            ]
        )
        if self._place is None:
            maps, more = self._paths(seen, targets)
        else:
            slot, layer = self._place
            maps = grad_cam(self.probe, slot, ready, targets, size, seen.shape[1:3])
            more = [{"layer": layer}] * len(ready)
        return [
            SoundExplanation(
                **about,
                **rest,
                method=self.method,
                wave=wave,
                sample_rate=self._sounds.sample_rate,
                spectrogram=picture[..., 0],
                map=map,
            )
            for about, rest, wave, picture, map in zip(
                facts, more, ready, seen, maps, strict=True
            )
        ]

    def _paths(
        self, seen: np.ndarray, targets: np.ndarray
    ) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        settings, units = self.settings, self.probe.units
        function = self.probe.gradient_function(self._spectrogram)
        silence = np.zeros((1, self._sounds.samples), "float32")
        maps, facts = [], []
        for picture, target in zip(seen, targets, strict=True):
            choice = np.eye(units, dtype="float32")[target]

            def at(points, choice=choice):
                rows = np.broadcast_to(choice, (len(points), units))
                # Nothing reads the wave behind the spectrogram that is given.
                waves = np.broadcast_to(silence, (len(points), silence.shape[1]))
                values, gradients = function([points, rows, waves])
                return np.asarray(values), np.asarray(gradients)

            integral = integrate(
                at,
                np.zeros_like(picture),
                picture,
                settings.steps,
                settings.tolerance,
                settings.batch_size,
            )
            maps.append(integral.attributions.sum(axis=-1))
            facts.append(
                {
                    "baseline": integral.start,
                    "gap": integral.gap,
                    "steps": integral.steps,
                }
            )
        return maps, facts


def _spectrogram_slot(probe: Any) -> int:
    """Returns the slot of the spectrogram in a model's graph."""
    for call in probe.graph.between(probe.graph.inputs, probe.output):
        if isinstance(call.operation, LogMelSpectrogram):
            return call.outputs[0]
    raise ValueError(
        f"Model {probe.model.name!r} has no LogMelSpectrogram layer, which evidence "
        "over time and pitch is drawn on; models of `tl.audio_classifier` around a "
        "backbone of pictures have one. "
        f"Its layers: {[layer.name for layer in probe.model.layers]}."
    )
