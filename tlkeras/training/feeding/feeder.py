"""`Feeder`: runs the frozen part once, and gives each phase its data."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import cache as disk
from tlkeras._validation import check_choice
from tlkeras.distribution import Replicas
from tlkeras.features.extraction import (
    FeatureSet,
    Store,
    choose_store,
    compiler,
    entry_keys,
    extract,
    feature_bytes,
)
from tlkeras.features.order import Order, endless_epochs
from tlkeras.features.splitting import SplitModel, is_fixed, join, split_model
from tlkeras.features.views import Views
from tlkeras.freezing import freeze
from tlkeras.inputs.examples import Reading, reading_of, weighed
from tlkeras.inputs.given import as_tf_data, count_of
from tlkeras.outputs.sampling import balanced_positions
from tlkeras.outputs.weighing import Weighing
from tlkeras.training.feeding.feed import Feed, plan_steps
from tlkeras.training.feeding.own_data import (
    ARRAYS,
    as_batches,
    augmented,
    batches_of,
    count_batches,
)
from tlkeras.training.job import Job
from tlkeras.training.own_loss import OwnLossModel, own_loss


class Feeder:
    """Feeds the phases of one run; runs the frozen part once for all of them.

    The phase with the lowest freeze point reads the activations at its cut. Those of
    the other phases, which end higher up, are computed from these instead of from the
    examples, where these fit the budget.

    Args:
        job: Model, data and recipe.
        frozen: How many of the backbone's layers each of the phases to come freezes.
    """

    def __init__(self, job: Job, frozen: Sequence[int]):
        self.job, self.recipe, self.model = job, job.recipe, job.model
        self.backbone, self.verbose = job.backbone, job.fitting.verbose
        self.replicas = Replicas(job.model, job.problem.input.longest)
        self.readings = [self._reading(job.train), self._reading(job.val)]
        self.whole = list(self.readings)
        self.counts = [r and len(r.examples) for r in self.readings]
        self.weighings = self._weighings()
        self._share_out()
        self.store = self._usable_store(job.fitting.cache)
        self.lowest = min(frozen)
        self.lower: SplitModel | None = None
        self.features: list[FeatureSet | None] = []
        self.seconds = 0.0
        self.phases = len(frozen)
        self.said_random = False

    def feed(self, frozen: int, first_epoch: int) -> Feed:
        """Returns the feed for a phase that is about to start.

        Args:
            frozen: How many of the backbone's layers the model is frozen at.
            first_epoch: How many epochs ran before, in all phases.
        """
        parts, features = split_model(self.model, self.backbone), None
        if self.lower is not None:
            trained = f"{self.backbone.name}_trained"
            # Where nothing trains above the lowest freeze point, all phases are one.
            is_nested = any(x.name == trained for x in self.lower.suffix.layers)
            if frozen == self.lowest or not is_nested:
                parts, features = self.lower, self.features
            else:
                parts = split_model(self.lower.suffix, trained)
                features = self._extract(parts.prefix, self.features)
        elif self.store is not None and parts.augmentation is None:
            features = self._extract(parts.prefix, self._examples())
        elif self.store is not None:
            self._say_random(parts.random_layers)
        if features is None:
            return self._uncached(split_model(self.model, self.backbone), first_epoch)
        return self._cached(parts.suffix, features, first_epoch)

    def outline(self, frozen: int) -> Feed:
        """Returns what `feed` would, as far as it can be told without any feature.

        Args:
            frozen: How many of the backbone's layers the model is frozen at.
        """
        parts, reading = split_model(self.model, self.backbone), self.readings[0]
        if self.store is None or parts.augmentation is not None:
            return self._uncached(parts, 0)
        return self._known(parts.suffix, parts.suffix, reading.examples, None, 0)

    def _reading(self, data: Any) -> Reading | None:
        """Returns what is behind the data, made ready once for all phases."""
        reading, batch_size = reading_of(data), self.recipe.batch_size
        if reading is None and batch_size is not None and data is not None:
            raise ValueError(
                "`batch_size` is for data of `Splits` or arrays; batch a dataset of "
                "your own with `.batch(n)`. Received: "
                f"batch_size={batch_size}."
            )
        if reading is None:
            return None
        prepared = self.job.problem.input.prepare(reading.examples)
        groups, weights = (
            values
            if values is None or prepared.order is None
            else values[prepared.order]
            for values in (reading.groups, reading.weights)
        )
        for note in prepared.notes:
            self._say(note)
        batch_size = reading.batch_size if batch_size is None else batch_size
        return replace(
            reading,
            examples=prepared.examples,
            batch_size=batch_size,
            groups=groups,
            weights=weights,
        )

    def _share_out(self) -> None:
        """Leaves this worker its share of the data; checks that there is one."""
        replicas, known = self.replicas, self.readings[0]
        if replicas.workers.count > 1:
            given = zip((self.job.train, self.job.val), self.readings, strict=True)
            if any(data is not None and reading is None for data, reading in given):
                raise ValueError(
                    "Several workers share out data of `Splits` and arrays; a dataset "
                    "of your own cannot be shared out without reading all of it on "
                    "each. Use `tl.from_arrays`, `tl.image_folder`, `tl.from_csv` or "
                    "`tl.from_tfds`."
                )
            self.readings = [
                reading
                and replace(
                    reading,
                    examples=replicas.share(reading.examples, reading.batch_size),
                    weights=self._shared(reading.weights),
                )
                for reading in self.readings
            ]
        if known is not None and len(known.examples) < replicas.count:
            raise ValueError(
                f"{len(known.examples)} training examples cannot be split over "
                f"{replicas.count} replicas."
            )
        if known is not None and known.batch_size < replicas.count:
            raise ValueError(
                f"A batch of {known.batch_size} examples cannot be split over "
                f"{replicas.count} replicas. `batch_size` counts the examples of all "
                f"replicas: pass batch_size={32 * replicas.count} for 32 on each."
            )
        if known is not None and replicas.strategy is not None:
            self._say(
                f"Batches of {known.batch_size} examples: "
                f"{known.batch_size / replicas.count:.3g} for each of "
                f"{replicas.count} replica(s) on {replicas.workers.count} worker(s)."
            )

    def _weighings(self) -> dict[str, Weighing]:
        """Returns how examples are weighed by head; checks how they are drawn."""
        recipe, known = self.recipe, self.readings[0]
        if recipe.sampling is not None:
            check_choice("sampling", recipe.sampling, ("balanced",))
            own = self.job.problem.output.class_weight
            weights = own if recipe.class_weight is None else recipe.class_weight
            if weights is not None:
                raise ValueError(
                    "`class_weight` and `sampling` both correct for what is rare: pass "
                    f"one of them. Received: class_weight={weights!r}, "
                    f"sampling={recipe.sampling!r}."
                )
            if known is None or not known.examples.random_access:
                raise ValueError(
                    "sampling='balanced' needs to know all labels beforehand: pass "
                    "data of `Splits` or arrays, or draw from your dataset with "
                    "`tf.data.Dataset.rejection_resample`."
                )
        labels = None if known is None else np.asarray(known.examples.labels)
        if known is not None and known.weights is not None:
            # What counts nothing makes no class more frequent.
            labels = labels[known.weights > 0]
        return self.job.problem.weighings(recipe.class_weight, labels, self.model.loss)

    def _ready(self, data: Any) -> Any:
        """Returns data not known beforehand as the graph takes them."""
        ready = self.job.problem.input.ready
        return (ready(data[0]), *data[1:]) if isinstance(data, tuple) else ready(data)

    def _examples(self) -> list:
        """Returns what the frozen part runs over: of training, the views, if any."""
        train, val = (reading and reading.examples for reading in self.readings)
        views = self.recipe.cached_views
        if views is not None:
            train = self.job.problem.input.to_augment(train)
            train = Views(train, self.job.augment, views, self.readings[0].seed)
        return [train, val]

    def _usable_store(self, cache: str | Path | bool) -> Store | None:
        store = choose_store(cache)
        if store is None:
            return None
        known = self.readings[0] is not None
        known = known and (self.job.val is None or self.readings[1] is not None)
        refusal = None
        if not known:
            refusal = (
                "the data are not from `Splits` or arrays, so that each pass over them "
                "may differ."
            )
        elif own_loss(self.model):
            refusal = "the model's own loss may read its inputs, not features alone."
        elif self.job.augment is not None and self.recipe.cached_views is None:
            refusal = (
                f"each epoch is augmented anew ({self.job.augment}); "
                "`cached_views=8` would keep 8 views of each example."
            )
        elif self.recipe.cached_views and not self.readings[0].examples.random_access:
            refusal = "views need examples that can be read in any order."
        if refusal is not None:
            self._say(f"Not cached: {refusal}")
            return None
        return store

    def fill_lowest(self) -> None:
        """Extracts the activations at the lowest cut, if other phases need them too.

        It leaves the model frozen there.
        """
        if self.store is None or self.phases < 2:
            return
        freeze(
            self.model,
            self.lowest,
            train_batch_norm=self.recipe.train_batch_norm,
            backbone=self.backbone,
        )
        parts = split_model(self.model, self.backbone)
        if parts.augmentation is not None:
            return
        features = self._extract(parts.prefix, self._examples())
        if features is not None:
            self.lower, self.features = parts, features

    def _extract(self, prefix: keras.Model, examples: list) -> list | None:
        """Returns features of training and validation, or `None` if too large."""
        known = [part for part in examples if part is not None]
        sizes = [feature_bytes(prefix, part) for part in known]
        size = None if None in sizes else sum(sizes)
        keys = entry_keys(prefix, known)
        # Later phases and a restarted run still need what this is computed from.
        keep = [part.key for part in self.features if part is not None]
        fits = size is not None and self.store.has_room(sizes, keys, keep)
        if not self.replicas.workers.all(fits):
            self._say(
                "Not cached: "
                + (
                    "features of no fixed size."
                    if size is None
                    else "they do not fit on another worker."
                    if fits
                    else self.store.refusal(size)
                )
            )
            return None
        batch_size = self.readings[0].batch_size
        where = self.store.folder or "memory"
        views = self.recipe.cached_views
        self._say(
            f"Frozen part: {disk.readable(size)} of features of "
            f"{sum(map(len, known)):,} examples{f' ({views} views)' * bool(views)}, "
            f"kept in {where}."
        )
        strategy = self.replicas.strategy
        # Traced for training and validation examples once.
        compiled = compiler(prefix, batch_size, strategy)
        features = [
            extract(
                prefix,
                part,
                batch_size,
                self.store,
                self.verbose,
                strategy,
                key,
                compiled,
            )
            for part, key in zip(known, keys, strict=True)
        ]
        self.seconds += sum(part.seconds for part in features)
        # Validation comes last, where there is any.
        return features + [None] * (len(examples) - len(known))

    def _cached(self, suffix: keras.Model, features: list, first_epoch: int) -> Feed:
        train, val = features
        return self._known(suffix, suffix, train, self._once(val), first_epoch)

    def _uncached(self, parts: SplitModel, first_epoch: int) -> Feed:
        reading, val = self.readings
        if val is not None and val.examples.random_access:
            val = self._once(val.examples)
        else:
            val = as_tf_data(self._ready(self.job.val))
        model = self._joined(parts)
        if reading is not None and reading.examples.random_access:
            return self._known(model, parts.suffix, reading.examples, val, first_epoch)
        arguments, steps = self._unknown(first_epoch)
        arguments |= self._validation(val, self.replicas)
        if self.replicas.strategy is not None:
            batches = as_batches(arguments)
            arguments["x"] = self.replicas.whole(batches)
            arguments = {k: v for k, v in arguments.items() if k not in ARRAYS}
        return Feed(
            self.replicas.model(model),
            self.replicas,
            parts.suffix,
            epochs_from=lambda epoch, step: arguments,
            steps=steps,
            seekable=False,
            first_epoch=first_epoch,
            extraction_seconds=self._spent_seconds(),
            steps_per_execution=None,
            plain=model,
            val=self._val_batches(val),
        )

    def _joined(self, parts: SplitModel) -> keras.Model:
        """Returns the model of all parts, with the user's own loss if she has one."""
        model = join(parts)
        return OwnLossModel(model, self.model) if own_loss(self.model) else model

    def _known(
        self,
        model: keras.Model,
        suffix: keras.Model,
        examples: Any,
        val: Any,
        first_epoch: int,
        replicas: Replicas | None = None,
    ) -> Feed:
        """Feeds examples or features that can be read in any order."""
        replicas = replicas or self.replicas
        reading, augment = self.readings[0], self.job.augment
        cached = model is suffix
        views = (self.recipe.cached_views or 1) if cached else 1
        # Where the backbone runs in each step, it is costly, and each is shown.
        head_only = cached and is_fixed(self.backbone)
        steps, together = plan_steps(
            self.counts[0],
            reading.batch_size,
            suffix if head_only else None,
            replicas.most_steps(self.counts[0]),
        )
        order = self._order(examples, views)
        if augment is not None and not cached:
            examples = self.job.problem.input.to_augment(examples)
        examples_and_weights = weighed(
            examples, self._by_row(reading.weights) if cached else reading.weights
        )
        validation = self._validation(val, replicas)

        def epochs_from(epoch: int, step: int) -> dict[str, Any]:
            batches = endless_epochs(examples_and_weights, steps, order, epoch, step)
            if augment is not None and not cached:
                batches = augment.over(batches, epoch * steps + step).prefetch(2)
            batches = self._labelled(batches, training=True)
            return {
                "x": replicas.train(batches, self.counts[0], steps, step),
                "steps_per_epoch": steps - step,
                "shuffle": False,
                **validation,
            }

        return Feed(
            replicas.model(model),
            replicas,
            suffix,
            epochs_from=epochs_from,
            steps=steps,
            seekable=True,
            first_epoch=first_epoch,
            extraction_seconds=self._spent_seconds(),
            steps_per_execution=together,
            features=examples if cached else None,
            plain=model,
            val=self._val_batches(val),
            refill=lambda: self._known(
                model, suffix, examples, val, first_epoch, self.replicas.filling()
            ),
        )

    def row_groups(self) -> np.ndarray | None:
        """Returns which rows of training features belong together, int; or `None`."""
        reading = self.whole[0]
        groups = reading.groups
        if groups is None and self.recipe.cached_views is None:
            return None
        if groups is None:
            groups = np.arange(len(reading.examples))
        return self._by_row(self._shared(groups))

    def row_weights(self) -> np.ndarray | None:
        """Returns how much each row of training features counts; or `None`."""
        reading = self.readings[0]
        return None if reading is None else self._by_row(reading.weights)

    def _shared(self, values: np.ndarray | None) -> np.ndarray | None:
        """Returns this worker's share of values of all examples."""
        workers = self.replicas.workers
        return values if values is None else values[workers.index :: workers.count]

    def _by_row(self, values: np.ndarray | None) -> np.ndarray | None:
        """Returns this worker's values of examples for each row of its features."""
        views = self.recipe.cached_views
        if values is None or views is None:
            return values
        return values[Views(range(len(values)), None, views, self.whole[0].seed).rows]

    def _order(self, examples: Any, views: int) -> Order:
        """Returns the order of training examples, which no cache changes."""
        known, count, draw = self.readings[0], len(examples) // views, None
        if self.recipe.sampling is not None:
            shares = self.job.problem.output.shares(np.asarray(examples.labels))
            draw = balanced_positions(*shares, draws=count)
        # Shares are as long as each other: a seed of their own keeps what was apart in
        # the data apart in the batches.
        seed = known.seed + 7919 * self.replicas.workers.index
        return Order(count, known.shuffled, seed, views, draw)

    def _labelled(self, batches: Any, training: bool) -> Any:
        """Gives batches their labels' last form, and training examples weights."""
        weighings = self.weighings if training else None
        return self.job.problem.unpacked(batches, weighings)

    def _unknown(self, first_epoch: int) -> tuple[dict[str, Any], int | None]:
        """Returns arguments of `fit` for data that are not known beforehand, steps."""
        if self.replicas.workers.count > 1:
            raise ValueError(
                "Several workers share out data of TensorFlow Datasets only where the "
                "features are cached. Leave `cache` as it is, with `cached_views=8` "
                "beside `augment=`, raise TLKERAS_CACHE_GB, or use `tl.image_folder`."
            )
        reading, augment = self.readings[0], self.job.augment
        # What can only be read in its order may have a batch size of its own here.
        if reading is None:
            train = self._ready(self.job.train)
        else:
            train = reading.examples.dataset(
                reading.batch_size, reading.shuffled, reading.seed
            )
        as_it_is = not self.weighings and not self.job.problem.named
        plain = augment is None and as_it_is
        if plain and isinstance(train, tuple):
            arguments = dict(zip(("x", "y", "sample_weight"), train, strict=False))
            return arguments, math.ceil(count_of(train[1]) / 32)
        batches = batches_of(train) if isinstance(train, tuple) else train
        if not plain:
            batches = as_tf_data(batches)
        if augment is not None:
            arguments = augmented(batches, augment, first_epoch)
        else:
            arguments = {"x": batches, "shuffle": False}
        if not as_it_is:
            if not hasattr(batches, "map"):
                raise ValueError(
                    "`class_weight` needs data of `Splits`, arrays or a "
                    f"`tf.data.Dataset`. Received: {type(batches).__name__}."
                )
            arguments["x"] = self._labelled(arguments["x"], training=True)
        return arguments, arguments.get("steps_per_epoch") or count_batches(batches)

    def _validation(self, val: Any, replicas: Replicas) -> dict[str, Any]:
        """Returns the arguments of `fit` that are about validation."""
        val = self._formed(val)
        if val is None or not replicas.takes_own_steps:
            return {"validation_data": val}
        if isinstance(val, tuple):
            val = batches_of(val, shuffled=False)
        known = self.readings[1]
        if replicas.workers.count == 1:
            largest = known and min(known.batch_size, self.counts[1])
            return {"validation_data": replicas.whole(val, largest)}
        steps = math.ceil(self.counts[1] / known.batch_size)
        spread = replicas.train(val, self.counts[1], steps, ends=True)
        return {"validation_data": spread}

    def _val_batches(self, val: Any) -> Any:
        """Returns validation batches, each once, whatever they came as."""
        val = self._formed(val)
        if isinstance(val, tuple):
            return batches_of(val, shuffled=False)
        if val is None or self.replicas.workers.count == 1:
            return val
        return val.take(math.ceil(self.counts[1] / self.readings[1].batch_size))

    def _once(self, examples: Any) -> Any:
        """Reads validation examples in their order, each once."""
        if examples is None:
            return None
        import tensorflow as tf

        examples = weighed(examples, self.readings[1].weights)
        batch_size = self.readings[1].batch_size
        if self.replicas.workers.count > 1:
            # All workers need as many batches.
            steps = math.ceil(self.counts[1] / batch_size)
            order = Order(len(examples), shuffled=False, seed=0)
            return endless_epochs(examples, steps, order)
        positions = tf.data.Dataset.range(len(examples))
        return examples.in_order(positions, batch_size).prefetch(tf.data.AUTOTUNE)

    def _formed(self, val: Any) -> Any:
        """Gives validation labels the form that augmented training labels have."""
        augment = self.job.augment
        if val is not None and self.job.problem.named:
            batches = batches_of(val) if isinstance(val, tuple) else as_tf_data(val)
            return self._labelled(batches, training=False)
        if val is None or augment is None or not augment.mixes_labels:
            return val
        if isinstance(val, tuple):
            x, y, *weights = val
            return (x, np.asarray(augment.soft_labels(y)), *weights)
        return as_tf_data(val).map(
            lambda x, y, *weights: (x, augment.soft_labels(y), *weights)
        )

    def _spent_seconds(self) -> float:
        """Returns the time that extraction has taken since it was last asked for."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def _say_random(self, layers: list[str]) -> None:
        if not self.said_random:
            self._say(
                f"Not cached: the model's layers {', '.join(map(repr, layers))} before "
                "the backbone are random, or change with `training`. "
                "`tl.Recipe(augment=..., cached_views=8)` in their place can be cached."
            )
        self.said_random = True

    def _say(self, text: str) -> None:
        if self.verbose != 0:
            print(text)
