"""SavedModel: signatures for TensorFlow Serving, labels and tokenizer included."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras.export.interface import Interface, described
from tlkeras.export.samples import Samples
from tlkeras.inputs import Trial


def write(interface: Interface, path: Path, inputs: Samples) -> dict[str, str]:
    """Writes a SavedModel with its signatures.

    Args:
        interface: Of the model.
        path: The folder to make.
        inputs: What it will be run on.

    Returns:
        The inputs of the signature `serving_default`, as text.
    """
    archive = keras.export.ExportArchive()
    signatures = interface.input.signatures(interface, archive, inputs)
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, specs)
    # The name that `keras.layers.TFSMLayer` expects, with the outputs Keras gives.
    archive.add_endpoint("serve", interface.served, interface.specs())
    archive.write_out(str(path), verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in interface.label_files().items():
        (extra / name).write_text(text, encoding="utf-8")
    return described(signatures["serving_default"].specs)


def run(
    interface: Interface, path: Path, inputs: Samples
) -> list[tuple[Trial, dict[str, np.ndarray]]]:
    """Loads the SavedModel and runs the inputs through its signatures.

    Returns:
        Runs, the first on the inputs as they are; each with its outputs by the names
        that the model has for them.
    """
    import tensorflow as tf

    found = []
    with tf.device("cpu"):
        loaded = tf.saved_model.load(str(path))
        for trial in interface.input.trials(inputs):
            given = {name: tf.constant(rows) for name, rows in trial.given.items()}
            outputs = loaded.signatures[trial.signature](**given)
            found.append((trial, _numbers(interface.outputs_among(outputs))))
    return found


def _numbers(outputs: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in outputs.items()}
