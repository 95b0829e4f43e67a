"""Findings about duplicates: the same example twice, in one part or across parts."""

import concurrent.futures
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from tlkeras.data.findings import Finding, Numbering, finding_of_places
from tlkeras.data.tfds import TfdsExamples
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.files import ImageFiles
from tlkeras.inputs.pictures.thumbnails import LEAST_CONTRAST, contrasts, near_pairs
from tlkeras.inputs.texts import minhash

Group = list[int]

_CHUNK = 1024


def exact_groups(parts: dict[str, Examples]) -> list[Group]:
    """Finds examples that are the same, bit for bit.

    Args:
        parts: The examples of each part.

    Returns:
        Groups of numbers as in `Numbering`, of two or more.
    """
    keys = [key for examples in parts.values() for key in _identities(examples)]
    groups = _groups_of_keys(keys)
    if all(isinstance(examples, ImageFiles) for examples in parts.values()):
        # Files of equal size: what is in them tells which are the same.
        paths = [path for examples in parts.values() for path in examples.paths]
        groups = [same for group in groups for same in _same_contents(group, paths)]
    return groups


def _identities(examples: Examples) -> Iterator[Hashable]:
    """Yields for each example what is equal where the examples are equal."""
    if isinstance(examples, ImageFiles):
        yield from examples.headers["size"].tolist()
    elif isinstance(examples, TfdsExamples):
        yield from zip(
            examples.table.hashes[examples.rows].tolist(),
            examples.table.sizes[examples.rows].tolist(),
            strict=True,
        )
    elif isinstance(examples, ArrayExamples):
        for rows in _chunks(examples):
            yield from (_digest(row) for row in rows)


def _chunks(examples: ArrayExamples) -> Iterator[np.ndarray]:
    import tensorflow as tf

    for start in range(0, len(examples), _CHUNK):
        yield tf.gather(examples.inputs, examples.rows[start : start + _CHUNK]).numpy()


def _digest(row: np.ndarray | bytes) -> bytes:
    if isinstance(row, bytes):
        return hashlib.blake2b(row).digest()
    if row.dtype == object:
        return b"".join(map(_digest, row))
    return hashlib.blake2b(np.ascontiguousarray(row)).digest()


def _groups_of_keys(keys: Sequence[Hashable]) -> list[Group]:
    groups: dict[Hashable, Group] = defaultdict(list)
    for number, key in enumerate(keys):
        groups[key].append(number)
    return [group for group in groups.values() if len(group) > 1]


def _same_contents(group: Group, paths: Sequence[str]) -> list[Group]:
    """Returns the groups of files with the same bytes among files of equal size."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        digests = list(pool.map(_file_digest, [paths[number] for number in group]))
    return [
        [group[i] for i in same]
        for same in _groups_of_keys(digests)
        if digests[same[0]] is not None
    ]


def _file_digest(path: str) -> bytes | None:
    try:
        with open(os.fsencode(path), "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None


def near_picture_groups(
    thumbnails: np.ndarray, whole: np.ndarray, exact: Sequence[Group]
) -> list[Group]:
    """Finds pictures that look the same: resized, or saved in another quality.

    Args:
        thumbnails: Of all parts, in the order of `Numbering`.
        whole: Which of them could be decoded.
        exact: What `exact_groups` found; only one of each group is compared.

    Returns:
        Groups of numbers, each with at least two different files.
    """
    chosen = whole & (contrasts(thumbnails) >= LEAST_CONTRAST)
    chosen &= _first_of_its_kind(len(thumbnails), exact)
    rows = np.flatnonzero(chosen)
    return _joined(len(thumbnails), rows[near_pairs(thumbnails[rows])], exact)


def near_text_groups(
    texts: Sequence[str], exact: Sequence[Group], progress: Callable[[int], None]
) -> list[Group]:
    """Finds texts that differ in case, punctuation and spaces, or in a few words.

    Args:
        texts: Of all parts, in the order of `Numbering`.
        exact: What `exact_groups` found; only one of each group is compared.
        progress: Called with the number of texts that are done.

    Returns:
        Groups of numbers, each with at least two different texts.
    """
    rows = np.flatnonzero(_first_of_its_kind(len(texts), exact))
    plain = [minhash.normalised(texts[row]) for row in rows]
    same = _groups_of_keys(plain)
    firsts = np.flatnonzero(_first_of_its_kind(len(plain), same))
    near = minhash.near_pairs([plain[i] for i in firsts], progress)
    joined = _joined(len(plain), firsts[near], same, with_groups=True)
    chains = [
        pair for group in joined for pair in zip(group[:-1], group[1:], strict=True)
    ]
    pairs = rows[np.array(chains, int).reshape(-1, 2)]
    return _joined(len(texts), pairs, exact)


def _first_of_its_kind(count: int, groups: Sequence[Group]) -> np.ndarray:
    first = np.ones(count, bool)
    for group in groups:
        first[group[1:]] = False
    return first


def _joined(
    count: int,
    pairs: np.ndarray,
    exact: Sequence[Group],
    with_groups: bool = False,
) -> list[Group]:
    """Returns what pairs connect, with the exact duplicates of each.

    Args:
        count: How many examples there are.
        pairs: int `(pairs, 2)`.
        exact: Groups of the same.
        with_groups: Whether groups that no pair touches are returned too.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [(group[0], other) for group in exact for other in group[1:]]
    both = np.concatenate([pairs, np.array(links, int).reshape(-1, 2)])
    graph = coo_array((np.ones(len(both), bool), tuple(both.T)), (count, count))
    _, component = connected_components(graph, directed=False)
    wanted = set(component[(both if with_groups else pairs)[:, 0]].tolist())
    groups = _groups_of_keys(component.tolist())
    return [group for group in groups if component[group[0]] in wanted]


def duplicate_findings(
    exact: Sequence[Group],
    near: Sequence[Group],
    numbering: Numbering,
    labels: np.ndarray,
    noun: str,
) -> Iterator[Finding]:
    """Yields what is wrong with groups of duplicates.

    Args:
        exact: Groups of the same examples.
        near: Groups of nearly the same examples.
        numbering: Where their numbers are.
        labels: The labels of all parts, in the order of `numbering`.
        noun: What an example is, in the plural.
    """
    for groups, near_or_not, how in (
        (exact, "", "the same"),
        (near, "near ", "nearly the same"),
    ):
        for test, make in (
            (_differs(labels), _conflict),
            (_across(numbering), _leak),
            (_within(labels, numbering), _repetition),
        ):
            chosen = [group for group in groups if test(group)]
            if chosen:
                places = numbering.places(chosen)
                yield make(places, near_or_not, f"{how} {noun}")


def _differs(labels: np.ndarray) -> Callable[[Group], bool]:
    def differs(group: Group) -> bool:
        rows = labels[group].astype(np.float64)
        return not np.allclose(rows, rows[:1], rtol=1e-3, equal_nan=True)

    return differs


def _across(numbering: Numbering) -> Callable[[Group], bool]:
    return lambda group: len({numbering.part_of[i] for i in group}) > 1


def _within(labels: np.ndarray, numbering: Numbering) -> Callable[[Group], bool]:
    differs, across = _differs(labels), _across(numbering)
    return lambda group: not differs(group) and not across(group)


def _conflict(places: list, near: str, what: str) -> Finding:
    return finding_of_places(
        f"{near}duplicates with different labels",
        "warning" if near else "error",
        f"groups of {what} have more than one label: at most one can be right.",
        places,
        "Look at them, correct the label or remove all but one.",
    )


def _leak(places: list, near: str, what: str) -> Finding:
    return finding_of_places(
        f"{near}duplicates across parts",
        "warning" if near else "error",
        f"groups of {what} are in more than one part: what is measured on examples "
        "that were trained on is too good.",
        places,
        "Remove them from the training part, or keep each group in one part.",
    )


def _repetition(places: list, near: str, what: str) -> Finding:
    return finding_of_places(
        f"{near}duplicates within a part",
        "note",
        f"groups of {what} are in one part: they count more than once.",
        places,
        "Remove all but one of each, unless they are meant to count more.",
    )
