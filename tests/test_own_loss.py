"""A `compute_loss` of the user's own trains in every phase; a step is refused."""

import types

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_recipe
from runs import plain_backbone

import tlkeras as tl
from tlkeras.training import compatibility
from tlkeras.training.own_loss import OwnLossModel, own_loss

X, Y = solid_colours(48, 2)
RATE = 0.05


def batches():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X.astype("float32"), Y)).batch(16)


@keras.saving.register_keras_serializable("tests")
class Penalised(keras.Model):
    """Dark pictures count more, and sure answers cost; it keeps a metric of its own."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.penalty = keras.metrics.Mean(name="penalty")

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        plain = super().compute_loss(x, y, y_pred, sample_weight)
        darkness = 1.0 - keras.ops.mean(x, axis=(1, 2, 3)) / 255.0
        penalty = keras.ops.mean(darkness * keras.ops.max(y_pred, axis=-1))
        self.penalty.update_state(penalty)
        return plain + 3.0 * penalty


class Counted(Penalised):
    """Its metrics read the inputs, too."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**found, "brightest": keras.ops.max(x)}


def build(kind, backbone=None, seed=0):
    keras.utils.set_random_seed(seed)
    backbone = backbone or plain_backbone()
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    outputs = keras.layers.Dense(2, activation="softmax", name="out")(x)
    model = kind(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def by_hand(model, point, epochs):
    """Trains all of the model, as the Keras guide does."""
    tl.freeze(model, point)
    return model.fit(
        batches(), epochs=epochs, shuffle=False, validation_data=batches(), verbose=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Penalised, Counted])
def test_both_phases_train_as_plain_keras_does(kind):
    ours, plain = build(kind), build(kind)
    history = tl.fine_tune(
        ours,
        batches(),
        batches(),
        head_epochs=1,
        epochs=1,
        unfreeze_from="block1",
        learning_rate=RATE,
        fine_tune_learning_rate=RATE,
        verbose=0,
    ).history
    expected = [by_hand(plain, None, 1).history, by_hand(plain, "block1", 1).history]
    start = build(kind).get_weights()
    moved = 0
    for mine, theirs, before in zip(
        ours.get_weights(), plain.get_weights(), start, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)
        moved += not np.array_equal(mine, before)
    assert moved >= 6
    for name in ("loss", "penalty", "accuracy", "val_loss", "val_penalty"):
        both = expected[0][name] + expected[1][name]
        np.testing.assert_allclose(history[name], both, rtol=1e-5, err_msg=name)
    assert ("brightest" in history) == (kind is Counted)


def test_a_method_of_the_instance_and_of_old_times_is_kept_as_well(capsys):
    """What it reads may be the inputs, so that nothing is cached."""
    # A predict step of its own is kept, too.
    kind = type("Stepped", (keras.Model,), {"predict_step": lambda self, data: data})
    model, seen = build(kind, tiny_backbone(blocks=1)), []

    def compute_loss(self, x, y, y_pred, sample_weight):
        seen.append(tuple(x.shape[1:]))
        return keras.ops.mean(y_pred**2)

    model.compute_loss = types.MethodType(compute_loss, model)
    history = tl.fit_head(model, (X, Y), epochs=1, verbose=2)
    said = capsys.readouterr().out
    assert "Not cached: the model's own loss may read its inputs" in said
    assert seen and set(seen) == {(16, 16, 3)}
    assert 0.2 < history.history["loss"][0] < 0.6
    assert type(model) is kind
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)


def test_models_of_keras_and_of_ours_have_none():
    model = build(keras.Model)
    sequential = keras.Sequential([keras.Input((16, 16, 3)), tiny_backbone(blocks=1)])
    transfer = tl.image_classifier(tiny_backbone(blocks=1), 2)
    assert not any(map(own_loss, (model, sequential, transfer)))
    assert own_loss(OwnLossModel(model, build(Penalised)))


@pytest.mark.parametrize("name", ["train_step", "test_step"])
def test_a_step_of_its_own_is_refused(name):
    kind = type("Stepped", (keras.Model,), {name: lambda self, data: {}})
    for model in (build(kind), build(keras.Model)):
        if type(model) is not kind:
            setattr(model, name, lambda data: {})
        before = model.get_weights()
        for verb in (tl.fit_head, tl.fine_tune, tl.find_learning_rate):
            with pytest.raises(ValueError, match=f"`{name}` of its own.*model.fit"):
                verb(model, (X, Y), verbose=0)
        for mine, old in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(mine, old)


def test_several_replicas_refuse_it(monkeypatch):
    monkeypatch.setattr(compatibility, "strategy_of", lambda model: "two replicas")
    compatibility.check_model(build(keras.Model))
    with pytest.raises(ValueError, match="`compute_loss` of its own: on several rep"):
        compatibility.check_model(build(Penalised))


@pytest.mark.slow
def test_the_learning_rate_is_found_with_the_models_own_loss():
    model = build(Penalised)
    found = tl.find_learning_rate(model, (X, Y), start=1e-4, verbose=0)
    assert found.losses[0] > 1.0 and found.suggestion > 1e-4
    assert type(model) is Penalised and float(model.penalty.result()) == 0.0


@pytest.mark.slow
def test_an_interrupted_epoch_goes_on(tmp_path, monkeypatch):
    from runs import StopAt, Stopped

    from tlkeras.training import resume

    monkeypatch.setattr(resume, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(resume, "_SHARE", 1e9)
    found = []
    for stops in ([None], [5, None]):
        folder, model = tmp_path / str(len(stops)), None
        for stop in stops:
            model = build(Penalised)
            arguments = with_recipe(epochs=3, batch_size=16, optimizer="sgd", verbose=0)
            try:
                history = tl.fit_head(
                    model,
                    (X, Y),
                    callbacks=[StopAt(stop)],
                    checkpoint_dir=folder,
                    **arguments,
                )
            except Stopped:
                continue
        found.append((model.get_weights(), history.history))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][1] == found[1][1]


@pytest.mark.slow
def test_a_student_with_a_loss_of_its_own_is_refused():
    class Odd(tl.TransferModel):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            return keras.ops.mean(y_pred)

    teacher = tl.image_classifier(tiny_backbone(blocks=1), 2)
    student = Odd(teacher.input, teacher.output)
    student.problem = teacher.problem
    student.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="`compute_loss` of its own: a student"):
        tl.distill(teacher, student, (X, Y), verbose=0)
