"""Explanations of pictures: Grad-CAM, and integrated gradients of the pixels."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.inputs.explaining import Choose, Explainer, Explanation, Settings
from tlkeras.inputs.integrated_gradients import integrate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageExplanation(Explanation):
    """Where in a picture the evidence for a class lies.

    Attributes:
        image: The pixels as the model reads them, `(height, width, channels)`.
        map: `(height, width)`, in units of the logit. Of Grad-CAM at least 0: evidence
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
        box: Of a detector, the box whose score is explained: left, top, right and
            bottom in pixels of `image`.
    """

    image: np.ndarray
    map: np.ndarray
    layer: str | None = None
    box: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        return self.map

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the map over the picture.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_heat

        return plot_heat(self.image, self.map, ax, title=self.title, box=self.box)

    @staticmethod
    def plot_all(
        found: Sequence["ImageExplanation"],
        ax: "Axes | None" = None,
        columns: int | None = None,
    ) -> "Axes":
        from tlkeras.plots import plot_heats

        return plot_heats(_heats(found), ax, columns=columns)

    @staticmethod
    def html_of_all(found: Sequence["ImageExplanation"]) -> str:
        return _figure(_heats(found))

    def __repr__(self) -> str:
        at = f" at {self.layer!r}" if self.layer else ""
        return f"<{self.title}, {self.method}{at}{self._path()}>"


class PictureExplainer(Explainer):
    """Grad-CAM where there is a feature map, otherwise integrated gradients.

    Args:
        probe: As in `Explainer`.
        settings: As in `Explainer`.
        pictures: The model's input, `Pictures`.

    Raises:
        ValueError: If the settings do not go together, or the model has no feature map
            where one is asked for.
    """

    def __init__(self, probe: Any, settings: Settings, pictures: Any):
        super().__init__(probe, settings)
        self._pictures = pictures
        _check_settings(settings)
        self._place = None
        # Grad-CAM averages gradients over the picture; those of a box are of one place.
        by_path = settings.method == "auto" and settings.layer is None
        if not (_is_path(settings) or (by_path and probe.answer.has_places)):
            self._place = feature_map(probe, settings.layer)
        if self._place is None and settings.method == "grad_cam":
            raise ValueError(
                f"Model {probe.model.name!r} has no feature map of shape (batch, "
                "height, width, channels) for Grad-CAM. Use "
                "method='integrated_gradients'."
            )
        self.method = "integrated_gradients" if self._place is None else "grad_cam"

    def read(self, inputs: Any) -> np.ndarray:
        return self._pictures.read(inputs)

    def explain(self, ready: np.ndarray, choose: Choose) -> list[ImageExplanation]:
        size = self.settings.batch_size
        starts = range(0, len(ready), size)
        targets, facts = choose([[ready[start : start + size]] for start in starts])
        if self._place is None:
            return self._paths(ready, targets, facts)
        slot, layer = self._place
        maps = grad_cam(self.probe, slot, ready, targets, size, ready.shape[1:3])
        return [
            ImageExplanation(
                **_placed(about, image),
                method=self.method,
                image=image,
                map=map,
                layer=layer,
            )
            for about, image, map in zip(facts, ready, maps, strict=True)
        ]

    def _paths(
        self, pixels: np.ndarray, targets: np.ndarray, facts: list[dict[str, Any]]
    ) -> list[ImageExplanation]:
        probe, settings = self.probe, self.settings
        function = probe.gradient_function(probe.graph.inputs[0])
        baseline = _baseline(settings.baseline, pixels.shape[1:])
        found = []
        for image, target, about in zip(pixels, targets, facts, strict=True):
            integral = integrate(
                _at_pixels(function, _choice(target, probe.units)),
                baseline,
                image,
                settings.steps,
                settings.tolerance,
                settings.batch_size,
            )
            found.append(
                ImageExplanation(
                    **_placed(about, image),
                    method=self.method,
                    image=image,
                    map=integral.attributions.sum(axis=-1),
                    baseline=integral.start,
                    gap=integral.gap,
                    steps=integral.steps,
                )
            )
        return found


def _is_path(settings: Settings) -> bool:
    """Whether the settings are of integrated gradients alone."""
    return settings.method == "integrated_gradients" or bool(_of_path(settings))


def _of_path(settings: Settings) -> list[str]:
    names = ("steps", "baseline")
    return [name for name in names if getattr(settings, name) is not None]


def _check_settings(settings: Settings) -> None:
    path, layer = _of_path(settings), settings.layer
    if path and (settings.method == "grad_cam" or layer is not None):
        raise ValueError(
            f"`{path[0]}` is of integrated gradients alone, `layer` of Grad-CAM. Leave "
            "one of them out."
        )
    if layer is not None and settings.method == "integrated_gradients":
        raise ValueError(
            "`layer` is of Grad-CAM alone; integrated gradients start at the pixels. "
            f"Received: layer={layer!r}."
        )


def feature_map(probe: Any, layer: str | None) -> tuple[int, str] | None:
    """Returns the slot and the layer's name of a feature map.

    Args:
        probe: The model.
        layer: A layer's name; by default the last with a height and a width that does
            not pool, as in the paper: VGG16's last convolution.

    Returns:
        `None` where no layer is named and there is no such map.

    Raises:
        ValueError: If no layer of that name has a feature map.
    """
    found = _feature_maps(probe)
    if layer is None:
        unpooled = {n: s for n, (s, pools) in found.items() if not pools}
        return (
            (unpooled[name], name) if (name := next(reversed(unpooled), "")) else None
        )
    if layer in found:
        return found[layer][0], layer
    others = {call.operation.name for call in probe.graph.calls}
    if layer in others:
        raise ValueError(
            f"Layer {layer!r} has no feature map of shape (batch, height, width, "
            f"channels) that comes from weights. Layers that have: {', '.join(found)}."
        )
    raise unknown_name("layer with a feature map", layer, found)


def _feature_maps(probe: Any) -> dict[str, tuple[int, bool]]:
    """Returns by layers' names the slots of maps, and whether the layer pools."""
    graph = probe.graph
    from_weights: set[int] = set()
    found = {}
    for call in graph.between(graph.inputs, probe.output):
        weighted = bool(getattr(call.operation, "weights", ()))
        if not weighted and from_weights.isdisjoint(call.inputs):
            continue
        from_weights.update(call.outputs)
        slot = call.outputs[0]
        shape = graph.tensors[slot].shape
        if len(call.outputs) == 1 and len(shape) == 4 and shape[1:3] != (1, 1):
            found[call.operation.name] = (slot, isinstance(call.operation, _POOLING))
    return found


def grad_cam(
    probe: Any,
    slot: int,
    inputs: np.ndarray,
    targets: np.ndarray,
    batch_size: int,
    size: tuple[int, int],
) -> np.ndarray:
    """Returns Grad-CAM's maps, float32 `(n, *size)`.

    Args:
        probe: The model.
        slot: Of the feature map.
        inputs: What the model takes, an array.
        targets: The numbers of the outputs, one for each input.
        batch_size: Inputs at a time.
        size: Height and width of the maps.
    """
    function = probe.features_function(slot)
    choice = _choice(targets[:, None], probe.units)
    maps = []
    for first in range(0, len(inputs), batch_size):
        here = slice(first, first + batch_size)
        features, gradients = function([choice[here], inputs[here]])
        weights = keras.ops.mean(gradients, axis=(1, 2), keepdims=True)
        coarse = keras.ops.relu(
            keras.ops.sum(weights * features, axis=-1, keepdims=True)
        )
        fine = keras.ops.image.resize(
            coarse, size, "bilinear", data_format="channels_last"
        )
        maps.append(keras.ops.convert_to_numpy(fine)[..., 0])
    return np.concatenate(maps)


def _choice(targets: Any, units: int) -> np.ndarray:
    """Returns ones at targets' numbers; a detector has too many for an identity."""
    return (targets == np.arange(units)).astype("float32")


def _placed(about: dict[str, Any], image: np.ndarray) -> dict[str, Any]:
    """Returns facts with their box, if there is one, in pixels of a picture."""
    if "box" not in about:
        return about
    height, width = image.shape[:2]
    sides = np.array([width, height, width, height], "float32")
    return {**about, "box": about["box"] * sides}


def _at_pixels(function: Any, choice: np.ndarray) -> Any:
    def at(points):
        rows = np.broadcast_to(choice, (len(points), len(choice)))
        # The input's own slot: its value is that which is watched.
        values, gradients = function([points, rows, points])
        return np.asarray(values), np.asarray(gradients)

    return at


def _baseline(baseline: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the picture that a path starts from: black, or what was given."""
    given = 0.0 if baseline is None else baseline
    try:
        values = np.broadcast_to(np.asarray(given, "float32"), shape)
    except (TypeError, ValueError):
        values = np.full(shape, np.nan, "float32")
    if np.isfinite(values).all():
        return values
    raise ValueError(
        "`baseline` of pictures must be a pixel's value, one for each channel, or a "
        f"picture of shape {tuple(shape)}, in raw pixels (0 to 255). Received: "
        f"{baseline!r}."
    )


def _heats(found: Sequence[ImageExplanation]) -> list[tuple]:
    return [(one.image, one.map, one.title, one.box) for one in found]


def _figure(heats: Sequence[tuple]) -> str:
    """Returns pictures under their maps, each with a title, as HTML."""
    from tlkeras.plots import heats_size, plot_heats, to_jpeg

    data = to_jpeg(lambda ax: plot_heats(heats, ax), heats_size(len(heats)))
    encoded = base64.b64encode(data).decode()
    alt = escape("; ".join(_where(map, title) for _, map, title, _ in heats))
    return (
        f'<figure><img src="data:image/jpeg;base64,{encoded}" alt="{alt}" '
        'style="max-width: 100%; background: white"></figure>'
    )


def _where(map: np.ndarray, title: str) -> str:
    """Says in words where in a picture the map is strongest."""
    strength = np.abs(map)
    if not strength.any():
        return f"{title}: no evidence in the picture"
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    down = ("top", "middle", "bottom")[3 * row // strength.shape[0]]
    across = ("left", "centre", "right")[3 * column // strength.shape[1]]
    return f"{title}: strongest at the {down} {across}"
