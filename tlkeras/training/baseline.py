"""Whether numbers that were learnt are any better than their mean."""

from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.inputs import Reading
from tlkeras.outputs.known import KnownLoss
from tlkeras.outputs.losses import LabelLoss, find_loss, is_mean_loss
from tlkeras.outputs.moments import Moments
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.job import Job
from tlkeras.training.starting import labels_by_head


def worse_than_mean(
    job: Job,
    moments: dict[str, Moments],
    history: FineTuneHistory,
    reading: Reading | None,
) -> list[str]:
    """Returns a sentence for each head with a greater loss than the mean would have.

    Args:
        job: The job.
        moments: Of the training labels, by heads that give numbers.
        history: Of the run.
        reading: What is behind the validation data or, without these, the training
            data, if that is known.
    """
    data, prefix = (job.train, "") if job.val is None else (job.val, "val_")
    epoch = -1 if history.best is None else history.best["epoch"]
    before_all_phases = history.best is not None and epoch < 0
    labels = labels_by_head(job, data, reading) if moments else {}
    if before_all_phases or (weighs(job) and job.val is None):
        return []
    found = []
    for name in moments.keys() & labels.keys():
        least = _loss_of_mean(job, name, moments[name], labels[name])
        loss = _loss(job, history, f"{prefix}{name}_loss", f"{prefix}loss", epoch)
        if least is not None and loss is not None and loss > least:
            about = f"Head {name!r} is" if job.problem.named else "The model is"
            part = "training" if job.val is None else "validation"
            found.append(
                f"{about} worse than always answering the mean of the training labels: "
                f"its {part} loss is {loss:.4g}, that of the mean {least:.4g}. Train "
                "longer or at a higher rate (`tl.find_learning_rate(model, train)` "
                "proposes one)"
                + (
                    ", or look at the labels with `data.show()`."
                    if getattr(job.model, "record", None) is not None
                    else ", and scale the labels to a mean of 0 and a deviation of 1: "
                    "an output that starts at 0 may never get that far."
                )
            )
    return found


def weighs(job: Job) -> bool:
    """Whether the training loss is of other weights than the examples have."""
    recipe, outputs = job.recipe, job.problem.outputs.values()
    own = any(output.class_weight is not None for output in outputs)
    return own or recipe.class_weight is not None or recipe.sampling is not None


def _loss(
    job: Job, history: FineTuneHistory, own: str, total: str, epoch: int
) -> float | None:
    """Returns a head's loss in an epoch, without penalties on weights."""
    if own in history.history:
        return history.history[own][epoch]
    if len(job.problem.outputs) > 1 or total not in history.history:
        return None
    penalties = sum(float(np.asarray(one)) for one in job.model.losses)
    return (history.history[total][epoch] - penalties) / job.problem.output.weight


def _loss_of_mean(job: Job, name: str, moments: Moments, labels: Any) -> float | None:
    """Returns the loss of always answering the mean; `None` of a loss not known."""
    loss = _keras.compiled_loss(job.model, name)
    inner = loss
    while isinstance(inner, KnownLoss | LabelLoss):
        inner = inner.loss
    if inner is None or not is_mean_loss(find_loss(inner)):
        return None
    loss = loss if isinstance(loss, keras.losses.Loss) else find_loss(loss)
    labels = np.asarray(labels, "float32").reshape(-1, len(moments.mean))
    answers = np.broadcast_to(moments.mean.astype("float32"), labels.shape)
    return float(np.mean(np.asarray(loss(labels, answers))))
