"""The builders' arguments: what each is called, takes by default and means."""

import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tlkeras.data import Splits
from tlkeras.inputs import Input
from tlkeras.outputs import Boxes, Classes, Forecast, Labels, Numbers, Output


@dataclass(frozen=True)
class Argument:
    """One argument of a builder.

    Attributes:
        name: Its name.
        annotation: Its type.
        default: What it is where it is left out, if it may be.
        text: What it is, for the `Args` of a docstring.
    """

    name: str
    annotation: Any
    default: Any
    text: str

    def with_default(self, default: Any) -> "Argument":
        """Returns the argument with another default."""
        return replace(self, default=default)

    def parameter(self, positional: bool) -> inspect.Parameter:
        """Returns it as part of a signature."""
        kind = inspect.Parameter
        return inspect.Parameter(
            self.name,
            kind.POSITIONAL_OR_KEYWORD if positional else kind.KEYWORD_ONLY,
            default=self.default,
            annotation=self.annotation,
        )


@dataclass(frozen=True)
class Goal:
    """What a builder's models are for.

    Attributes:
        name: The end of the builders' names: `"classifier"`.
        target: The argument that says what comes out.
        arguments: Further arguments about that.
        summary: First line of the docstring, with `{noun}`.
        description: What follows it, and what the kind of input says of what goes in.
        references: Papers and guides.
        assemble: The method of the kind of input that puts the backbone behind it.
        head: The arguments of the layers behind that.
        takes_several: Whether its models may have several heads.
    """

    name: str
    target: Argument
    arguments: tuple[Argument, ...]
    summary: str
    description: str
    references: str
    assemble: str = "assemble"
    head: tuple[Argument, ...] = ()
    takes_several: bool = True

    def outputs(self, target: Any, *given: Any) -> Output | Mapping[str, Output]:
        """Returns the outputs that the arguments ask for.

        Raises:
            ValueError: If an output was given beside arguments that are for one, or
                outputs without names.
        """
        if isinstance(target, (list, tuple)) and any(
            isinstance(one, Output) for one in target
        ):
            raise ValueError(
                "Several heads are a dictionary from their names to outputs: "
                "{'species': tl.Classes(3), 'length': tl.Numbers()}. Received: "
                f"{self.target.name}={target!r}."
            )
        if not self.takes_several and isinstance(target, Mapping):
            raise ValueError(
                f"A {self.name} has one head. Received: {self.target.name}={target!r}."
            )
        if not self.takes_several and isinstance(target, Output):
            if target.goal != self.name:
                raise ValueError(
                    f"A {self.name} is not for {target!r}: a {target.goal} is. "
                    f"Received: {self.target.name}={target!r}."
                )
        if not isinstance(target, (Output, Mapping)):
            return _OUTPUTS[self.name](target, *given)
        for argument, value in zip(self.arguments, given, strict=True):
            if value is not argument.default and value != argument.default:
                raise ValueError(
                    f"`{argument.name}` is for the one head that the builder makes: "
                    "give it to the outputs, such as tl.Classes(..., "
                    f"{argument.name}=...). Received: {argument.name}={value!r}."
                )
        return target


def _classifier(
    classes: Any, label_smoothing: float, multi_label: bool, loss: Any
) -> Output:
    kind = Labels if multi_label else Classes
    return kind(classes, label_smoothing=label_smoothing, loss=loss)


def _regressor(outputs: int, loss: Any) -> Output:
    return Numbers(outputs, loss=loss)


_OUTPUTS = {
    "classifier": _classifier,
    "regressor": _regressor,
    "detector": Boxes,
    "forecaster": lambda horizon, loss: Forecast(horizon, loss=loss),
}


def own_arguments(kind: type[Input], method: str = "assemble") -> list[Argument]:
    """Returns the arguments of a kind's `assemble`, with what its docstring says.

    Args:
        kind: The kind of input.
        method: Which of its methods it is.

    Raises:
        ValueError: If its docstring leaves one out.
    """
    assemble = getattr(kind, method)
    texts = _argument_texts(inspect.getdoc(assemble) or "")
    found = []
    for name, parameter in inspect.signature(assemble).parameters.items():
        if name not in texts:
            raise ValueError(
                f"The docstring of {kind.__name__}.{method} must say what `{name}` is, "
                "in its `Args`."
            )
        found.append(
            Argument(name, parameter.annotation, parameter.default, texts[name])
        )
    return found


def _argument_texts(docstring: str) -> dict[str, str]:
    """Returns what the `Args` of a docstring say of each argument, by its name."""
    _, _, rest = docstring.partition("Args:\n")
    block = re.split(r"\n(?=\S)", rest, maxsplit=1)[0]
    parts = re.split(r"\n(?=\w)", textwrap.dedent(block).strip("\n"))
    pairs = (part.partition(":") for part in parts)
    return {name: " ".join(text.split()) for name, _, text in pairs if text}


_WEIGHT_DECAY = Argument(
    "weight_decay", float, 0.0, "L2 penalty on the head's kernels."
)

HEAD = (
    Argument(
        "hidden",
        Sequence[int],
        (),
        "Units of relu layers between features and outputs: `(256,)`.",
    ),
    Argument(
        "dropout",
        float,
        0.0,
        "Dropout before each Dense layer of the head, in [0, 1).",
    ),
    _WEIGHT_DECAY,
)

SEVERAL = """\
Several heads over one backbone are said as a dictionary of outputs: one pass of the
backbone serves all heads, in training as in use, and what they have in common is learnt
from the labels of all. Labels come as a dictionary by head, and may be missing (class
numbers -1 or NaN, others NaN): they count neither in losses nor in metrics. A head's
loss is the mean over the labels of a batch that are known; the sum over the heads, each
times its `weight`, is minimised."""

_CLASSES = """\
The number of classes, or their names in the order of the labels; of a number the model
takes the names of the data that it is trained on. Or an output, such as
`tl.Classes([...], class_weight="balanced")`, or several by name:
`{"species": tl.Classes([...]), "length": tl.Numbers(1, weight=0.1)}`. Or the data,
`Splits`, whose outputs and inputs the model is then for."""

_SMOOTHING = "Share of each label spread over all classes, in [0, 1)."

_MULTI_LABEL = """\
Whether an input may have several labels or none: sigmoid outputs, binary cross-entropy,
labels of shape `(n, classes)`."""

_CLASS_LOSS = """\
`None`: cross-entropy. `"focal"`: focal loss (gamma 2), which turns from examples that
are already right to those that are not, such as those of rare classes. Or a Keras loss,
its name, or a function of labels and probabilities. Losses of Keras take class numbers
here too."""

_OUTPUTS_TEXT = """\
Numbers to predict for each input. Or an output, such as
`tl.Numbers(2, loss="huber")`, or several by name:
`{"length": tl.Numbers(), "species": tl.Classes([...], weight=0.1)}`. Or the data,
`Splits`, whose outputs and inputs the model is then for."""

_NUMBER_LOSS = """\
`None`: the mean squared error. Or a Keras loss, its name, or a function of targets and
outputs. Targets of very different sizes should be scaled before."""

_CARUANA = "several heads: Caruana, Multitask Learning (1997)"

GOALS = (
    Goal(
        name="classifier",
        target=Argument(
            "classes",
            int | Sequence[str] | Output | Mapping[str, Output] | Splits,
            inspect.Parameter.empty,
            _CLASSES,
        ),
        arguments=(
            Argument("label_smoothing", float, 0.0, _SMOOTHING),
            Argument("multi_label", bool, False, _MULTI_LABEL),
            Argument("loss", Any, None, _CLASS_LOSS),
        ),
        summary="Builds a {noun} classifier on a frozen backbone, compiled, ready to "
        "fine-tune.",
        description="Probabilities come out, in float32.",
        references="focal loss: Lin et al., Focal Loss for Dense Object Detection "
        f"(2017); {_CARUANA}",
        head=HEAD,
    ),
    Goal(
        name="regressor",
        target=Argument(
            "outputs", int | Output | Mapping[str, Output] | Splits, 1, _OUTPUTS_TEXT
        ),
        arguments=(Argument("loss", Any, None, _NUMBER_LOSS),),
        summary="Builds a {noun} regressor on a frozen backbone, compiled, ready to "
        "fine-tune.",
        description="Linear outputs `(batch, outputs)` come out, in float32.",
        references=_CARUANA,
        head=HEAD,
    ),
)

_BOX_CLASSES = """\
The classes' names in the order of their numbers, `data.class_names`, or how many there
are. Or `tl.Boxes([...], iou_threshold=0.6)`, or the data, `Splits`, whose classes and
inputs the model is then for."""

DETECTOR = Goal(
    name="detector",
    target=Argument(
        "classes",
        int | Sequence[str] | Output | Splits,
        inspect.Parameter.empty,
        _BOX_CLASSES,
    ),
    arguments=(),
    summary="Builds a {noun} detector on a frozen backbone, compiled, ready to "
    "fine-tune.",
    description="""\
A feature pyramid and convolutions that all of its maps share find boxes and classes,
one for each cell of a map, without anchors to be chosen: `tl.boxes_from_coco` and its
siblings read data for it, `model.detect` gives boxes in a picture's own pixels. What
`predict` gives are all cells, float32 `(batch, cells, 8 + classes)`: x1, y1, x2, y2 of
the box and of the cell, as shares of the sides of what the model sees, then the
classes' scores.""",
    references="Tian et al., FCOS: Fully Convolutional One-Stage Object Detection "
    "(2019); Lin et al., Feature Pyramid Networks for Object Detection (2017)",
    assemble="assemble_pyramid",
    head=(
        Argument("width", int, 64, "Channels of the pyramid and its convolutions."),
        Argument(
            "depth", int, 2, "How many 3x3 convolutions stand before the predictors."
        ),
        _WEIGHT_DECAY,
    ),
    takes_several=False,
)

_HORIZON = """\
The data of `tl.from_series`, whose channels, window and horizon the model is then for.
Or how many steps ahead, or `tl.Forecast(24, targets=2)`, where several channels are
forecast."""

FORECASTER = Goal(
    name="forecaster",
    target=Argument(
        "horizon", int | Output | Splits, inspect.Parameter.empty, _HORIZON
    ),
    arguments=(
        Argument(
            "loss",
            Any,
            None,
            "`None`: the mean squared error, in deviations of the window. Or a Keras "
            "loss, its name, or a function of targets and outputs.",
        ),
    ),
    summary="Builds a forecaster on a frozen backbone, compiled, ready to fine-tune.",
    description="""\
Forecasts in deviations from the window's mean come out, float32 `(batch, horizon *
targets)`; `model.forecast` gives values in the units of the series beside their times,
with intervals once `tl.calibrate` has found some. The head is one Dense layer, which
`tl.fit_head` solves by ridge regression.""",
    references="Das et al., A decoder-only foundation model for time-series "
    "forecasting (2024)",
    assemble="assemble_forecaster",
    head=HEAD,
    takes_several=False,
)
