"""Labels of several heads, packed into one row of numbers per example."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.inputs.examples import reading_of


@dataclass(frozen=True)
class Target:
    """What one head is to learn.

    Attributes:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        units: Classes, labels or numbers.
        class_names: Their names; `None` for regression.
        class_weight: As in `tl.Head`.
    """

    task: str
    units: int
    class_names: tuple[str, ...] | None = None
    class_weight: Mapping[Any, float] | str | None = None

    @property
    def columns(self) -> int:
        """Numbers that one label takes."""
        return 1 if self.task == "classification" else self.units

    def get_config(self) -> dict[str, Any]:
        """Returns the attributes; the weights' class numbers survive JSON."""
        config = asdict(self)
        if isinstance(self.class_weight, Mapping):
            config["class_weight"] = [list(pair) for pair in self.class_weight.items()]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Target":
        """Makes a target of what `get_config` returned."""
        names, weights = config["class_names"], config["class_weight"]
        if isinstance(weights, (list, tuple)):
            weights = dict(weights)
        names = None if names is None else tuple(names)
        return cls(config["task"], config["units"], names, weights)


class Targets:
    """The labels of several heads, packed into one row of numbers per example.

    Caching, shuffling and splitting handle one array of labels. `pack` makes it of a
    dictionary of labels, `unpack` makes a dictionary of its batches. NaN stands for
    what is missing.

    Args:
        by_head: From each head's name to its `Target`.

    Example:

    >>> targets = Targets({"species": Target("classification", 2, ("ant", "bee")),
    ...                    "size": Target("regression", 1)})
    >>> rows = targets.pack({"species": [1, -1], "size": [0.5, 2.0]}, 2, "train")
    >>> rows.tolist()
    [[1.0, 0.5], [nan, 2.0]]
    """

    def __init__(self, by_head: Mapping[str, Target]):
        self.by_head = dict(by_head)

    @property
    def columns(self) -> int:
        """Numbers that the labels of one example take."""
        return sum(target.columns for target in self.by_head.values())

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """The classes' names of each head that has classes."""
        return {
            name: target.class_names
            for name, target in self.by_head.items()
            if target.class_names is not None
        }

    def pack(self, labels: Mapping[str, Any], count: int, part: str) -> np.ndarray:
        """Packs labels into rows.

        Args:
            labels: From heads' names to labels. Class numbers `(n,)`, -1 or NaN where
                missing; rows or targets `(n, units)` (`(n,)` for one unit), NaN where
                missing. All labels of a head that is left out are missing.
            count: Number of examples.
            part: What the data are called, for messages.

        Returns:
            float32 `(count, columns)`.

        Raises:
            ValueError: If a head does not exist or its labels are not as described.
        """
        for name in labels:
            if name not in self.by_head:
                raise unknown_name("head", name, self.by_head)
        rows = np.full((count, self.columns), np.nan, "float32")
        for name, target, columns in self._places():
            if name in labels:
                about = f"Labels of head {name!r} in `{part}`"
                rows[:, columns] = _read(labels[name], target, count, about)
        return rows

    def pack_data(self, data: Any, part: str) -> Any:
        """Returns data with packed labels.

        Args:
            data: A tuple of arrays `(inputs, labels)` or `(inputs, labels, weights)` or
                a batched `tf.data.Dataset` of such, with labels by head; or either of
                them, or a part of `Splits`, with rows that are packed already; or
                `None`.
            part: `"train"`, where each head needs labels, or another name.

        Raises:
            ValueError: If the data are of no such kind, or the labels do not fit the
                heads.
        """
        known = reading_of(data)
        if known is not None:
            _check_rows(self, known.examples.labels, part)
        if known is not None or data is None:
            return data
        if isinstance(data, tuple) and len(data) in (2, 3):
            return _pack_arrays(self, data, part)
        spec = getattr(data, "element_spec", None)
        if isinstance(spec, tuple) and len(spec) in (2, 3) and hasattr(data, "map"):
            return _pack_batches(self, data, part)
        raise ValueError(
            f"`{part}` must be a tuple of arrays (inputs, labels) or a batched "
            "`tf.data.Dataset` of such, with a dictionary of labels by head: "
            f"{_example(self)}. Received: {type(data).__name__}."
        )

    def unpack(self, rows: Any) -> dict[str, Any]:
        """Returns the labels of each head: class numbers `(n,)`, other rows 2-D.

        Args:
            rows: What `pack` returned, or a batch of it, an array or a tensor.
        """
        return {
            name: rows[:, columns.start]
            if target.task == "classification"
            else rows[:, columns]
            for name, target, columns in self._places()
        }

    def unpacked(
        self, batches: Any, weighings: Mapping[str, Callable] | None = None
    ) -> Any:
        """Returns batches as `keras.Model.fit` takes them.

        Args:
            batches: `tf.data.Dataset` of `(inputs, rows)` or `(inputs, rows, weights)`.
            weighings: What `weighings` returned, for training.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)` or `(inputs, labels, weights)`, with
            labels by head, and weights by head where heads differ in them.
        """
        import tensorflow as tf

        @tf.autograph.experimental.do_not_convert
        def unpack(inputs, rows, *weights):
            labels = self.unpack(rows)
            if not weighings:
                return inputs, labels, *weights
            plain = weights[0] if weights else tf.ones(tf.shape(rows)[:1])
            by_head = {
                name: weighings[name](_filled(labels[name]), *weights)
                if name in weighings
                else plain
                for name in labels
            }
            return inputs, labels, by_head

        return batches.map(
            unpack, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def weighings(
        self, resolve: Callable[..., Callable | None], rows: np.ndarray | None
    ) -> dict[str, Callable]:
        """Makes what weighs the examples of the heads that have class weights.

        Args:
            resolve: `tlkeras.training.weighing.resolve_weighing`.
            rows: All labels of the training examples, packed; `None` where they are
                not known beforehand.

        Returns:
            From heads' names to functions of a batch of labels and, where there are
            some, sample weights.

        Raises:
            ValueError: If class weights do not fit their head, or need labels that are
                not known.
        """
        found = {}
        for name, target, columns in self._places():
            labels = None if rows is None else rows[:, columns]
            if target.class_weight is None:
                continue
            try:
                found[name] = _weighing(resolve, target, labels)
            except ValueError as error:
                raise ValueError(f"Head {name!r}: {error}") from error
        return found

    def check_some(self, rows: np.ndarray) -> None:
        """Raises `ValueError` where a head has no label to learn from."""
        absent = [
            name
            for name, _, columns in self._places()
            if np.isnan(rows[:, columns]).all()
        ]
        if absent:
            raise _nothing_to_learn(absent)

    def get_config(self) -> list[list[Any]]:
        """Returns the heads in their order, each with its target's config."""
        return [[name, target.get_config()] for name, target in self.by_head.items()]

    @classmethod
    def from_config(cls, config: list[list[Any]]) -> "Targets":
        """Makes targets of what `get_config` returned."""
        return cls({name: Target.from_config(target) for name, target in config})

    def _places(self) -> Iterator[tuple[str, Target, slice]]:
        """Yields each head's name, target and place in a row."""
        start = 0
        for name, target in self.by_head.items():
            yield name, target, slice(start, start + target.columns)
            start += target.columns


def _pack_arrays(targets: Targets, data: tuple, part: str) -> tuple:
    inputs, labels, *weights = data
    count = len(keras.tree.flatten(inputs)[0])
    if isinstance(labels, Mapping):
        rows = targets.pack(labels, count, part)
        if part == "train":
            targets.check_some(rows)
    else:
        rows = np.asarray(labels)
        _check_rows(targets, rows, part)
    return inputs, rows, *weights


def _pack_batches(targets: Targets, data: Any, part: str) -> Any:
    import tensorflow as tf

    labels = data.element_spec[1]
    if not isinstance(labels, Mapping):
        if labels.shape.rank == 2 and labels.shape[1] == targets.columns:
            return data
        raise _unfit_rows(targets, part, labels.shape)
    names = list(labels)
    for inputs, first, *_ in data.take(1):
        # Here an error has its message; inside of TensorFlow's graph it would not.
        labels = {name: np.asarray(value) for name, value in first.items()}
        targets.pack(labels, len(keras.tree.flatten(inputs)[0]), part)
    absent = [name for name in targets.by_head if name not in names]
    if absent and part == "train":
        raise _nothing_to_learn(absent)

    def pack(*values):
        return targets.pack(dict(zip(names, values, strict=True)), len(values[0]), part)

    @tf.autograph.experimental.do_not_convert
    def pack_batch(inputs, labels, *weights):
        values = [labels[name] for name in names]
        rows = tf.numpy_function(pack, values, tf.float32, stateful=False)
        rows.set_shape((values[0].shape[0], targets.columns))
        return inputs, rows, *weights

    return data.map(pack_batch, tf.data.AUTOTUNE, deterministic=True)


def _check_rows(targets: Targets, rows: np.ndarray, part: str) -> None:
    """Raises `ValueError` unless `rows` could be what `pack` returned."""
    if rows.ndim != 2 or rows.shape[1] != targets.columns:
        raise _unfit_rows(targets, part, rows.shape)
    targets.pack(targets.unpack(rows), len(rows), part)
    if part == "train":
        targets.check_some(rows)


def _unfit_rows(targets: Targets, part: str, shape: Any) -> ValueError:
    return ValueError(
        f"Labels in `{part}` must be a dictionary by head, {_example(targets)}, or "
        f"packed rows of shape (n, {targets.columns}). Received labels of shape "
        f"{tuple(shape)}."
    )


def _nothing_to_learn(heads: list[str]) -> ValueError:
    return ValueError(
        f"There are no labels for {heads} in `train`: nothing could be learnt. Pass "
        "some, or build the model without these heads."
    )


def _example(targets: Targets) -> str:
    return f"{{{', '.join(f'{name!r}: ...' for name in targets.by_head)}}}"


def _read(labels: Any, target: Target, count: int, about: str) -> np.ndarray:
    """Returns a head's labels as float32 `(count, columns)`, NaN where missing."""
    values = np.asarray(labels)
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"{about} must be numbers. Received dtype {values.dtype}. Turn names into "
            "numbers: `[names.index(name) for name in labels]`."
        )
    values = values.astype("float32")
    if values.ndim == 1 and target.columns == 1:
        values = values[:, None]
    if values.shape != (count, target.columns):
        flat = "(n,)" if target.task == "classification" else f"(n, {target.columns})"
        raise ValueError(
            f"{about} must have shape {flat} for n = {count} examples. Received shape "
            f"{np.shape(labels)}."
        )
    _check_values(values, target, about)
    if target.task == "classification":
        values = np.where(values < 0, np.nan, values)
    return values


def _check_values(values: np.ndarray, target: Target, about: str) -> None:
    known = values[~np.isnan(values)]
    if target.task == "classification":
        fits = (known >= -1) & (known < target.units) & (known == np.round(known))
        valid = f"whole numbers from 0 to {target.units - 1}, -1 where missing"
    elif target.task == "multi_label":
        fits, valid = (known >= 0) & (known <= 1), "from 0 to 1, NaN where missing"
    else:
        fits, valid = np.isfinite(known), "finite, NaN where missing"
    if not fits.all():
        raise ValueError(f"{about} must be {valid}. Received: {known[~fits][0]:g}.")


def _weighing(resolve: Callable, target: Target, labels: np.ndarray | None) -> Callable:
    """Returns the function that weighs a batch of one head's labels."""
    if isinstance(target.class_weight, Mapping) or labels is None:
        return resolve(
            target.class_weight,
            task=target.task,
            num_classes=target.units,
            class_names=target.class_names,
        )
    # Column by column: an example may have some of its labels, and not others.
    rules = [
        resolve(
            target.class_weight,
            task=target.task,
            num_classes=target.units if target.columns == 1 else 1,
            labels=_known(column),
        )
        for column in labels.T
    ]
    if target.task == "classification":
        return rules[0]

    def weigh(labels, *weights):
        import tensorflow as tf

        columns = (rule(labels[:, i : i + 1], *weights) for i, rule in enumerate(rules))
        return tf.concat([tf.reshape(column, (-1, 1)) for column in columns], axis=1)

    return weigh


def _known(column: np.ndarray) -> np.ndarray:
    """Returns the labels that are there; one zero where none is."""
    known = column[~np.isnan(column)]
    return known[:, None] if len(known) else np.zeros((1, 1), "float32")


def _filled(labels: Any) -> Any:
    import tensorflow as tf

    return tf.where(tf.math.is_nan(labels), tf.zeros_like(labels), labels)
