"""The verb `explain`."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.explain._pictures import explain_pictures, feature_map
from tlkeras.explain._probe import Probe, choose
from tlkeras.explain._texts import explain_texts, in_order
from tlkeras.explain._words import read_text
from tlkeras.explain.results import Explanations
from tlkeras.inputs import Pictures

METHODS = ("grad_cam", "integrated_gradients")

_DEFAULTS = {
    "method": "auto",
    "layer": None,
    "steps": None,
    "baseline": None,
    "tolerance": 0.05,
    "batch_size": 32,
}


def explain(
    model: keras.Model,
    inputs: Any,
    *,
    method: str = "auto",
    target: str | int | Sequence[str | int] | None = None,
    head: str | None = None,
    layer: str | None = None,
    steps: int | None = None,
    baseline: Any = None,
    tolerance: float = 0.05,
    batch_size: int = 32,
) -> Explanations:
    """Shows which pixels or words speak for a class.

    An explanation is a hint, not a proof: look at several inputs, and see with
    `tl.sanity_check` whether the maps depend on what the model has learnt at all.

    What is explained is the logit of the target, before softmax or sigmoid: where a
    probability is near to 1 hardly anything changes it, and its gradients vanish. All
    is computed in float32, also for a model that trains in mixed precision, and in
    inference mode. The model stays as it is.

    - `"grad_cam"`: the channels of a feature map, weighted with the mean gradient of
      the logit with respect to them; what is below zero is cut. Coarse and fast.
    - `"integrated_gradients"`: the gradient with respect to the pixels or to the
      embeddings of the tokens, averaged along the line from a baseline to the input,
      times the difference of both. The attributions sum to the difference of the
      logits (they are complete); how far they are from that is in `.gap`.

    Args:
        model: A functional `keras.Model` with outputs `(batch, units)`, made by tlkeras
            or not. Texts need one that tlkeras made, which has its tokenizer.
        inputs: Pictures or texts, as `model.classify` takes them.
        method: `"grad_cam"` (pictures) or `"integrated_gradients"`. `"auto"`: Grad-CAM
            where the model has a feature map with a height and a width.
        target: The class, by name or number; of a regression the number of the output;
            or a list with one for each input. By default the most probable class.
        head: Which head, of a model with several.
        layer: Of Grad-CAM, the layer whose feature map is read. By default the last one
            that does not pool.
        steps: Points on the path of integrated gradients. By default 32, doubled up to
            512 until the gap is within `tolerance`.
        baseline: Where that path starts. Of pictures raw pixels: a number, one for each
            channel, or a picture; by default 0, black. What looks like the baseline
            gets no evidence: for dark things on a light ground take 255 or 127. Of
            texts a token that stands in the place of each of the text's own; by
            default padding.
        tolerance: The largest gap, as a share of the logit's range on the path. A
            larger one is warned of.
        batch_size: Pictures, or points on a path, at a time.

    Returns:
        `Explanations`, a list with one `ImageExplanation` or `TextExplanation` for each
        input, in order. It and each in it has `plot()`.

    Raises:
        ValueError: If an argument is not one of the above, or the model has nothing of
            the kind that the method needs.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> found = tl.explain(model, np.zeros((2, 32, 32, 1)), target="a")
    >>> found[0].target, found[0].map.shape
    ('a', (32, 32))

    Reference:
        Selvaraju et al., Grad-CAM (2017); Sundararajan et al., Axiomatic Attribution
        for Deep Networks (2017).
    """
    explainer = Explainer(
        model,
        method=method,
        head=head,
        layer=layer,
        steps=steps,
        baseline=baseline,
        tolerance=tolerance,
        batch_size=batch_size,
    )
    ready = explainer.ready(inputs)
    found = explainer(ready, target)
    gaps = [one.gap for one in found if one.gap is not None and one.gap > tolerance]
    if gaps:
        warnings.warn(
            f"{len(gaps)} of {len(found)} attributions are not complete: their sum is "
            f"off by up to {max(gaps):.1%} of the logit's range, more than "
            f"tolerance={tolerance}. Raise `steps`.",
            stacklevel=2,
        )
    return found


@dataclass(frozen=True)
class Settings:
    """A method and its settings, as `explain` takes them.

    Attributes:
        place: Of Grad-CAM, the slot and name of the feature map.
    """

    method: str
    place: tuple[int, str] | None
    steps: int | None
    baseline: Any
    tolerance: float
    batch_size: int


class Explainer:
    """A method on a model, to be called many times; arguments as of `explain`."""

    def __init__(self, model: keras.Model, *, head: str | None = None, **settings: Any):
        self.probe = Probe(model, head)
        self.is_text = getattr(model, "preprocessor", None) is not None
        settings = {**_DEFAULTS, **settings}
        self.settings = _settings(self.probe, self.is_text, **settings)

    def ready(self, inputs: Any) -> Any:
        """Returns inputs as `__call__` takes them: pixels, or a list of texts."""
        if not self.is_text:
            return _pixels(self.probe.model, inputs)
        return [inputs] if isinstance(inputs, (str, bytes)) else list(inputs)

    def __call__(self, ready: Any, target: Any = None) -> Explanations:
        """Explains inputs that are ready."""
        if not len(ready):
            return Explanations([])
        if self.is_text:
            texts = [_plain(text) for text in ready]
            read = [read_text(self.probe.model.preprocessor, text) for text in texts]
            batches = [in_order(self.probe, tokens.inputs) for tokens in read]
        else:
            size = self.settings.batch_size
            starts = range(0, len(ready), size)
            batches = [[ready[start : start + size]] for start in starts]
        logits, outputs = self._forward(batches)
        targets = choose(self.probe, target, outputs)
        facts = [
            _facts(self.probe, i, logits[n], outputs[n]) for n, i in enumerate(targets)
        ]
        if self.is_text:
            found = explain_texts(
                self.probe, texts, read, targets, facts, self.settings
            )
        else:
            found = explain_pictures(self.probe, ready, targets, facts, self.settings)
        return Explanations(found)

    def _forward(self, batches: list[list[Any]]) -> tuple[np.ndarray, np.ndarray]:
        both = [self.probe.forward(batch) for batch in batches]
        logits, outputs = zip(*both, strict=True)
        return (
            np.concatenate([np.asarray(each) for each in logits]),
            np.concatenate([np.asarray(each) for each in outputs]),
        )


def _settings(
    probe: Probe, is_text: bool, *, method: str, layer: str | None, **given: Any
) -> Settings:
    """Checks the arguments of `explain` that say how, and finds the method."""
    check_choice("method", method, ("auto", *METHODS))
    if given["steps"] is not None:
        check_int("steps", given["steps"], 1)
    check_number("tolerance", given["tolerance"], above=0)
    check_int("batch_size", given["batch_size"], 1)
    path = [name for name in ("steps", "baseline") if given[name] is not None]
    if is_text and (method == "grad_cam" or layer is not None):
        raise ValueError(
            "Grad-CAM is for pictures: texts have no feature map. Use "
            "method='integrated_gradients' without `layer`."
        )
    if path and (method == "grad_cam" or layer is not None):
        raise ValueError(
            f"`{path[0]}` is of integrated gradients alone, `layer` of Grad-CAM. Leave "
            "one of them out."
        )
    if layer is not None and method == "integrated_gradients":
        raise ValueError(
            "`layer` is of Grad-CAM alone; integrated gradients start at the pixels. "
            f"Received: layer={layer!r}."
        )
    if is_text or path or method == "integrated_gradients":
        return Settings("integrated_gradients", None, **given)
    place = feature_map(probe, layer)
    if place is None and method == "grad_cam":
        raise ValueError(
            f"Model {probe.model.name!r} has no feature map of shape (batch, height, "
            "width, channels) for Grad-CAM. Use method='integrated_gradients'."
        )
    if place is None:
        return Settings("integrated_gradients", None, **given)
    return Settings("grad_cam", place, **given)


def _pixels(model: keras.Model, inputs: Any) -> np.ndarray:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            "Explanations are of pictures (one input of shape (batch, height, width, "
            "channels)), or of texts and a model that tlkeras made. Received: a model "
            f"with inputs of shape {shapes}."
        )
    return Pictures(shapes[0][1:3], shapes[0][3]).read(inputs)


def _plain(text: Any) -> str | tuple[str, ...]:
    if isinstance(text, bytes):
        return text.decode(errors="replace")
    if isinstance(text, (list, tuple, np.ndarray)):
        return tuple(str(_plain(part)) for part in text)
    return text


def _facts(
    probe: Probe, index: int, logits: np.ndarray, outputs: np.ndarray
) -> dict[str, Any]:
    """Returns what an explanation says of its target."""
    index, names = int(index), probe.class_names
    output = float(outputs[index])
    return {
        "target": index if names is None else names[index],
        "index": index,
        "probability": None if probe.task == "regression" else output,
        "output": output,
        "logit": float(logits[index]),
    }
