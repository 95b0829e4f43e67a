"""The builders of each kind of input, made of one set of arguments and one method."""

import contextlib
import functools
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from tlkeras._validation import unknown_name
from tlkeras.builders import recording
from tlkeras.builders.arguments import (
    DETECTOR,
    FORECASTER,
    GOALS,
    SEVERAL,
    Argument,
    Goal,
    own_arguments,
)
from tlkeras.builders.sharing import sharing_is_told
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.data import Splits
from tlkeras.features.precision import dtype_policy, faster_precision
from tlkeras.freezing import freeze
from tlkeras.heads import stack_hidden
from tlkeras.inputs import Assembled, Input
from tlkeras.problem import Problem, adopt_reading
from tlkeras.records.encoding import random_state_kept
from tlkeras.runtime import current_runtime, jit_compile

Builder = Callable[..., TransferModel]

# All builders by name, for `tl.rerun`.
BUILDERS: dict[str, Builder] = {}


def make_builders(kind: type[Input]) -> tuple[Builder, Builder]:
    """Makes the classifier's and the regressor's builder of a kind of input.

    Args:
        kind: A subclass of `Input` whose `assemble` has a signature of its own.

    Returns:
        Two functions with full signatures and docstrings, such as `image_classifier`
        and `image_regressor`; `BUILDERS` has them too.
    """
    return tuple(_make_builder(kind, goal) for goal in GOALS)


def make_detector(kind: type[Input]) -> Builder:
    """Makes the builder of detectors of a kind of input.

    Args:
        kind: A subclass of `Input` with an `assemble_pyramid`.
    """
    return _make_builder(kind, DETECTOR)


def make_forecaster(kind: type[Input]) -> Builder:
    """Makes the builder of forecasters of a kind of input.

    Args:
        kind: A subclass of `Input` with an `assemble_forecaster`.
    """
    return _make_builder(kind, FORECASTER)


def build_for(problem: Problem, backbone: Any, **arguments: Any) -> TransferModel:
    """Builds a model for what data are for, by the builder that is made for that.

    Args:
        problem: Of data: `Splits.problem`.
        backbone: As the builders take it.
        **arguments: Others of the builder, such as `weights` or `dropout`.

    Returns:
        A `TransferModel` that takes inputs of the data's shape, and reads what
        `classify` is given as the data were read.

    Raises:
        ValueError: If the kind of input has no builder, or the builder cannot build it.

    Example:

    >>> from tlkeras.inputs import Pictures
    >>> problem = Problem(Pictures((32, 32), channels=1), tl.Numbers(2))
    >>> build_for(problem, "glyphnet").output_shape
    (None, 2)
    """
    goal = next(iter(problem.outputs.values())).goal
    name = f"{problem.input.prefix}_{goal}"
    if name not in BUILDERS:
        raise unknown_name("builder", name, BUILDERS)
    return BUILDERS[name](backbone, problem, **arguments)


def _make_builder(kind: type[Input], goal: Goal) -> Builder:
    own = own_arguments(kind, goal.assemble)
    head = [
        one.with_default(kind.default_dropout) if one.name == "dropout" else one
        for one in goal.head
    ]
    first = next(one for one in own if one.name == "backbone")
    rest = [one for one in own if one is not first]
    arguments = [first, goal.target, *head, *goal.arguments, *rest]

    def build(*args: Any, **kwargs: Any) -> TransferModel:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        values = given.arguments
        target = (values[one.name] for one in (goal.target, *goal.arguments))
        return _build(
            kind,
            goal,
            values["backbone"],
            # What is wrong with the outputs is said before a backbone is loaded.
            Problem(Input(), goal.outputs(*target)),
            {one.name: values[one.name] for one in rest},
            {one.name: values[one.name] for one in head},
        )

    signature = inspect.Signature(
        [one.parameter(positional=one in (first, goal.target)) for one in arguments],
        return_annotation=TransferModel,
    )
    build.__name__ = build.__qualname__ = f"{kind.prefix}_{goal.name}"
    build.__module__ = "tlkeras"
    build.__signature__ = signature
    build.__annotations__ = {
        **{one.name: one.annotation for one in arguments},
        "return": TransferModel,
    }
    build.__doc__ = _docstring(kind, goal, arguments)
    builder = _takes_data(recording.recorded(build), kind, goal)
    BUILDERS[build.__name__] = builder
    return builder


def _takes_data(builder: Builder, kind: type[Input], goal: Goal) -> Builder:
    """Has a builder take data, or their problem, in place of the outputs."""
    signature = inspect.signature(builder)

    @functools.wraps(builder)
    def build(*args: Any, **kwargs: Any) -> TransferModel:
        # What data say need not be said again.
        bound = signature.bind_partial(*args, **kwargs)
        problem = bound.arguments.get(goal.target.name)
        if isinstance(problem, Splits):
            problem = problem.problem
        if not isinstance(problem, Problem):
            _check_complete(signature, bound.arguments, builder.__name__, goal)
            return builder(*args, **kwargs)
        _check_suits(problem, kind, goal)
        given = {**problem.input.builder_arguments(), **bound.arguments}
        # Records keep what the data said, not the data.
        given[goal.target.name] = problem.face(problem.outputs)
        model = builder(**given)
        adopt_reading(model, problem)
        return model

    return build


def _check_complete(
    signature: inspect.Signature, given: Mapping[str, Any], name: str, goal: Goal
) -> None:
    """Raises `TypeError` where an argument is missing that data would say."""
    lacking = [
        one.name
        for one in signature.parameters.values()
        if one.default is one.empty and one.name not in given
    ]
    if lacking:
        raise TypeError(
            f"tl.{name}() needs {' and '.join(f'`{one}`' for one in lacking)}. Data "
            f"say what their model needs: tl.{name}(backbone, data), with data in "
            f"place of `{goal.target.name}`."
        )


def _check_suits(problem: Problem, kind: type[Input], goal: Goal) -> None:
    """Raises `ValueError` unless a builder is for what data are for."""
    # One of named heads says where both builders would do, as classes and numbers.
    goals = {output.goal for output in problem.outputs.values()}
    if not isinstance(problem.input, kind) or goal.name not in goals:
        wanted = next(iter(problem.outputs.values())).goal
        raise ValueError(
            f"`tl.{kind.prefix}_{goal.name}` is not for these data, which are "
            f"{problem.input.nouns} for a {wanted}: use "
            f"`tl.{problem.input.prefix}_{wanted}`."
        )


def _docstring(kind: type[Input], goal: Goal, arguments: list[Argument]) -> str:
    example = kind.builder_examples.get(goal.name, "").strip()
    goes_in = kind.goes_in or f"{kind.nouns.capitalize()} go in."
    references = "; ".join(filter(None, (kind.builder_references, goal.references)))
    blocks = [
        goal.summary.format(noun=kind.noun),
        _filled(f"{goes_in} {goal.description}"),
        *([_filled(SEVERAL)] if goal.takes_several else []),
        _section("Args", *(f"{one.name}: {one.text}" for one in arguments)),
        _section("Returns", "A `TransferModel`."),
        _section(
            "Raises",
            "ValueError: If an argument is not one of the above.",
            "FileNotFoundError: If the weights are neither here nor to be downloaded.",
        ),
        *([f"Example:\n\n{example}"] if example else []),
        f"Reference:\n{_filled(f'{references}.', '    ', '    ')}",
    ]
    return textwrap.indent("\n\n".join(blocks), "    ").strip() + "\n    "


def _section(title: str, *items: str) -> str:
    return "\n".join(
        [f"{title}:", *(_filled(item, "    ", "        ") for item in items)]
    )


def _filled(text: str, first: str = "", others: str = "") -> str:
    """Returns a paragraph as wide as a docstring's lines, inside of its indentation."""
    return textwrap.fill(
        " ".join(text.split()),
        84,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _build(
    kind: type[Input],
    goal: Goal,
    backbone: Any,
    problem: Problem,
    arguments: Mapping[str, Any],
    head: Mapping[str, Any],
) -> TransferModel:
    """Puts inputs, backbone and heads together, and freezes and compiles the whole."""
    with (
        sharing_is_told(backbone) as note_built,
        _precision_for(kind, backbone, arguments),
    ):
        assembled = getattr(kind, goal.assemble)(backbone, **arguments)
        recording.note_backbone(assembled.name, assembled.licence)
        problem = problem.but(input=assembled.input)
        model = _with_heads(assembled, problem, **head)
        model.compile(
            optimizer="adam", jit_compile=jit_compile(), **problem.compile_arguments()
        )
        freeze(model)
        note_built(model)
    return model


def _with_heads(assembled: Assembled, problem: Problem, **head: Any) -> TransferModel:
    """Stacks the layers that all heads share, and those of each, on the features."""
    shared = assembled.features
    if "hidden" in head:
        both = head.pop("hidden"), head.pop("dropout")
        shared = stack_hidden(shared, *both, head["weight_decay"])
    name = f"{assembled.name}_{problem.task}"
    taken = {layer.name for layer in keras.Model(assembled.inputs, shared).layers}
    if taken & set(problem.outputs):
        raise ValueError(
            "No head may have the name of a layer. Received: "
            f"{sorted(taken & set(problem.outputs))}; taken are {sorted(taken)}."
        )
    outputs = {}
    for its_name, output in problem.outputs.items():
        if output.logits:
            raise ValueError(
                "Models of tlkeras give probabilities; `logits` says of others what "
                f"they give. Leave it out. Received: logits={output.logits!r}."
            )
        outputs[its_name] = output.attach(shared, its_name, **head)
    model = TransferModel(assembled.inputs, problem.face(outputs), name=name)
    model.problem = problem
    return model


@contextlib.contextmanager
def _precision_for(
    kind: type[Input], backbone: Any, arguments: Mapping[str, Any]
) -> Iterator[None]:
    """Surrounds building with the strategy and the precision that `configure` chose."""
    runtime = current_runtime()
    precision = recording.wanted_precision() or keras.config.dtype_policy().name
    if runtime.precision == "auto" and recording.wanted_precision() is None:
        precision = "float32"
        if isinstance(backbone, (str, os.PathLike)):
            about, build = kind.timed_as(**arguments)
            # Whether it is measured or remembered must not show in the random start.
            with random_state_kept():
                precision = faster_precision(
                    f"{os.fspath(backbone)}{about}", lambda: build(backbone)
                )
    with runtime.scope(), dtype_policy(precision):
        yield
