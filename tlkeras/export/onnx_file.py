"""ONNX: conversion with tf2onnx, metadata, and ONNX Runtime."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tlkeras._validation import optional_import
from tlkeras.export.interface import Interface
from tlkeras.export.reports import ExportError
from tlkeras.export.samples import Samples

_OPSET = 18


def write(interface: Interface, path: Path) -> None:
    """Writes an ONNX file for batches of any size, labels in its metadata.

    Args:
        interface: Of a model that computes in float32.
        path: The file.

    Raises:
        ImportError: If a package is not installed.
        ExportError: If ONNX has no counterpart of one of the model's operations.
    """
    for package in ("onnx", "onnxruntime"):
        _needed(package)
    onnx, tf2onnx = _needed("onnx"), _needed("tf2onnx")
    import tensorflow as tf

    specs = interface.specs()
    function = tf.function(interface.raw, input_signature=specs, autograph=False)
    with _quiet():
        proto, _ = tf2onnx.convert.from_function(
            function,
            specs,
            opset=_OPSET,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    for name, value in interface.metadata().items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"ONNX cannot express this model: {str(error).splitlines()[0][:400]}. "
            "A SavedModel takes every model: give the name of a folder."
        ) from error
    path.write_bytes(proto.SerializeToString())


def run(path: Path, inputs: Samples) -> dict[str, np.ndarray]:
    """Loads the file with ONNX Runtime and runs all inputs as one batch."""
    runtime = _needed("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs.arrays), strict=True))


def _needed(package: str) -> Any:
    return optional_import(package, "An export to ONNX", "onnx tf2onnx onnxruntime")


def _erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Writes erfc, half of an exact GELU, as 1 - erf: ONNX has no erfc."""
    from tf2onnx import utils

    output = node.output[0]
    shape, dtype = ctx.get_shape(output), ctx.get_dtype(output)
    kind = utils.map_onnx_to_numpy_type(dtype)
    ctx.remove_node(node.name)
    erf = ctx.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[dtype])
    one = ctx.make_const(utils.make_name("one"), np.ones((), kind))
    ctx.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        name=node.name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # tf2onnx logs each operation that it does not know; the checker names them, too.
    # TensorFlow warns of tables that belong to other graphs.
    loggers = {name: logging.getLogger(name) for name in ("tf2onnx", "tensorflow")}
    before = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])
