"""Monitoring: what explodes is stopped, what overfits is said, what is best is kept."""

import math
import re
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, weights_of, with_head

import tlkeras as tl
from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.job import Fitting, open_job
from tlkeras.training.monitoring import overfitting
from tlkeras.training.running import which_weights

X, Y = solid_colours(48, 2)


def test_a_huge_learning_rate_is_stopped_and_the_best_weights_come_back():
    model = tl.image_classifier(tiny_backbone(), 2)
    before = weights_of(model)
    with pytest.raises(tl.PhaseError, match="Phase head stopped .* of epoch 1.*1e.03"):
        tl.fit_head(model, (X, Y), learning_rate=1e3, verbose=0)
    for path, value in weights_of(model).items():
        np.testing.assert_array_equal(value, before[path])
    # The model can be trained at once.
    tl.fit_head(model, (X, Y), epochs=1, verbose=0)


def test_the_step_is_named_and_the_best_epoch_restored():
    model = with_head(tiny_backbone(blocks=1))
    best = {}

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                best.update(weights_of(self.model))

        def on_train_batch_begin(self, batch, logs=None):
            kernel = self.model.get_layer("out").kernel
            if self.params["epochs"] == 5 and int(self.model.optimizer.iterations) == 7:
                kernel.assign(kernel * math.nan)

    # 3 steps in each epoch: the eighth is the second of the third epoch.
    with pytest.raises(
        tl.PhaseError, match="in step 2 of epoch 3: the loss became nan"
    ):
        tl.fit_head(
            model,
            (X, Y),
            (X, Y),
            epochs=5,
            recipe=tl.Recipe(batch_size=16),
            callbacks=[Poison()],
            verbose=0,
        )
    after = weights_of(model)
    for path, value in best.items():
        np.testing.assert_array_equal(value, after[path])


def test_a_loss_that_is_not_finite_in_validation_stops_as_well():
    model = tl.image_regressor(tiny_backbone(blocks=1))
    val = (X, np.full(len(Y), 1e30, "float32"))
    with pytest.raises(tl.PhaseError, match="validation loss became inf"):
        tl.fit_head(model, (X, Y.astype("float32")), val, verbose=0)


@pytest.mark.slow
def test_large_targets_are_no_explosion():
    model = tl.image_regressor(tiny_backbone(blocks=1))
    targets = 1000.0 + 100.0 * Y.astype("float32")
    history = tl.fit_head(model, (X, targets), epochs=30, learning_rate=3.0, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_patience_ends_each_phase_with_its_best_weights():
    model = with_head(tiny_backbone(blocks=1))
    noise = np.random.default_rng(0).integers(0, 2, len(Y))
    history = tl.fine_tune(
        model,
        (X, Y),
        (X, noise),
        head_epochs=20,
        epochs=20,
        learning_rate=0.05,
        fine_tune_learning_rate=0.01,
        recipe=tl.Recipe(patience=2, keep="last"),
        verbose=0,
    )
    for phase in history.phases:
        losses = history.history["val_loss"][phase.first_epoch :][: phase.epochs]
        assert phase.epochs < 20
        assert phase.epochs == int(np.argmin(losses)) + 1 + 2
    val_loss = float(model.compute_loss(y=noise, y_pred=model(X)))
    assert val_loss == pytest.approx(min(losses), rel=1e-4)


def test_patience_needs_validation():
    with pytest.raises(ValueError, match="pass validation data"):
        tl.fit_head(
            with_head(tiny_backbone(blocks=1)),
            (X, Y),
            recipe=tl.Recipe(patience=1),
            verbose=0,
        )


def first(labels, outputs):
    return outputs[:, 0]


@pytest.mark.parametrize(
    ("callback", "monitor", "message"),
    [
        ("EarlyStopping", "val_acc", "watches 'val_acc'.*Did you mean 'val_accuracy'"),
        ("ReduceLROnPlateau", "val_mean_absolute_error", "which the model does not"),
        ("ModelCheckpoint", "val_auc", "which the model does not report"),
        # Without validation data Keras warns, and trains.
        ("EarlyStopping", "val_loss", None),
        ("EarlyStopping", "val_accuracy", None),
        ("EarlyStopping", "val_first", "pass mode='max' or mode='min'"),
    ],
)
def test_what_a_callback_watches_is_there(callback, monitor, message):
    model = with_head(tiny_backbone(blocks=1))
    model.compile("sgd", model.loss, metrics=["accuracy", first])
    given = {"monitor": monitor}
    if callback == "ModelCheckpoint":
        given |= {"filepath": "best.keras", "save_best_only": True}
    watching = getattr(keras.callbacks, callback)(**given)
    val = None if monitor == "val_loss" else (X, Y)

    def opened(*callbacks):
        return open_job(model, (X, Y), val, fitting=Fitting(callbacks=callbacks))

    # Whatever comes before may add to what the watching one sees.
    opened(keras.callbacks.LambdaCallback(), watching)
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        opened(watching)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"loss": [1.0, 0.5, 0.1], "val_loss": [1.0, 0.6, 0.9]}, "its epoch 2"),
        ({"loss": [1.0, 0.5, 0.6], "val_loss": [1.0, 0.6, 0.9]}, None),
        ({"loss": [1.0, 0.5], "val_loss": [1.0, 0.6]}, None),
        ({"loss": [1.0, 0.5]}, None),
        (
            {
                "loss": [0.1],
                "val_loss": [0.5],
                "accuracy": [0.95],
                "val_accuracy": [0.8],
            },
            "may overfit",
        ),
    ],
)
def test_overfitting_is_told_by_the_gap(history, message):
    said = overfitting("head", history)
    assert (said is None) if message is None else (message in said)


@pytest.mark.parametrize(
    ("phase", "epoch", "losses", "message"),
    [
        ("start", -1, [1.0, 0.6, 0.9], "not clearly do better .* that it came with"),
        ("head", 0, [1.0, 0.6, 0.9], "not clearly do better .* of phase head"),
        ("fine-tune", 2, [1.0, 0.6, 0.9], "the weights of epoch 2 of phase fine-tune"),
        ("fine-tune", 3, [1.0, 0.6, 0.9], "last weights .*: once .* those of epoch 2"),
        ("fine-tune", 3, [1.0, 0.9, 0.6], "^$"),
    ],
)
def test_which_weights_stay_is_said_with_the_reason(phase, epoch, losses, message):
    history = FineTuneHistory()
    history.history = {"val_loss": [0.8, *losses]}
    history.phases = [
        Phase("head", None, 0.0, 0, 1, 2, 0.0, 0.0),
        Phase("fine-tune", 0.3, 1e-5, 1, 3, 9, 0.0, 0.0),
    ]
    history.best = {"phase": phase, "epoch": epoch}
    assert re.search(message, which_weights(history))


@pytest.mark.slow
def test_overfitting_is_said_and_noted(capsys):
    model = with_head(tiny_backbone(blocks=1))
    noise = np.random.default_rng(0).integers(0, 2, len(Y))
    history = tl.fit_head(
        model, (X, Y), (X, noise), epochs=20, learning_rate=0.1, verbose=2
    )
    overfits, kept = history.notes
    assert "overfits" in overfits
    assert re.match("The model has the (last weights|weights of epoch)", kept)
    said = capsys.readouterr().out
    assert overfits in said and kept in said


@pytest.mark.slow
def test_weights_are_averaged_over_the_later_epochs():
    model, seen = with_head(tiny_backbone(blocks=1)), []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(np.array(self.model.get_layer("out").kernel))

    averaging = tl.WeightAveraging(start=0.5)
    tl.fit_head(model, (X, Y), epochs=6, callbacks=[Note(), averaging], verbose=0)
    assert averaging.count == 3
    kernel = np.array(model.get_layer("out").kernel)
    np.testing.assert_allclose(kernel, np.mean(seen[3:], axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match="start"):
        tl.WeightAveraging(start=1.0)
