"""Splits from arrays in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from tlkeras.data.groups import groups_of_array
from tlkeras.data.heads import read_heads
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_splitting
from tlkeras.inputs import read_arrays
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.outputs import read_labels
from tlkeras.problem import Problem


def from_arrays(
    x: Any,
    y: Any,
    *,
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    task: str | Mapping[str, str] | None = None,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    groups: Sequence | None = None,
) -> Splits:
    """Makes `Splits` from images or texts in memory.

    Args:
        x: Pixels 0 to 255, uint8 or float, `(n, height, width)` or
            `(n, height, width, channels)` with 1 or 3 channels. Not rescaled:
            models of tlkeras take raw pixels. Or texts: strings `(n,)`, or pairs of
            them, `(n, 2)` or a tuple `(a, b)` of two columns.
        y: One label per example. Whole numbers, booleans or strings are classes; 2-D
            rows of 0 and 1 are one-hot where each has exactly one 1, multi-label
            otherwise; other floats are regression targets, `(n,)` or `(n, k)`. Or a
            dictionary of such by head, for a model with several:
            `{"species": names, "length": cm}`.
            There labels may be missing: `None`, NaN, or -1 among class numbers.
        class_names: The classes, in the order of their ids. Labels are names of theirs,
            also as numbers and booleans (1 and 1.0 for `"1"`), or else positions among
            them. By default the sorted strings in `y`, ordered categories of pandas in
            their order, or `"0"`, `"1"`, and so on. By head where `y` is.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            `y` looks like. By head where `y` is.
        batch_size: Examples per batch.
        validation_split: Fraction of the examples for validation; 0 for none.
        test_split: Fraction of the examples for testing; 0 for none.
        seed: Seed of the split and of the order of training.
        groups: One value per example, such as the patient whom a picture shows.
            Examples of one group stay in one part, which is then only nearly as large
            as asked for.

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
    >>> texts = ["a fine film", "a dull film"] * 10
    >>> tl.from_arrays(texts, ["good", "bad"] * 10).class_names
    ('bad', 'good')
    >>> sizes = np.linspace(1, 2, 60)
    >>> data = tl.from_arrays(x, {"animal": y, "size": sizes})
    >>> {name: y.shape for name, y in next(iter(data.val))[1].items()}
    {'animal': TensorShape([9]), 'size': TensorShape([9, 1])}
    """
    check_splitting(batch_size, seed, validation_split, test_split)
    its_input, inputs = read_arrays(x)
    read = read_heads if isinstance(y, Mapping) else read_labels
    outputs, labels = read(y, class_names, task)
    if len(inputs) != len(labels):
        raise ValueError(
            "`x` and `y` must have the same length. Received: "
            f"len(x)={len(inputs)}, len(y)={len(labels)}."
        )
    together = None if groups is None else groups_of_array(groups, len(inputs))
    return make_splits(
        ArrayExamples(inputs, labels),
        problem=Problem(its_input, outputs),
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        groups=None if together is None else {"train": together},
    )
