"""What an export and a quantization report, and the error of those that fail."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tlkeras.description import Described, Description


class ExportError(RuntimeError):
    """A model could not be exported; nothing was written under the final name."""


@dataclass(frozen=True)
class ExportReport:
    """What `tl.export` wrote, and how well it agrees with the model.

    Attributes:
        path: The artefact.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        size: Bytes of the artefact.
        precision: What it computes in: `"float32"`, `"float16"` or `"bfloat16"`.
        inputs: From input names to their types and shapes, as `"float32 (1, 32, 32)"`.
        outputs: The names of the outputs.
        class_names: The classes' names, as the model has them.
        examples: Inputs that it was checked on.
        difference: The largest difference from the weights that were exported, as a
            share of the largest value of the output where that is above 1.
        precision_difference: The same between these weights and the model, where the
            model computes in another precision than the artefact; otherwise 0.
        tolerance: What `difference` had to stay below.
        agreement: Share of the examples that both give the same label; `None` where
            there are no labels.
        notes: What whoever uses the artefact has to know.
    """

    path: Path
    format: str
    size: int
    precision: str
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    class_names: tuple[str, ...] | dict[str, tuple[str, ...]] | None
    examples: int
    difference: float
    precision_difference: float
    tolerance: float
    agreement: float | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = {
            "path": str(self.path),
            "format": f"{self.format}, {self.precision}, {megabytes(self.size)}",
            "inputs": "; ".join(f"{n}: {kind}" for n, kind in self.inputs.items()),
            "outputs": ", ".join(self.outputs),
            "difference": f"{self.difference:.1e} on {self.examples} inputs "
            f"(tolerance {self.tolerance:.0e})",
        }
        if self.precision_difference:
            rows["to the model"] = f"{self.precision_difference:.1e}, by its precision"
        if self.agreement is not None:
            rows["same label"] = f"{self.agreement:.1%}"
        lines = [f"{name:<13}{value}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"{'note':<13}{note}" for note in self.notes)])


@dataclass(frozen=True)
class Measured:
    """Figures of one artefact.

    Attributes:
        size: Bytes.
        milliseconds: Median time for one input.
        scores: Accuracy, or mean absolute error of a regression, on the test data; of
            a model with several heads under `"head accuracy"`. Empty without test data.
    """

    size: int
    milliseconds: float
    scores: dict[str, float]

    def rows(self) -> list[tuple[str, float, Callable[[float], str]]]:
        """Returns name and value of each figure but the scores, and how to show it."""
        return [
            ("size", self.size, megabytes),
            ("latency", self.milliseconds, "{:.2f} ms".format),
        ]


def side_by_side(
    before: Measured, after: Measured, names: tuple[str, str], notes: Iterable[str]
) -> Description:
    """Returns a table of two models, with their figures' ratios.

    Args:
        before: Figures of the first.
        after: Figures of the second, of the same kind.
        names: What the two are called.
        notes: Lines below the table.
    """
    rows = [
        (name, show(first), show(second), f"{second / first:.2f}")
        for (name, first, show), (_, second, _) in zip(
            before.rows(), after.rows(), strict=True
        )
    ]
    rows += [
        (name, f"{score:.4f}", f"{after.scores[name]:.4f}", "")
        for name, score in before.scores.items()
    ]
    return Description("", ("", *names, "ratio"), tuple(rows), tuple(notes))


@dataclass(frozen=True, repr=False)
class QuantizationReport(Described):
    """What `tl.quantize` wrote, next to the same model unquantized.

    Attributes:
        path: The quantized artefact.
        mode: `"dynamic"`, `"float16"` or `"int8"`.
        before: Figures of the model unquantized, in the same format.
        after: Figures of the artefact.
        agreement: Share of the inputs at hand that both give the same label; `None`
            where there are no labels.
        examples: How many inputs these are.
        notes: What whoever uses the artefact has to know.
    """

    path: Path
    mode: str
    before: Measured
    after: Measured
    agreement: float | None
    examples: int
    notes: tuple[str, ...] = ()

    @property
    def size_ratio(self) -> float:
        """Size after as a share of the size before."""
        return self.after.size / self.before.size

    @property
    def speedup(self) -> float:
        """How many times as fast the artefact is as the model unquantized."""
        return self.before.milliseconds / self.after.milliseconds

    def _described(self) -> Description:
        notes = [*self.notes, str(self.path)]
        if self.agreement is not None:
            same = f"same label on {self.agreement:.1%} of {self.examples} inputs"
            notes.insert(0, same)
        return side_by_side(self.before, self.after, ("before", self.mode), notes)


def megabytes(size: float) -> str:
    """Returns a number of bytes as text."""
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
