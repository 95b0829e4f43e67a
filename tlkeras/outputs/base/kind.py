"""`Kind`: what an output is, apart from what can be done with it."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import keras

from tlkeras._validation import UnsupportedError
from tlkeras.outputs.naming import check_class_names, check_count

# All kinds by their tasks; `tlkeras.outputs.table` fills it.
OUTPUTS: "dict[str, type[Kind]]" = {}


@dataclass(frozen=True, kw_only=True)
class Kind(abc.ABC):
    """What an output is; its attributes are described at `Output`."""

    hidden: Sequence[int] = ()
    dropout: float = 0.0
    loss: Any = None
    weight: float = 1.0
    class_weight: Mapping[Any, float] | str | None = None
    metrics: Sequence[Any] | None = None

    # The word that arguments, reports and files have for this kind.
    task: ClassVar[str]
    # The same for people.
    title: ClassVar[str]
    # One of what it gives, for people: "class", "label", "number".
    noun: ClassVar[str]
    # Several of them.
    nouns: ClassVar[str]
    # Of the last layer.
    activation: ClassVar[str | None] = None
    # What `"accuracy"` stands for where labels may be missing.
    accuracy: ClassVar[type[keras.metrics.Metric] | None] = None
    # Whether it gives labels from a threshold on, its attribute `thresholds`.
    has_thresholds: ClassVar[bool] = False
    # Whether labels are class numbers, of which -1 is missing.
    are_numbers: ClassVar[bool] = False
    # Whether what a model gives are logits, where that is known.
    logits: ClassVar[bool | None] = None
    # Whether each example has several rows of labels, and of outputs.
    has_rows: ClassVar[bool] = False
    # Whether labels say where in an example things are: `moved` then takes them along.
    has_places: ClassVar[bool] = False
    # Whether parts of a label may be NaN, which the loss leaves out.
    has_gaps: ClassVar[bool] = False
    # The end of the name of the builders that are made for it: `image_classifier`.
    goal: ClassVar[str] = "classifier"

    # What it is.

    @property
    @abc.abstractmethod
    def units(self) -> int:
        """Width of the last layer."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of what it gives, in their order; `None` where it has no classes."""
        return None

    @property
    def columns(self) -> int:
        """Numbers that one label takes in a row of packed labels."""
        return self.units

    def but(self, **changes: Any) -> Self:
        """Returns the output with some of its attributes changed."""
        return replace(self, **changes)

    def renamed(self, class_names: Sequence[str]) -> Self:
        """Returns the output with as many other names, or raises `ValueError`.

        Args:
            class_names: The other names, in the same order.
        """
        names = check_class_names(class_names)
        check_count(names, len(self.class_names or ()) or self.units)
        return self.but(names=names)

    def with_thresholds(self, thresholds: Any) -> Self:
        """Returns the output with other thresholds.

        Args:
            thresholds: A number from 0 to 1, or one per label.

        Raises:
            ValueError: If the output has none, or they do not fit.
        """
        raise ValueError(
            "`thresholds` are for labels that are not exclusive. Received the task "
            f"{self.task!r}."
        )

    @classmethod
    def unsupported(cls, verb: str, method: str | None = None) -> UnsupportedError:
        """Makes the error for what this kind of output does not offer.

        Args:
            verb: What the user asked for: `"Report.plot_roc"`.
            method: The method of outputs that does it; by default named as the verb.
        """
        method = method or verb.rpartition(".")[2]
        first = next(one for one in reversed(cls.__mro__) if method in vars(one))
        plain = getattr(first, method)
        others = [k for k in OUTPUTS.values() if getattr(k, method) is not plain]
        offered = [repr(kind.task) for kind in others]
        return UnsupportedError(verb, f"the task {cls.task!r}", offered)

    def get_config(self) -> dict[str, Any]:
        """Returns what a model's file keeps: what Keras' `compile` does not keep."""
        weights = self.class_weight
        if isinstance(weights, Mapping):
            # The weights' class numbers survive JSON.
            weights = [list(pair) for pair in weights.items()]
        return {
            "task": self.task,
            "weight": float(self.weight),
            "class_weight": weights,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Makes an output of what `get_config` returned.

        Args:
            config: That dictionary, also when it was JSON in between.
        """
        config = {name: value for name, value in config.items() if name != "task"}
        if isinstance(config["class_weight"], (list, tuple)):
            pairs = config["class_weight"]
            config["class_weight"] = {key: value for key, value in pairs}
        return cls(**config)

    def fits(self, other: "Kind") -> bool:
        """Whether another output gives answers of the same form.

        Args:
            other: The other output.
        """
        return type(self) is type(other) and self.units == other.units

    def takes(self, other: "Kind") -> bool:
        """Whether labels that were read for another output can be learnt as this one.

        Args:
            other: The output that data were read for.
        """
        return type(self) is type(other)
