"""From what the user passed to steps: names, layers and functions, checked."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from tlkeras._validation import unknown_name
from tlkeras.augmentation.presets import PICTURES, Domain
from tlkeras.augmentation.randomness import (
    Draws,
    drawing_from,
    layers_in,
    make_generator,
)
from tlkeras.outputs import Output

_MIXING = {"MixUp", "CutMix", "FourierMix", "Mosaic"}
_MISTAKES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Step:
    """One operation on a batch.

    Attributes:
        run: The operation, layer or function.
        name: For messages.
        position: Place among the steps, from 0.
        takes_labels: Whether labels go in and come out as well.
        domain: What is augmented.
        output: What the labels are of, where they say where things are, and have to
            move along.
    """

    run: Callable
    name: str
    position: int
    takes_labels: bool
    domain: Domain = PICTURES
    output: Output | None = None

    @property
    def stateless(self) -> bool:
        """Whether its random numbers depend on the batch's number alone."""
        keras_own = isinstance(self.run, keras.layers.Layer) and all(
            type(layer).__module__.startswith("keras.") for layer in layers_in(self.run)
        )
        return keras_own or self._is_own

    @property
    def _is_own(self) -> bool:
        return isinstance(self.run, self.domain.own)

    @cached_property
    def _generator(self) -> Any:
        return None if self.stateless else make_generator()

    def __call__(self, images: Any, labels: Any, draws: Draws) -> tuple[Any, Any]:
        """Returns the step's pictures and labels, checked."""
        try:
            with drawing_from(draws, layers_in(self.run), self._generator):
                new_images, new_labels = self._run(images, labels, draws)
        except _MISTAKES as error:
            raise self._failure(images, error) from error
        # What comes first may bring them to another shape.
        if any(self.run is first for first in self.domain.first):
            return new_images, labels
        new_images = self._checked(self.domain.nouns, new_images, images)
        if self.takes_labels:
            new_labels = self._checked("labels", new_labels, labels)
        if not self.stateless and self.domain.limits is not None:
            new_images = self._in_range(new_images, images)
        return new_images, new_labels

    def _run(self, images: Any, labels: Any, draws: Draws) -> tuple[Any, Any]:
        if self._is_own:
            if self.takes_labels:
                return self.run.with_places(images, labels, draws, self.output.moved)
            return self.run(images, draws), labels
        if isinstance(self.run, keras.layers.Layer):
            if self.output is not None:
                return self.output.moved_by_layer(self.run, images, labels)
            if not self.takes_labels:
                return self.run(images, training=True), labels
            mixed = self.run({"images": images, "labels": labels}, training=True)
            return mixed["images"], mixed["labels"]
        if not self.takes_labels:
            return self.run(images), labels
        result = self.run(images, labels)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ValueError(
                "A function of two arguments must return (images, labels). "
                f"Received: {result!r}."
            )
        return tuple(result)

    def _checked(self, what: str, new: Any, old: Any) -> Any:
        """Returns `new` as float32 of the shape of `old`, or raises `ValueError`."""
        import tensorflow as tf

        if not tf.is_tensor(new):
            raise ValueError(
                f"{self._which()} returned {type(new).__name__}, not a tensor. It "
                "runs inside `tf.data`: write it with `tf` or `keras.ops`, not with "
                "NumPy or PIL."
            )
        numeric = new.dtype.is_floating or new.dtype.is_integer
        if not (numeric and new.shape.is_compatible_with(old.shape)):
            raise ValueError(
                f"{self._which()} must return {what} of the shape that it got. "
                f"Received: {new.dtype.name} of shape {new.shape} for "
                f"{old.dtype.name} of shape {old.shape}. To crop, zoom in or resize "
                "back within the step; the size is set where the data are read."
            )
        return tf.ensure_shape(tf.cast(new, old.dtype), old.shape)

    def _in_range(self, new: Any, old: Any) -> Any:
        """Adds a check while training that pixels stay finite and within 0 to 255."""
        import tensorflow as tf

        new = tf.debugging.check_numerics(
            new, f"{self._which()} returned pixels that are not finite."
        )
        rescaled = (tf.reduce_max(old) > 2.0) & (tf.reduce_max(new) <= 1.0)
        message = (
            f"{self._which()} returned pixels of at most 1 for pixels of up to 255. It "
            "must keep the range 0 to 255: the model does its own preprocessing."
        )
        with tf.control_dependencies([tf.debugging.Assert(~rescaled, [message])]):
            return tf.identity(new)

    def _failure(self, images: Any, error: Exception) -> ValueError:
        text = str(error)
        by_numpy = "numpy" in text.lower() or "__array_interface__" in text
        hint = (
            " It runs inside `tf.data`: write it with `tf` or `keras.ops`, not with "
            "NumPy or PIL."
            if by_numpy
            else ""
        )
        return ValueError(
            f"{self._which()} failed on {self.domain.nouns} of shape {images.shape}"
            f"{self._range}.{hint} The error was {type(error).__name__}: {text}"
        )

    @property
    def _range(self) -> str:
        if self.domain.limits is None:
            return ""
        return ", {} {:g} to {:g}".format(self.domain.values, *self.domain.limits)

    def _which(self) -> str:
        # What an input has done before is none of the user's steps.
        number = self.position + 1 - len(self.domain.first)
        return f"Step {number} of `augment` ({self.name})"


def make_steps(augment: Any, output: Output | None, domain: Domain) -> list[Step]:
    """Returns the steps for what the user passed as `augment`, in order."""
    steps = []
    places = output if output is not None and output.has_places else None
    runs = _flat(augment, output, domain)
    for position, run in enumerate([*domain.first, *runs] if runs else []):
        own = isinstance(run, domain.own)
        by_itself = not own and _takes_labels(run)
        takes_labels = by_itself or (places is not None and _can_move(run))
        name = str(run) if own else _name(run)
        step = Step(run, name, position, takes_labels, domain, places)
        if by_itself and isinstance(run, keras.layers.Layer):
            _check_mixing(step, output)
        if domain.limits is not None:
            _check_range(run)
        if output is not None:
            output.check_augmented(name, takes_labels or own)
        steps.append(step)
    return steps


def _flat(augment: Any, output: Output | None, domain: Domain) -> list[Any]:
    """Returns the operations, layers and functions, out of lists and presets."""
    presets, mixers = domain.presets, domain.mixers
    if isinstance(augment, str):
        if augment in presets:
            if output is not None and output.has_places and domain.with_places:
                return domain.with_places(augment)
            mixes = output is not None and output.mixable
            return domain.operations(augment, mixes)
        if augment in mixers:
            return [mixers[augment](dtype="float32")]
        raise unknown_name("augmentation", augment, [*presets, *mixers])
    if isinstance(augment, (list, tuple)):
        return [run for part in augment for run in _flat(part, output, domain)]
    if isinstance(augment, (keras.Sequential, keras.layers.Pipeline)):
        return _flat(list(augment.layers), output, domain)
    if type(augment).__name__ == "Augmenter":
        return _flat(list(augment.layers), output, domain)
    if isinstance(augment, type):
        raise ValueError(
            "`augment` takes layers, not their classes. Received: "
            f"augment={augment.__name__}. Write `{augment.__name__}(...)`."
        )
    if not callable(augment):
        raise ValueError(
            "`augment` must be None, one of "
            f"{', '.join(map(repr, [*presets, *mixers]))}, an augmentation layer, a "
            f"function of {domain.nouns} (and labels), or a list of these. "
            f"Received: augment={augment!r}."
        )
    return [augment]


def _takes_labels(run: Any) -> bool:
    if isinstance(run, keras.layers.Layer):
        return any(base.__name__ in _MIXING for base in type(run).__mro__)
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    if len(required) > 2:
        raise ValueError(
            "A function in `augment` takes images, or images and labels. Received: "
            f"{_name(run)} with {len(required)} arguments without a default."
        )
    return len(required) == 2


def _can_move(run: Any) -> bool:
    """Returns whether an operation of ours, or a layer of Keras', moves boxes."""
    return hasattr(run, "with_places") or hasattr(run, "transform_bounding_boxes")


def _name(run: Any) -> str:
    if isinstance(run, keras.layers.Layer):
        return type(run).__name__
    return getattr(run, "__name__", type(run).__name__)


def _check_mixing(step: Step, output: Output | None) -> None:
    if output is not None and not output.mixable:
        raise ValueError(
            f"{step.name} mixes the labels of classes; those of a {output.title} are "
            "numbers of their own. Leave it out, or pass a function "
            "`f(images, labels)` that changes both as your task allows."
        )


def _check_range(run: Any) -> None:
    """Raises `ValueError` where a layer works on pixels in another range."""
    for layer in layers_in(run):
        name = type(layer).__name__
        if isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            raise ValueError(
                f"`augment` must not contain {name}: pixels stay within 0 to 255, and "
                "the model does its own preprocessing. Leave it out."
            )
        value_range = getattr(layer, "value_range", None)
        if value_range is not None and tuple(map(float, value_range)) != (0.0, 255.0):
            raise ValueError(
                f"Pictures come with pixels from 0 to 255. Received: {name} with "
                f"value_range={tuple(value_range)}. Build it as "
                f"{name}(..., value_range=(0, 255))."
            )
