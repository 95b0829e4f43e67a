"""Which example goes to training, validation or testing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras._validation import check_int, check_number

PARTS = ("train", "val", "test")

PART_OF_NAME = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""The names, in lower case, that data sets give to their parts."""


def check_splitting(
    batch_size: Any, seed: Any, validation_split: Any, test_split: Any
) -> None:
    """Raises `ValueError` for what no data can be split and read by.

    Fractions lie in [0, 1] and leave something to train on, except that one of them may
    be 1: everything goes there.
    """
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    val = check_number("validation_split", validation_split, minimum=0)
    test = check_number("test_split", test_split, minimum=0)
    if val + test < 1 or sorted((val, test)) == [0, 1]:
        return
    raise ValueError(
        "`validation_split` and `test_split` are fractions of all examples: together "
        "they must stay below 1 so that some are left for training (or one of them is "
        f"1 and the other 0). Received: validation_split={validation_split!r}, "
        f"test_split={test_split!r}."
    )


def split_positions(
    strata: np.ndarray,
    validation_split: float,
    test_split: float,
    seed: int,
    names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Splits examples into parts with the same share of every stratum.

    The shares are as stratified as in scikit-learn's `train_test_split`, but no
    stratum is ever left out of a part that is asked for, however small it is:
    a class that is missing from the test part would have no measured quality.

    Args:
        strata: int `(n,)`, each example's stratum: its class, or 0 for all where
            there are no classes; -1 for those whose class is not known, of which a
            part may be left without.
        validation_split: Fraction for validation, in [0, 1].
        test_split: Fraction for testing, in [0, 1].
        seed: Which examples are drawn; the same in every process.
        names: The strata's names, for the error message.

    Returns:
        For each of `"train"`, `"val"`, `"test"` the increasing positions of its
        examples, int64. Every position is in exactly one of them.

    Raises:
        ValueError: If a stratum has fewer examples than there are parts to fill.
    """
    fractions = np.array(
        [1 - validation_split - test_split, validation_split, test_split]
    )
    present, sizes = np.unique(strata, return_counts=True)
    known = present >= 0
    _check_sizes(present[known], sizes[known], np.count_nonzero(fractions), names)
    # The legacy generator: its stream is frozen across NumPy versions.
    random = np.random.RandomState(seed % 2**32)
    drawn: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    all_shares = _shares(sizes, fractions, known)
    for stratum, shares in zip(present, all_shares, strict=True):
        members = random.permutation(np.flatnonzero(strata == stratum))
        pieces = np.split(members, np.cumsum(shares)[:-1])
        for part, piece in zip(PARTS, pieces, strict=True):
            drawn[part].append(piece)
    return {
        part: np.sort(np.concatenate(pieces)).astype(np.int64)
        for part, pieces in drawn.items()
    }


def _check_sizes(
    present: np.ndarray, sizes: np.ndarray, parts: int, names: Sequence[str] | None
) -> None:
    counts = zip(present.tolist(), sizes.tolist(), strict=True)
    small = [(stratum, count) for stratum, count in counts if count < parts]
    if not small:
        return
    named = [
        f"{'class ' + repr(names[stratum]) if names else 'the data set'} has "
        f"{count} example{'s' * (count != 1)}"
        for stratum, count in small[:5]
    ]
    more = f" and {len(small) - 5} more classes have too few" * (len(small) > 5)
    raise ValueError(
        f"Too few examples to split: {', '.join(named)}{more}, but each of the "
        f"{parts} parts needs at least one. Add more examples, remove the class, or "
        "set `validation_split=0` or `test_split=0`."
    )


def _shares(
    sizes: np.ndarray, fractions: np.ndarray, everywhere: np.ndarray
) -> np.ndarray:
    """Rounds each stratum's share of each part to whole examples.

    What rounding adds to one stratum it takes from the next (error diffusion), so
    that the parts also have the right size in total.

    Args:
        sizes: int `(strata,)`.
        fractions: float `(parts,)`, sum 1.
        everywhere: bool `(strata,)`, which strata no part may be left without.

    Returns:
        int `(strata, parts)`: rows sum to `sizes`, of a stratum that is to be
        everywhere at least 1 where the fraction is not 0.
    """
    asked = (fractions > 0).astype(int)
    carry = np.zeros(len(fractions))
    shares = np.empty((len(sizes), len(fractions)), int)
    for row, size in enumerate(sizes):
        least = asked * everywhere[row]
        wanted = size * fractions + carry
        share = np.maximum(np.floor(wanted).astype(int), least)
        while share.sum() > size:
            share[np.argmax(np.where(share > least, share - wanted, -np.inf))] -= 1
        while share.sum() < size:
            share[np.argmax(np.where(fractions > 0, wanted - share, -np.inf))] += 1
        shares[row] = share
        carry = np.clip(wanted - share, -0.5, 0.5) * asked
    return shares
