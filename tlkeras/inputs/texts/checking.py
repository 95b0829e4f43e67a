"""What is wrong with texts: those that are nearly the same."""

from collections.abc import Callable, Sequence

import numpy as np

from tlkeras.findings import Finding, Numbering
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.grouping import Group, first_of_its_kind, groups_of_keys, joined
from tlkeras.inputs.texts import minhash

_TEXTS_AT_ONCE = 4096


def check_texts(
    parts: dict[str, Examples],
    exact: Sequence[Group],
    numbering: Numbering,
    progress: Callable[[int], None],
) -> tuple[list[Finding], list[Group]]:
    """Reads every text once, and tells what is wrong with them.

    Args:
        parts: The examples of each part.
        exact: Groups of the same texts.
        numbering: The examples' numbers.
        progress: Called with the number of texts that are done.

    Returns:
        The findings, of which texts have none of their own, and groups of texts that
        are nearly the same.
    """
    near = _near_groups(all_texts(parts), exact, progress)
    progress(len(numbering.part_of))
    return [], near


def _near_groups(
    texts: Sequence[str], exact: Sequence[Group], progress: Callable[[int], None]
) -> list[Group]:
    """Finds texts that differ in case, punctuation and spaces, or in a few words.

    Args:
        texts: Of all parts, in the order of `Numbering`.
        exact: Groups of the same texts; only one of each group is compared.
        progress: Called with the number of texts that are done.

    Returns:
        Groups of numbers, each with at least two different texts.
    """
    rows = np.flatnonzero(first_of_its_kind(len(texts), exact))
    plain = [minhash.normalised(texts[row]) for row in rows]
    same = groups_of_keys(plain)
    firsts = np.flatnonzero(first_of_its_kind(len(plain), same))
    near = minhash.near_pairs([plain[i] for i in firsts], progress)
    alike = joined(len(plain), firsts[near], same, with_groups=True)
    chains = [
        pair for group in alike for pair in zip(group[:-1], group[1:], strict=True)
    ]
    pairs = rows[np.array(chains, int).reshape(-1, 2)]
    return joined(len(texts), pairs, exact)


def all_texts(parts: dict[str, Examples]) -> list[str]:
    """Returns the texts of all parts, both of a pair as one."""
    return [
        "\n".join(text.decode() for text in np.ravel(row))
        for examples in parts.values()
        for texts, _ in examples.dataset(_TEXTS_AT_ONCE)
        for row in texts.numpy()
    ]
