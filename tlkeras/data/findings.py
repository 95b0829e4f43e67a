"""Findings: what is wrong with examples, where they are, and what to do."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tlkeras.data.description import Description
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.files import ImageFiles

# From bad to harmless.
SEVERITIES = ("error", "warning", "note")

# How many examples of a finding are printed; all of them are in `Finding.examples`.
_SHOWN = 5
_MEMBERS_SHOWN = 4

# How many characters of a text name it.
_NAME_LENGTH = 60


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


@dataclasses.dataclass(frozen=True)
class Checks:
    """What `Splits.check` found; prints itself as a table, in a notebook as HTML.

    Iterating gives the findings, the severest first; without any it is false.

    Attributes:
        title: What was checked.
        findings: The findings.
    """

    title: str
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        return str(self._table()) if self.findings else f"{self.title}: no findings"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self) -> Description:
        rows = tuple(
            (finding.kind, finding.severity, str(finding.count))
            for finding in self.findings
        )
        notes = tuple(line for finding in self.findings for line in finding.lines())
        header = ("finding", "severity", "how many")
        total = f"{len(rows) or 'no'} finding{'s' * (len(rows) != 1)}"
        return Description(f"{self.title}: {total}", header, rows, notes)


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns findings, the severest first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda f: SEVERITIES.index(f.severity)))


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


def places_of(part: str, examples: Examples, positions: Sequence[int]) -> list[Place]:
    """Returns where some examples of a part are, with their names."""
    positions = np.asarray(positions, int)
    names = _names(examples, positions)
    return list(map(Place, [part] * len(names), positions.tolist(), names))


def _names(examples: Examples, positions: np.ndarray) -> list[str]:
    """Returns what examples are called: by file, row or text."""
    if isinstance(examples, ImageFiles):
        # A file name need not be valid UTF-8.
        names = [os.fsencode(examples.names[position]) for position in positions]
        return [name.decode(errors="replace") for name in names]
    if not isinstance(examples, ArrayExamples):
        return [""] * len(positions)
    rows = examples.rows[positions]
    if examples.inputs_kind == "images":
        return [f"x[{row}]" for row in rows]
    return [repr(_on_one_line(np.ravel(x))) for x in examples.inputs.numpy()[rows]]


def _on_one_line(texts: Sequence[bytes]) -> str:
    line = " | ".join(" ".join(text.decode().split()) for text in texts)
    return line if len(line) <= _NAME_LENGTH else f"{line[: _NAME_LENGTH - 1]}…"


class Numbering:
    """Examples of all parts under one number, part by part.

    Args:
        parts: The examples of each part.
    """

    def __init__(self, parts: dict[str, Examples]):
        self._parts = parts
        self.part_of = [part for part, x in parts.items() for _ in range(len(x))]
        self._starts, before = {}, 0
        for part, examples in parts.items():
            self._starts[part] = before
            before += len(examples)

    def places(self, groups: Sequence[Sequence[int]]) -> list[list[Place]]:
        """Returns where the examples of groups of numbers are."""
        numbers = np.unique(np.concatenate([*groups, []]).astype(int))
        found: dict[int, Place] = {}
        for part, start in self._starts.items():
            end = start + len(self._parts[part])
            here = numbers[(numbers >= start) & (numbers < end)]
            places = places_of(part, self._parts[part], here - start)
            found.update(zip(here.tolist(), places, strict=True))
        return [[found[int(number)] for number in group] for group in groups]
