"""Batches of one shape, with the numbers of those that are not, and when XLA pays."""

import functools
import re
from types import SimpleNamespace as Namespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import solid_colours, tiny_backbone

import tlkeras as tl
from tlkeras.compress.teaching import JointLoss
from tlkeras.distribution import predict
from tlkeras.distribution.replicated import ReplicatedModel
from tlkeras.features.extraction import on_all_devices
from tlkeras.freezing import freeze
from tlkeras.outputs.known import KnownLoss
from tlkeras.runtime import Runtime
from tlkeras.training import phase, xla
from tlkeras.training.feeding import Feeder
from tlkeras.training.job import Fitting, open_job
from tlkeras.training.xla import StepTimes, why_not_filled, with_xla

# Training batches are of 6 and 5 examples, those of validation of 4 and 3.
X, Y = solid_colours(17, 2, size=8)
VAL_X, VAL_Y = solid_colours(7, 2, size=8, seed=1)
WEIGHTS = np.linspace(0.2, 2, 17)


def backbone():
    layers = tiny_backbone(8, width=2, blocks=1)
    layers.get_layer("block1_dropout").rate = 0.0
    return layers


def penalised():
    model = tl.image_classifier(backbone(), 2)
    kernel = model.layers[-1].kernel
    kernel.regularizer = keras.regularizers.L2(0.1)
    kernel.assign(np.eye(*kernel.shape))
    return model


def of_heads():
    heads = {"kind": tl.Classes(2), "length": tl.Numbers(1, weight=0.1)}
    return tl.image_classifier(backbone(), heads)


CASES = {
    "weights, a penalty": (penalised, (X, Y, WEIGHTS), (VAL_X, VAL_Y)),
    "heads with missing labels": (
        of_heads,
        (
            X,
            {
                "kind": np.where(np.arange(17) % 5 == 0, -1, Y),
                "length": np.where(np.arange(17) % 3 == 0, np.nan, 0.5 * Y),
            },
        ),
        (VAL_X, {"kind": VAL_Y, "length": 0.5 * VAL_Y}),
    ),
}


def asked_for(monkeypatch, value):
    runtime = Runtime("float32", xla=value)
    monkeypatch.setattr(xla, "current_runtime", lambda: runtime)


def trained(case):
    keras.utils.set_random_seed(0)
    build, train, val = CASES[case]
    model = build()
    history = tl.fine_tune(
        model,
        train,
        val,
        head_epochs=0,
        epochs=1,
        unfreeze_from="block1_bn",
        cache="memory",
        recipe=tl.Recipe(batch_size=6, keep="last"),
        verbose=0,
    )
    return history.history, model.get_weights()


@functools.cache
def plainly(case):
    return trained(case)


def assert_same(*results):
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *results
    )


@pytest.mark.slow
def test_filled_batches_give_the_same_numbers(monkeypatch):
    # What fills them up has nothing to do with what compiles them.
    monkeypatch.setattr(phase, "with_xla", lambda job, feed, *_: (feed.filled(), False))
    case = "heads with missing labels"
    assert_same(trained(case), plainly(case))


@pytest.mark.slow
def test_each_step_is_compiled_for_one_shape(monkeypatch):
    feeds, traced, compile_phase = [], [], phase.compile_phase

    def watch(run, stage, feed, xla):
        feeds.append(feed)
        return compile_phase(run, stage, feed, xla)

    def counted(step, name):
        def count(self, data):
            traced.append(name)
            return step(self, data)

        return count

    case = "weights, a penalty"
    expected = plainly(case)
    asked_for(monkeypatch, True)
    monkeypatch.setattr(phase, "compile_phase", watch)
    for name in ("train_step", "test_step"):
        step = getattr(ReplicatedModel, name)
        monkeypatch.setattr(ReplicatedModel, name, counted(step, name))
    assert_same(trained(case), expected)
    assert feeds[0].model.jit_compile
    for name in ("x", "validation_data"):
        spec = feeds[0].arguments[name].element_spec[0]
        assert {each.shape[0] for each in keras.tree.flatten(spec)} == {6}
    assert traced == ["train_step", "test_step"]


def small(*layers, **compiled):
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(**{"loss": "mse", **compiled}, jit_compile=False)
    return model


class Own(keras.layers.Dense):
    """A layer that tlkeras does not know."""


def own_function(y, outputs):
    return keras.ops.mean((y - outputs) ** 2)


class OwnLoss(keras.Sequential):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


TAUGHT = JointLoss("mean_squared_error", tl.Numbers(1), 1, 1.0, 0.5)
SUM = keras.losses.MeanSquaredError(reduction="sum")
PENALTY = {"activity_regularizer": "l2"}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: small(metrics=["mae", keras.metrics.AUC()]), None),
        (lambda: small(keras.layers.BatchNormalization(trainable=False)), None),
        (lambda: small(loss=keras.losses.Huber(), metrics=[["mae"]]), None),
        (lambda: small(keras.layers.BatchNormalization()), "batch norm that trains"),
        (lambda: small(keras.layers.Dense(1, **PENALTY)), "penalty on its outputs"),
        (lambda: small(Own(2)), "layer 'own.*is your own"),
        (lambda: small(weighted_metrics=["mae"]), "`weighted_metrics`"),
        (lambda: small(loss=own_function), "loss 'own_function'"),
        (lambda: small(loss="dice"), "loss 'dice'"),
        (lambda: small(loss=TAUGHT), "loss 'distillation'"),
        (lambda: small(loss=KnownLoss(own_function)), "loss 'own_function'"),
        (lambda: small(loss=SUM), "reduction 'sum'"),
        (lambda: small(metrics=[own_function]), "metric 'own_function'"),
        (lambda: OwnLoss([keras.Input((4,)), keras.layers.Dense(1)]), "own loss"),
    ],
)
def test_what_looks_at_a_batch_as_a_whole_keeps_it_as_it_is(model, reason):
    model = model()
    found = why_not_filled(Namespace(model=model), Namespace(plain=model, refill=len))
    assert found is None if reason is None else re.search(reason, found), found


def test_data_of_the_users_own_keep_their_batches(monkeypatch, capsys):
    job = Namespace(model=small(), fitting=Fitting(verbose=1))
    feed = Namespace(plain=job.model, refill=None)
    asked_for(monkeypatch, True)
    assert with_xla(job, feed, 1, 0.0) == (feed, True)
    assert "each size of batch anew: the data have batches" in capsys.readouterr().out


def test_a_phase_that_is_long_enough_is_measured(monkeypatch, capsys):
    asked_for(monkeypatch, "auto")
    model = penalised()
    job = open_job(model, (X, Y), fitting=Fitting("memory", verbose=1))
    freeze(model, "block1_bn")
    feed = Feeder(job, [0]).feed(0, 0)
    capsys.readouterr()
    assert with_xla(job, feed, epochs=1, guess=1.0) == (feed, False)
    assert capsys.readouterr().out == ""
    before = model.get_weights()
    assert with_xla(job, feed, epochs=1, guess=10_000.0) == (feed, False)
    assert "steps take about 0 s" in capsys.readouterr().out
    monkeypatch.setattr(xla, "_SECONDS_PER_LAYER", 0.0)
    monkeypatch.setattr(StepTimes, "pays", lambda self, steps: True)
    filled, compiles = with_xla(job, feed, epochs=1, guess=1.0)
    assert compiles and filled.replicas.is_static
    assert re.search(r"With XLA, for 1 steps: .* ms without", capsys.readouterr().out)
    assert_same(before, model.get_weights())


def test_compiling_must_save_twice_what_it_takes():
    times = StepTimes(plain=0.010, compiled=0.006, compiling=30)
    assert times.pays(16_000) and not times.pays(14_000)
    assert not StepTimes(plain=0.006, compiled=0.010, compiling=1).pays(10**9)


def test_predictions_are_made_in_one_shape(monkeypatch):
    shapes = []

    def double(x, **kwargs):
        shapes.append(x.shape)
        return {"twice": 2 * x}

    model, x = small(), np.arange(24.0).reshape(6, 4)
    model.jit_compile = True
    for rows, found in ((6, [(4, 4), (4, 4)]), (8, [(8, 4)]), (1, [(4, 4)])):
        shapes.clear()
        given = np.resize(x, (rows, 4))
        np.testing.assert_array_equal(
            predict(model, double, given, 4)["twice"], 2 * given
        )
        assert shapes == found
    monkeypatch.setattr(model, "predict_on_batch", lambda x: double(x)["twice"][:, :1])
    shapes.clear()
    tl.evaluate(model, (np.resize(x, (40, 4)), np.zeros(40)), verbose=0)
    assert shapes == [(32, 4), (32, 4)]


def test_a_tpu_extracts_in_one_shape():
    shapes, strategy = [], tf.distribute.OneDeviceStrategy("CPU:0")

    def double(batch):
        shapes.append(batch.shape)
        return 2 * batch

    run = on_all_devices(double, strategy, size=4)
    for rows in (4, 3):
        np.testing.assert_array_equal(run(np.ones((rows, 2))), np.full((rows, 2), 2.0))
    assert shapes == [(4, 2)]
