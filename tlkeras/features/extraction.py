"""Running a frozen prefix once per example, and reading what it left."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.data import ArrayExamples, Reading, reading_of
from tlkeras.features import cache as disk
from tlkeras.features.fingerprints import fingerprint_model
from tlkeras.features.splitting import split

# Bytes read from a memory-mapped array before its pages are let go.
_RELEASE_BYTES = 256 * 2**20
# The share of free memory that features in memory may take.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class FeatureSet:
    """What a frozen prefix computes for every example of a split.

    Attributes:
        arrays: One array for each tensor at the cut, `(examples, ...)`, in memory or
            memory-mapped.
        labels: The examples' labels, in the same order.
        seconds: How long the extraction took; 0.0 where all of it was in the cache.
        key: Fingerprint of examples and prefix.
    """

    arrays: tuple[np.ndarray, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    seconds: float
    key: str

    random_access = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)

    def fingerprint(self) -> str:
        """Returns `key`: features may be the examples of a further extraction."""
        return self.key

    def in_order(self, positions: Any, batch_size: int) -> Any:
        """Reads features and labels by position.

        Args:
            positions: `tf.data.Dataset` of int64 scalars.
            batch_size: Examples per batch.

        Returns:
            `tf.data.Dataset` of batches `(features, labels)`; the features are one
            tensor, or a tuple where several cross the cut.
        """
        import tensorflow as tf

        columns = (*self.arrays, self.labels)
        dtypes = [tf.as_dtype(column.dtype) for column in columns]
        rows = _Rows(columns)

        @tf.autograph.experimental.do_not_convert
        def load(batch):
            tensors = tf.numpy_function(rows, [batch], dtypes)
            for tensor, column in zip(tensors, columns, strict=True):
                tensor.set_shape((None, *column.shape[1:]))
            *features, labels = tensors
            if len(features) == 1:
                return features[0], labels
            # `tf.data` would stack a list of tensors into one.
            return tuple(features), labels

        return positions.batch(batch_size).map(load)


class _Rows:
    """Takes rows out of arrays, and lets go of pages that have been read."""

    def __init__(self, columns: Sequence[np.ndarray]):
        self.columns = columns
        self.read = 0

    def __call__(self, positions: np.ndarray) -> list[np.ndarray]:
        rows = [np.ascontiguousarray(column[positions]) for column in self.columns]
        self.read += sum(row.nbytes for row in rows)
        if self.read > _RELEASE_BYTES:
            self.read = 0
            for column in self.columns:
                disk.release(column)
        return rows


def extract_features(
    model: keras.Model,
    data: Any,
    *,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> FeatureSet:
    """Runs the frozen part of a model over a data set, once per example.

    Args:
        model: Functional `keras.Model` with a nested backbone, frozen as `tl.freeze`
            or its builder left it; or a functional model without one, which is run
            whole, such as `tl.load_backbone(...)`.
        data: A dataset of `Splits`, or a tuple of arrays `(x, y)`.
        cache: `"auto"` or `"disk"`: kept in the cache folder; `"memory"` or `False`:
            not kept; a path: kept in that folder.
        verbose: 0 for no progress bar.

    Returns:
        A `FeatureSet` with `.arrays` and `.labels`, for scikit-learn, plots or a
        nearest-neighbour search.

    Raises:
        ValueError: If `data` or `cache` is neither, or the features do not fit.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> features = tl.extract_features(model, (x, y), cache=False, verbose=0)
    >>> len(features.arrays[0]) == len(y)
    True
    """
    nested = any(_keras.is_functional(x) and x.weights for x in model.layers)
    prefix = split(model).prefix if nested else model
    reading = reading_for(data)
    if reading is None:
        raise ValueError(
            "extract_features takes a dataset of `Splits` (`data.train`) or a tuple of "
            f"arrays (x, y). Received: {type(data).__name__}."
        )
    store = choose_store(cache) or Store(None)
    size = feature_bytes(prefix, len(reading.examples))
    if size is None or not store.has_room(size):
        raise ValueError(
            "The features do not fit: "
            + ("their size is not fixed." if size is None else store.refusal(size))
        )
    return extract(prefix, reading.examples, reading.batch_size, store, verbose)


def reading_for(data: Any) -> Reading | None:
    """Returns what is behind a dataset or a tuple of arrays, `None` if not known."""
    if isinstance(data, tuple) and len(data) == 2:
        x, y = (np.asarray(part) for part in data if not isinstance(part, dict))
        return Reading(ArrayExamples(x, y), batch_size=32, shuffled=True, seed=0)
    return reading_of(data)


@dataclass(frozen=True)
class Store:
    """Where features are kept.

    Attributes:
        folder: A folder on disk, or `None` for memory.
        optional: Whether the caller can do without.
    """

    folder: Path | None
    optional: bool = True

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more fit; on disk, entries long unused give way."""
        if self.folder is None:
            return size <= _MEMORY_SHARE * _free_memory()
        return disk.make_room(self.folder, size)

    def refusal(self, size: int) -> str:
        """Says why `size` bytes do not fit."""
        need = disk.readable(size)
        if self.folder is None:
            return f"{need} are more than {_MEMORY_SHARE:.0%} of the free memory."
        return (
            f"{need} are more than the cache's budget of "
            f"{disk.readable(disk.cache_budget())} (TLKERAS_CACHE_GB) or than the disk "
            f"of {self.folder} has free."
        )


def choose_store(cache: str | Path | bool) -> Store | None:
    """Returns where the fit verbs' argument `cache` says to keep features.

    Raises:
        ValueError: If `cache` is not one of the values that they take, or names a
            folder that cannot be written to.
    """
    if cache is False:
        return None
    if cache == "memory":
        return Store(None)
    if cache == "auto":
        writable = _make_folder(disk.cache_folder()) is None
        return Store(disk.cache_folder() if writable else None)
    if cache == "disk" or isinstance(cache, Path) or os.sep in str(cache):
        folder = disk.cache_folder() if cache == "disk" else Path(cache).expanduser()
        failure = _make_folder(folder)
        if failure is not None:
            raise ValueError(
                f"Features cannot be kept in {str(folder)!r}: {failure}. Name another "
                "folder with `cache=` or TLKERAS_CACHE, or use cache='memory'."
            )
        return Store(folder)
    raise ValueError(
        "`cache` must be 'auto', 'memory', 'disk', False or a folder (a `Path`, or a "
        f"string with a {os.sep!r} in it). Received: cache={cache!r}."
    )


def _make_folder(folder: Path) -> OSError | None:
    """Makes a folder that can be written to; returns what stood in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as failure:
        return failure


def feature_bytes(prefix: keras.Model, count: int) -> int | None:
    """Returns the bytes of a prefix's outputs for `count` examples, if fixed."""
    specs = _specs(prefix)
    if specs is None:
        return None
    return count * sum(spec.row_bytes for spec in specs)


def extract(
    prefix: keras.Model, examples: Any, batch_size: int, store: Store, verbose: Any
) -> FeatureSet:
    """Runs `prefix` over all examples, or finds that this was done before.

    Args:
        prefix: A functional model.
        examples: `Examples`, or a `FeatureSet` to run a further part on.
        batch_size: Examples per step.
        store: Where to keep the features.
        verbose: 0 for no progress bar.
    """
    specs, count = [*_specs(prefix), _label_spec(examples)], len(examples)
    both = examples.fingerprint() + fingerprint_model(prefix)
    key = hashlib.sha256(both.encode()).hexdigest()
    run = _Run(prefix, examples, batch_size, verbose)
    if store.folder is None:
        arrays = [np.empty((count, *spec.shape), spec.numpy_dtype) for spec in specs]

        def write(start, values):
            for array, value in zip(arrays, values, strict=True):
                array[start : start + len(value)] = value

        run(0, write)
    else:
        with disk.locked(store.folder, key):
            arrays = disk.open_entry(store.folder, key)
            if arrays is None:
                about = f"{prefix.name} of {count} examples"
                writer = disk.EntryWriter(store.folder, key, specs, count, about)
                run(writer.finished, writer.write)
                writer.finish()
                arrays = disk.open_entry(store.folder, key)
    *features, labels = arrays
    return FeatureSet(tuple(features), np.array(labels), run.seconds, key)


def inference_function(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a compiled function that runs `model` on batches of any length.

    `predict_on_batch` would be compiled anew for the last, shorter batch. Where there
    are batch norms the weights become constants of the graph: TensorFlow then folds
    the norms into the convolutions before them (MobileNetV2: 1.4 times as fast).
    """
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    # As `tf.data` hands them over: a tuple where there are several.
    inputs = tuple(
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)
        for tensor in keras.tree.flatten(model.input)
    )

    layers = _keras.sublayers(model)
    folds = any(isinstance(x, keras.layers.BatchNormalization) for x in layers)
    values = [
        [keras.ops.convert_to_numpy(v) for v in variables] if folds else []
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    @tf.function(autograph=False)
    def run(*tensors):
        packed = keras.tree.pack_sequence_as(model.input, tensors)
        if not folds:
            return model(packed, training=False)
        constants = keras.tree.map_structure(tf.constant, values)
        return model.stateless_call(*constants, packed, training=False)[0]

    compiled = run.get_concrete_function(*inputs)
    return lambda batch: compiled(
        *(
            tf.cast(part, spec.dtype)
            for part, spec in zip(keras.tree.flatten(batch), inputs, strict=True)
        )
    )


class _Run:
    """One pass of a prefix over examples, with a progress bar."""

    def __init__(
        self, prefix: keras.Model, examples: Any, batch_size: int, verbose: Any
    ):
        self.prefix = prefix
        self.examples = examples
        self.batch_size = batch_size
        self.verbose = verbose
        self.seconds = 0.0

    def __call__(
        self, start: int, write: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        began, count = time.perf_counter(), len(self.examples)
        run, bar, done = inference_function(self.prefix), self._bar(count), start
        for inputs, labels in self._batches(start):
            outputs = keras.tree.flatten(run(inputs))
            values = [np.asarray(value) for value in (*outputs, labels)]
            write(done, values)
            done += len(values[0])
            rate = (done - start) / (time.perf_counter() - began)
            bar(done, rate)
        self.seconds = time.perf_counter() - began
        if done != count:
            raise ValueError(
                f"The data set gave {done} examples where {count} were announced."
            )

    def _batches(self, start: int) -> Any:
        import tensorflow as tf

        count = len(self.examples)
        if self.examples.random_access:
            positions = tf.data.Dataset.range(start, count)
            batches = self.examples.in_order(positions, self.batch_size)
            return batches.prefetch(tf.data.AUTOTUNE)
        batches = self.examples.dataset(self.batch_size)
        return batches.unbatch().skip(start).batch(self.batch_size)

    def _bar(self, count: int) -> Callable[[int, float], None]:
        if self.verbose not in ("auto", 1):
            return lambda done, rate: None
        bar = keras.utils.Progbar(
            count, unit_name="example", stateful_metrics=["examples/s"]
        )
        return lambda done, rate: bar.update(done, [("examples/s", rate)])


def _specs(prefix: keras.Model) -> list[disk.ArraySpec] | None:
    """Returns shape and dtype of each output, or `None` where a size is not fixed."""
    tensors = keras.tree.flatten(prefix.output)
    if any(None in tensor.shape[1:] for tensor in tensors):
        return None
    return [
        disk.ArraySpec(
            tuple(t.shape[1:]), str(keras.backend.standardize_dtype(t.dtype))
        )
        for t in tensors
    ]


def _label_spec(examples: Any) -> disk.ArraySpec:
    """Returns shape and dtype of one label, as it will come out of the examples."""
    if hasattr(examples, "label_spec"):
        return examples.label_spec
    labels = np.asarray(examples.labels)
    return disk.ArraySpec(labels.shape[1:], labels.dtype.name)


def _free_memory() -> int:
    """Returns the bytes of memory that are free, 1 GB where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 10**9
