"""Pictures: Grad-CAM at a feature map, integrated gradients of the pixels."""

from typing import Any

import keras
import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.explain._integrated import integrate
from tlkeras.explain._probe import Probe
from tlkeras.explain.results import ImageExplanation

_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def feature_map(probe: Probe, layer: str | None) -> tuple[int, str] | None:
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


def _feature_maps(probe: Probe) -> dict[str, tuple[int, bool]]:
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
    probe: Probe, slot: int, pixels: np.ndarray, targets: np.ndarray, batch_size: int
) -> np.ndarray:
    """Returns Grad-CAM's maps at the pictures' resolution, float32 `(n, h, w)`."""
    function = probe.features_function(slot)
    choice = np.eye(probe.units, dtype="float32")[targets]
    maps = []
    for first in range(0, len(pixels), batch_size):
        here = slice(first, first + batch_size)
        features, gradients = function([choice[here], pixels[here]])
        weights = keras.ops.mean(gradients, axis=(1, 2), keepdims=True)
        coarse = keras.ops.relu(
            keras.ops.sum(weights * features, axis=-1, keepdims=True)
        )
        fine = keras.ops.image.resize(
            coarse, pixels.shape[1:3], "bilinear", data_format="channels_last"
        )
        maps.append(keras.ops.convert_to_numpy(fine)[..., 0])
    return np.concatenate(maps)


def explain_pictures(
    probe: Probe,
    pixels: np.ndarray,
    targets: np.ndarray,
    facts: list[dict[str, Any]],
    settings: Any,
) -> list[ImageExplanation]:
    """Explains pictures.

    Args:
        probe: The model.
        pixels: `(n, height, width, channels)`, as the model takes them.
        targets: The number of the output to explain of each.
        facts: What each explanation says of its target.
        settings: `Settings` of the method.
    """
    if settings.method == "grad_cam":
        slot, name = settings.place
        maps = grad_cam(probe, slot, pixels, targets, settings.batch_size)
        return [
            ImageExplanation(
                **about, method="grad_cam", image=image, map=map, layer=name
            )
            for about, image, map in zip(facts, pixels, maps, strict=True)
        ]
    function = probe.gradient_function(probe.graph.inputs[0])
    baseline = _baseline(settings.baseline, pixels.shape[1:])
    found = []
    for image, target, about in zip(pixels, targets, facts, strict=True):
        integral = integrate(
            _at_pixels(function, np.eye(probe.units, dtype="float32")[target]),
            baseline,
            image,
            settings.steps,
            settings.tolerance,
            settings.batch_size,
        )
        found.append(
            ImageExplanation(
                **about,
                method="integrated_gradients",
                image=image,
                map=integral.attributions.sum(axis=-1),
                baseline=integral.start,
                gap=integral.gap,
                steps=integral.steps,
            )
        )
    return found


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
