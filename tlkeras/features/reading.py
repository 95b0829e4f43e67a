"""Examples as `classify` takes them, and what a head reads of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.data import Splits
from tlkeras.distribution import strategy_of
from tlkeras.features.extraction import Store, choose_store, extract
from tlkeras.features.head_inputs import LastLayer, last_layers
from tlkeras.inputs.examples import reading_of
from tlkeras.problem import Problem, input_of

_BATCH = 32


def choose_head(problem: Problem, head: str | None, verb: str) -> str:
    """Returns the head that is meant, or raises `ValueError`.

    Args:
        problem: What the model is for.
        head: What the user said.
        verb: What is asked for, for messages.
    """
    if head is not None and not problem.named:
        raise ValueError(
            f"`head` is for models whose heads have names; leave it out. Received: "
            f"head={head!r}."
        )
    if head is None and len(problem.outputs) > 1:
        raise ValueError(
            f"`{verb}` is for one head at a time. Pass `head=` with one of "
            f"{list(problem.outputs)}."
        )
    head = next(iter(problem.outputs)) if head is None else head
    if head not in problem.outputs:
        raise unknown_name("head", head, problem.outputs)
    return head


def last_layer_of(model: keras.Model, problem: Problem, head: str) -> LastLayer:
    """Returns the last layer of a head, or raises `ValueError` where it is no Dense."""
    outputs = problem.outputs_by_head(
        model.output if problem.named else model.outputs[0]
    )
    found = last_layers(model, outputs)[head]
    if found is None:
        raise ValueError(
            "The model's outputs must come from a Dense layer on one vector for each "
            f"example, with or without an activation. Those of {head!r} do not."
        )
    return found


def as_examples(model: keras.Model, inputs: Any, about: str) -> Any:
    """Returns inputs as `Examples` without labels.

    Args:
        model: What they are for.
        inputs: As `classify` takes them, or a dataset of `Splits`.
        about: What they are called.

    Raises:
        ValueError: If they are nothing that the model takes.
    """
    its_input, reading = input_of(model), reading_of(inputs)
    if reading is not None:
        if reading.problem is not None:
            its_input.check_reading(reading.problem.input, about)
        its_input.check(model, next(iter(inputs))[0], about)
        return reading.examples
    if isinstance(inputs, Mapping | Splits):
        raise ValueError(
            f"`{about}` must be {its_input.nouns} as `model.classify` takes them, or a "
            "dataset of `Splits`, such as `data.train`. Received: "
            f"{type(inputs).__name__}."
        )
    its_input.check_values(model, inputs, about)
    return its_input.unlabelled(inputs)


def read_by(
    model: keras.Model,
    last: LastLayer,
    examples: Any,
    cache: str | Path | bool,
    verbose: Any,
) -> np.ndarray:
    """Returns what a last layer reads of examples, in their order.

    Args:
        model: The model.
        last: One of its last layers.
        examples: `Examples`.
        cache: As in `tl.extract_features`.
        verbose: 0 for no progress bar.

    Returns:
        float32 `(n, width)`.
    """
    prepared = input_of(model).prepare(examples)
    probe = keras.Model(model.input, last.tensor, name="below_head")
    found = extract(
        probe,
        prepared.examples,
        _BATCH,
        choose_store(cache) or Store(None),
        verbose,
        strategy_of(model),
    )
    vectors = np.asarray(found.arrays[0], "float32")
    return vectors if prepared.order is None else vectors[np.argsort(prepared.order)]
