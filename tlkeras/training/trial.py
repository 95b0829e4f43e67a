"""Trials: a phase set up as `fine_tune` would, on a model that stays as it was."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import keras

from tlkeras import _keras
from tlkeras.distribution import scope_of
from tlkeras.optimizers import phase_optimizer
from tlkeras.training.feeding import Feed, Feeder
from tlkeras.training.job import Job
from tlkeras.training.recipe import is_auto
from tlkeras.training.starting import label_moments, label_units, start_outputs
from tlkeras.training.unchanged import set_freeze_point, unchanged


@dataclass(frozen=True)
class Trial:
    """A phase that is ready to be tried.

    Attributes:
        feed: What it fits and on what; `feed.model` is compiled with an optimizer of
            its own, takes one step at a time, and has no metrics but the loss.
        feeder: Where the feed came from.
    """

    feed: Feed
    feeder: Feeder


@contextlib.contextmanager
def trial(job: Job, frozen: int, learning_rate: float = 1e-7) -> Iterator[Trial]:
    """Sets up a phase; whatever is done in it, the model is afterwards as before.

    Args:
        job: Model, data and recipe. Of the recipe it leaves out schedule, layer decay,
            L2-SP and patience; a batch size of `"auto"` is that of the data.
        frozen: How many of the backbone's layers the phase freezes.
        learning_rate: What the phase starts with.

    Yields:
        The `Trial`.
    """
    if is_auto(job.recipe.batch_size):
        job = replace(job, recipe=replace(job.recipe, batch_size=None))
    model, recipe = job.model, job.recipe
    with unchanged(model):
        set_freeze_point(model, frozen, job.backbone, recipe.train_batch_norm)
        feeder = Feeder(job, [frozen])
        feed = feeder.feed(frozen, 0)
        moments = label_moments(job, feeder.whole[0])
        start_outputs(job, feed.suffix, moments, head=False)
        with scope_of(model):
            fresh = phase_optimizer(
                model,
                job.backbone,
                optimizer=recipe.optimizer,
                learning_rate=learning_rate,
                units=label_units(job, feed.suffix, moments),
            )
        _compile(feed.model, model, fresh)
        yield Trial(feed, feeder)


def _compile(
    phase_model: keras.Model,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Compiles the phase's model with the loss of `model`, and no metric of it.

    Metrics are objects with a state; the model's are none of a trial's business.
    """
    arguments = _keras.compile_arguments(model)
    kept = ("loss", "loss_weights", "run_eagerly")
    with scope_of(model):
        phase_model.compile(
            optimizer=optimizer,
            # Few steps, or of many sizes: XLA would take longer than they do.
            jit_compile=False,
            steps_per_execution=1,
            **{name: arguments[name] for name in kept},
        )
