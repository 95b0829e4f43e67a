"""Which example goes to training, validation or testing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import check_int, check_number

PARTS = ("train", "val", "test")

# The words, in lower case, that data sets call their parts by.
_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
_PART_OF_WORD = {word: part for part, words in _WORDS.items() for word in words}

# What some call the part to test on, and some, beside another one, that to validate on.
_EITHER = {"eval", "evaluation", "holdout", "heldout"}

# Words beside these that say nothing of the part.
_FILLERS = (
    *("dataset", "data", "sets", "set", "splits", "split", "subset", "partition"),
    *("images", "image", "imgs", "img", "pictures", "picture", "photos", "photo"),
    *("samples", "sample", "examples", "example", "files", "folder", "dir", "part"),
)


def parts_of(names: Iterable[Any]) -> dict[Any, str]:
    """Returns which of some names stand for which part of a data set.

    Capitals, numbers, and words such as "set" make no difference: `"Training"`,
    `"test_set"`, `"val2017"`. Nor does what all have beside the part: `"seg_train"`
    and `"seg_test"`. A class may be called `"train_station"`.

    Args:
        names: Of folders, splits or parts that stand beside each other.

    Returns:
        From names to `"train"`, `"val"` or `"test"`, those of parts alone, in order.
    """
    names = list(names)
    words = {name: words_of_part(str(name)) for name in names}
    named = {name: found for name in names if (found := words[name]) and found[0]}
    plain = {name: part for name, (part, beside) in named.items() if not beside}
    if "train" not in plain.values():
        plain.update(_alike({n: x for n, x in named.items() if x[1]}))
    other = "val" if "test" in plain.values() else "test"
    found = {name: other if part == "either" else part for name, part in plain.items()}
    return {name: found[name] for name in names if name in found}


def _alike(named: Mapping[Any, tuple[str, tuple[str, ...]]]) -> dict[Any, str]:
    """Returns the parts whose names differ in nothing but the part."""
    by_rest: dict[tuple[str, ...], dict[Any, str]] = {}
    for name, (part, beside) in named.items():
        by_rest.setdefault(beside, {})[name] = part
    groups = [
        parts
        for parts in by_rest.values()
        if "train" in parts.values() and len(set(parts.values())) > 1
    ]
    return groups[0] if len(groups) == 1 else {}


def words_of_part(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Returns the part that a name speaks of, and the words that it says besides.

    The part is `"either"` where it depends on others, and `None` where the name speaks
    of none, or of several.
    """
    name = re.sub(r"(?i)(hold|held)[ _-]*out", r"\1out", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [_without_fillers(word) for word in re.findall(r"[^\W\d_]+", name.lower())]
    parts = [
        "either" if word in _EITHER else _PART_OF_WORD[word]
        for word in words
        if word in _EITHER or word in _PART_OF_WORD
    ]
    beside = [word for word in words if word and word not in _PART_OF_WORD]
    beside = tuple(word for word in beside if word not in _EITHER)
    return (parts[0] if len(parts) == 1 else None), beside


def _without_fillers(word: str) -> str:
    """Returns a word without what says nothing, such as `"set"` in `"trainset"`."""
    for filler in _FILLERS:
        if word == filler:
            return ""
        rest = word.removesuffix(filler)
        if rest in _PART_OF_WORD or rest in _EITHER:
            return rest
    return word


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


def split_by_time(
    times: np.ndarray, validation_split: float, test_split: float
) -> dict[str, np.ndarray]:
    """Splits examples by time: the latest are for testing, those before for validation.

    Examples of one time stay in one part, which is then only nearly as large as asked
    for.

    Args:
        times: float `(n,)`, each example's time.
        validation_split: Fraction for validation, in [0, 1].
        test_split: Fraction for testing, in [0, 1].

    Returns:
        As `split_positions`.

    Raises:
        ValueError: If there are fewer different times than parts to fill.
    """
    fractions = (1 - validation_split - test_split, validation_split, test_split)
    asked = [(part, x) for part, x in zip(PARTS, fractions, strict=True) if x > 0]
    moments, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(moments) < len(asked):
        raise ValueError(
            f"Too few times to split by: there are {len(moments)} different ones, but "
            f"each of the {len(asked)} parts needs at least one. Leave `time` out, or "
            "set `validation_split=0` or `test_split=0`."
        )
    before = np.append(0, np.cumsum(counts))
    starts, share = [0], 0.0
    for following, (_, fraction) in enumerate(asked[:-1], 1 - len(asked)):
        share += fraction
        # Each part that follows needs a time, too.
        free = np.arange(starts[-1] + 1, len(moments) + following + 1)
        starts.append(free[np.abs(before[free] - share * len(times)).argmin()])
    starts.append(len(moments))
    drawn = {part: np.zeros(0, np.int64) for part in PARTS}
    for (part, _), start, end in zip(asked, starts[:-1], starts[1:], strict=True):
        drawn[part] = np.flatnonzero((place >= start) & (place < end))
    return drawn


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
