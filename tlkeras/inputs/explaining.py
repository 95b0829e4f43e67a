"""What explanations of every kind of input have in common."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras._validation import check_choice, check_int, check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("grad_cam", "integrated_gradients")

# From batches of a graph's inputs to the number of the output that is explained of each
# example, and to what its explanation says of it.
Choose = Callable[[list[list[Any]]], tuple[np.ndarray, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Settings:
    """How to explain, as `tl.explain` takes it."""

    method: str = "auto"
    layer: str | None = None
    steps: int | None = None
    baseline: Any = None
    tolerance: float = 0.05
    batch_size: int = 32

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("auto", *METHODS))
        if self.steps is not None:
            check_int("steps", self.steps, 1)
        check_number("tolerance", self.tolerance, above=0)
        check_int("batch_size", self.batch_size, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(abc.ABC):
    """What an explanation of one input says, whatever its kind; drawn on request.

    A subclass has the input and what each part of it does for the target.
    """

    target: str | int
    index: int
    method: str
    probability: float | None
    output: float
    logit: float
    baseline: float | None = None
    gap: float | None = None
    steps: int | None = None

    @property
    def title(self) -> str:
        """The target and what the model gives it."""
        if self.probability is None:
            return f"output {self.target}: {self.output:.3g}"
        return f"{self.target} {self.probability:.2f}"

    @property
    @abc.abstractmethod
    def values(self) -> np.ndarray:
        """What each part of the input does for the target."""

    @staticmethod
    @abc.abstractmethod
    def plot_all(
        found: Sequence[Any], ax: "Axes | None" = None, columns: int | None = None
    ) -> "Axes":
        """Draws explanations of this kind on the same axes.

        Args:
            found: The explanations, in order.
            ax: A matplotlib axes to draw on; made if `None`.
            columns: How many stand side by side; `None`: as the kind likes it.

        Returns:
            The axes.
        """

    @staticmethod
    @abc.abstractmethod
    def html_of_all(found: Sequence[Any]) -> str:
        """Returns explanations of this kind as HTML for notebooks.

        Args:
            found: The explanations, in order.
        """

    def _repr_html_(self) -> str:
        return self.html_of_all([self])

    def _path(self) -> str:
        if self.gap is None:
            return ""
        return (
            f", logit {self.baseline:.3g} -> {self.logit:.3g}, gap {self.gap:.1%} in "
            f"{self.steps} steps"
        )


class Explainer(abc.ABC):
    """A method on a model of one kind of input, to be called many times.

    Args:
        probe: The model as a function from any of its tensors to one head's logits, a
            `tlkeras.explain.probe.Probe`.
        settings: `Settings`.

    Attributes:
        method: One of `METHODS`.
    """

    method: str

    def __init__(self, probe: Any, settings: Settings):
        self.probe, self.settings = probe, settings

    @abc.abstractmethod
    def read(self, inputs: Any) -> Any:
        """Returns what a user gave as `explain` takes it; it has a length."""

    @abc.abstractmethod
    def explain(self, ready: Any, choose: Choose) -> list[Explanation]:
        """Explains inputs.

        Args:
            ready: What `read` returned, at least one.
            choose: Runs the model and says which of its outputs are explained.
        """
