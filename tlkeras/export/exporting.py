"""The verb `export`: writes an artefact, checks it, and only then gives it its name."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_number
from tlkeras.export import litert, onnx_file, saved_model
from tlkeras.export.copies import in_float32, precision_of
from tlkeras.export.interface import Interface, described
from tlkeras.export.parity import TOLERANCES, check, largest_difference, same_labels
from tlkeras.export.replacing import replacing, size_of
from tlkeras.export.reports import ExportReport
from tlkeras.export.samples import Samples, reference, samples

_EXAMPLES = 16

Outputs = dict[str, np.ndarray]


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
    data: Any = None,
    tolerance: float | None = None,
) -> ExportReport:
    """Exports a model for another runtime, and checks what it wrote in that runtime.

    The name tells the format: `"flowers.tflite"` is a LiteRT file (TensorFlow Lite),
    `"flowers.onnx"` an ONNX file, a folder, `"flowers"` or `"v1.2/"`, a SavedModel.

    The artefact holds the preprocessing and the classes' names. It is loaded by the
    runtime it is for, run, and compared with the model; only then it gets its name.
    Where anything fails nothing is left, and an earlier export of that name stays.

    A SavedModel's signature `serving_default` gives `label`, `probability` and
    `probabilities` of pixels, of waves or, its tokenizer inside, of texts; a
    regressor's gives `value`; a detector's gives `boxes` after suppression (x1, y1, x2,
    y2 as shares of the sides of what it sees), `scores` and `label`; with several heads
    each name starts with the head's (`species_label`).
    `encoded` takes picture or WAV files, `tokens` takes tokens, `serve` gives what the
    model gives. TensorFlow Serving serves it:

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
        path: Ends in `.tflite`, in `.onnx`, which needs `pip install onnx tf2onnx
            onnxruntime`, or in nothing or `/`. The folder it lies in must exist.
        data: Inputs to check on: a part of `Splits` or another batched dataset, an
            array of pixels or waves, a list of texts (of pairs, where the model is to
            take pairs), or a tuple of inputs and labels. The first 16 are used.
            Defaults to generated inputs.
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
    >>> report = tl.export(model, "glyphs.tflite")
    >>> report.inputs, report.difference < 1e-4
    ({'image': 'float32 (1, 32, 32, 1)'}, True)

    Reference:
        TensorFlow Serving's REST API, https://www.tensorflow.org/tfx/serving/api_rest.
    """
    interface, kind = Interface(model), _format_of(path)
    if tolerance is not None:
        check_number("tolerance", tolerance, above=0)
    with replacing(path, kind.suffix) as unfinished:
        inputs = samples(interface, data, _EXAMPLES)
        plain = model if kind.keeps_precision else in_float32(model)
        exported = interface if plain is model else Interface(plain)
        wanted = reference(exported, inputs)
        precision = precision_of(plain)
        allowed = tolerance or TOLERANCES[precision]
        shift = 0.0
        if exported is not interface:
            shift = largest_difference(wanted, reference(interface, inputs))
            coarse = tolerance or TOLERANCES[precision_of(model)]
            check("The model in float32 differs from the model", shift, coarse)
        written = kind.write(exported, unfinished, inputs, allowed)
        difference = largest_difference(written.outputs, wanted)
        check(f"The {kind.name} artefact differs from the model", difference, allowed)
        size = size_of(unfinished)
    return ExportReport(
        path=Path(path),
        format=kind.name,
        size=size,
        precision=precision,
        inputs=written.inputs,
        outputs=tuple(written.outputs),
        class_names=interface.class_names,
        examples=len(inputs),
        difference=difference,
        precision_difference=shift,
        tolerance=allowed,
        agreement=same_labels(interface, written.outputs, wanted),
        notes=written.notes,
    )


def _saved_model(
    interface: Interface, path: Path, inputs: Samples, allowed: float
) -> _Written:
    kinds = saved_model.write(interface, path, inputs)
    (_, found), *others = saved_model.run(interface, path, inputs)
    for trial, outputs in others:
        wanted = reference(interface, Samples(dict(trial.arrays)))
        difference = largest_difference(outputs, wanted)
        what = f"Signature {trial.signature!r} differs from the model"
        check(what, difference, allowed)
    return _Written(found, kinds, tuple(interface.input.signature_notes()))


def _litert(
    interface: Interface, path: Path, inputs: Samples, allowed: float
) -> _Written:
    with litert.graph_of(interface) as graph:
        litert.write(interface, graph, path)
    outputs = litert.Interpreter(path).all(inputs)
    kinds = described(interface.fixed_specs())
    return _Written(outputs, kinds, tuple(interface.input.tensor_notes()))


def _onnx(
    interface: Interface, path: Path, inputs: Samples, allowed: float
) -> _Written:
    onnx_file.write(interface, path)
    outputs = onnx_file.run(path, inputs)
    kinds = described(interface.specs())
    return _Written(outputs, kinds, tuple(interface.input.tensor_notes()))


@dataclass(frozen=True)
class _Format:
    """How a format is written and run, and whether it keeps the model's precision."""

    name: str
    suffix: str
    write: Callable[[Interface, Path, Samples, float], _Written]
    keeps_precision: bool = False


_FORMATS = (
    _Format("saved_model", "", _saved_model, keeps_precision=True),
    _Format("litert", ".tflite", _litert),
    _Format("onnx", ".onnx", _onnx),
)


def _format_of(path: str | Path) -> _Format:
    """Returns the format that a path asks for, or raises `ValueError`."""
    given = os.fspath(path)
    suffix = "" if given.endswith(("/", os.sep)) else Path(given).suffix
    for kind in _FORMATS:
        if kind.suffix == suffix:
            return kind
    raise ValueError(
        "The name of an export tells its format: '.tflite' is LiteRT, '.onnx' is ONNX, "
        f"a folder, 'name' or 'name.1/', a SavedModel. Received: path={given!r}. "
        "`model.save` writes '.keras' files."
    )
