"""The verb `explain`."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tlkeras.explain.probe import Probe, choose
from tlkeras.explain.results import Explanations
from tlkeras.inputs.explaining import Settings


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
    """Shows which pixels, words, columns or moments speak for a class.

    An explanation is a hint, not a proof: look at several inputs, and see with
    `tl.sanity_check` whether the maps depend on what the model has learnt at all.

    What is explained is the logit of the target, before softmax or sigmoid: where a
    probability is near to 1 hardly anything changes it, and its gradients vanish. All
    is computed in float32, also for a model that trains in mixed precision, and in
    inference mode. The model stays as it is.

    - `"grad_cam"`: the channels of a feature map, weighted with the mean gradient of
      the logit with respect to them; what is below zero is cut. Coarse and fast.
    - `"integrated_gradients"`: the gradient with respect to the pixels, the
      spectrogram, the embeddings of the tokens, the scaled cells of a row or steps of a
      window, averaged along the line from a baseline to the input, times the difference
      of both. The attributions sum to the difference of the logits (they are complete);
      how far they are from that is in `.gap`.

    Args:
        model: A functional `keras.Model` with outputs `(batch, units)`, made by tlkeras
            or not, or a detector. Texts need one that tlkeras made, which has its
            tokenizer.
        inputs: Pictures, sounds, texts, rows or windows of series, as `model.classify`
            takes them; of longer sounds the middle.
        method: `"grad_cam"` (pictures, sounds) or `"integrated_gradients"`. `"auto"`:
            Grad-CAM where the model has a feature map with a height and a width, and
            does not find boxes.
        target: The class, by name or number; of a regression or a forecast the number
            of the output (of a forecast `step * targets + target`, from 0); or a list
            with one for each input. By default the most probable class. Of a detector
            the name of a class, whose surest box is explained (by default the surest of
            all), or a score's number: that of the cell, a row of what `predict` gives,
            times the number of classes, plus the class number.
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
        `Explanations`, a list with one `ImageExplanation`, `SoundExplanation`,
        `TextExplanation`, `TableExplanation` or `SeriesExplanation` for each input, in
        order. It and each in it has `plot()`.

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
    settings = Settings(method, layer, steps, baseline, tolerance, batch_size)
    explaining = Explaining(model, head, settings)
    found = explaining(explaining.read(inputs), target)
    gaps = [one.gap for one in found if one.gap is not None and one.gap > tolerance]
    if gaps:
        warnings.warn(
            f"{len(gaps)} of {len(found)} attributions are not complete: their sum is "
            f"off by up to {max(gaps):.1%} of the logit's range, more than "
            f"tolerance={tolerance}. Raise `steps`.",
            stacklevel=2,
        )
    return found


class Explaining:
    """A method on a head of a model, to be called many times.

    Args:
        model: As in `explain`.
        head: As in `explain`.
        settings: `Settings`.

    Attributes:
        probe: The model, opened up.
        explainer: The method, of the model's kind of input.
    """

    def __init__(self, model: keras.Model, head: str | None, settings: Settings):
        self.probe = Probe(model, head)
        self.explainer = self.probe.input.explainer(self.probe, settings)

    def read(self, inputs: Any) -> Any:
        """Returns inputs as `__call__` takes them: pixels, or a list of texts."""
        self.probe.input.check_values(self.probe.model, inputs, "inputs")
        return self.explainer.read(inputs)

    def __call__(self, ready: Any, target: Any = None) -> Explanations:
        """Explains inputs that are ready."""
        if not len(ready):
            return Explanations([])

        def choose_targets(batches: list[list[Any]]) -> tuple[np.ndarray, list[dict]]:
            logits, outputs = self._forward(batches)
            targets = choose(self.probe, target, outputs)
            rows = zip(targets.tolist(), logits, outputs, strict=True)
            return targets, [_facts(self.probe, *row) for row in rows]

        return Explanations(self.explainer.explain(ready, choose_targets))

    def _forward(self, batches: list[list[Any]]) -> tuple[np.ndarray, np.ndarray]:
        both = [self.probe.forward(batch) for batch in batches]
        logits, outputs = zip(*both, strict=True)
        return (
            np.concatenate([np.asarray(each) for each in logits]),
            np.concatenate([np.asarray(each) for each in outputs]),
        )


def _facts(
    probe: Probe, index: int, logits: np.ndarray, outputs: np.ndarray
) -> dict[str, Any]:
    """Returns what an explanation says of its target."""
    facts = probe.answer.explained_facts(index, outputs)
    probability = facts["output"] if probe.gives_probabilities else None
    about = {"index": index, "logit": float(logits[index])}
    return {"probability": probability, **facts, **about}
