"""Splits from arrays of pixels or texts."""

from collections.abc import Sequence
from typing import Any

from tlkeras._validation import check_int
from tlkeras.data.groups import groups_of_array
from tlkeras.data.labels import read_labels
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_fractions
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.pictures.pixels import read_pixels
from tlkeras.inputs.texts.reading import holds_texts, read_texts


def from_arrays(
    x: Any,
    y: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str | None = None,
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
        y: One label per example. Whole numbers or strings are classes; 2-D rows of 0
            and 1 are one-hot where each has exactly one 1, multi-label otherwise;
            other floats are regression targets, `(n,)` or `(n, k)`.
        class_names: The classes, in the order of their ids. By default the sorted
            strings in `y`, or `"0"`, `"1"`, and so on.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            `y` looks like.
        batch_size: Examples per batch.
        validation_split: Fraction of the examples for validation; 0 for none.
        test_split: Fraction of the examples for testing; 0 for none.
        seed: Seed of the split and of the order of training.
        groups: One value per example, such as the patient whom a picture shows.
            Examples of one group stay in one part, which is then only nearly as large
            as asked for.

    Returns:
        The `Splits`. Classification is split stratified by class.

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
    """
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    check_fractions(validation_split, test_split)
    is_text = holds_texts(x)
    inputs = read_texts(x) if is_text else read_pixels(x)
    labels = read_labels(y, class_names, task)
    if len(inputs) != len(labels.values):
        raise ValueError(
            "`x` and `y` must have the same length. Received: "
            f"len(x)={len(inputs)}, len(y)={len(labels.values)}."
        )
    together = None if groups is None else groups_of_array(groups, len(inputs))
    return make_splits(
        ArrayExamples(inputs, labels.values),
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        task=labels.task,
        class_names=labels.class_names,
        image_size=None if is_text else inputs.shape[1:3],
        groups=None if together is None else {"train": together},
    )
