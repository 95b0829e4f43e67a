"""The verb `export`: writes an artefact, checks it, and only then gives it its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_number
from tlkeras.export import litert, onnx_file, saved_model
from tlkeras.export.copies import in_float32, precision_of
from tlkeras.export.interface import (
    check_model,
    described,
    input_shapes,
    tensor_specs,
)
from tlkeras.export.parity import TOLERANCES, check, largest_difference, same_labels
from tlkeras.export.replacing import replacing, size_of
from tlkeras.export.reports import ExportReport
from tlkeras.export.samples import Samples, reference, samples

_EXAMPLES = 16

Outputs = dict[str, np.ndarray]

TOKENS_NOTE = (
    "takes token ids, not texts: `model.preprocessor(texts)` makes them, padded to "
    "{length}"
)


@dataclass(frozen=True)
class _Written:
    """An artefact that was written and run: outputs, inputs as text, notes."""

    outputs: Outputs
    inputs: dict[str, str]
    notes: tuple[str, ...] = ()


def export(
    model: keras.Model,
    path: str | Path,
    *,
    format: str,
    data: Any = None,
    tolerance: float | None = None,
) -> ExportReport:
    """Exports a model for another runtime, and checks what it wrote in that runtime.

    The artefact holds the preprocessing and the classes' names. It is loaded by the
    runtime it is for, run, and compared with the model; only then it gets its name.
    Where anything fails nothing is left, and an earlier export of that name stays.

    A SavedModel's signature `serving_default` gives `label`, `probability` and
    `probabilities` of pixels or, its tokenizer inside, of texts; a regressor's gives
    `value`; with several heads each name starts with the head's (`species_label`).
    `encoded` takes picture files, `tokens` takes tokens, `serve` gives what the model
    gives. TensorFlow Serving serves it:

    ```shell
    docker run -p 8501:8501 -v "$PWD/flowers:/models/flowers/1" \\
        -e MODEL_NAME=flowers tensorflow/serving
    (printf '{"signature_name": "encoded", "instances": [{"b64": "';
        base64 < rose.jpg | tr -d '\\n'; printf '"}]}') |
        curl localhost:8501/v1/models/flowers:predict -d @-
    curl localhost:8501/v1/models/reviews:predict -d '{"instances": ["A fine film."]}'
    ```

    A LiteRT file takes one input at a time and holds `labels.txt` (`unzip -p
    flowers.tflite labels.txt`); an ONNX file takes batches and holds `class_names` in
    its metadata. Both compute in float32, whatever the model was trained in; of text
    models, both take tokens.

    Args:
        model: A functional `keras.Model`, such as `tl.image_classifier` builds.
        path: Ends in `.keras`, `.tflite` (`"litert"`) or `.onnx`; a SavedModel is a
            folder. The folder it lies in must exist.
        format: `"keras"`, `"saved_model"`, `"litert"` or `"onnx"`. The last needs
            `pip install onnx tf2onnx onnxruntime`.
        data: Inputs to check on: a part of `Splits` or another batched dataset, an
            array of pixels, a list of texts (of pairs, where the model is to take
            pairs), or a tuple of inputs and labels. The first 16 are used. Defaults
            to generated pictures or texts.
        tolerance: The largest difference of an output, or share of the largest output
            where that is above 1. Defaults to 1e-4 in float32, 0.01 in float16 and
            0.05 in bfloat16, the precision of the artefact and of the model.

    Returns:
        An `ExportReport`; `print` shows it.

    Raises:
        ValueError: If an argument is not one of the above.
        ImportError: If a package that the format needs is not installed.
        ExportError: If the model cannot be converted, or the artefact differs from it.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> report = tl.export(model, "glyphs.tflite", format="litert")
    >>> report.inputs, report.difference < 1e-4
    ({'image': 'float32 (1, 32, 32, 1)'}, True)

    Reference:
        TensorFlow Serving's REST API, https://www.tensorflow.org/tfx/serving/api_rest.
    """
    check_model(model)
    write, suffix, keeps_precision = _FORMATS[check_choice("format", format, _FORMATS)]
    if tolerance is not None:
        check_number("tolerance", tolerance, above=0)
    with replacing(path, suffix) as unfinished:
        inputs = samples(model, data, _EXAMPLES)
        exported = model if keeps_precision else in_float32(model)
        wanted = reference(exported, inputs)
        precision = precision_of(exported)
        allowed = tolerance or TOLERANCES[precision]
        shift = 0.0
        if exported is not model:
            shift = largest_difference(wanted, reference(model, inputs))
            coarse = tolerance or TOLERANCES[precision_of(model)]
            check("The model in float32 differs from the model", shift, coarse)
        written = write(exported, unfinished, inputs, allowed)
        difference = largest_difference(written.outputs, wanted)
        check(f"The {format} artefact differs from the model", difference, allowed)
        size = size_of(unfinished)
    return ExportReport(
        path=Path(path),
        format=format,
        size=size,
        precision=precision,
        inputs=written.inputs,
        outputs=tuple(written.outputs),
        class_names=getattr(model, "class_names", None),
        examples=len(inputs),
        difference=difference,
        precision_difference=shift,
        tolerance=allowed,
        agreement=same_labels(model, written.outputs, wanted),
        notes=written.notes,
    )


def token_notes(model: keras.Model) -> tuple[str, ...]:
    """Returns the note that a format without a tokenizer has to make."""
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None:
        return ()
    return (TOKENS_NOTE.format(length=preprocessor.sequence_length),)


def _keras_file(
    model: keras.Model, path: Path, inputs: Samples, allowed: float
) -> _Written:
    model.save(path)
    found = reference(keras.saving.load_model(path), inputs)
    specs = tensor_specs(model, input_shapes(model, None))
    note = "`import tlkeras` before keras.saving.load_model, or use tl.load"
    return _Written(found, described(specs), (note,))


def _saved_model(
    model: keras.Model, path: Path, inputs: Samples, allowed: float
) -> _Written:
    pairs = inputs.texts is not None and inputs.texts.ndim == 2
    saved_model.write(model, path, pairs)
    found, encoded = saved_model.run(model, path, inputs)
    if encoded:
        whole = {n: saved_model.rounded(rows) for n, rows in inputs.arrays.items()}
        difference = largest_difference(encoded, reference(model, Samples(whole)))
        check("Signature 'encoded' differs from the model", difference, allowed)
    kinds = saved_model.inputs_of(model, pairs)
    return _Written(found, kinds, saved_model.notes(model))


def _litert(
    model: keras.Model, path: Path, inputs: Samples, allowed: float
) -> _Written:
    with litert.graph_of(model) as graph:
        litert.write(model, graph, path)
    outputs = litert.Interpreter(path).all(inputs)
    return _Written(outputs, litert.inputs_of(model), token_notes(model))


def _onnx(model: keras.Model, path: Path, inputs: Samples, allowed: float) -> _Written:
    onnx_file.write(model, path)
    outputs = onnx_file.run(path, inputs)
    return _Written(outputs, onnx_file.inputs_of(model), token_notes(model))


_Write = Callable[[keras.Model, Path, Samples, float], _Written]

# How each format is written and run, its ending, and whether it keeps the precision.
_FORMATS: dict[str, tuple[_Write, str, bool]] = {
    "keras": (_keras_file, ".keras", True),
    "saved_model": (_saved_model, "", True),
    "litert": (_litert, ".tflite", False),
    "onnx": (_onnx, ".onnx", False),
}
