"""`Heads`: what the outputs of a model that is evaluated are of, and what tells."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tlkeras._validation import in_order
from tlkeras.evaluation.arguments import check_arrays, output_for
from tlkeras.outputs import Output
from tlkeras.outputs.naming import check_same_classes, stand_for
from tlkeras.problem import (
    PREDICTIONS,
    Problem,
    check_names,
    gives_logits,
    input_of,
    is_of_classes,
    names_of_data,
    own_problem,
    pack_data,
    problem_of,
)


class Heads:
    """The heads of a model that is evaluated, one or several.

    What the user says of the outputs wins over what the model says, and that over what
    its loss and its last layer let expect.

    Args:
        model: A `keras.Model`.
        task: As in `evaluate`; of a model whose heads have names left aside.
        class_names: The same.
        thresholds: As in `evaluate`.

    Raises:
        ValueError: If thresholds by head do not fit.
    """

    def __init__(
        self,
        model: keras.Model,
        task: str | None = None,
        class_names: Sequence[str] | None = None,
        thresholds: Any = None,
    ):
        self._model, self._task = model, task
        # Its order counts, and it is read several times.
        self._class_names = in_order("class_names", class_names)
        self._thresholds = thresholds
        self._own, self._known = own_problem(model), problem_of(model)
        if self._named and thresholds is not None:
            self._known = self._known.with_thresholds(thresholds)

    @property
    def _named(self) -> bool:
        return self._known is not None and self._known.named

    def with_one_array_of_labels(self, data: Any) -> Any:
        """Returns data whose labels by head, if there are any, are packed."""
        return pack_data(self._known, data, "data") if self._named else data

    def check_fits(self, of_data: Problem | None) -> None:
        """Raises `ValueError` where data's classes cannot be those of the model."""
        if of_data is None:
            return
        if self._class_names is not None and not self._named and not of_data.named:
            check_same_classes("data", of_data.class_names, self._class_names)
        elif self._own is not None:
            self._own.check_fits(of_data, "data")
        elif self._known is not None and self._task is None:
            self._known.check_fits(of_data, "data", inferred=True)

    def name_by(self, data: Any) -> None:
        """Takes the names of data's classes where nothing else names them.

        Args:
            data: As in `evaluate`.

        Raises:
            ValueError: If the model has them in another order.
        """
        if self._class_names is not None or self._task is not None:
            return
        if self._own is not None:
            check_names(self._own, data, "data")
        names = names_of_data(data).get(PREDICTIONS)
        if names is None or self._known is None or self._named:
            return
        if stand_for(self._known.output.class_names, names):
            self._class_names = names

    def outputs(self, outputs: Any) -> dict[str, Any]:
        """Returns the outputs of each head."""
        if self._known is None:
            return {PREDICTIONS: outputs}
        by_head = self._known.outputs_by_head(outputs)
        return {n: self._known.outputs[n].condensed(x) for n, x in by_head.items()}

    def check_first_batch(self, labels: np.ndarray, outputs: dict) -> None:
        """Raises `ValueError` where a batch's labels and outputs do not fit."""
        # A mismatch shows on the first batch; what is inferred may need them all.
        if not self._named and (self._own is not None or self._task is not None):
            output = self._output(labels, outputs[PREDICTIONS])
            output.read_predictions(labels, outputs[PREDICTIONS])

    def problem_for(self, labels: np.ndarray, outputs: dict) -> Problem:
        """Returns what the model is for, knowing all labels and outputs."""
        if self._named:
            return self._known
        output = self._output(labels, outputs[PREDICTIONS])
        return Problem(input_of(self._model), output)

    def _output(self, labels: np.ndarray, outputs: np.ndarray) -> Output:
        """Returns what labels and outputs are of, or raises `ValueError`."""
        known = None if self._known is None else self._known.output
        has_rows = known is not None and known.has_rows
        labels, outputs = check_arrays(labels, outputs, has_rows=has_rows)
        if known is not None and self._own is None:
            known = self._confirmed(known, labels, outputs)
        return output_for(
            labels,
            outputs,
            known,
            self._task,
            self._class_names,
            self._thresholds,
            None if self._own is not None else gives_logits(self._model),
        )

    def _confirmed(self, inferred: Output, *both: np.ndarray) -> Output | None:
        """Returns what was inferred from the model where the rest agrees with it.

        A sigmoid may stand for a number between 0 and 1: labels know better.
        """
        if self._task not in (None, inferred.task):
            return None
        try:
            inferred.read_predictions(*both)
        except ValueError:
            if inferred.units > 1 and is_of_classes(self._model):
                raise
            return None
        return inferred
