"""LiteRT (TensorFlow Lite): conversion, quantized too, and the interpreter."""

import contextlib
import importlib.util
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras.export.interface import Interface
from tlkeras.export.reports import ExportError
from tlkeras.export.samples import Samples
from tlkeras.export.sharing import share_vectors


@contextlib.contextmanager
def graph_of(interface: Interface) -> Iterator[str]:
    """Traces a model for one input at a time; gives the folder that holds the graph.

    Delegates of LiteRT want fixed shapes, and a device classifies one input at a time.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        specs = interface.fixed_specs()
        archive.add_endpoint("serving_default", interface.raw, specs)
        archive.write_out(folder, verbose=False)
        yield folder


def write(
    interface: Interface,
    graph: str,
    path: Path,
    mode: str | None = None,
    calibration: Samples | None = None,
) -> None:
    """Writes a LiteRT file for one input at a time, its labels inside.

    The labels lie behind the model as a ZIP archive, where LiteRT's own metadata tools
    put them: `unzip model.tflite` shows them, and interpreters do not mind.

    Args:
        interface: Of a model that computes in float32.
        graph: Its `graph_of`.
        path: The file.
        mode: `None`, or how to quantize: `"dynamic"`, `"float16"` or `"int8"`.
        calibration: Inputs that show the range of every tensor, for `"int8"`.

    Raises:
        ExportError: If LiteRT has no counterpart of one of the model's operations.
    """
    path.write_bytes(_convert(graph, mode, calibration))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in interface.label_files().items():
            archive.writestr(name, text)


class Interpreter:
    """A LiteRT file in its own runtime, on one thread.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        with _quiet():
            interpreter = _interpreter_class()(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        self._run = interpreter.get_signature_runner()

    def __call__(self, one: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a batch of one input."""
        return self._run(**one)

    def all(self, inputs: Samples) -> dict[str, np.ndarray]:
        """Runs all inputs, one after the other."""
        rows = [self(one) for one in inputs.one_by_one()]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _interpreter_class() -> Any:
    if importlib.util.find_spec("ai_edge_litert") is not None:
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    import tensorflow as tf

    return tf.lite.Interpreter


def _convert(graph: str, mode: str | None, calibration: Samples | None) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(graph)
    if mode is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "int8":
        converter.representative_dataset = calibration.one_by_one
    try:
        with _quiet():
            return share_vectors(converter.convert())
    except Exception as error:
        raise _failed(error) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # TensorFlow's interpreter, which calibrates, too, will move to a package of
        # its own.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is depr")
        # Inputs and outputs stay float32: there are no ranges to give for them.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        yield


def _failed(error: Exception) -> ExportError:
    """Makes the error for a model that LiteRT's converter does not take."""
    reason = str(error).strip()
    missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", reason)))
    if missing:
        reason = f"it has no operations {', '.join(missing)}"
    else:
        reason = (reason.splitlines() or [type(error).__name__])[0][:400]
    return ExportError(
        f"LiteRT cannot run this model: {reason}. A SavedModel takes every model: give "
        "the name of a folder."
    )
