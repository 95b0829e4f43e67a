"""One object that augments batches: made from what the user passed as `augment`."""

import json
import random
import uuid
from collections.abc import Sequence
from typing import Any

import keras

from tlkeras._code import code_of
from tlkeras._validation import check_int
from tlkeras.augmentation.presets import PICTURES, Domain
from tlkeras.augmentation.randomness import Draws
from tlkeras.augmentation.steps import Step, make_steps
from tlkeras.outputs import Output


def resolve_augment(
    augment: Any,
    *,
    output: Output | None = None,
    seed: int | None = None,
    domain: Domain | None = None,
) -> "Augment | None":
    """Makes the object that augments batches inside `tf.data`.

    Pixels range from 0 to 255 all the way. Every preset flips pictures from left to
    right: for pictures of digits or text, pass a list of your own.

    Args:
        augment: `None`, for no augmentation; or one of

            - `"light"`: flip, small zoom and shift;
            - `"medium"`: flip, zoom, shift, small rotation, brightness and contrast;
            - `"strong"`: all of it and shear further, saturation, random erasing, and
              MixUp where labels are classes;
            - `"mixup"`, `"cutmix"`;
            - an augmentation layer of Keras or KerasCV, a `keras.Sequential` of such;
            - a function `f(images) -> images` or
              `f(images, labels) -> (images, labels)` of tensors, written with `tf` or
              `keras.ops`; where labels are classes it gets them as rows of
              probabilities;

            or a list of these, which are applied in order. Where labels say where
            things are, the presets and Keras' layers move them along; the presets
            then neither rotate, shear nor erase.
        output: What the labels are of; `None` where that is not known: labels that are
            mixed are then rows.
        seed: Seed of all random numbers. Seeds of the layers themselves are not used.
            `None` draws one.
        domain: What is augmented, where that is no pictures: `Input.augmentations`.

    Returns:
        An `Augment`, or `None` where there is nothing to do.

    Raises:
        ValueError: If `augment` is none of the above, a layer's `value_range` is not
            (0, 255), or labels that cannot be mixed would be.

    Example:

    >>> augment = resolve_augment("light", output=tl.Classes(3), seed=0)
    >>> print(augment)
    light: flip, zoom 0.9-1.1, shift 0.05

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization (2018); Yun et al.,
        CutMix (2019).
    """
    if augment is None:
        return None
    domain = domain or PICTURES
    steps = make_steps(augment, output, domain)
    if not steps:
        return None
    if seed is None:
        seed = random.randrange(2**31)
    preset = augment if isinstance(augment, str) and augment in domain.presets else None
    return Augment(steps, output, check_int("seed", seed, 0), preset)


class Augment:
    """Augments batches of pictures; a function for `tf.data.Dataset.map`.

    `over` is the better way: what a batch becomes then depends on the seed and on the
    batch's number alone, and the work runs in parallel where the steps allow it.
    Called by itself it counts its calls, so that every pass over the data differs.

    Presets and layers follow the seed either way. What functions (and KerasCV's layers
    that mix) draw from `tf.random` follows it in `over` alone; called by itself, it is
    what `tf.data` makes of it: after `keras.utils.set_random_seed` every pass over the
    data draws the same numbers.

    Args:
        steps: What to do, in order.
        output: What the labels are of, where that is known.
        seed: Seed of all random numbers.
        preset: Name of the preset that the steps are, if they are one.

    Attributes:
        mixes_labels: Whether labels come out as rows of probabilities.

    Example:

    >>> import numpy as np
    >>> augment = resolve_augment("cutmix", output=tl.Classes(3))
    >>> images, labels = augment(np.zeros((2, 8, 8, 3), "float32"), np.array([0, 2]))
    >>> images.shape, labels.shape
    (TensorShape([2, 8, 8, 3]), TensorShape([2, 3]))
    """

    def __init__(
        self,
        steps: Sequence[Step],
        output: Output | None,
        seed: int,
        preset: str | None = None,
    ):
        self.steps, self.seed, self.preset = tuple(steps), seed, preset
        self.output = output
        mixing = any(step.takes_labels for step in self.steps)
        self.mixes_labels = mixing and (output is None or output.mixable)
        self._calls = None

    def __call__(self, images: Any, labels: Any, batch: Any = None) -> tuple[Any, Any]:
        """Augments one batch.

        Args:
            images: Pixels 0 to 255, shape `(batch, height, width, channels)`.
            labels: Class numbers of shape `(batch,)`, or rows of numbers.
            batch: The batch's number, which selects the random numbers. By default the
                calls are counted.

        Returns:
            Pixels as float32 within 0 to 255 of the same shape, and labels: float32
            rows where `mixes_labels`, otherwise as they came.
        """
        import tensorflow as tf

        if batch is None:
            batch = self._count_call()
        labels = self.soft_labels(tf.convert_to_tensor(labels))
        images = tf.cast(images, "float32")
        for step in self.steps:
            draws = Draws(self.seed, step.position, tf.cast(batch, "int64"))
            images, labels = step(images, labels, draws)
        limits = self.steps[-1].domain.limits
        if limits is not None:
            images = tf.clip_by_value(images, *limits)
        return images, labels

    def over(self, batches: Any, first_batch: int = 0) -> Any:
        """Returns a dataset of the augmented batches.

        Args:
            batches: `tf.data.Dataset` of `(images, labels)` or
                `(images, labels, weights)`, all epochs one after the other. Passed
                over anew, it is augmented as before.
            first_batch: Number of the first batch: those that training has seen.

        Returns:
            `tf.data.Dataset` of the same structure.
        """
        import tensorflow as tf

        @tf.autograph.experimental.do_not_convert
        def augment(number, batch):
            images, labels, *weights = batch
            if not tf.executing_eagerly():
                # For operations of `tf.random`, in functions and in KerasCV's layers.
                tf.random.set_seed((self.seed * 1_000_003 + first_batch) % 2**31)
            return *self(images, labels, number), *weights

        parallel = all(step.stateless for step in self.steps)
        return batches.enumerate(first_batch).map(
            augment,
            num_parallel_calls=tf.data.AUTOTUNE if parallel else None,
            deterministic=True if parallel else None,
        )

    def soft_labels(self, labels: Any) -> Any:
        """Returns labels in the form that augmented ones have, for validation.

        Args:
            labels: Class numbers of shape `(batch,)` or `(batch, 1)`, or rows.

        Returns:
            float32 rows where `mixes_labels`, otherwise `labels` themselves.

        Raises:
            ValueError: If the labels have no such form.
        """
        if not self.mixes_labels:
            return labels
        if self.output is not None:
            return self.output.soften(labels)
        import tensorflow as tf

        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank == 2 and labels.shape[1] != 1:
            return tf.cast(labels, "float32")
        raise ValueError(
            f"Mixing labels ({self}) needs to know the number of classes. Pass labels "
            f"as rows, one number per class. Received: labels of shape {labels.shape}."
        )

    def identity(self) -> str:
        """Returns a string that changes with what is done to pictures and labels.

        What a function does cannot be told from outside: each `Augment` that holds one
        is an identity of its own.
        """
        labels = self.output and [self.output.task, self.output.units]
        return json.dumps([self.seed, labels, *map(_identity, self.steps)])

    def describe(self) -> str:
        """Returns one line that names the steps."""
        names = ", ".join(step.name for step in self.steps)
        return f"{self.preset}: {names}" if self.preset else names

    __str__ = describe

    def _count_call(self) -> Any:
        """Returns the number of this call, from 0; it counts while data are read."""
        import tensorflow as tf

        if self._calls is None:
            with tf.init_scope(), tf.device("CPU:0"):
                self._calls = tf.Variable(-1, dtype="int64", trainable=False)
        return self._calls.assign_add(1)


def _identity(step: Step) -> Any:
    if isinstance(step.run, keras.layers.Layer):
        config = keras.saving.serialize_keras_object(step.run)
        # Keras numbers names anew in each process.
        config = {**config, "config": {**config["config"], "name": None}}
        return [config, code_of(step.run)]
    return repr(step.run) if step.stateless else str(uuid.uuid4())
