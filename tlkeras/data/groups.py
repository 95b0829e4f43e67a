"""Groups of examples, such as one patient's pictures, that stay in one part."""

import os
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import as_list, is_missing
from tlkeras.data.splitting import PARTS

# Into how many folds the examples are dealt at most, and how far from what is asked
# for a part's share of them may be before more folds are tried.
_MOST_FOLDS = 20
_NEAR_ENOUGH = 0.01

# How many groups or examples a message names.
_SHOWN = 5


def groups_of_array(groups: Any, length: int) -> list[Hashable]:
    """Returns one group for each row of an array, or raises `ValueError`."""
    values = as_list("groups", groups)
    if len(values) != length:
        raise ValueError(
            "`groups` must have one value per example. Received: "
            f"len(groups)={len(values)} for {length} examples."
        )
    return _checked(values, [f"index {i}" for i in range(length)])


def groups_of_files(
    groups: Callable[[str], Hashable] | Mapping[str, Hashable], files: Sequence[str]
) -> list[Hashable]:
    """Returns the group of each file, or raises `ValueError`.

    Args:
        groups: From a path, relative to the folder, to its group.
        files: The paths.
    """
    find = groups.get if isinstance(groups, Mapping) else groups
    if not callable(find):
        raise ValueError(
            "`groups` must be a function or a dictionary that gives the group of a "
            f"file by its path relative to the folder. Received: {groups!r}."
        )
    values = [find(file.replace(os.sep, "/")) for file in files]
    return _checked(values, list(map(repr, files)))


def _checked(values: list[Any], names: Sequence[str]) -> list[Hashable]:
    pairs = list(zip(values, names, strict=True))
    missing = [name for value, name in pairs if is_missing(value)]
    if missing:
        raise ValueError(
            f"`groups` must give every example a group. {len(missing)} of {len(names)} "
            f"have none: {_few(missing)}. Give each of them a group of its own where "
            "it belongs to no other."
        )
    for value, name in pairs:
        if not isinstance(value, Hashable):
            raise ValueError(
                f"A group must be a name or a number. Received: {value!r} for {name}."
            )
    return values


def check_apart(groups: Mapping[str, Sequence[Hashable]]) -> None:
    """Raises `ValueError` where a group is in two parts that came with the data."""
    parts = [(part, set(groups[part])) for part in PARTS if part in groups]
    for i, (part, here) in enumerate(parts):
        for other, there in parts[i + 1 :]:
            both = sorted(here & there, key=str)
            if both:
                raise ValueError(
                    f"{len(both)} groups are in {part!r} and in {other!r}: "
                    f"{_few(list(map(repr, both)))}. What is measured on them is too "
                    "good: move each into one part, or join the parts and let them "
                    "be split."
                )


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def split_groups(
    groups: Sequence[Hashable],
    strata: np.ndarray,
    validation_split: float,
    test_split: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Splits examples into parts, each group as a whole.

    The examples are dealt into folds by scikit-learn's `StratifiedGroupKFold`, and
    each part gets as many folds as come near to its fraction.

    Args:
        groups: Each example's group.
        strata: int `(n,)`, each example's class, or 0 for all.
        validation_split: Fraction for validation, in [0, 1].
        test_split: Fraction for testing, in [0, 1].
        seed: Which groups are drawn; the same in every process.

    Returns:
        As `split_positions`.

    Raises:
        ValueError: If there are fewer groups than parts to fill.
    """
    fractions = dict(
        zip(
            PARTS,
            (1 - validation_split - test_split, validation_split, test_split),
            strict=True,
        )
    )
    wanted = [part for part in PARTS if fractions[part] > 0]
    ids = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    if len(ids) < len(wanted):
        raise ValueError(
            f"Too few groups to split: there are {len(ids)}, but each of the "
            f"{len(wanted)} parts needs at least one. Add more, make them smaller, or "
            "set `validation_split=0` or `test_split=0`."
        )
    shares = _fold_counts(fractions, wanted, min(_MOST_FOLDS, len(ids)))
    numbers = np.array([ids[group] for group in groups])
    folds = _deal(numbers, strata, sum(shares.values()), seed)
    order = _least_needed_first(folds, strata)
    drawn, start = {part: np.zeros(0, np.int64) for part in PARTS}, 0
    # Training comes last: it gets the folds with classes that no other fold has.
    for part in reversed(wanted):
        chosen = order[start : start + shares[part]]
        drawn[part] = np.flatnonzero(np.isin(folds, chosen))
        start += shares[part]
    return drawn


def _fold_counts(
    fractions: Mapping[str, float], wanted: Sequence[str], most: int
) -> dict[str, int]:
    """Returns how many folds each part gets, of as few as come near to the fractions.

    The fewer folds there are, the better each is stratified.
    """
    best, least = {}, np.inf
    for folds in range(len(wanted), most + 1):
        shares = {part: max(1, round(folds * fractions[part])) for part in wanted}
        shares[wanted[0]] += folds - sum(shares.values())
        off = max(abs(shares[part] / folds - fractions[part]) for part in wanted)
        if shares[wanted[0]] > 0 and off < least:
            best, least = shares, off
        if least <= _NEAR_ENOUGH:
            break
    return best


def _deal(numbers: np.ndarray, strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Returns each example's fold; no fold is empty."""
    from sklearn.model_selection import StratifiedGroupKFold

    if folds == 1:
        return np.zeros(len(numbers), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    fold_of = np.zeros(len(numbers), int)
    # Only where no class has an example for each fold, or a fold stays empty, the
    # folds are as large as each other without regard to classes.
    for y in (strata, np.zeros(len(numbers), int)):
        if np.unique(y, return_counts=True)[1].max() < folds:
            continue
        with warnings.catch_warnings():
            # That a class is in fewer examples than there are folds.
            warnings.simplefilter("ignore", UserWarning)
            for fold, (_, rows) in enumerate(splitter.split(numbers, y, numbers)):
                fold_of[rows] = fold
        if len(np.unique(fold_of)) == folds:
            break
    return fold_of


def _least_needed_first(folds: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Returns the folds, those last that are alone in having some classes."""
    counts = np.zeros((folds.max() + 1, len(np.unique(strata))), int)
    np.add.at(counts, (folds, np.unique(strata, return_inverse=True)[1]), 1)
    alone = (counts > 0) & ((counts > 0).sum(axis=0) == 1)
    return np.argsort(alone.sum(axis=1), kind="stable")
