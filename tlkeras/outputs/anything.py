"""`Anything`: what a model of somebody else's gives, of which nothing is known."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tlkeras.outputs.base import Output
from tlkeras.outputs.weighing import Weighing, class_weighing


@dataclass(frozen=True)
class Anything(Output):
    """An output of which nothing is known but that a model's own loss takes its labels.

    `problem_of` gives it to training where neither graph nor loss nor labels tell more.
    """

    task: ClassVar[str] = "unknown"
    title: ClassVar[str] = "model of somebody else's"
    noun: ClassVar[str] = "output"
    nouns: ClassVar[str] = "outputs"
    output_name: ClassVar[str] = "output"

    @property
    def units(self) -> int:
        return 1

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Anything", np.ndarray]:
        return cls(), values

    def takes(self, other: Output) -> bool:
        """Takes the labels of all kinds, as `check` does."""
        return True

    def check(self, labels: np.ndarray, part: str) -> None:
        """Takes all labels: the model's loss knows which it can take."""

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return np.isfinite(known), "finite"

    def label_text(self, label: Any) -> str:
        return str(label)

    def make_loss(self) -> Any:
        return self.loss

    def default_metrics(self) -> list[Any]:
        return []

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        if class_weight is None:
            return None
        # A mapping tells how many classes there are, and all labels do.
        count = len(class_weight) if labels is None else int(np.max(labels)) + 1
        return class_weighing(class_weight, labels, tuple(map(str, range(count))))

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(len(labels)), np.zeros(len(labels))

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return labels, outputs

    def answers(self, outputs: np.ndarray) -> list[Any]:
        return list(outputs)

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        return {self.output_name: outputs}
