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
from tlkeras.training.verification import Verification

X, Y = solid_colours(48, 2)


def batches(x=X, y=Y, size=16):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def tune(model, val=None, **arguments):
    settings = {
        "head_epochs": 2,
        "epochs": 2,
        "unfreeze_from": "block3",
        "learning_rate": 0.05,
        "fine_tune_learning_rate": 0.01,
        "verbose": 0,
    }
    return tl.fine_tune(model, batches(), val, **with_recipe(**settings | arguments))


def test_two_phases_learn_and_join_their_history():
    model = with_head(tiny_backbone())
    before = model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"]
    history = tune(model, batches(), head_epochs=8, epochs=4)
    assert history.epoch == list(range(12))
    assert {len(values) for values in history.history.values()} == {12}
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [(p.name, p.first_epoch, p.epochs) for p in history.phases] == [
        ("head", 0, 8),
        ("fine-tune", 8, 4),
    ]
    after = model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"]
    assert after > max(before, 0.9)
    assert history.history["val_accuracy"][-1] == pytest.approx(after)


def test_phase_one_changes_the_head_alone():
    model = with_head(tiny_backbone())
    backbone = weights_of(tl.find_backbone(model))
    head = weights_of(model.get_layer("out"))
    tl.fit_head(model, batches(), epochs=1, verbose=0)
    assert_equal_weights(backbone, weights_of(tl.find_backbone(model)))
    for path, value in weights_of(model.get_layer("out")).items():
        assert not np.array_equal(value, head[path])


def test_phase_two_changes_what_is_above_the_freeze_point_alone():
    model = with_head(tiny_backbone())
    before = weights_of(model)
    tune(model, head_epochs=0)
    changed = {
        path.split("/")[0]
        for path, value in weights_of(model).items()
        if not np.array_equal(value, before[path])
    }
    assert changed == {"block3_conv", "out"}


def test_batch_norms_train_where_asked():
    model = with_head(tiny_backbone())
    before = weights_of(model)
    tune(model, head_epochs=0, train_batch_norm=True)
    after = weights_of(model)
    assert not np.array_equal(
        before["block3_bn/moving_mean"], after["block3_bn/moving_mean"]
    )
    np.testing.assert_array_equal(
        before["block2_bn/moving_mean"], after["block2_bn/moving_mean"]
    )


def test_phase_one_equals_plain_keras_on_a_frozen_backbone():
    """Same numbers as the hand-written loop, where that does the right thing."""
    ours, plain = (with_head(tiny_backbone()) for _ in range(2))
    plain.set_weights(ours.get_weights())
    tl.fit_head(ours, batches(), epochs=3, learning_rate=0.05, verbose=0)
    backbone = tl.find_backbone(plain)
    for layer in backbone.layers:
        layer.trainable = False
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    plain.compile(
        keras.optimizers.Adam(0.05),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    plain.fit(batches(), epochs=3, shuffle=False, verbose=0)
    for mine, theirs in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_each_phase_has_a_fresh_optimizer_of_the_users_kind():
    model = with_head(tiny_backbone())
    model.compile(
        keras.optimizers.SGD(0.5, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(note.model.optimizer)
    )
    tune(model, callbacks=[note])
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


@pytest.mark.contract
def test_callbacks_see_the_whole_model_and_continuous_epochs(tmp_path):
    model, epochs = with_head(tiny_backbone()), []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert self.model is model
            epochs.append(epoch)

    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    tune(model, callbacks=[Note(), checkpoint])
    assert epochs == [0, 1, 2, 3]
    saved = keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(
        saved.predict(X, verbose=0), model.predict(X, verbose=0)
    )


def test_early_stopping_stops_its_phase_and_restores_the_model():
    model = with_head(tiny_backbone())
    stop = keras.callbacks.EarlyStopping(
        "loss", patience=0, min_delta=100, restore_best_weights=True
    )
    history = tune(model, head_epochs=5, epochs=5, callbacks=[stop])
    assert [phase.epochs for phase in history.phases] == [2, 2]


@pytest.mark.parametrize(
    ("watching", "monitor", "better", "cache"),
    [
        (keras.callbacks.EarlyStopping, "val_accuracy", "greater", "memory"),
        (keras.callbacks.ModelCheckpoint, "val_auc", "greater", False),
        (keras.callbacks.ReduceLROnPlateau, "val_mae", "less", "memory"),
    ],
)
def test_callbacks_find_out_themselves_which_way_a_metric_goes(
    watching, monitor, better, cache, tmp_path
):
    model = with_head(tiny_backbone(blocks=1))
    metrics = ["accuracy", "mae", keras.metrics.AUC(name="auc")]
    model.compile("sgd", "categorical_crossentropy", metrics=metrics, jit_compile=False)
    y = np.eye(2, dtype="float32")[Y]
    settings = {"save_best_only": True, "filepath": tmp_path / "best.keras"}
    kept = watching is keras.callbacks.ModelCheckpoint
    callback = watching(monitor=monitor, **settings if kept else {"min_delta": 0.001})
    part, given = (X, y), {"cache": cache, "callbacks": [callback]}
    tl.fit_head(model, part, part, epochs=2, **given, verbose=0)
    assert callback.monitor_op is getattr(keras.ops, better)
    assert not kept or (tmp_path / "best.keras").exists()
    # What the model measures afterwards is not what the phase has counted.
    measured = model.evaluate(X, y, return_dict=True, verbose=0)
    predicted = model.predict(X, verbose=0).argmax(-1)
    assert measured["accuracy"] == pytest.approx(np.mean(predicted == Y))


def test_the_learning_rate_can_be_set_through_the_model():
    model, rates = with_head(tiny_backbone()), []
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"])
    )
    tune(model, callbacks=[schedule, note])
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3, 0.025], rtol=1e-6)


def test_a_schedule_is_a_learning_rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)
    history = tune(with_head(tiny_backbone()), epochs=0, learning_rate=schedule)
    assert history.phases[0].learning_rate == pytest.approx(0.05)


def test_class_weights_shift_the_balance():
    def share_of_ones(weights):
        keras.utils.set_random_seed(1)
        model = with_head(tiny_backbone())
        noise = np.random.default_rng(0).uniform(0, 255, X.shape)
        tl.fit_head(
            model,
            batches(noise),
            epochs=10,
            learning_rate=0.1,
            recipe=tl.Recipe(class_weight=weights),
            verbose=0,
        )
        return model.predict(noise, verbose=0)[:, 1].mean()

    assert share_of_ones({0: 0.01, 1: 1.0}) > share_of_ones({0: 1.0, 1: 0.01}) + 0.2


def test_own_loss_and_metric_pass_through():
    def own_loss(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred) + 7.0

    model = with_head(tiny_backbone())
    metric = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model.compile("adam", own_loss, metrics=[metric], jit_compile=False)
    history = tune(model)
    assert history.history["top2"] == [1.0] * 4
    assert min(history.history["loss"]) > 7.0


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


def test_multi_label_and_regression_train():
    both = np.stack([Y, 1 - Y], axis=1).astype("float32")
    model = tl.image_classifier(tiny_backbone(), ["a", "b"], multi_label=True)
    history = tl.fine_tune(
        model,
        batches(y=both),
        head_epochs=20,
        epochs=1,
        learning_rate=0.1,
        verbose=0,
    )
    assert history.history["accuracy"][-1] > 0.9
    model = tl.image_regressor(tiny_backbone())
    history = tl.fit_head(
        model, batches(y=Y.astype("float32")), epochs=8, learning_rate=0.05, verbose=0
    )
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


def test_an_interrupted_phase_leaves_a_usable_model():
    model = with_head(tiny_backbone())

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(model, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
    tune(model, epochs=0)


def test_progress_names_the_phases(capsys):
    tune(with_head(tiny_backbone()), verbose=2)
    printed = capsys.readouterr().out
    assert "Phase head: backbone frozen" in printed
    assert "Phase fine-tune: backbone trained from 'block3'" in printed
    assert "Epoch 4/4" in printed


def test_a_diverging_run_raises_and_says_so():
    model = tl.image_regressor(tiny_backbone())
    huge = (X, Y * np.float32(1e30))
    with pytest.raises(
        tl.PhaseError,
        match="head stopped in .* steps 1 to 2 of epoch 1: the loss became nan",
    ):
        tl.fit_head(model, huge, learning_rate=1e30, verbose=0)


def test_a_changed_frozen_weight_raises():
    model = with_head(tiny_backbone())
    frozen = tl.find_backbone(model).get_layer("stem_conv").bias

    class Meddle(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            frozen.assign(frozen + 1.0)

    with pytest.raises(tl.PhaseError, match="Frozen weights changed.*stem_conv/bias"):
        tune(model, callbacks=[Meddle()])


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


def test_weights_that_do_not_move_raise():
    model = tl.freeze(with_head(tiny_backbone()))
    history = keras.callbacks.History()
    history.history = {"loss": [1.0]}
    with pytest.raises(tl.PhaseError, match="No trainable weight moved"):
        Verification(model).verify(tl.split_model(model).suffix, history)


def test_flags_changed_during_a_phase_raise():
    model = with_head(tiny_backbone())

    class Thaw(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            tl.find_backbone(model).get_layer("block1_conv").trainable = True

    with pytest.raises(tl.PhaseError, match="flags changed"):
        tune(model, callbacks=[Thaw()])


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
def test_bad_arguments_change_nothing(arguments, message):
    model = with_head(tiny_backbone())
    before = weights_of(model)
    with pytest.raises(ValueError, match=message):
        tune(model, **arguments)
    assert_equal_weights(before, weights_of(model))


def test_a_freeze_point_above_all_that_trains_leaves_the_head():
    model = with_head(tiny_backbone())
    before = weights_of(tl.find_backbone(model))
    history = tune(model, unfreeze_from=-1, head_epochs=1, epochs=1, cache="memory")
    assert [phase.name for phase in history.phases] == ["head", "fine-tune"]
    assert_equal_weights(before, weights_of(tl.find_backbone(model)))


def test_an_uncompiled_model_is_refused():
    model = with_head(tiny_backbone())
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
def test_data_that_do_not_fit(x, y, message):
    model = tl.image_classifier(tiny_backbone(), 2)
    before = weights_of(model)
    with pytest.raises(ValueError, match=message):
        tl.fit_head(model, (x, y), verbose=0)
    assert_equal_weights(before, weights_of(model))


def test_datasets_that_do_not_fit():
    model = tl.image_classifier(tiny_backbone(), 2)
    for data, message in (
        (batches().take(0), "is empty"),
        (batches().unbatch(), "does not fit the model"),
        (batches().map(lambda x, y: x), "must be a batched dataset"),
        (7, "must be a batched dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            tl.fit_head(model, data, verbose=0)
    with pytest.raises(ValueError, match="Labels in `validation_data`"):
        tl.fit_head(model, batches(), (X, Y + 5), verbose=0)


def test_metrics_of_an_epoch_are_of_that_epoch_alone():
    """A metric object keeps what the phase before, or the user, has evaluated."""
    x, y = solid_colours(16, 2)
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model = with_head(tiny_backbone())
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
    model.evaluate(x, y, verbose=0)
    tl.fit_head(model, (x, y), epochs=1, cache=False, verbose=0)
    assert float(metric.count) == 16


def test_a_freeze_point_may_be_a_number_of_numpy():
    model = tl.image_classifier(tiny_backbone(), 2)
    x, y = solid_colours(8, 2)
    point = np.int64(-2)
    tl.fine_tune(model, (x, y), head_epochs=0, epochs=1, unfreeze_from=point, verbose=0)
    assert model.record.runs[0].phases[0]["unfreeze_from"] == -2


def test_metrics_of_a_head_say_which_way_they_go():
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    first, second = (keras.callbacks.EarlyStopping("val_accuracy") for _ in range(2))
    tl.fit_head(model, (X, Y), (X, Y), epochs=1, callbacks=[first], verbose=0)
    model.fit(X, Y, validation_data=(X, Y), callbacks=[second], verbose=0)
    assert {first.monitor_op, second.monitor_op} == {keras.ops.greater}
