"""The verb `quantize`: a smaller artefact, measured next to the model unquantized."""

import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice
from tlkeras.export import litert
from tlkeras.export.copies import in_float32, plain_copy
from tlkeras.export.interface import Interface
from tlkeras.export.parity import same_labels
from tlkeras.export.replacing import replacing, size_of
from tlkeras.export.reports import ExportError, Measured, QuantizationReport
from tlkeras.export.samples import Samples, samples
from tlkeras.export.scoring import check_test, milliseconds, scores

_MODES = ("dynamic", "float16", "int8")

# As many as LiteRT's guide asks for ("around 100 to 500").
_CALIBRATION = 200
_COMPARED = 16

_KERAS_LAYERS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
)


def quantize(
    model: keras.Model,
    path: str | Path,
    mode: str = "dynamic",
    *,
    data: Any = None,
    test: Any = None,
) -> QuantizationReport:
    """Writes a quantized model, and measures it next to the model unquantized.

    For devices: a file of a quarter of the size (`"dynamic"`, `"int8"`) or half of it
    (`"float16"`). `"dynamic"` keeps weights in 8 bits and computes in them where that
    is faster; `"int8"` computes in whole numbers throughout, as microcontrollers and
    many accelerators need, and wants real inputs to see the range of every tensor.
    Inputs and outputs stay float32. Whether it is good enough is for `test` to show.

    A path that ends in `.keras` gives a Keras model whose dense layers and embeddings
    hold 8 bits, by `keras.Model.quantize`: for text models, which consist of them.

    Args:
        model: A functional `keras.Model`. It stays as it is.
        path: Ends in `.tflite`; or in `.keras`, with `mode="int8"`.
        mode: `"dynamic"`, `"float16"` or `"int8"`.
        data: Inputs to calibrate `"int8"` with, in any form that `tl.export` takes; the
            first 200 are used. Take a training part. The other modes need none.
        test: Labelled data to score both on, as `tl.evaluate` takes it.

    Returns:
        A `QuantizationReport`: size, latency (median of 30, one thread, both in turn)
        and accuracy before and after; `print` shows it.

    Raises:
        ValueError: If an argument is not one of the above, or `"int8"` has no `data`.
        ExportError: If the model cannot be converted or gives NaN.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> report = tl.quantize(model, "glyphs.tflite", "float16")
    >>> report.size_ratio < 0.6
    True

    Reference:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference (2018).
    """
    interface = Interface(model)
    check_choice("mode", mode, _MODES)
    if test is not None:
        check_test(interface, test)
    if Path(path).suffix == ".keras":
        return _quantize_keras(interface, path, mode, data, test)
    if mode == "int8" and data is None:
        raise ValueError(
            "mode='int8' needs `data`: inputs that show which values each tensor "
            "takes, such as `data.train`. mode='dynamic' needs none."
        )
    with replacing(path, ".tflite") as unfinished, tempfile.TemporaryDirectory() as tmp:
        inputs = samples(interface, data, _CALIBRATION)
        interface = Interface(in_float32(model))
        plain = Path(tmp) / "plain.tflite"
        with litert.graph_of(interface) as graph:
            litert.write(interface, graph, plain)
            litert.write(interface, graph, unfinished, mode, inputs)
        return _report(
            interface,
            (litert.Interpreter(plain), litert.Interpreter(unfinished)),
            (size_of(plain), size_of(unfinished)),
            inputs=_first(inputs),
            test=test,
            path=Path(path),
            mode=mode,
            notes=tuple(interface.input.tensor_notes()),
        )


def _quantize_keras(
    interface: Interface, path: str | Path, mode: str, data: Any, test: Any
) -> QuantizationReport:
    if mode != "int8":
        raise ValueError(
            "Keras files are quantized with mode='int8'. Received: "
            f"mode={mode!r}, path={os.fspath(path)!r}. A path that ends in '.tflite' "
            "takes every mode."
        )
    model = in_float32(interface.model)
    small = plain_copy(model)
    count = _quantize_layers(small)
    layers = len([each for each in _keras.sublayers(small) if each.weights])
    with replacing(path, ".keras") as unfinished, tempfile.TemporaryDirectory() as tmp:
        inputs = samples(interface, data, _COMPARED)
        plain = Path(tmp) / "plain.keras"
        plain_copy(model).save(plain)
        small.save(unfinished)
        pair = _KerasFile(plain), _KerasFile(unfinished)
        return _report(
            interface,
            pair,
            (size_of(plain), size_of(unfinished)),
            inputs=inputs,
            test=test,
            path=Path(path),
            mode=mode,
            notes=(
                f"{count} dense layers and embeddings of {layers} layers in 8 bits; "
                "timed with TensorFlow's own number of threads",
            ),
        )


def _quantize_layers(model: keras.Model) -> int:
    """Quantizes the layers that Keras can quantize; returns how many."""
    chosen = [
        layer for layer in _keras.sublayers(model) if isinstance(layer, _KERAS_LAYERS)
    ]
    if not chosen:
        raise ValueError(
            f"Model {model.name!r} has no dense layer and no embedding, and Keras "
            "quantizes nothing else. A path that ends in '.tflite' quantizes "
            "convolutions, too."
        )
    model.quantize("int8", filters=lambda layer: isinstance(layer, _KERAS_LAYERS))
    for layer in _keras.sublayers(model):
        if not _keras.is_functional(layer) and layer not in chosen:
            _keep_in_config(layer, chosen)
    return len(chosen)


def _keep_in_config(layer: keras.layers.Layer, quantized: list[Any]) -> None:
    """Lets a layer of layers, such as an encoder's, tell in its config which are so.

    Otherwise Keras would rebuild them in float32, and not find its weights in the file.
    """
    inside = [part for part in _keras.sublayers(layer) if part in quantized]
    if inside:
        policies = keras.dtype_policies.DTypePolicyMap(layer.dtype_policy)
        for part in inside:
            policies[part.path] = part.dtype_policy
        layer.dtype_policy = policies


class _KerasFile:
    """A Keras file, loaded, with the methods of a LiteRT interpreter."""

    def __init__(self, path: Path):
        self._interface = Interface(keras.saving.load_model(path))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        packed = self._interface.pack(batch)
        outputs = self._interface.model.predict_on_batch(packed)
        return self._interface.named_outputs(outputs)

    def all(self, inputs: Samples) -> dict[str, np.ndarray]:
        return self(inputs.arrays)


def _report(
    interface: Interface,
    pair: tuple[Any, Any],
    sizes: tuple[int, int],
    *,
    inputs: Samples,
    test: Any,
    **about: Any,
) -> QuantizationReport:
    """Measures both artefacts side by side."""
    before, after = pair
    wanted, got = before.all(inputs), after.all(inputs)
    if not all(np.isfinite(value).all() for value in got.values()):
        raise ExportError(
            f"Quantized in mode {about['mode']!r}, the model gives NaN or infinity: "
            "nothing was written. Try another mode."
        )
    times = milliseconds({"before": before, "after": after}, inputs)
    found: dict[str, dict[str, float]] = {"before": {}, "after": {}}
    if test is not None:
        found = scores(interface, {"before": before.all, "after": after.all}, test)
    figures = {
        name: Measured(size, times[name], found[name])
        for name, size in zip(("before", "after"), sizes, strict=True)
    }
    return QuantizationReport(
        agreement=same_labels(interface, got, wanted),
        examples=len(inputs),
        **figures,
        **about,
    )


def _first(inputs: Samples) -> Samples:
    """Returns the first of many inputs."""
    arrays = {name: rows[:_COMPARED] for name, rows in inputs.arrays.items()}
    return Samples(arrays)
