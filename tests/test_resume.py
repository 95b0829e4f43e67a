"""Resuming: a run that dies anywhere goes on to the result of one that did not."""

import itertools

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone

import tlkeras as tl
from tlkeras.training import resume

X, Y = solid_colours(40, 2)


class Stopped(Exception):
    """Stands in for the end of the process."""


class StopAt(keras.callbacks.Callback):
    """Raises after a number of steps, counted through all phases."""

    def __init__(self, steps=None):
        super().__init__()
        # An iterator, which no checkpoint keeps.
        self.steps = itertools.count() if steps is None else iter(range(steps - 1))

    def on_train_batch_end(self, batch, logs=None):
        if next(self.steps, None) is None:
            raise Stopped


def make_model(seed=0):
    keras.utils.set_random_seed(99)
    backbone = tiny_backbone()
    keras.utils.set_random_seed(seed)
    return tl.image_classifier(backbone, 2, dropout=0.5)


def tune(model, folder, stop_at=None, **arguments):
    settings = {
        "head_epochs": 2,
        "epochs": 2,
        "unfreeze_from": ["block3", "block2"],
        "learning_rate": 0.01,
        "fine_tune_learning_rate": 0.01,
        "batch_size": 8,
        "cache": "memory",
        "verbose": 0,
    }
    callbacks = [StopAt(stop_at), *arguments.pop("callbacks", ())]
    return tl.fine_tune(
        model,
        (X, Y),
        (X[:16], Y[:16]),
        checkpoint_dir=folder,
        callbacks=callbacks,
        **{**settings, **arguments},
    )


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Keeps the state after every step."""
    monkeypatch.setattr(resume, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(resume, "_SHARE", 1e9)


def assert_same_result(model, history, expected_model, expected_history):
    mine = [np.array(v) for v in model.variables]
    theirs = [np.array(v) for v in expected_model.variables]
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == expected_history.history
    assert history.epoch == expected_history.epoch
    assert [p.epochs for p in history.phases] == [
        p.epochs for p in expected_history.phases
    ]
    for one, other in zip(
        model.optimizer.variables, expected_model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(one), np.array(other))


# 5 steps an epoch, 6 epochs in three phases.
@pytest.mark.parametrize(
    ("steps", "arguments"),
    [
        ((1, 4, 5), {}),
        ((7, 10, 11), {"schedule": "one_cycle", "layer_decay": 0.5}),
        ((14, 10, 3, 1), {"l2_sp": 0.1, "augment": "light"}),
        (
            (12, 9),
            {"optimizer": keras.optimizers.AdamW(use_ema=True, weight_decay=0.1)},
        ),
        (
            (13, 13),
            {
                "optimizer": keras.optimizers.SGD(
                    momentum=0.9, gradient_accumulation_steps=3
                )
            },
        ),
    ],
)
def test_interrupted_and_whole_runs_end_alike(tmp_path, steps, arguments):
    expected_model = make_model()
    expected = tune(expected_model, tmp_path / "whole", **arguments)
    for number, step in enumerate(steps):
        with pytest.raises(Stopped):
            tune(make_model(seed=number), tmp_path / "cut", step, **arguments)
        if number == 0:
            # Only what the run began with counts; it began like the whole one.
            assert (tmp_path / "cut" / "stage-0.npz").exists()
    model = make_model(seed=5)
    # The frozen part is what it was; everything else comes from the checkpoint.
    history = tune(model, tmp_path / "cut", **arguments)
    assert_same_result(model, history, expected_model, expected)
