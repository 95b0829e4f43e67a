"""What pruning and distillation report: figures before and after, as a table."""

import html
import textwrap
from dataclasses import dataclass, field

import keras

from tlkeras.export.reports import Measured, megabytes
from tlkeras.training import FineTuneHistory


@dataclass(frozen=True)
class Figures(Measured):
    """Figures of one model.

    Attributes:
        size: Bytes of the model's `.keras` file, without an optimizer.
        milliseconds: Median time for one input, on TensorFlow's number of threads.
        scores: Accuracy, or mean absolute error of a regression, on the test data; of
            a model with several heads under `"head accuracy"`. Empty without test data.
        parameters: All weights.
        zeros: How many of them are exactly zero.
        compressed: Bytes of the weights after gzip.
    """

    parameters: int
    zeros: int
    compressed: int


_WIDTH = 72


class _Table:
    """A report that prints as a table of two models, in a terminal and a notebook."""

    def _columns(self) -> dict[str, Figures]:
        raise NotImplementedError

    def _notes(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _rows(self) -> list[tuple[str, str, str, str]]:
        (one, first), (other, second) = self._columns().items()
        rows = [("", one, other, "ratio")]
        for name, show in (
            ("parameters", "{:,}".format),
            ("not zero", "{:,}".format),
            ("file", megabytes),
            ("gzip", megabytes),
            ("latency", "{:.2f} ms".format),
        ):
            before, after = (_figure(each, name) for each in (first, second))
            rows.append((name, show(before), show(after), f"{after / before:.2f}"))
        for name, score in first.scores.items():
            rows.append((name, f"{score:.4f}", f"{second.scores[name]:.4f}", ""))
        return rows

    def __str__(self) -> str:
        lines = [f"{a:<12}{b:>14}{c:>14}{d:>8}".rstrip() for a, b, c, d in self._rows()]
        notes = (textwrap.fill(note, _WIDTH) for note in self._notes())
        return "\n".join([*lines, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = (
            [html.escape(cell) for cell in row] for row in map(list, self._rows())
        )
        heading = "".join(f"<th>{cell}</th>" for cell in head)
        body = "".join(
            f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return (
            f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
            f"{notes}"
        )


def _figure(figures: Figures, name: str) -> float:
    return {
        "parameters": figures.parameters,
        "not zero": figures.parameters - figures.zeros,
        "file": figures.size,
        "gzip": figures.compressed,
        "latency": figures.milliseconds,
    }[name]


@dataclass(frozen=True, repr=False)
class PruningReport(_Table):
    """What `tl.prune` made, next to the model that it was given.

    Attributes:
        model: The pruned model.
        method: `"magnitude"` or `"channels"`.
        sparsity: The share that was removed: of the weights of the pruned kernels, or
            of the channels that can be removed.
        layers: The path of each pruned layer, with its own share.
        before: Figures of the model that was given.
        after: Figures of the pruned model.
        history: Of the fine-tuning; `None` where there was none.
        notes: What whoever uses the model has to know.
    """

    model: keras.Model = field(repr=False)
    method: str
    sparsity: float
    layers: tuple[tuple[str, float], ...] = field(repr=False)
    before: Figures
    after: Figures
    history: FineTuneHistory | None = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times as fast the pruned model is."""
        return self.before.milliseconds / self.after.milliseconds

    def _columns(self) -> dict[str, Figures]:
        return {"before": self.before, "after": self.after}

    def _notes(self) -> tuple[str, ...]:
        what = "weights" if self.method == "magnitude" else "channels"
        return (
            f"{self.sparsity:.1%} of the {what} of {len(self.layers)} layers removed",
            *self.notes,
        )


@dataclass(frozen=True, repr=False)
class DistillationReport(_Table):
    """What `tl.distill` reached: the student next to its teacher.

    Attributes:
        teacher: Figures of the teacher.
        student: Figures of the student, distilled.
        history: Of the student's training; its `loss` is the joint one.
        temperature: What both models' logits were divided by.
        alpha: The share of the labels in the loss.
        notes: What is to be known of the figures.
    """

    teacher: Figures
    student: Figures
    history: FineTuneHistory = field(repr=False)
    temperature: float
    alpha: float
    notes: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times as fast the student is as its teacher."""
        return self.teacher.milliseconds / self.student.milliseconds

    def _columns(self) -> dict[str, Figures]:
        return {"teacher": self.teacher, "student": self.student}

    def _notes(self) -> tuple[str, ...]:
        return self.notes
