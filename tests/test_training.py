"""The two phases: what they train, what they promise, what they refuse."""

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
    with_head,
    with_recipe,
)

import tlkeras as tl
from tlkeras.training.job import open_job
from tlkeras.training.verification import Verification

X, Y = solid_colours(48, 2)


def built():
    """Returns a classifier that is not of our own, compiled."""
    return with_head(tiny_backbone(blocks=2))


@pytest.fixture(scope="module")
def ours():
    """A classifier of our own, for what leaves it as it is."""
    return tl.image_classifier(tiny_backbone(blocks=1), 2)


def batches(x=X, y=Y, size=16):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def tune(model, val=None, **arguments):
    settings = {
        "head_epochs": 2,
        "epochs": 2,
        "unfreeze_from": "block2",
        "learning_rate": 0.05,
        "fine_tune_learning_rate": 0.01,
        "verbose": 0,
    }
    return tl.fine_tune(model, batches(), val, **with_recipe(**settings | arguments))


def test_two_phases_learn_and_join_their_history(tmp_path, capsys):
    model, epochs = built(), []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert self.model is model
            epochs.append(epoch)

    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "last.keras")
    before = weights_of(model)
    history = tune(
        model,
        batches(),
        head_epochs=8,
        epochs=4,
        callbacks=[Note(), checkpoint],
        verbose=2,
        keep="last",
    )
    assert history.epoch == epochs == list(range(12))
    assert {len(values) for values in history.history.values()} == {12}
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [(p.name, p.first_epoch, p.epochs) for p in history.phases] == [
        ("head", 0, 8),
        ("fine-tune", 8, 4),
    ]
    printed = capsys.readouterr().out
    assert "Phase head: backbone frozen" in printed
    assert "Phase fine-tune: backbone trained from 'block2'" in printed
    assert "Epoch 12/12" in printed
    after = model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"]
    assert after > 0.9
    assert history.history["val_accuracy"][-1] == pytest.approx(after)
    saved = keras.models.load_model(tmp_path / "last.keras")
    np.testing.assert_array_equal(saved(X), model(X))
    # What is above the freeze point has changed, and that alone.
    changed = {
        path.split("/")[0]
        for path, value in weights_of(model).items()
        if not np.array_equal(value, before[path])
    }
    assert changed == {"block2_conv", "out"}


def test_batch_norms_train_where_asked():
    model = built()
    before = weights_of(model)
    tune(model, head_epochs=0, epochs=1, train_batch_norm=True)
    after = weights_of(model)
    assert not np.array_equal(
        before["block2_bn/moving_mean"], after["block2_bn/moving_mean"]
    )
    np.testing.assert_array_equal(
        before["block1_bn/moving_mean"], after["block1_bn/moving_mean"]
    )


def test_phase_one_equals_plain_keras_on_a_frozen_backbone():
    """Same numbers as the hand-written loop, where that does the right thing."""
    ours, plain = built(), built()
    plain.set_weights(ours.get_weights())
    frozen = weights_of(tl.find_backbone(ours))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)
    history = tl.fit_head(ours, batches(), epochs=3, learning_rate=schedule, verbose=0)
    assert history.phases[0].learning_rate == pytest.approx(0.05)
    assert_equal_weights(frozen, weights_of(tl.find_backbone(ours)))
    for mine, start in zip(
        ours.layers[-1].weights, plain.layers[-1].weights, strict=True
    ):
        assert not np.array_equal(mine, start)
    backbone = tl.find_backbone(plain)
    for layer in backbone.layers:
        layer.trainable = False
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    plain.compile(
        keras.optimizers.Adam(schedule),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    plain.fit(batches(), epochs=3, shuffle=False, verbose=0)
    for mine, theirs in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_each_phase_has_a_fresh_optimizer_of_the_users_kind_and_stops_by_itself():
    model = built()
    model.compile(
        keras.optimizers.SGD(0.5, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(note.model.optimizer)
    )
    stop = keras.callbacks.EarlyStopping(
        "loss", patience=0, min_delta=100, restore_best_weights=True
    )
    history = tune(model, head_epochs=5, epochs=5, callbacks=[note, stop])
    assert [phase.epochs for phase in history.phases] == [2, 2]
    first, second = seen
    assert first is not second
    assert isinstance(second, keras.optimizers.SGD) and second.momentum == 0.9
    assert float(second.learning_rate) == pytest.approx(0.01)
    assert int(second.iterations) == 2 * 3


@pytest.mark.slow
def test_gradual_unfreezing_runs_a_stage_for_each_freeze_point():
    history = tune(
        with_head(tiny_backbone()),
        head_epochs=1,
        epochs=[1, 2],
        unfreeze_from=["block3", "block2"],
    )
    assert [(p.name, p.unfreeze_from, p.epochs) for p in history.phases] == [
        ("head", None, 1),
        ("fine-tune 1", "block3", 1),
        ("fine-tune 2", "block2", 2),
    ]
    assert history.phases[1].trainable < history.phases[2].trainable


@pytest.mark.parametrize(
    "cache", ["memory", pytest.param(False, marks=pytest.mark.slow)]
)
def test_callbacks_find_out_themselves_which_way_a_metric_goes(cache, tmp_path):
    model = with_head(tiny_backbone(blocks=1))
    metrics = ["accuracy", "mae", keras.metrics.AUC(name="auc")]
    model.compile("sgd", "categorical_crossentropy", metrics=metrics, jit_compile=False)
    y = np.eye(2, dtype="float32")[Y]
    path = tmp_path / "best.keras"
    best = {"monitor": "val_auc", "save_best_only": True}
    callbacks = [
        keras.callbacks.EarlyStopping("val_accuracy"),
        keras.callbacks.ModelCheckpoint(path, **best),
        keras.callbacks.ReduceLROnPlateau("val_mae"),
    ]
    part, given = (X, y), {"cache": cache, "callbacks": callbacks}
    tl.fit_head(model, part, part, epochs=2, **given, verbose=0)
    found = [callback.monitor_op for callback in callbacks]
    assert found == [keras.ops.greater, keras.ops.greater, keras.ops.less]
    assert path.exists()
    # What the model measures afterwards is not what the phase has counted.
    if cache is False:
        measured = model.evaluate(X, y, return_dict=True, verbose=0)
        right = np.argmax(model(X), axis=-1) == Y
        assert measured["accuracy"] == pytest.approx(np.mean(right))


def test_own_loss_and_metric_pass_through_and_callbacks_set_the_learning_rate():
    def own_loss(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred) + 7.0

    model = built()
    metric = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model.compile("adam", own_loss, metrics=[metric], jit_compile=False)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"])
    )
    history = tune(model, epochs=0, callbacks=[schedule, note])
    assert history.history["top2"] == [1.0] * 2
    assert min(history.history["loss"]) > 7.0
    np.testing.assert_allclose(rates, [0.1, 0.05], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_survives_the_file(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = tl.image_classifier(tiny_backbone(), 2)
    tune(model, head_epochs=6)
    model.save(tmp_path / "m.keras")
    keras.config.set_dtype_policy("float32")
    again = tl.load(tmp_path / "m.keras")
    assert again.classify(X[:4]) == model.classify(X[:4])
    history = tune(again)
    scaled = isinstance(again.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert history.history["accuracy"][-1] > 0.9


@pytest.mark.slow
def test_multi_label_and_regression_train():
    both = np.stack([Y, 1 - Y, Y >= 0], axis=1).astype("float32")
    backbone = tiny_backbone(blocks=1)
    model = tl.image_classifier(backbone, ["a", "b", "c"], multi_label=True)
    history = tl.fit_head(
        model, batches(y=both), epochs=20, learning_rate=0.1, verbose=0
    )
    assert history.history["accuracy"][-1] > 0.9
    model = tl.image_regressor(tiny_backbone(blocks=1))
    history = tl.fit_head(
        model, batches(y=Y.astype("float32")), epochs=8, learning_rate=0.05, verbose=0
    )
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


def test_an_interrupted_phase_leaves_a_usable_model():
    model = built()

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(model, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
    assert open_job(model, batches()).train is not None


def test_a_diverging_run_raises_and_says_so():
    model = tl.image_regressor(tiny_backbone(blocks=1))
    huge = (X, Y * np.float32(1e30))
    with pytest.raises(
        tl.PhaseError,
        match="head stopped in .* steps 1 to 2 of epoch 1: the loss became nan",
    ):
        tl.fit_head(model, huge, learning_rate=1e30, verbose=0)


def test_a_changed_frozen_weight_raises():
    model = built()
    frozen = tl.find_backbone(model).get_layer("stem_conv").bias

    class Meddle(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            frozen.assign(frozen + 1.0)

    with pytest.raises(tl.PhaseError, match="Frozen weights changed.*stem_conv/bias"):
        tune(model, head_epochs=1, callbacks=[Meddle()])


@pytest.mark.slow
def test_weights_of_the_same_path_are_told_apart():
    inputs = keras.Input((16, 16, 3))
    left, right = tiny_backbone(), tiny_backbone()
    right.name = "right"
    x = keras.layers.Concatenate()([left(inputs), right(inputs)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    right.trainable = False
    history = tune(model, backbone="right")
    assert len(history.epoch) == 4


def test_weights_that_do_not_move_and_flags_that_change_raise():
    model = tl.freeze(built())
    history = keras.callbacks.History()
    history.history = {"loss": [1.0]}
    verification, suffix = Verification(model), tl.split_model(model).suffix
    with pytest.raises(tl.PhaseError, match="No trainable weight moved"):
        verification.verify(suffix, history)
    tl.find_backbone(model).get_layer("block1_conv").trainable = True
    with pytest.raises(tl.PhaseError, match="flags changed"):
        verification.verify(suffix, history)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unfreeze_from": "blok9"}, "No such freeze point"),
        ({"unfreeze_from": []}, "as many stages"),
        ({"epochs": [1, 2]}, "as many stages"),
        ({"epochs": -1}, "at least 0"),
        ({"head_epochs": 0, "epochs": 0}, "nothing to train"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"fine_tune_learning_rate": "fast"}, "above 0"),
        ({"backbone": "nobody"}, "names no model"),
    ],
)
def test_bad_arguments_change_nothing(ours, arguments, message):
    before = weights_of(ours)
    with pytest.raises(ValueError, match=message):
        tune(ours, **{"unfreeze_from": "block1", **arguments})
    assert_equal_weights(before, weights_of(ours))


def test_an_uncompiled_model_is_refused():
    model = built()
    fresh = keras.Model(model.inputs, model.outputs)
    with pytest.raises(ValueError, match="not compiled"):
        tune(fresh)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y + 1, "from 0 to 1, for the model's 2 classes"),
        (X, Y - 1, "from 0 to 1"),
        (X, Y * 0.5, "whole numbers"),
        (X, np.where(Y == 1, np.nan, Y), "NaN or infinity"),
        (X, np.where(Y == 1, "a", "b"), "must be numbers"),
        (X, np.eye(3)[Y], r"takes labels of shape \(n, 2\)"),
        (X[:, :8], Y, "does not fit the model"),
        (X[..., :1], Y, "does not fit the model"),
        (X[:5], Y, "as many labels as inputs"),
        (X[:0], Y[:0], "at least one"),
    ],
)
def test_data_that_do_not_fit(ours, x, y, message):
    before = weights_of(ours)
    with pytest.raises(ValueError, match=message):
        tl.fit_head(ours, (x, y), verbose=0)
    assert_equal_weights(before, weights_of(ours))


def test_datasets_that_do_not_fit(ours):
    for data, message in (
        (batches().take(0), "is empty"),
        (batches().unbatch(), "does not fit the model"),
        (batches().map(lambda x, y: x), "must be a batched dataset"),
        (7, "must be a batched dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            tl.fit_head(ours, data, verbose=0)
    with pytest.raises(ValueError, match="Labels in `validation_data`"):
        tl.fit_head(ours, batches(), (X, Y + 5), verbose=0)


def test_metrics_of_an_epoch_are_of_that_epoch_alone():
    """A metric object keeps what the phase before, or the user, has evaluated."""
    x, y = solid_colours(16, 2)
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model = with_head(tiny_backbone(blocks=0))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
    model.evaluate(x, y, verbose=0)
    tl.fit_head(model, (x, y), epochs=1, cache=False, verbose=0)
    assert float(metric.count) == 16


def test_a_freeze_point_above_all_that_trains_leaves_the_head():
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    before = weights_of(model.backbone)
    stop = keras.callbacks.EarlyStopping("accuracy")
    settings = {"unfreeze_from": np.int64(-1), "cache": "memory", "callbacks": [stop]}
    history = tune(model, head_epochs=1, epochs=1, **settings)
    assert stop.monitor_op == keras.ops.greater
    assert [phase.name for phase in history.phases] == ["head", "fine-tune"]
    assert_equal_weights(before, weights_of(model.backbone))
    assert model.record.runs[0].phases[1]["unfreeze_from"] == -1


def test_metrics_of_a_head_say_which_way_they_go():
    model = tl.image_classifier(tiny_backbone(blocks=0), 2)
    stop = keras.callbacks.EarlyStopping("val_accuracy")
    model.fit(X, Y, validation_data=(X, Y), callbacks=[stop], verbose=0)
    assert stop.monitor_op == keras.ops.greater
