"""`Answering`: what predictions say, in Python, in graphs, as text and on cards."""

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tlkeras.outputs.base.kind import Kind


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one input.

    Attributes:
        label: The most probable class; of labels that are not exclusive a tuple of all
            whose probability reaches their threshold (0.5, or `model.thresholds`).
        probability: The probability of `label`; of several labels a tuple.
        probabilities: From each class name to its probability, in the model's order.
    """

    label: str | tuple[str, ...]
    probability: float | tuple[float, ...]
    probabilities: dict[str, float]


class Answering(Kind):
    """What an output knows of predictions and of how they are said."""

    # Predictions.

    @abc.abstractmethod
    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns labels and outputs in the form that figures take.

        Args:
            labels: Numbers of shape `(n,)` or `(n, columns)`.
            outputs: Float32 `(n, outputs)`: probabilities, logits or values.

        Returns:
            Class numbers `(n,)`, zeros and ones `(n, labels)`, or values `(n,)` or
            `(n, targets)`; and float32 probabilities, or values shaped as these.

        Raises:
            ValueError: If labels and outputs do not fit each other.
        """

    def condensed(self, outputs: np.ndarray) -> np.ndarray:
        """Returns what a report needs of a batch of outputs, rows `(n, numbers)`.

        Args:
            outputs: Float32, as the model gives them.
        """
        return outputs

    @abc.abstractmethod
    def answers(self, outputs: np.ndarray) -> list[Any]:
        """Returns what `classify` says of each input.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.

        Returns:
            A `Prediction`, a number or a tuple of numbers for each.
        """

    def placed(self, answers: list[Any], frames: Callable[[], Any]) -> list[Any]:
        """Returns answers of what the model sees as answers of the inputs themselves.

        Args:
            answers: What `answers` returned.
            frames: Returns what `Input.frames` did for the inputs.
        """
        return answers

    def forecast_columns(
        self,
        outputs: np.ndarray,
        scale: Any,
        names: Sequence[str],
        coverage: float | None,
    ) -> dict[str, np.ndarray]:
        """Returns columns of a table of forecasts, each `(n, horizon)`.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.
            scale: Mean and deviation of each channel of the windows, `(n, channels)`.
            names: Of the channels.
            coverage: Of the intervals; `None`: 0.9, where there are some.
        """
        raise self.unsupported("forecast", "forecast_columns")

    @property
    def forecasts(self) -> bool:
        """Whether its answers are of the steps that follow."""
        return type(self).forecast_columns is not Answering.forecast_columns

    def check_detects(self) -> None:
        """Raises `UnsupportedError` unless answers are of places in a picture."""
        raise self.unsupported("detect", "check_detects")

    @abc.abstractmethod
    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        """Returns what an exported graph says, as TensorFlow tensors by name.

        Args:
            outputs: The model's outputs, a tensor `(batch, units)`.

        Returns:
            The outputs under `output_name`, and what is said of them.
        """

    # What the model's own outputs are called in an exported graph.
    output_name: ClassVar[str]

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
        """Returns where two rows of outputs give the same answer; `None`: no labels.

        Args:
            first: Float32 `(n, units)`.
            second: The same, of another model of the same kind.
        """
        return None

    # Explanations.

    # Whether its outputs are probabilities, behind the activation that is its own.
    gives_probabilities: ClassVar[bool] = False

    @property
    def unit_names(self) -> tuple[str, ...] | None:
        """Names of what can be explained; `None` where outputs have none."""
        return self.class_names

    def explained_scores(self, logits: Any) -> Any:
        """Returns the numbers of which one is explained, `(batch, scores)`.

        Args:
            logits: The model's outputs before softmax or sigmoid, a tensor.
        """
        return logits

    def explained_of(self, output: np.ndarray, number: int) -> int:
        """Returns which score is explained of an input, where a name was said.

        Args:
            output: What the model gives for the input.
            number: The name's, in `unit_names`.
        """
        return number

    def explained_facts(self, index: int, output: np.ndarray) -> dict[str, Any]:
        """Returns what is said of an explained score: `target`, `output` and such.

        Args:
            index: The number of the score.
            output: What the model gives for the input.
        """
        names = self.unit_names
        target = index if names is None else names[index]
        return {"target": target, "output": float(output[index])}

    def explained(self, outputs: np.ndarray) -> np.ndarray:
        """Returns which score is explained of each input, where none was named.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.

        Raises:
            ValueError: If it has to be named.
        """
        if self.units > 1:
            raise ValueError(
                f"The model has {self.units} numbers as its outputs. Say which one to "
                f"explain: `target=0` to `target={self.units - 1}`."
            )
        return np.zeros(len(outputs), "int64")

    # The command line.

    def record(self, answer: Any) -> dict[str, Any]:
        """Returns one of `answers` as what JSON knows.

        Args:
            answer: One of what `answers` returned.
        """
        return {"value": answer}

    def fields(self, answer: Any) -> list[str]:
        """Returns one of `answers` as columns of text.

        Args:
            answer: One of what `answers` returned.
        """
        values = answer if isinstance(answer, tuple) else (answer,)
        return [",".join(f"{value:.6g}" for value in values)]

    # The card.

    # What model hubs call the task, behind the word for the input; `None`: nothing.
    hub_task: ClassVar[str | None] = None

    def does(self, noun: str, names: str) -> str:
        """Says what it does: "gives each picture ...".

        Args:
            noun: One of what goes in.
            names: Its `class_names`, listed for people; may be empty.
        """
        return f"answers each {noun}"

    def limits(self, noun: str) -> Iterator[str]:
        """Yields sentences on what its answers cannot say.

        Args:
            noun: One of what goes in.
        """
        return iter(())

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        """Yields sentences on what its probabilities are, and where labels begin.

        Args:
            temperature: What `tl.calibrate` divided the logits by, if it did.
            names: Its `class_names`, as a card writes them.
        """
        return iter(())


def scaling(temperature: float | None) -> str:
    """Says whether logits were scaled, for a card."""
    if temperature is None:
        return "The logits were not scaled by `tl.calibrate`."
    return f"`tl.calibrate` divided the logits by {temperature:.3g}."
