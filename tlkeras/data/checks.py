"""`Splits.check`: every check of a data set before a model is trained on it."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras.data.check_labels import label_findings
from tlkeras.data.description import Description
from tlkeras.data.duplicates import duplicate_findings, exact_groups
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.findings import SEVERITIES, Finding, Numbering
from tlkeras.inputs.pictures.checking import check_pictures
from tlkeras.inputs.texts.checking import check_texts

# From this many examples on, the checks show a progress bar.
PROGRESS_FROM = 3000


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


def check_splits(
    parts: dict[str, Examples],
    *,
    title: str,
    task: str,
    class_names: Sequence[str] | None,
    skipped: Sequence[tuple[str, str]],
    verbose: Any,
) -> Checks:
    """Makes every check of the parts of a `Splits`.

    Args:
        parts: The examples of each part.
        title: What is checked, in words.
        task: As in `Splits`.
        class_names: As in `Splits`.
        skipped: As in `Splits`.
        verbose: 0 for no progress bar.
    """
    findings = [
        *_unreadable(skipped),
        *label_findings(parts, task, class_names),
        *_input_findings(parts, _progress_bar(parts, verbose)),
    ]
    return Checks(title, by_severity(findings))


def _progress_bar(parts: dict[str, Examples], verbose: Any) -> Callable[[int], None]:
    """Returns what shows how many examples were read, nothing where they are few."""
    total = sum(map(len, parts.values()))
    if total < PROGRESS_FROM or verbose not in ("auto", 1):
        return lambda done: None
    bar = keras.utils.Progbar(total, unit_name="example", interval=0.5)
    shown = [0]

    def update(done: int) -> None:
        # A bar that is full already would be drawn once more.
        if done > shown[0]:
            shown[0] = done
            bar.update(done)

    return update


def _unreadable(skipped: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    if skipped:
        yield Finding(
            "unreadable",
            "warning",
            "these files or rows were left out.",
            len(skipped),
            tuple(f"{where} {reason}" for where, reason in skipped),
            "Repair or remove them; a format that cannot be decoded can be converted.",
        )


def _input_findings(
    parts: dict[str, Examples], progress: Callable[[int], None]
) -> Iterator[Finding]:
    """Yields what the pictures or texts themselves tell: all of them are read."""
    numbering = Numbering(parts)
    exact = exact_groups(parts, numbering)
    labels = np.concatenate([examples.labels for examples in parts.values()])
    noun = next(iter(parts.values())).inputs_kind
    if noun == "images":
        noun, check = "pictures", check_pictures
    else:
        check = check_texts
    findings, near = check(parts, exact, numbering, progress)
    yield from findings
    yield from duplicate_findings(exact, near, numbering, labels, noun)
