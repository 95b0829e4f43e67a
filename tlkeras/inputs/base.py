"""`Input`: what every kind of input knows of its examples, its models, its verbs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from tlkeras._validation import UnsupportedError
from tlkeras.inputs.explaining import Explainer, Settings
from tlkeras.inputs.likeness import Likeness

_TABLE: "dict[str, type[Input]]" = {}


class Prepared(NamedTuple):
    """Examples as the frozen part of a model reads them.

    Attributes:
        examples: `Examples` whose inputs are what the model's graph takes.
        order: Of each of its rows the place among the examples that came; `None` where
            the order is the same.
        notes: Sentences on what was lost on the way.
    """

    examples: Any
    order: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Assembled(NamedTuple):
    """A backbone behind its inputs, ready for a head.

    Attributes:
        inputs: `keras.Input`, or a dictionary of them.
        features: Symbolic tensor `(batch, width)`.
        input: The `Input` of the model to be.
        name: The backbone's name.
        licence: Of its weights, `None` where it is not known.
    """

    inputs: Any
    features: keras.KerasTensor
    input: "Input"
    name: str
    licence: str | None


class Input:
    """What a model takes: how examples are read, shown, made ready and explained.

    By itself it stands for arrays of which nothing is known but their shapes. A kind of
    input is a subclass in a folder of its own, which overrides what it offers and has
    one line in the table (`register_input`). What it does not override raises
    `UnsupportedError` where it cannot do without.

    It is kept in a model's file: a subclass is registered with
    `keras.saving.register_keras_serializable("tlkeras")` and has `get_config`.

    Attributes:
        preprocessor: A Keras layer that turns inputs into what the graph takes, and is
            saved with the model; `None` where the graph takes inputs as they are.
    """

    # The word for it in a model's record: "images".
    name: ClassVar[str] = "arrays"
    # One and several, for people.
    noun: ClassVar[str] = "array"
    nouns: ClassVar[str] = "arrays"
    # What its builders' names begin with: `image_classifier`.
    prefix: ClassVar[str] = "array"
    # What a row of a table or a file of a folder that is left out is called.
    source_noun: ClassVar[str] = "row"
    # What "auto" stands for in a `Recipe`.
    defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 10,
        "unfreeze_from": 0.3,
        "fine_tune_learning_rate": 1e-4,
        "schedule": "cosine",
    }

    # Whether augmentation changes its examples.
    augmentable: ClassVar[bool] = False
    # Of the builders' `dropout`.
    default_dropout: ClassVar[float] = 0.0
    # Examples for the builders' docstrings, by the end of their names.
    builder_examples: ClassVar[Mapping[str, str]] = {}

    preprocessor: Any = None

    @property
    def longest(self) -> int | None:
        """How long sequences of the model's graph get; `None` where they are none."""
        return None

    @property
    def kind(self) -> str:
        """What records and messages call the examples."""
        return self.name

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this input again."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Input":
        """Makes an input of what `get_config` returned."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))

    # Data.

    @classmethod
    def claims(cls, x: Any) -> bool:
        """Whether `x`, given to `tl.from_arrays`, is meant as inputs of this kind."""
        return False

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Input", np.ndarray]:
        """Returns the input that `x` is of, and `x` as `ArrayExamples` takes it.

        Raises:
            ValueError: If `x` cannot be inputs of this kind.
        """
        raise cls.unsupported("tl.from_arrays")

    def describe(self, parts: Mapping[str, Any]) -> str:
        """Returns what the examples of all parts are, for people: `"64 images"`."""
        return f"{sum(map(len, parts.values()))} {self.nouns}"

    def show(self, inputs: np.ndarray, titles: Sequence[str], about: str) -> Any:
        """Draws or lists some inputs, each with a title.

        Args:
            inputs: A batch of them, as `Splits` gives it.
            titles: What each is, such as its label.
            about: What they are a sample of.
        """
        raise self.unsupported("Splits.show")

    def findings(
        self, parts: Mapping[str, Any], exact: Sequence[Any], progress: Any
    ) -> Iterator[Any]:
        """Yields `Finding`s about inputs, for `Splits.check`.

        Args:
            parts: The `Examples` of each part.
            exact: Groups of examples that are the same, by their number in all parts.
            progress: Called with the number of examples that were read.
        """
        return iter(())

    def facts(self, examples: Any) -> dict[str, Any]:
        """Returns what a record says of examples besides their number."""
        return {}

    # Models.

    @classmethod
    def claims_backbone(cls, backbone: Any) -> bool:
        """Whether `backbone`, a name, folder or model, is one of this kind's."""
        return False

    @classmethod
    def backbone_names(cls) -> list[str]:
        """Returns the names of the backbones that `load_backbone` knows."""
        return []

    @classmethod
    def load_backbone(cls, backbone: Any, **arguments: Any) -> Any:
        """Loads a backbone of this kind, as a `LoadedBackbone`."""
        raise cls.unsupported("tl.load_backbone")

    @classmethod
    def assemble(cls, backbone: Any, **arguments: Any) -> Assembled:
        """Puts a backbone behind its inputs.

        A kind's own has a signature: its arguments are those of the builders, and the
        `Args` of its docstring become theirs.

        Args:
            backbone: What the builder was given.
            **arguments: The builder's arguments that are the kind's own.
        """
        raise cls.unsupported("a builder")

    @classmethod
    def timed_as(cls, **arguments: Any) -> tuple[str, Callable[[Any], keras.Model]]:
        """Returns how a backbone is built to be timed in two precisions.

        Args:
            **arguments: As in `assemble`.

        Returns:
            What distinguishes it besides its name, and a function of the name that
            builds it with random weights.
        """
        return "", lambda name: cls.load_backbone(name, weights=None).model

    @classmethod
    def of_model(cls, model: keras.Model) -> "Input | None":
        """Returns the input of a Keras model that tlkeras did not build, if it is one.

        Args:
            model: A functional Keras model.
        """
        return None

    def adopt(self, other: "Input") -> "Input":
        """Returns this input, of a model, with what data tell of how they are read.

        Args:
            other: The input of training data.
        """
        return self

    def check_augment(self, augment: Any) -> None:
        """Raises `UnsupportedError` unless examples can be augmented.

        Args:
            augment: What the recipe says.
        """
        if not self.augmentable:
            raise self.unsupported("tl.Recipe(augment=...)", "augmentable")

    def ready(self, x: Any) -> Any:
        """Returns inputs as the model's graph takes them.

        Args:
            x: Inputs, or a `tf.data.Dataset` of them or of `(inputs, ...)`.
        """
        return x

    def prepare(self, examples: Any) -> Prepared:
        """Returns examples as the frozen part of the model reads them, made once."""
        return Prepared(examples)

    def batches(self, x: Any, batch_size: int) -> tuple[Any, np.ndarray] | None:
        """Returns batches for `predict` in the best order, and each row's place in `x`.

        `None`: `x` is predicted as it is.
        """
        return None

    def read(self, inputs: Any, shape: tuple | None = None) -> Any:
        """Returns what `classify` is given as `predict` takes it.

        Args:
            inputs: Paths, arrays or whatever users have.
            shape: The shape of the model's input, where it has one.

        Raises:
            ValueError: If they are nothing of this kind.
        """
        return np.asarray(inputs)

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        """Raises `ValueError` unless a batch of inputs fits a model.

        Args:
            model: The model.
            inputs: A batch, as data give it.
            part: What the data are called.
        """
        expected = [tuple(tensor.shape) for tensor in model.inputs]
        received = [tuple(np.shape(x)) for x in keras.tree.flatten(inputs)]
        fits = len(expected) == len(received) and all(
            len(want) == len(got)
            and all(w in (None, g) for w, g in zip(want[1:], got[1:], strict=True))
            for want, got in zip(expected, received, strict=True)
        )
        if not fits:
            raise ValueError(
                f"`{part}` does not fit the model: inputs of shape {received} came, "
                f"the model takes {expected} (None is the batch). Is the dataset "
                "batched, and are its inputs of the model's size?"
            )

    # Explanations.

    def explainer(self, probe: Any, settings: Settings) -> Explainer:
        """Returns what explains inputs of this kind to a model.

        Args:
            probe: The model as a function from any of its tensors to one head's logits.
            settings: How.

        Raises:
            ValueError: If the settings do not fit the kind or the model.
        """
        raise self.unsupported("tl.explain", "explainer")

    # Distillation.

    def seen(self, examples: Any, about: str) -> Any:
        """Returns a data set's examples as a model with this input takes them.

        Args:
            examples: `Examples`, as they were read for another model.
            about: What the model is called, for messages.

        Raises:
            ValueError: If the model cannot take them.
        """
        return examples

    # Suspects.

    def likeness(self, parts: Mapping[str, Any]) -> Likeness | None:
        """Returns what compares examples by what they show.

        Args:
            parts: The `Examples` of each part.

        Returns:
            `None`: their features alone tell what is alike.
        """
        return None

    def draw_grid(
        self, inputs: np.ndarray, titles: Sequence[str], columns: int | None = None
    ) -> Any:
        """Draws inputs in rows, each below its title; returns the axes.

        Args:
            inputs: A batch of them.
            titles: One for each.
            columns: Inputs per row. By default as many as make the grid square.
        """
        raise self.unsupported("Suspects.plot", "draw_grid")

    @classmethod
    def unsupported(cls, verb: str, method: str | None = None) -> UnsupportedError:
        """Makes the error for a verb that this kind of input does not offer.

        Args:
            verb: What was asked for: `"tl.explain"`.
            method: The attribute of those that offer it; by default named as the verb.
        """
        method = method or verb.rpartition(".")[2]
        plain = getattr(Input, method, None)
        others = [
            kind.nouns
            for kind in _TABLE.values()
            if getattr(kind, method, None) is not plain
        ]
        return UnsupportedError(verb, cls.nouns, others)


def register_input(kind: type[Input]) -> type[Input]:
    """Adds a kind of input to the table; a decorator."""
    _TABLE[kind.prefix] = kind
    return kind


def input_kinds() -> tuple[type[Input], ...]:
    """Returns all kinds of input, in the order of the table."""
    return tuple(_TABLE.values())
