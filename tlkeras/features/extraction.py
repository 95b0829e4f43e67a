"""Running a frozen prefix once per example, and reading what it left."""

import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras import cache as disk
from tlkeras._memory import free_memory, naming_the_batch
from tlkeras.distribution import fill_rows, is_tpu, strategy_of
from tlkeras.features.fingerprints import fingerprint_model
from tlkeras.features.splitting import split_model
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.inputs.feature_set import FeatureSet
from tlkeras.inputs.given import check_weights, is_one_array, with_one_input
from tlkeras.problem import input_of

# The share of free memory that features in memory may take.
_MEMORY_SHARE = 0.5


def extract_features(
    model: keras.Model,
    data: Any,
    *,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> FeatureSet:
    """Runs the frozen part of a model over a data set, once per example.

    Augmentation that is part of the model leaves the examples as they are.

    Args:
        model: Functional `keras.Model` with a nested backbone, frozen as `tl.freeze`
            or its builder left it; or a functional model without one, which is run
            whole, such as `tl.load_backbone(...)`.
        data: A dataset of `Splits`, or a tuple of arrays `(x, y)`, with sample weights
            or without.
        cache: `"auto"` or `"disk"`: kept in the cache folder; `"memory"` or `False`:
            not kept; a path: kept in that folder.
        verbose: 0 for no progress bar.

    Returns:
        A `FeatureSet` with `.arrays` and `.labels` in the order of `data`, for
        scikit-learn, plots or a nearest-neighbour search.

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
    prefix = split_model(model).whole_prefix() if nested else model
    data = with_one_input(model, data, "data")
    reading = reading_for(data)
    if reading is None:
        raise ValueError(
            "extract_features takes a dataset of `Splits` (`data.train`) or a tuple of "
            f"arrays (x, y). Received: {type(data).__name__}."
        )
    if isinstance(data, tuple):
        input_of(model).check_values(model, data[0], "data")
    store = choose_store(cache) or Store(None)
    examples, order, _ = input_of(model).prepare(reading.examples)
    size, key = feature_bytes(prefix, examples), entry_key(prefix, examples)
    if size is None or not store.has_room([size], [key]):
        raise ValueError(
            "The features do not fit: "
            + ("their size is not fixed." if size is None else store.refusal(size))
        )
    size, strategy = reading.batch_size, strategy_of(model)
    with naming_the_batch(size, "Read the data in smaller batches."):
        features = extract(prefix, examples, size, store, verbose, strategy, key)
    return features if order is None else features.at(np.argsort(order))


def reading_for(data: Any) -> Reading | None:
    """Returns what is behind a dataset or a tuple of arrays, `None` if not known."""
    if isinstance(data, tuple) and len(data) in (2, 3):
        several = isinstance(data[0], (list, tuple)) and any(map(is_one_array, data[0]))
        if several or any(isinstance(part, dict) for part in data):
            return None
        labels = data[1]
        if isinstance(labels, (list, tuple)) and any(map(is_one_array, labels)):
            # Of several outputs. Numbers of NumPy have a shape, too.
            if any(np.ndim(each) for each in labels):
                return None
        x, y = map(np.asarray, data[:2])
        weights = check_weights(data[2], len(x)) if len(data) == 3 else None
        if weights is not None and weights.size > len(x):
            # Weights of each label are for Keras alone to understand.
            return None
        weights = None if weights is None else weights.reshape(-1)
        return Reading(ArrayExamples(x, y), 32, True, seed=0, weights=weights)
    return reading_of(data)


@dataclass(frozen=True)
class Store:
    """Where features are kept.

    Attributes:
        folder: A folder on disk, or `None` for memory.
    """

    folder: Path | None

    def has_room(
        self, sizes: Sequence[int], keys: Sequence[str], keep: Collection[str] = ()
    ) -> bool:
        """Whether features fit, or are there; on disk, entries long unused give way.

        Args:
            sizes: Bytes of each set of features.
            keys: Each one's `entry_key`.
            keep: Keys of further entries that do not give way.
        """
        if self.folder is None:
            return sum(sizes) <= _MEMORY_SHARE * free_memory()
        wanted = dict(zip(keys, sizes, strict=True))
        return disk.make_room(self.folder, wanted, keep)

    def refusal(self, size: int) -> str:
        """Says why `size` bytes do not fit."""
        need = disk.readable(size)
        if self.folder is None:
            return f"{need} are more than {_MEMORY_SHARE:.0%} of the free memory."
        return (
            f"{need} are more than the cache's budget of "
            f"{disk.readable(disk.cache_budget())} (TLKERAS_CACHE_GB) leaves, or than "
            f"the disk of {self.folder} has free."
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


def feature_bytes(prefix: keras.Model, examples: Any) -> int | None:
    """Returns the bytes of a prefix's outputs for all examples, if fixed."""
    specs = _specs(prefix, longest_of(examples))
    if specs is None:
        return None
    return len(examples) * sum(spec.row_bytes for spec in specs)


def entry_key(prefix: keras.Model, examples: Any) -> str:
    """Returns the fingerprint of what a prefix computes for examples."""
    return entry_keys(prefix, [examples])[0]


def entry_keys(prefix: keras.Model, parts: Sequence[Any]) -> list[str]:
    """Returns the `entry_key` of each of several sets of examples."""
    model = fingerprint_model(prefix)
    both = [part.fingerprint() + model for part in parts]
    return [hashlib.sha256(each.encode()).hexdigest() for each in both]


def extract(
    prefix: keras.Model,
    examples: Any,
    batch_size: int,
    store: Store,
    verbose: Any,
    strategy: Any = None,
    key: str | None = None,
    compiled: Callable[[], Callable[[Any], Any]] | None = None,
) -> FeatureSet:
    """Runs `prefix` over all examples, or finds that this was done before.

    Args:
        prefix: A functional model.
        examples: `Examples`, or a `FeatureSet` to run a further part on.
        batch_size: Examples per step.
        store: Where to keep the features.
        verbose: 0 for no progress bar.
        strategy: What the prefix' weights were made under; all of its devices that
            belong to this process take part.
        key: The `entry_key` of both, where it has been computed already.
        compiled: What `compiler` returned, where several sets of examples share it.
    """
    longest = longest_of(examples)
    specs = [*_specs(prefix, longest), _label_spec(examples)]
    count = len(examples)
    key = key or entry_key(prefix, examples)
    compiled = compiled or compiler(prefix, batch_size, strategy)
    run = _Run(compiled, examples, batch_size * _devices(strategy), verbose)
    if store.folder is None:
        # Zeros, not what happens to be there: a sequence may end before its row does.
        arrays = [np.zeros((count, *spec.shape), spec.numpy_dtype) for spec in specs]

        def write(start, values):
            disk.write_rows(arrays, start, values)

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
    ragged = tuple(None in x.shape[1:] for x in keras.tree.flatten(prefix.output))
    return FeatureSet(
        tuple(features),
        np.array(labels),
        run.seconds,
        key,
        ragged=ragged if any(ragged) else (),
        lengths=getattr(examples, "lengths", None),
    )


def compiler(
    prefix: keras.Model, batch_size: int, strategy: Any = None
) -> Callable[[], Callable[[Any], Any]]:
    """Returns a function that traces a prefix when it is first called, and only then.

    Args:
        prefix: A functional model.
        batch_size: Examples per step and device.
        strategy: As in `extract`.
    """

    @functools.cache
    def compiled():
        infer, devices = inference_function(prefix), _devices(strategy)
        if devices == 1:
            return infer
        # A TPU compiles each shape anew.
        size = batch_size * devices if is_tpu(strategy) else None
        return on_all_devices(infer, strategy, size)

    return compiled


def _devices(strategy: Any) -> int:
    """Returns how many devices of this process take part."""
    return 1 if strategy is None else len(strategy.extended.worker_devices)


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


def on_all_devices(
    infer: Callable[[Any], Any], strategy: Any, size: int | None = None
) -> Callable[[Any], Any]:
    """Returns a function that gives each device of this process a part of a batch.

    Args:
        infer: What `inference_function` returned.
        strategy: The strategy whose devices take part. The processes of several
            workers do not wait for each other.
        size: What smaller batches are filled up to; `None` leaves them as they are.
    """
    import tensorflow as tf

    devices = len(strategy.extended.worker_devices)

    @tf.function(reduce_retracing=True, autograph=False)
    def together(spread):
        return strategy.run(infer, args=(spread,))

    def run(batch):
        known = rows = len(keras.tree.flatten(batch)[0])
        if size is not None:
            batch, rows = fill_rows(batch, size), size
        if rows < devices:
            return infer(batch)

        def part(context):
            number = context.replica_id_in_sync_group % devices
            start, end = rows * number // devices, rows * (number + 1) // devices
            return keras.tree.map_structure(lambda x: x[start:end], batch)

        spread = strategy.experimental_distribute_values_from_function(part)
        parts = strategy.experimental_local_results(together(spread))
        return keras.tree.map_structure(lambda *x: tf.concat(x, axis=0)[:known], *parts)

    return run


class _Run:
    """One pass of a prefix over examples, with a progress bar.

    The prefix is compiled when it is run: where its features are cached it never is.
    """

    def __init__(
        self,
        compile_prefix: Callable[[], Callable[[Any], Any]],
        examples: Any,
        batch_size: int,
        verbose: Any,
    ):
        self.compile_prefix = compile_prefix
        self.examples = examples
        self.batch_size = batch_size
        self.verbose = verbose
        self.seconds = 0.0

    def __call__(
        self, start: int, write: Callable[[int, list[np.ndarray]], None]
    ) -> None:
        infer = self.compile_prefix()
        began, count = time.perf_counter(), len(self.examples)
        bar, done = self._bar(count), start
        for inputs, labels in self._batches(start):
            outputs = keras.tree.flatten(infer(inputs))
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
        bar = _keras.ProgressBar(
            count, unit_name="example", stateful_metrics=["examples/s"]
        )
        return lambda done, rate: bar.update(done, [("examples/s", rate)])


def longest_of(examples: Any) -> int | None:
    """Returns the length of the longest sequence, `None` where there are none."""
    lengths = getattr(examples, "lengths", None)
    return None if lengths is None else max(1, int(np.max(lengths)))


def _specs(prefix: keras.Model, longest: int | None) -> list[disk.ArraySpec] | None:
    """Returns shape and dtype of each output, or `None` where a size is not fixed.

    Args:
        prefix: A functional model.
        longest: What the first axis of sequences is at most, where there are any.
    """
    shapes = [tensor.shape[1:] for tensor in keras.tree.flatten(prefix.output)]
    if longest is not None:
        shapes = [
            (longest, *shape[1:]) if shape[:1] == (None,) else shape for shape in shapes
        ]
    if any(None in shape for shape in shapes):
        return None
    dtypes = [tensor.dtype for tensor in keras.tree.flatten(prefix.output)]
    return [
        disk.ArraySpec(tuple(shape), str(keras.backend.standardize_dtype(dtype)))
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]


def _label_spec(examples: Any) -> disk.ArraySpec:
    """Returns shape and dtype of one label, as it will come out of the examples."""
    if hasattr(examples, "label_spec"):
        return examples.label_spec
    labels = np.asarray(examples.labels)
    return disk.ArraySpec(labels.shape[1:], labels.dtype.name)
