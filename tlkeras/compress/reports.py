"""What pruning and distillation report: figures before and after, as a table."""

import textwrap
from dataclasses import dataclass, field

import keras

from tlkeras.description import Described, Description
from tlkeras.export.reports import Measured, megabytes, side_by_side
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

    def rows(self):
        """Returns name and value of each figure but the scores, and how to show it."""
        return [
            ("parameters", self.parameters, "{:,}".format),
            ("not zero", self.parameters - self.zeros, "{:,}".format),
            ("file", self.size, megabytes),
            ("gzip", self.compressed, megabytes),
            ("latency", self.milliseconds, "{:.2f} ms".format),
        ]


@dataclass(frozen=True, repr=False)
class PruningReport(Described):
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

    def _described(self) -> Description:
        what = "weights" if self.method == "magnitude" else "channels"
        removed = f"{self.sparsity:.1%} of the {what} of {len(self.layers)} layers"
        notes = _wrapped(f"{removed} removed", *self.notes)
        return side_by_side(self.before, self.after, ("before", "after"), notes)


@dataclass(frozen=True, repr=False)
class DistillationReport(Described):
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

    def _described(self) -> Description:
        names = ("teacher", "student")
        return side_by_side(self.teacher, self.student, names, _wrapped(*self.notes))


def _wrapped(*notes: str) -> list[str]:
    return [textwrap.fill(note, 72) for note in notes]
