"""What several workers must agree on before they train together."""

import hashlib
import platform
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import keras

from tlkeras.distribution import Workers
from tlkeras.inputs.examples import reading_of
from tlkeras.training.job import Job
from tlkeras.training.recipe import settings_of
from tlkeras.training.resume import describe, describe_data
from tlkeras.training.verification import digest
from tlkeras.training.whole_model import watches_batches

_PACKAGE = Path(__file__).resolve().parents[1]


def check_agreement(workers: Workers, job: Job, stages: Sequence[Any]) -> None:
    """Raises `WorkerError` on every worker unless all are about to do the same.

    Args:
        workers: The processes.
        job: Model, data, recipe and the rest.
        stages: The recipe's stages.
    """
    if workers.count == 1:
        return
    parts, fitting = (job.train, job.val), job.fitting
    train, val = (describe_data(part, reading_of(part)) for part in parts)
    settings = {
        name: describe(value) for name, value in settings_of(job.recipe).items()
    }
    workers.check_same(
        {
            **versions(),
            "the program": _program(),
            "the model's weights": weights_digest(job.model),
            "the training data": train,
            "the validation data": val,
            # Checkpoints are sent, and losses exchanged for callbacks of single steps.
            "whether there is a `checkpoint_dir`": fitting.checkpoint_dir is not None,
            "whether a callback watches batches": any(
                map(watches_batches, fitting.callbacks)
            ),
            "the stages": [describe(list(astuple(stage))) for stage in stages],
            **settings,
        }
    )


def versions() -> dict[str, str]:
    """Returns the versions of what computes, tlkeras' own as a fingerprint."""
    import tensorflow as tf

    code = hashlib.blake2b(digest_size=8)
    for path in sorted(_PACKAGE.rglob("*.py")):
        code.update(path.read_bytes())
    return {
        "Python": platform.python_version(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "the code of tlkeras": code.hexdigest(),
    }


def weights_digest(model: keras.Model) -> str:
    """Returns a fingerprint of all of a model's weights."""
    whole = hashlib.blake2b(digest_size=8)
    for variable in model.weights:
        whole.update(digest(variable))
    return whole.hexdigest()


def _program() -> str:
    """Returns a fingerprint of the script that runs, nothing in a notebook."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None or not Path(path).is_file():
        return ""
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
