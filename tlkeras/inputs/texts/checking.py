"""What is wrong with texts: near duplicates, and what a model cannot read of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras.findings import Finding, Numbering, finding_of_places, places_of
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.grouping import Group, first_of_its_kind, groups_of_keys, joined
from tlkeras.inputs.texts import minhash
from tlkeras.inputs.texts.token_words import unknown_id

_TEXTS_AT_ONCE = 4096

# From which share of tokens that are unknown a model is hurt.
_MANY_UNKNOWN = 0.01


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


def unknown_tokens(parts: Mapping[str, Examples], preprocessor: Any) -> list[Finding]:
    """Tells which texts a model's tokenizer does not know all of.

    Args:
        parts: The examples of each part.
        preprocessor: The model's `TextPreprocessor`.
    """
    unknown = unknown_id(preprocessor.tokenizer)
    if unknown is None:
        return []
    places, lost, total = [], 0, 0
    for part, examples in parts.items():
        shares: list[float] = []
        for texts, _ in examples.dataset(_TEXTS_AT_ONCE):
            inputs, lengths, _ = preprocessor.tokenize_all(texts)
            counts = (inputs["token_ids"] == unknown).sum(axis=1)
            lost, total = lost + counts.sum(), total + lengths.sum()
            shares += (counts / np.maximum(lengths, 1)).tolist()
        rows = [row for row in np.argsort(shares)[::-1] if shares[row] > 0]
        places += [[place] for place in places_of(part, examples, rows)]
    if not places:
        return []
    share = lost / total
    return [
        finding_of_places(
            "unknown tokens",
            "warning" if share > _MANY_UNKNOWN else "note",
            f"{share:.2%} of all tokens are unknown to the model's tokenizer: it sees "
            "no difference between what they stand for.",
            places,
            "Look at the texts that have most, named first: for characters of another "
            "encoding or language, markup, or a backbone that was not made for them.",
        )
    ]


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
