"""Groups of examples that belong together, by their numbers."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

# Numbers as in `findings.Numbering`.
Group = list[int]


def groups_of_keys(keys: Sequence[Hashable]) -> list[Group]:
    """Returns the groups of two or more whose keys are equal."""
    groups: dict[Hashable, Group] = defaultdict(list)
    for number, key in enumerate(keys):
        groups[key].append(number)
    return [group for group in groups.values() if len(group) > 1]


def first_of_its_kind(count: int, groups: Sequence[Group]) -> np.ndarray:
    """Returns which of `count` examples are in no group, or first in one, bool."""
    first = np.ones(count, bool)
    for group in groups:
        first[group[1:]] = False
    return first


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Returns a number for each of `count` examples, equal where pairs connect them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (count, count))
    return connected_components(graph, directed=False)[1]


def joined(
    count: int,
    pairs: np.ndarray,
    exact: Sequence[Group],
    with_groups: bool = False,
) -> list[Group]:
    """Returns what pairs connect, with the groups that it touches.

    Args:
        count: How many examples there are.
        pairs: int `(pairs, 2)`.
        exact: Groups that belong together already.
        with_groups: Whether groups that no pair touches are returned too.
    """
    links = [(group[0], other) for group in exact for other in group[1:]]
    both = np.concatenate([pairs, np.array(links, int).reshape(-1, 2)])
    component = components(count, both)
    wanted = set(component[(both if with_groups else pairs)[:, 0]].tolist())
    groups = groups_of_keys(component.tolist())
    return [group for group in groups if component[group[0]] in wanted]
