"""Findings about duplicates: the same example twice, in one part or across parts."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tlkeras.findings import Finding, Numbering, finding_of_places
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.grouping import Group, groups_of_keys


def exact_groups(parts: dict[str, Examples], numbering: Numbering) -> list[Group]:
    """Finds examples that are the same, bit for bit.

    Args:
        parts: The examples of each part.
        numbering: Their numbers.

    Returns:
        Groups of numbers, of two or more.
    """
    keys = [key for examples in parts.values() for key in examples.identities()]
    groups = groups_of_keys(keys)
    contents = numbering.of_each(groups, lambda part, x, at: x.contents(at))
    return [
        [group[i] for i in same]
        for group in groups
        for same in groups_of_keys([contents[number] for number in group])
        if contents[group[same[0]]] is not None
    ]


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
        columns = labels[group].astype(np.float64).reshape(len(group), -1).T
        # A label that is missing differs from none.
        known = (column[~np.isnan(column)] for column in columns)
        return any(not np.allclose(x, x[:1], rtol=1e-3) for x in known)

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
