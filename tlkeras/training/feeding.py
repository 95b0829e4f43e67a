"""What each phase trains on: cached features where they fit, the examples otherwise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tlkeras.data import Reading
from tlkeras.features import cache as disk
from tlkeras.features.extraction import (
    FeatureSet,
    Store,
    choose_store,
    extract,
    feature_bytes,
    reading_for,
)
from tlkeras.features.order import endless_epochs
from tlkeras.features.splitting import Split, join, split
from tlkeras.freezing import FreezePoint, find_backbone, freeze, freeze_index


@dataclass(frozen=True)
class Feed:
    """The model that a phase fits, and what it is fitted on.

    Attributes:
        model: The suffix, where features are cached; otherwise all parts, joined.
        suffix: The part that trains.
        arguments: The data arguments of `keras.Model.fit`.
        extraction_seconds: How long the extraction for this phase took.
    """

    model: keras.Model
    suffix: keras.Model
    arguments: dict[str, Any]
    extraction_seconds: float


class Feeder:
    """Feeds the phases of one run; runs the frozen part once for all of them.

    The phase with the lowest freeze point reads the activations at its cut. Those of
    the other phases, which end higher up, are computed from these instead of from the
    examples, where these fit the budget.

    Args:
        model: The model to train.
        points: The freeze points of the phases to come.
        train: What the fit verbs were given.
        val: What the fit verbs were given.
        cache: What the fit verbs were given.
        backbone: What the fit verbs were given.
        train_batch_norm: What the fit verbs were given.
        verbose: What the fit verbs were given.
    """

    def __init__(
        self,
        model: keras.Model,
        points: Sequence[FreezePoint],
        train: Any,
        val: Any,
        *,
        cache: str | Path | bool,
        backbone: keras.Model | str | None,
        train_batch_norm: bool,
        verbose: Any,
    ):
        self.model, self.backbone = model, find_backbone(model, backbone)
        self.train_batch_norm, self.verbose = train_batch_norm, verbose
        self.train, self.val = train, val
        self.readings = [reading_for(train), reading_for(val)]
        self.store = self._usable_store(cache)
        self.lowest = min(freeze_index(self.backbone, point) for point in points)
        self.lower: Split | None = None
        self.features: list[FeatureSet | None] = []
        self.seconds = 0.0
        if self.store is not None:
            self._fill_lowest(len(points))

    def feed(self, point: FreezePoint, first_epoch: int) -> Feed:
        """Returns the feed for a phase that is about to start.

        Args:
            point: The freeze point that the model is frozen at.
            first_epoch: How many epochs ran before, in all phases.
        """
        parts, features = split(self.model, self.backbone), None
        if self.lower is not None:
            if freeze_index(self.backbone, point) == self.lowest:
                parts, features = self.lower, self.features
            else:
                parts = split(self.lower.suffix, f"{self.backbone.name}_trained")
                features = self._extract(parts.prefix, self.features)
        elif self.store is not None and parts.augmentation is None:
            features = self._extract(parts.prefix, self._examples())
        if features is None:
            return self._uncached(split(self.model, self.backbone), first_epoch)
        return self._cached(parts.suffix, features, first_epoch)

    def _examples(self) -> list:
        return [reading and reading.examples for reading in self.readings]

    def _usable_store(self, cache: str | Path | bool) -> Store | None:
        store = choose_store(cache)
        known = self.readings[0] is not None
        known = known and (self.val is None or self.readings[1] is not None)
        if store is not None and not known:
            self._say(
                "Not cached: the data are not from `Splits` or arrays, so that each "
                "pass over them may differ."
            )
            return None
        return store

    def _fill_lowest(self, phases: int) -> None:
        """Extracts the activations at the lowest cut, if other phases need them too."""
        if phases < 2:
            return
        freeze(
            self.model,
            self.lowest,
            train_batch_norm=self.train_batch_norm,
            backbone=self.backbone,
        )
        parts = split(self.model, self.backbone)
        if parts.augmentation is not None:
            return
        features = self._extract(parts.prefix, self._examples())
        if features is not None:
            self.lower, self.features = parts, features

    def _extract(self, prefix: keras.Model, examples: list) -> list | None:
        """Returns features of training and validation, or `None` if too large."""
        known = [part for part in examples if part is not None]
        size = feature_bytes(prefix, sum(map(len, known)))
        if size is None or not self.store.has_room(size):
            self._say(
                "Not cached: "
                + ("features of no fixed size." if size is None else "")
                + ("" if size is None else self.store.refusal(size))
            )
            return None
        batch_size = self.readings[0].batch_size
        where = self.store.folder or "memory"
        self._say(
            f"Frozen part: {disk.readable(size)} of features of "
            f"{sum(map(len, known)):,} examples, kept in {where}."
        )
        features = [
            part and extract(prefix, part, batch_size, self.store, self.verbose)
            for part in examples
        ]
        self.seconds += sum(part.seconds for part in features if part is not None)
        return features

    def _cached(self, suffix: keras.Model, features: list, first_epoch: int) -> Feed:
        train, val = features
        arguments = _in_epochs(self.readings[0], train, first_epoch)
        if val is not None:
            arguments["validation_data"] = _once(val, self.readings[1].batch_size)
        return Feed(suffix, suffix, arguments, self._spent_seconds())

    def _uncached(self, parts: Split, first_epoch: int) -> Feed:
        reading = self.readings[0]
        if reading is not None and reading.examples.random_access:
            arguments = _in_epochs(reading, reading.examples, first_epoch)
        elif isinstance(self.train, tuple):
            arguments = dict(zip(("x", "y", "sample_weight"), self.train, strict=False))
        else:
            arguments = {"x": self.train, "shuffle": False}
        arguments["validation_data"] = self.val
        return Feed(join(parts), parts.suffix, arguments, self._spent_seconds())

    def _spent_seconds(self) -> float:
        """Returns the time that extraction has taken since it was last asked for."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def _say(self, text: str) -> None:
        if self.verbose != 0:
            print(text)


def _in_epochs(reading: Reading, examples: Any, first_epoch: int) -> dict[str, Any]:
    batches = endless_epochs(
        examples, reading.batch_size, reading.shuffled, reading.seed, first_epoch
    )
    steps = math.ceil(len(examples) / reading.batch_size)
    return {"x": batches, "steps_per_epoch": steps, "shuffle": False}


def _once(examples: Any, batch_size: int) -> Any:
    import tensorflow as tf

    batches = examples.in_order(tf.data.Dataset.range(len(examples)), batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)
