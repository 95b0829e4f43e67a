"""Splits from arrays in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import few, in_order
from tlkeras.data.array_parts import arrays_by_part, count_of, joined, names_beside
from tlkeras.data.groups import groups_of_array
from tlkeras.data.heads import read_heads
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_splitting
from tlkeras.inputs import Sounds, read_arrays
from tlkeras.outputs import read_labels
from tlkeras.problem import Problem


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    task: str | Mapping[str, str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    color_mode: str | None = None,
    fit: str | None = None,
    sample_rate: int | None = None,
    seconds: float | None = None,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    groups: Sequence | Mapping[str, Sequence] | None = None,
) -> Splits:
    """Makes `Splits` from images, texts, sounds or rows of a table in memory.

    Args:
        x: Pixels 0 to 255, uint8 or float, `(n, height, width)` or
            `(n, height, width, channels)` with 1 or 3 channels. Not rescaled:
            models of tlkeras take raw pixels. Or texts: strings `(n,)`, or pairs of
            them, `(n, 2)` or a tuple `(a, b)` of two columns. Or with `sample_rate`
            waves of one channel: `(n, samples)`, or a list of `(samples,)` of any
            lengths, floats from -1 to 1 or whole numbers. Or a pandas DataFrame with a
            column of numbers or dates: rows of a table, all of whose columns are read,
            as `from_dataframe(features="all")` does, which can be told what they are.
            Data with parts of their
            own are dictionaries of such by part, `{"train": x, "test": x}`; or without
            `y` pairs by part, `{"train": (x, y), "test": (x, y)}`, the pairs that
            `load_data()` of Keras' data sets returns, or arrays by names such as
            `x_train` and `y_train`, as `np.load` gives them, or `x` and `y` in a
            dictionary for each part. Beside the parts `"class_names"` may stand.
        y: One label per example. Whole numbers, booleans or strings are classes; 2-D
            rows of 0 and 1 are one-hot where each has exactly one 1, multi-label
            otherwise, and so are lists of names; other floats are regression targets,
            `(n,)` or `(n, k)`. Or a dictionary of such by head, for a model with
            several: `{"species": names, "length": cm}`. There labels may be missing:
            `None`, NaN, or -1 among class numbers.
        class_names: The classes, in the order of their ids. Labels are names of theirs,
            also as numbers and booleans (1 and 1.0 for `"1"`), or else positions among
            them. By default the sorted strings in `y`, ordered categories of pandas in
            their order, or `"0"`, `"1"`, and so on. By head where `y` is.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            `y` looks like. By head where `y` is.
        image_size: Side, or `(height, width)`, in pixels, that pictures are read at. By
            default the size that they have.
        color_mode: `"rgb"`, also of grey pictures, or `"grayscale"`. By default what
            they are.
        fit: How pictures come to the shape of `image_size`: `"crop"` (`None`), `"pad"`
            or `"stretch"`, as in `image_folder`.
        sample_rate: Samples per second of waves; says that `x` are sounds.
        seconds: How long a window of sounds is, as in `audio_folder`. By default as
            long as the longest of them.
        batch_size: Examples per batch.
        validation_split: Fraction of the training examples for validation, where there
            is no such part; 0 for none.
        test_split: Fraction of the training examples for testing, where there is no
            such part; 0 for none.
        seed: Seed of the split and of the order of training.
        groups: One value per example, such as the patient whom a picture shows.
            Examples of one group stay in one part, which is then only nearly as large
            as asked for. By part where the data are.

    Returns:
        The `Splits`. Classification is split stratified by class, several heads by the
        first of them that has classes.

    Raises:
        ValueError: If `x` or `y` is not as described; the message says how to mend
            it.

    Example:
    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), "uint8")
    >>> y = ["cat", "dog", "owl"] * 20
    >>> tl.from_arrays(x, y).class_names
    ('cat', 'dog', 'owl')
    >>> data = tl.from_arrays({"train": (x, y), "test": (x, y)}, image_size=64)
    >>> next(iter(data.test))[0].shape
    TensorShape([32, 64, 64, 3])
    >>> texts = ["a fine film", "a dull film"] * 10
    >>> tl.from_arrays(texts, ["good", "bad"] * 10).class_names
    ('bad', 'good')
    >>> waves = [np.sin(np.arange(n)) for n in range(800, 1_400, 10)]
    >>> data = tl.from_arrays(waves, y, sample_rate=8_000, seconds=0.1)
    >>> next(iter(data.test))[0].shape
    TensorShape([9, 800])
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"amount": np.arange(60.0), "shop": ["a", "b"] * 30})
    >>> tl.from_arrays(frame, y).columns.names
    ('amount', 'shop')
    >>> sizes = np.linspace(1, 2, 60)
    >>> data = tl.from_arrays(x, {"animal": y, "size": sizes})
    >>> {name: y.shape for name, y in next(iter(data.val))[1].items()}
    {'animal': TensorShape([9]), 'size': TensorShape([9, 1])}
    """
    check_splitting(batch_size, seed, validation_split, test_split)
    x, class_names = names_beside(x, class_names)
    _check_index(x, y)
    xs, ys = arrays_by_part(in_order("x", x), y)
    read_part = read_arrays
    if sample_rate is not None:
        Sounds(sample_rate)  # Raises where that is no sample rate.
        read_part = Sounds.of_arrays
    inputs: dict[str, Any] = {}
    for part, each in xs.items():
        inputs[part] = read_part(in_order("x", each))
        # What training tells of how rows are read holds for all parts.
        if sample_rate is None:
            read_part = inputs["train"][0].of_another_part
    outputs, labels = _read_labels(ys, class_names, task)
    for part, (_, rows) in inputs.items():
        if len(rows) != len(labels[part]):
            where = f" of {part!r}" if len(xs) > 1 else ""
            raise ValueError(
                f"`x` and `y`{where} must have the same length. Received: "
                f"len(x)={len(rows)}, len(y)={len(labels[part])}."
            )
    given = {"image_size": image_size, "color_mode": color_mode, "fit": fit}
    given |= {"sample_rate": sample_rate, "seconds": seconds}
    reading = {name: value for name, value in given.items() if value is not None}
    if "sample_rate" in reading and seconds is None:
        longest = max(len(wave) for _, rows in inputs.values() for wave in rows)
        reading["seconds"] = longest / sample_rate
    read = {
        part: its_input.of_rows(rows, labels[part], **reading)
        for part, (its_input, rows) in inputs.items()
    }
    problem = Problem(read["train"][0], outputs)
    _check_alike(problem, {part: its_input for part, (its_input, _) in read.items()})
    _check_known_classes(problem, labels)
    return make_splits(
        **{part: examples for part, (_, examples) in read.items()},
        problem=problem,
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        groups=None if groups is None else _read_groups(groups, labels),
    )


def _check_index(x: Any, y: Any) -> None:
    """Raises `ValueError` for pandas objects whose rows are in different orders."""
    if not (hasattr(x, "iloc") and hasattr(y, "iloc")) or len(x) != len(y):
        return
    if not x.index.equals(y.index) and x.index.isin(y.index).all():
        raise ValueError(
            "`x` and `y` have the same index in different orders, but go together by "
            "position. Pass `y.loc[x.index]`."
        )


def _read_labels(
    ys: dict[str, Any], class_names: Any, task: Any
) -> tuple[Any, dict[str, np.ndarray]]:
    """Returns the output, or outputs by head, and the labels of each part."""
    ys = {part: _columns(y) for part, y in ys.items()}
    together = joined(list(ys.values()))
    read = read_heads if isinstance(together, Mapping) else read_labels
    outputs, labels = read(together, class_names, task)
    if len(ys) == 1:
        return outputs, {"train": labels}
    ends = np.cumsum([count_of(y) for y in ys.values()])[:-1]
    return outputs, dict(zip(ys, np.split(labels, ends), strict=True))


def _columns(y: Any) -> Any:
    """Returns labels, also by head, whose iterators are lists."""
    if isinstance(y, Mapping):
        return {head: in_order("y", labels) for head, labels in y.items()}
    return in_order("y", y)


def _check_alike(problem: Problem, inputs: dict[str, Any]) -> None:
    for part, its_input in inputs.items():
        if its_input != problem.input:
            raise ValueError(
                f"All parts must hold inputs of one form. Received: {problem.input} in "
                f"'train', {its_input} in {part!r}."
            )


def _check_known_classes(problem: Problem, labels: dict[str, np.ndarray]) -> None:
    for part, known in labels.items():
        for unknown in problem.lost(known, labels["train"]).values():
            raise ValueError(
                f"{part!r} has classes that 'train' has not: {few(unknown)}. A model "
                "can only be tested on classes it is trained on."
            )


def _read_groups(groups: Any, labels: dict[str, np.ndarray]) -> dict[str, list]:
    """Returns the groups of each part."""
    if len(labels) > 1 and (
        not isinstance(groups, Mapping) or groups.keys() != labels.keys()
    ):
        raise ValueError(
            f"`groups` must be a dictionary by part, as the data are: {list(labels)}."
        )
    by_part = groups if len(labels) > 1 else {"train": groups}
    return {part: groups_of_array(x, len(labels[part])) for part, x in by_part.items()}
