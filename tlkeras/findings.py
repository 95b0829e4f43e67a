"""Findings: what is wrong with examples, where they are, and what to do."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# From bad to harmless.
SEVERITIES = ("error", "warning", "note")

# How many examples of a finding are printed; all of them are in `Finding.examples`.
_SHOWN = 5
_MEMBERS_SHOWN = 4


class Place(NamedTuple):
    """Where an example is.

    Attributes:
        part: `"train"`, `"val"` or `"test"`.
        position: Its place there, in the order of the part's labels and features.
        name: Its file, relative to the folder of the data, its row in the array that
            the data was made of, or its text, shortened; may be empty.
    """

    part: str
    position: int
    name: str

    def __str__(self) -> str:
        return f"{self.part}[{self.position}] {self.name}".rstrip()


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of problem, and every example that has it.

    Attributes:
        kind: A short name, such as `"duplicates across parts"`.
        severity: `"error"` (results will be wrong), `"warning"` (they may be) or
            `"note"`.
        what: What was found, in a sentence.
        count: How many files, examples, classes or groups of duplicates have it.
        examples: Each of them in words.
        advice: What to do about it.
        places: Each of them as a tuple of `Place`: one example, or all examples of a
            group. Empty where it is about files or classes.
    """

    kind: str
    severity: str
    what: str
    count: int
    examples: tuple[str, ...]
    advice: str
    places: tuple[tuple[Place, ...], ...] = ()

    def lines(self) -> Iterator[str]:
        """Yields the finding as lines of text, only the first of many examples."""
        yield f"{self.kind}: {self.what}"
        yield from (f"  {example}" for example in self.examples[:_SHOWN])
        if len(self.examples) > _SHOWN:
            yield f"  and {len(self.examples) - _SHOWN} more"
        yield f"  To do: {self.advice}"


def finding_of_places(
    kind: str,
    severity: str,
    what: str,
    places: Sequence[Sequence[Place]],
    advice: str,
) -> Finding:
    """Makes the finding about some examples, or groups of them.

    Args:
        kind: As in `Finding`.
        severity: As in `Finding`.
        what: As in `Finding`.
        places: As in `Finding`.
        advice: As in `Finding`.
    """
    places = tuple(map(tuple, places))
    examples = tuple(map(_in_words, places))
    return Finding(kind, severity, what, len(places), examples, advice, places)


def _in_words(group: Sequence[Place]) -> str:
    more = len(group) - _MEMBERS_SHOWN
    shown = " = ".join(map(str, group[:_MEMBERS_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


def places_of(part: str, examples: Any, positions: Sequence[int]) -> list[Place]:
    """Returns where some examples of a part are, with their names.

    Args:
        part: The part's name.
        examples: Its `Examples`.
        positions: Which of them.
    """
    positions = np.asarray(positions, int)
    names = examples.names(positions)
    return list(map(Place, [part] * len(names), positions.tolist(), names))


class Numbering:
    """Examples of all parts under one number, part by part.

    Args:
        parts: The `Examples` of each part.
    """

    def __init__(self, parts: Mapping[str, Any]):
        self._parts = parts
        self.part_of = [part for part, x in parts.items() for _ in range(len(x))]
        self._starts, before = {}, 0
        for part, examples in parts.items():
            self._starts[part] = before
            before += len(examples)

    def places(self, groups: Sequence[Sequence[int]]) -> list[list[Place]]:
        """Returns where the examples of groups of numbers are."""
        found = self.of_each(groups, places_of)
        return [[found[int(number)] for number in group] for group in groups]

    def of_each(
        self,
        groups: Sequence[Sequence[int]],
        ask: Callable[[str, Any, np.ndarray], Sequence[Any]],
    ) -> dict[int, Any]:
        """Returns what is asked of each example in groups of numbers, by number.

        Args:
            groups: The groups.
            ask: Called once for each part with its name, its examples and the
                positions there; returns one answer for each position.
        """
        numbers = np.unique(np.concatenate([*groups, []]).astype(int))
        found: dict[int, Any] = {}
        for part, start in self._starts.items():
            end = start + len(self._parts[part])
            here = numbers[(numbers >= start) & (numbers < end)]
            answers = ask(part, self._parts[part], here - start)
            found.update(zip(here.tolist(), answers, strict=True))
        return found
