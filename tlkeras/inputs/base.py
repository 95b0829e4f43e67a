"""`Input`: what every kind of input knows of its examples, its models, its verbs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from tlkeras._validation import UnsupportedError
from tlkeras.findings import Finding, Numbering
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.explaining import Explainer, Settings
from tlkeras.inputs.likeness import Likeness
from tlkeras.inputs.planning import PlanRules

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


class Cells(NamedTuple):
    """The cells of a table that inputs are made of.

    Attributes:
        columns: The cells of each column, one for each row.
        names: The columns' names.
        is_parsed: Whether cells have types. Otherwise all are strings.
        folders: Of each row, the absolute folder that paths in it start from.
        root: The folder that files are named relative to.
    """

    columns: tuple[Sequence[Any], ...]
    names: tuple[Any, ...]
    is_parsed: bool
    folders: Sequence[str]
    root: str


class ReadExamples(NamedTuple):
    """Examples that were made of a table or a data set.

    Attributes:
        input: The `Input` that they are of.
        examples: The `Examples`.
        rows: int, which of the rows they are, increasing.
        skipped: `(where, why)` of the other rows.
    """

    input: "Input"
    examples: Any
    rows: np.ndarray
    skipped: list[tuple[str, str]]


class Assembled(NamedTuple):
    """A backbone behind its inputs, ready for a head.

    Attributes:
        inputs: `keras.Input`, or a dictionary of them.
        features: Symbolic tensor `(batch, width)`; for boxes a list of feature maps
            `(batch, height, width, channels)`, the finest first.
        input: The `Input` of the model to be.
        name: The backbone's name.
        licence: Of its weights, `None` where it is not known.
    """

    inputs: Any
    features: Any
    input: "Input"
    name: str
    licence: str | None


class Signature(NamedTuple):
    """A function of a SavedModel.

    Attributes:
        function: Of tensors; gives a dictionary of them.
        specs: The `tf.TensorSpec` of each tensor that it takes, with its name.
    """

    function: Callable[..., dict[str, Any]]
    specs: list[Any]


class Trial(NamedTuple):
    """A run of a signature that shows whether it agrees with the model.

    Attributes:
        signature: Its name.
        given: What goes in, by name.
        arrays: The inputs of the graph, by name, that it has to answer as.
    """

    signature: str
    given: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class PlainRows(NamedTuple):
    """Examples as learners take rows that are no networks.

    Attributes:
        learnt: Float `(n, numbers)`, NaN where they are missing.
        others: The same of examples that nothing was learnt from.
        codes: bool `(numbers,)`, which numbers stand for categories.
        note: What was made of what these learners do not take; `""` for nothing.
    """

    learnt: np.ndarray
    others: np.ndarray
    codes: np.ndarray
    note: str = ""


class Usage(NamedTuple):
    """How a model's card shows it in use.

    Attributes:
        code: Python that makes something to `classify`, with `tl` at hand.
        command: The same as arguments of `python -m tlkeras predict`; `None` where that
            cannot read it.
    """

    code: str
    command: str | None


def _in_order_of(model: keras.Model, inputs: Any, part: str) -> Any:
    """Returns inputs in the order of a model's where they have names and its have none.

    Raises:
        ValueError: If a name is not that of an input, or there should be names.
    """
    takes = model.input
    by_name = isinstance(takes, dict)
    names = list(takes) if by_name else [tensor.name for tensor in model.inputs]
    if isinstance(inputs, dict):
        wrong = set(names) ^ set(inputs) if by_name else set(names) - set(inputs)
        came = f"the keys {list(inputs)}"
    else:
        # Keras may take them by the sorted names, or fail late.
        wrong = by_name and isinstance(inputs, list | tuple) and len(names) > 1
        came = f"a {type(inputs).__name__}"
    if wrong:
        raise ValueError(
            f"Inputs in `{part}` must be a dictionary with the keys {names}, the names "
            f"of the model's inputs. Received: {came}."
        )
    is_plain = by_name or not isinstance(inputs, dict)
    return inputs if is_plain else [inputs[name] for name in names]


@keras.saving.register_keras_serializable("tlkeras")
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
    # What the argument is called that names its columns of a table; `None`: as above.
    argument: ClassVar[str | None] = None
    # What a row of a table or a file of a folder that is left out is called.
    source_noun: ClassVar[str] = "row"
    # Whether augmentation changes its examples.
    augmentable: ClassVar[bool] = False
    # What its presets are, where it is no pictures that are augmented: the attributes
    # of `tlkeras.augmentation.presets.Domain`.
    augmentations: Any = None
    # Of the builders' `dropout`.
    default_dropout: ClassVar[float] = 0.0
    # Names of backbones of at most about 30 million parameters, for `rank_backbones`.
    small_backbones: ClassVar[tuple[str, ...]] = ()
    # Another kind, whose backbones serve this one, too.
    lender: ClassVar["type[Input] | None"] = None
    # For the builders' docstrings: a sentence on what goes in, where its name does not
    # say it all; examples, by the end of the builders' names; papers and guides.
    goes_in: ClassVar[str] = ""
    builder_examples: ClassVar[Mapping[str, str]] = {}
    builder_references: ClassVar[str] = ""

    preprocessor: Any = None
    # Of rows of a table, what its columns are.
    columns: Any = None

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

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({', '.join(shown)})"

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

    def of_another_part(self, x: Any) -> tuple["Input", np.ndarray]:
        """Returns what `of_arrays` does for a part after that of training.

        Args:
            x: Its inputs.
        """
        return read_arrays(x)

    def of_rows(
        self, rows: np.ndarray, labels: np.ndarray, **reading: Any
    ) -> tuple["Input", Any]:
        """Returns the input that rows of an array become, and their `Examples`.

        Args:
            rows: As `of_arrays` returned them.
            labels: As `Examples` take them.
            **reading: What `tl.from_arrays` was told of how they are read:
                `image_size`, `color_mode`, `fit`, `sample_rate`, `seconds`.

        Raises:
            UnsupportedError: If the kind cannot be read otherwise than it is.
        """
        for argument in reading:
            raise self.unsupported(f"tl.from_arrays({argument}=...)", "of_rows")
        return self, ArrayExamples(rows, labels)

    # How many columns of a table, or features of a data set, one of them takes at most.
    most_columns: ClassVar[int] = 1
    # Whether it takes several columns of any kind, `"all"` that are nothing else.
    takes_all: ClassVar[bool] = False

    @classmethod
    def are_likely(cls, cells: Sequence[Any], is_parsed: bool) -> bool:
        """Whether a table's column is likely one of inputs that nobody named.

        Args:
            cells: Its cells.
            is_parsed: Whether they have types. Otherwise all are strings.
        """
        return False

    @classmethod
    def cell_problem(cls, cell: Any) -> str | None:
        """Returns why a cell is no input, as half a sentence; `None` where it is."""
        return None

    def column_problem(self, name: Any) -> Callable[[Any], str | None]:
        """Returns what says of a column's cells what `cell_problem` says.

        Args:
            name: The column's name.
        """
        return self.cell_problem

    def told_by(self, cells: Cells) -> "Input":
        """Returns an input that knows what cells of training tell of its columns.

        Other parts' cells must be as those are: its `column_problem` says so.

        Args:
            cells: The rows of training, those without a label among them.
        """
        return self

    def of_cells(self, cells: Cells, labels: np.ndarray) -> ReadExamples:
        """Returns the examples that rows of a table are.

        Args:
            cells: The rows, without a `cell_problem`.
            labels: As `Examples` take them.
        """
        raise self.unsupported("tl.from_csv")

    def fitted(self, parts: Mapping[str, Any]) -> tuple["Input", Mapping[str, Any]]:
        """Returns the input as its training part makes it, and the parts read so.

        It is called once parts are told apart: what is learnt of data before a model
        sees them, such as means, is to be learnt of the training part alone.

        Args:
            parts: The `Examples` of each part.
        """
        return self, parts

    def of_files(
        self, root: str, paths: Sequence[str], labels: np.ndarray
    ) -> ReadExamples:
        """Returns the examples that files are.

        Args:
            root: The folder that files are named relative to.
            paths: Their absolute paths.
            labels: As `Examples` take them.
        """
        raise self.unsupported("a folder of files", "of_files")

    @classmethod
    def claims_feature(cls, feature: Any) -> bool:
        """Whether a feature of TensorFlow Datasets is such an input, or part of it."""
        return False

    def keep_of_features(self, values: Sequence[Any]) -> dict[str, Any]:
        """Returns what a pass over a data set keeps of an example, in a graph.

        Args:
            values: Tensors: the example's features, encoded where they are pictures.

        Returns:
            Tensors by names of their own.
        """
        raise self.unsupported("tl.from_tfds")

    def of_features(
        self,
        builder: Any,
        split: str,
        names: Sequence[str],
        kept: Mapping[str, Sequence[Any]],
        labels: np.ndarray,
    ) -> ReadExamples:
        """Returns the examples of a split of a data set.

        Args:
            builder: Its `tfds.core.DatasetBuilder`.
            split: The split's name.
            names: The names of the features.
            kept: What `keep_of_features` kept of all examples, by its names.
            labels: As `Examples` take them.
        """
        raise self.unsupported("tl.from_tfds")

    @property
    def plural(self) -> str:
        """Several of its examples, for people: `"pictures"`."""
        return self.nouns

    def describe(self, parts: Mapping[str, Any]) -> str:
        """Returns what the examples of all parts are, for people: `"64 pictures"`."""
        return f"{sum(map(len, parts.values()))} {self.nouns}"

    def show(self, inputs: np.ndarray, titles: Sequence[str], about: str) -> Any:
        """Draws or lists some inputs, each with a title.

        Args:
            inputs: A batch of them, as `Splits` gives it.
            titles: What each is, such as its label.
            about: What they are a sample of: `"9 of 14 texts in train"`.
        """
        raise self.unsupported("Splits.show")

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Any],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Any]]:
        """Returns what is wrong with inputs, for `Splits.check`.

        Args:
            parts: The `Examples` of each part.
            exact: Groups of examples that are the same, by their numbers.
            numbering: The examples' numbers.
            progress: Called with the number of examples that are done.

        Returns:
            The findings, and groups of examples that are nearly the same.
        """
        progress(len(numbering.part_of))
        return [], []

    def windows(self, examples: Any) -> tuple[Any, np.ndarray] | None:
        """Returns windows of the examples that are longer than what is read of them.

        Args:
            examples: `Examples` of this kind.

        Returns:
            `Examples`, and int, the position of the example that each is of; `None`
            where every example is read whole.
        """
        return None

    def reading_findings(self, parts: Mapping[str, Any]) -> list[Finding]:
        """Returns what a model of this input loses when it reads examples.

        Args:
            parts: The `Examples` of each part.
        """
        return []

    def facts(self, examples: Any) -> dict[str, Any]:
        """Returns what a record says of examples besides their number.

        `"size"` among it says in words what one of them measures: `"32 x 32 pixels"`.
        """
        return {}

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        """Returns what `"auto"` stands for in a `Recipe`, where nothing was measured.

        Args:
            examples: How many there are to train on; `None` where that is not known.
            blocks: Names of the backbone's numbered blocks, the lowest first.
        """
        return {
            "epochs": 10,
            "unfreeze_from": 0.3,
            "fine_tune_learning_rate": 1e-4,
            "schedule": "cosine",
        }

    # What `tl.plan` proposes for inputs of this kind.
    plan_rules: ClassVar[PlanRules] = PlanRules()

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

    def builder_arguments(self) -> dict[str, Any]:
        """Returns arguments of `assemble` for a model that takes data's inputs."""
        return {}

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

    def check_reading(self, other: "Input", part: str) -> None:
        """Looks at whether data are read as a model of this input was trained on them.

        Args:
            other: The data's input.
            part: What the data are called.
        """

    def adopt(self, other: "Input") -> "Input":
        """Returns this input, of a model, with what data tell of how they are read.

        Args:
            other: The input of training data.
        """
        return self

    def adopt_form(self, x: Any) -> "Input":
        """Returns this input, of a model, with what the form of training inputs tells.

        Args:
            x: Inputs that nobody has read before: all, a batch, the form of one, or a
                dataset.
        """
        return self

    def check_augment(self, augment: Any) -> None:
        """Raises `UnsupportedError` unless examples can be augmented.

        Args:
            augment: What the recipe says.
        """
        if not self.augmentable:
            raise self.unsupported("tl.Recipe(augment=...)", "augmentable")

    def to_augment(self, examples: Any) -> Any:
        """Returns training examples as augmentation takes them.

        Args:
            examples: `Examples` that can be read in any order.
        """
        return examples

    def given(self, data: Any) -> Any:
        """Returns data that a verb was given with inputs as arrays.

        Args:
            data: Anything; what is no tuple of inputs and labels is returned as it is.
        """
        return data

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

    def unlabelled(self, inputs: Any) -> Any:
        """Returns what `classify` takes as `Examples` whose labels are all 0.

        Args:
            inputs: Paths, arrays or whatever users have.

        Raises:
            ValueError: If they are nothing of this kind.
        """
        ready = np.asarray(self.read(inputs))
        return ArrayExamples(ready, np.zeros(len(ready), "int32"))

    def frames(self, inputs: Any) -> Any:
        """Returns where inputs lie in what the model sees of them, for places in it.

        Args:
            inputs: As in `read`.
        """
        raise self.unsupported("classify", "frames")

    def latest(self, frame: Any, targets: int) -> Any:
        """Returns what a model forecasts from: the windows that series end with.

        Args:
            frame: What `TransferModel.forecast` was given.
            targets: How many channels, the first ones, are forecast.

        Returns:
            `windows`, as `predict` takes them; `scale` and `names`, as in
            `Output.forecast_columns`; and `table(columns)`, which puts such columns
            beside the times that they are of.
        """
        raise self.unsupported("forecast", "latest")

    def read_windows(self, inputs: Any) -> tuple[Any, np.ndarray | None]:
        """Returns what `classify` is given as `predict` takes it, all of it.

        Args:
            inputs: As in `read`.

        Returns:
            As `read`, where inputs are longer than what the model takes all windows of
            each; and int, the number of the input that each is of, `None` where it is
            the number of the window.
        """
        return self.read(inputs), None

    def stream(
        self, source: Any, hop: float | None
    ) -> Iterator[tuple[tuple[float, float], np.ndarray]]:
        """Returns windows of one long input: begin and end in seconds, and content.

        Args:
            source: A path, or the input in memory.
            hop: Seconds from one window to the next; half a window by default.
        """
        raise self.unsupported("classify_stream", "stream")

    def given_rows(self, argument: str) -> Iterator[str]:
        """Yields the inputs that an argument of a command line stands for.

        Args:
            argument: Such as a file of several rows; mostly one input.
        """
        yield argument

    def read_each(self, inputs: Sequence[str]) -> tuple[Any, dict[int, str]]:
        """Returns what a command line gives as `classify` takes it.

        Args:
            inputs: Its arguments. None of them tells whether any could be read.

        Returns:
            The inputs that could be read, in order; and why others could not, by their
            place.

        Raises:
            ValueError: If this model can read none.
        """
        raise self.unsupported("python -m tlkeras predict", "read_each")

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        """Raises `ValueError` unless a batch of inputs fits a model.

        Args:
            model: The model.
            inputs: A batch, as data give it.
            part: What the data are called.
        """
        expected = [tuple(tensor.shape) for tensor in model.inputs]
        inputs = _in_order_of(model, inputs, part)
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

    def check_values(self, model: keras.Model, inputs: Any, part: str) -> None:
        """Looks at inputs' values: raises, or warns, where they cannot be right.

        Args:
            model: The model that they are for.
            inputs: An array of them, all or a batch; what is no array passes.
            part: What they are called.

        Raises:
            ValueError: If the model could make nothing of them.
        """

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that examples can be sliced by; none but of tables."""
        return ()

    def column_values(self, examples: Any, name: str) -> Any:
        """Returns what each example holds in a column, for people.

        Args:
            examples: `Examples` of this kind.
            name: One of `column_names`.
        """
        raise self.unsupported("tl.evaluate(slices=...)", "column_values")

    def plain_rows(self, learnt: Sequence[Any], others: Any) -> PlainRows:
        """Returns examples as other learners take rows.

        Args:
            learnt: `Examples` of this kind, of each part that is to be learnt from.
            others: `Examples` that nothing is to be learnt from.
        """
        raise self.unsupported("tl.boosting_report", "plain_rows")

    def shuffled(
        self, rows: np.ndarray, repeats: int, seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Returns each column's name, and rows among which its cells are shuffled.

        Args:
            rows: As the model's graph takes them, `(n, ...)`.
            repeats: How many times each column is shuffled.
            seed: Seed of the shuffles.

        Returns:
            Pairs; the rows of all repeats lie behind each other, `(repeats * n, ...)`.
        """
        raise self.unsupported("tl.permutation_importance", "shuffled")

    # Pretraining.

    def pretext(self, model: keras.Model) -> keras.Model:
        """Returns a model that learns from inputs alone by a model's own backbone.

        It is compiled, with the learning rate that suits its task, and `fit(x)` and
        `evaluate(x)` take batches of what the model's graph takes, without labels.
        Layers beside the backbone's are its own and are thrown away afterwards. What
        it draws at random is drawn in `evaluate`, too.

        Args:
            model: A model of this input, all of whose backbone is trainable now.
        """
        raise self.unsupported("tl.pretrain", "pretext")

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
            examples: `Examples` of this kind, as they were read for another model.
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

    # Export.

    def signatures(
        self, exported: Any, archive: Any, inputs: Any
    ) -> dict[str, Signature]:
        """Returns the functions of a SavedModel by name, `"serving_default"` first.

        Args:
            exported: The model's `Interface`: its `specs()` are the graph's inputs, its
                `labelled` a function of them.
            archive: The `keras.export.ExportArchive`, to track what they need.
            inputs: The `Samples` that the SavedModel will be checked on.
        """
        return {"serving_default": Signature(exported.labelled, exported.specs())}

    def trials(self, inputs: Any) -> Iterator[Trial]:
        """Yields runs of signatures, the first of one that takes the samples whole.

        Args:
            inputs: `Samples`: `arrays` by name, as the graph takes them, and `given`,
                as the user has them, where that is something else.
        """
        yield Trial("serving_default", inputs.arrays, inputs.arrays)

    def as_tensors(self, x: Any) -> tuple[Any, Any]:
        """Returns inputs as the graph takes them, all of one shape.

        Args:
            x: A batch, as data give it.

        Returns:
            An array, or a list or dictionary of them; and the inputs as the user has
            them, `None` where that is the same.
        """
        return x, None

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        """Makes inputs to check an export on, the same ones each time.

        Args:
            shapes: Of the graph's inputs, without the batch.
            count: How many at most.

        Returns:
            What `as_tensors` takes.
        """
        rng = np.random.default_rng(0)
        return [rng.integers(0, 2, (count, *sides(shape))) for shape in shapes]

    def fixed_shape(self, shape: tuple) -> tuple:
        """Returns an input's shape without the free dimensions that can be fixed."""
        return shape

    def export_facts(self) -> dict[str, Any]:
        """Returns what an artefact's metadata say of its inputs."""
        return {}

    def signature_notes(self) -> Iterator[str]:
        """Yields what whoever loads a SavedModel has to know."""
        return iter(())

    def tensor_notes(self) -> Iterator[str]:
        """Yields what whoever runs the bare graph has to know."""
        return iter(())

    # The card.

    def usage(self) -> Usage:
        """Returns how a card shows a model in use."""
        return Usage("inputs", None)

    def other_backbones(self) -> Iterator[str]:
        """Yields a sentence on each pretrained part beside the backbone, for a card."""
        yield from ()

    def limits(self) -> Iterator[str]:
        """Yields sentences on what a model does not see of its inputs."""
        return iter(())

    @classmethod
    def unsupported(cls, verb: str, method: str | None = None) -> UnsupportedError:
        """Makes the error for a verb that this kind of input does not offer.

        Args:
            verb: What was asked for: `"tl.explain"`.
            method: The method that offers it, where it has another name.
        """
        method = method or verb.rpartition(".")[2]
        plain = getattr(Input, method, None)
        others = [
            kind.nouns
            for kind in _TABLE.values()
            if getattr(kind, method, None) is not plain
        ]
        return UnsupportedError(verb, cls.nouns, others)


def sides(shape: tuple) -> tuple:
    """Returns a shape with something for each free dimension."""
    return tuple(64 if side is None else side for side in shape)


def register_input(kind: type[Input]) -> type[Input]:
    """Adds a kind of input to the table; a decorator."""
    _TABLE[kind.prefix] = kind
    return kind


def input_kinds() -> tuple[type[Input], ...]:
    """Returns all kinds of input, in the order of the table."""
    return tuple(_TABLE.values())


def read_arrays(x: Any) -> tuple[Input, np.ndarray]:
    """Returns the input that arrays are of, and these as `ArrayExamples` takes them.

    Args:
        x: As in `tl.from_arrays`.

    Raises:
        ValueError: If it can be no inputs of the kind that it is meant as.
    """
    # What comes late in the table is asked first: the first kind takes what is left.
    kind = next(kind for kind in reversed(input_kinds()) if kind.claims(x))
    return kind.of_arrays(x)
