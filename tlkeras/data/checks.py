"""`Splits.check`: every check of a data set before a model is trained on it."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tlkeras import _keras
from tlkeras.data.duplicates import duplicate_findings, exact_groups
from tlkeras.description import Described, Description
from tlkeras.findings import SEVERITIES, Finding, Numbering
from tlkeras.inputs import Examples, Input
from tlkeras.problem import Problem

# From this many examples on, the checks show a progress bar.
PROGRESS_FROM = 3000


@dataclasses.dataclass(frozen=True, repr=False)
class Checks(Described):
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
        return super().__str__() if self.findings else f"{self.title}: no findings"

    def _described(self) -> Description:
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
    problem: Problem,
    *,
    title: str,
    skipped: Sequence[tuple[str, str]],
    reader: Input | None,
    verbose: Any,
) -> Checks:
    """Makes every check of the parts of a `Splits`.

    Args:
        parts: The examples of each part.
        problem: As in `Splits`.
        title: What is checked, in words.
        skipped: As in `Splits`.
        reader: What the model that is to learn them takes, if there is one.
        verbose: 0 for no progress bar.
    """
    findings = [
        *_unreadable(skipped),
        *_label_findings(parts, problem),
        *_input_findings(parts, problem.input, _progress_bar(parts, verbose)),
        *(() if reader is None else reader.reading_findings(parts)),
    ]
    return Checks(title, by_severity(findings))


def _progress_bar(parts: dict[str, Examples], verbose: Any) -> Callable[[int], None]:
    """Returns what shows how many examples were read, nothing where they are few."""
    total = sum(map(len, parts.values()))
    if total < PROGRESS_FROM or verbose not in ("auto", 1):
        return lambda done: None
    bar = _keras.ProgressBar(total, unit_name="example", interval=0.5)
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


def _label_findings(parts: dict[str, Examples], problem: Problem) -> Iterator[Finding]:
    """Yields what the labels tell, of heads with names each by itself."""
    labels = {part: examples.labels for part, examples in parts.items()}
    for name, by_part in problem.by_part(labels).items():
        output = problem.outputs[name]
        for found in output.label_findings(parts, by_part, gaps=problem.named):
            kind = f"{name}: {found.kind}" if problem.named else found.kind
            yield dataclasses.replace(found, kind=kind)


def _input_findings(
    parts: dict[str, Examples], its_input: Input, progress: Callable[[int], None]
) -> Iterator[Finding]:
    """Yields what the inputs themselves tell: all of them are read."""
    numbering = Numbering(parts)
    exact = exact_groups(parts, numbering)
    labels = np.concatenate([examples.labels for examples in parts.values()])
    findings, near = its_input.findings(parts, exact, numbering, progress)
    yield from findings
    yield from duplicate_findings(exact, near, numbering, labels, its_input.plural)
