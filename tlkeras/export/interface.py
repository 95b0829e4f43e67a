"""What an exported model takes and gives: named tensors, labels, metadata."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from tlkeras import _keras


def check_model(model: Any) -> None:
    """Raises `ValueError` unless `model` is a functional Keras model."""
    if not _keras.is_functional(model):
        raise ValueError(
            "`model` must be a functional `keras.Model`, such as tl.image_classifier "
            f"builds. Received: {type(model).__name__}."
        )


def input_names(model: keras.Model) -> list[str]:
    """Returns a name for each input, one that may be an argument's."""
    tensors = keras.tree.flatten(model.input)
    return [re.sub(r"\W", "_", tensor.name) for tensor in tensors]


def input_shapes(model: keras.Model, batch: int | None) -> list[tuple]:
    """Returns the shape of each input, with `batch` in front."""
    tensors = keras.tree.flatten(model.input)
    return [(batch, *tensor.shape[1:]) for tensor in tensors]


def fixed_shapes(model: keras.Model) -> list[tuple[int, ...]]:
    """Returns the shape of each input for one example, without a free dimension.

    Raises:
        ValueError: If pictures may have any size.
    """
    preprocessor = getattr(model, "preprocessor", None)
    length = None if preprocessor is None else preprocessor.sequence_length
    shapes = [
        tuple(length if dim is None else dim for dim in shape)
        for shape in input_shapes(model, 1)
    ]
    if any(dim is None for shape in shapes for dim in shape):
        raise ValueError(
            "LiteRT needs inputs of one size; this model takes "
            f"{[tuple(t.shape) for t in keras.tree.flatten(model.input)]}. Build it "
            "with `input_shape=`."
        )
    return shapes


def tensor_specs(model: keras.Model, shapes: list[tuple]) -> list[Any]:
    """Returns the signature of a function of the model's inputs."""
    import tensorflow as tf

    tensors = keras.tree.flatten(model.input)
    return [
        tf.TensorSpec(shape, tensor.dtype, name=name)
        for name, tensor, shape in zip(input_names(model), tensors, shapes, strict=True)
    ]


def described(specs: list[Any]) -> dict[str, str]:
    """Returns each input's type and shape as text, by name."""
    return {spec.name: f"{spec.dtype.name} {tuple(spec.shape)}" for spec in specs}


def raw_function(model: keras.Model) -> Callable[..., dict[str, Any]]:
    """Returns a function of the inputs in their order to outputs by name."""

    def run(*tensors: Any) -> dict[str, Any]:
        inputs = keras.tree.pack_sequence_as(model.input, list(tensors))
        return named_outputs(model, model(inputs, training=False))

    return run


def labelled_function(model: keras.Model) -> Callable[..., dict[str, Any]]:
    """Returns a function of the inputs in their order to labels and probabilities."""
    run = raw_function(model)

    def label(*tensors: Any) -> dict[str, Any]:
        return labelled(model, run(*tensors))

    return label


def named_outputs(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Returns a model's outputs by name: those of its heads, or what they are."""
    if isinstance(outputs, dict):
        return dict(outputs)
    leaves = keras.tree.flatten(outputs)
    if len(leaves) > 1:
        return {f"output_{i}": leaf for i, leaf in enumerate(leaves)}
    task = getattr(model, "task", None)
    if task == "regression":
        return {"value": leaves[0]}
    known = getattr(model, "class_names", None) is not None
    return {"probabilities" if known else "output": leaves[0]}


def heads(model: keras.Model) -> Iterator[tuple[str, str | None, tuple | None]]:
    """Yields each output's name, task and class names, `None` where not known."""
    targets = getattr(model, "targets", None)
    if targets is not None:
        for name, target in targets.by_head.items():
            yield name, target.task, target.class_names
        return
    task, names = getattr(model, "task", None), getattr(model, "class_names", None)
    for name in named_outputs(model, model.output):
        yield name, task, names


def labelled(model: keras.Model, outputs: dict[str, Any]) -> dict[str, Any]:
    """Returns outputs with labels beside the probabilities, as TensorFlow tensors.

    Of a model with several heads, each name starts with its head's.
    """
    import tensorflow as tf

    found = {}
    several = getattr(model, "targets", None) is not None
    for name, task, names in heads(model):
        values, before = outputs[name], f"{name}_" if several else ""
        if names is None:
            found[f"{before}value" if several else name] = values
            continue
        texts = tf.constant(list(names))
        if task == "multi_label":
            reached = values >= thresholds_of(model, name)
            label = tf.where(reached, texts, "")
        else:
            label = tf.gather(texts, tf.argmax(values, axis=-1))
            found[f"{before}probability"] = tf.reduce_max(values, axis=-1)
        found |= {f"{before}label": label, f"{before}probabilities": values}
    return found


def thresholds_of(model: keras.Model, head: str) -> Any:
    """Returns from which probability a label is given, one number or one per label."""
    thresholds = getattr(model, "thresholds", None)
    if isinstance(thresholds, dict):
        thresholds = thresholds.get(head)
    return np.float32(0.5 if thresholds is None else thresholds)


def metadata(model: keras.Model) -> dict[str, str]:
    """Returns what an artefact says of itself, each value as JSON."""
    preprocessor = getattr(model, "preprocessor", None)
    facts = {
        "name": model.name,
        "task": getattr(model, "task", None),
        "class_names": getattr(model, "class_names", None),
        "keras_version": keras.__version__,
    }
    if getattr(model, "thresholds", None) is not None:
        facts["thresholds"] = model.thresholds
    if preprocessor is not None:
        facts["sequence_length"] = preprocessor.sequence_length
    return {name: json.dumps(value) for name, value in facts.items()}


def label_files(model: keras.Model) -> dict[str, str]:
    """Returns files of class names, one a line, and one of all metadata, by name."""
    several = getattr(model, "targets", None) is not None
    files = {
        f"labels_{name}.txt" if several else "labels.txt": "\n".join(names) + "\n"
        for name, _, names in heads(model)
        if names is not None
    }
    facts = {name: json.loads(value) for name, value in metadata(model).items()}
    return {**files, "metadata.json": json.dumps(facts, indent=1) + "\n"}
