"""Trains on one device and on two replicas of it; prints how far the results differ.

    python tests/replicas_script.py CASE...

Run by `test_distribution.py`, in a process of its own: logical devices must be made
before TensorFlow computes anything. The last line of the output is JSON.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from helpers import with_recipe
from runs import SETTINGS, VAL_X, VAL_Y, StopAt, Stopped, X, Y, plain_backbone
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.distribution import Replicas
from tlkeras.training import resume

REPLICAS = 2
TWO = None
# Phase two alone, which trains the head as well: half as much to trace. Both phases and
# later epochs are there where a case is about them.
SHORT = {"head_epochs": 0, "epochs": 1}
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def classifier(**arguments):
    return tl.image_classifier(plain_backbone(), 3, **arguments)


def weights_of(model):
    return [np.array(v, "float32") for v in model.weights]


def largest(ones, others):
    pairs = zip(ones, others, strict=True)
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


def configured(strategy, precision="float32"):
    tl.configure(precision=precision, strategy=strategy, seed=0)


def fitted(strategy, build, train, val, precision="float32", fit=tl.fine_tune, **given):
    """Returns model, history and by how much the most moved weight moved."""
    configured(strategy, precision)
    with tl.current_runtime().scope():
        model = build()
    before = weights_of(model)
    settings = {**SETTINGS, **given}
    if isinstance(settings["optimizer"], type(lambda: 0)):
        settings["optimizer"] = settings["optimizer"]()
    if "callbacks" in settings:
        settings["callbacks"] = settings["callbacks"]()
    history = fit(model, train, val, **with_recipe(**settings))
    return model, history.history, largest(before, weights_of(model))


def alike(build=classifier, train=(X, Y), val=(VAL_X, VAL_Y), **given):
    """Trains on one device and on two replicas; returns what differs."""
    one, two = (
        fitted(strategy, build, train, val, **{**SHORT, **given})
        for strategy in ("none", TWO)
    )
    return compared(one, two)


def compared(one, two):
    """Returns what differs between two runs of `fitted`."""
    (model, one, moved), (replicated, two, _) = one, two
    if one.keys() != two.keys():
        raise AssertionError(f"{sorted(one)} against {sorted(two)}")
    return {
        "difference": largest(weights_of(model), weights_of(replicated)),
        "moved": moved,
        "history": max(largest([one[key]], [two[key]]) for key in one),
        "logged": sorted(one),
        "epochs": [len(one["loss"]), len(two["loss"])],
        "worst": max(one, key=lambda key: largest([one[key]], [two[key]])),
    }


@contextlib.contextmanager
def static_shapes():
    """Fills batches up, as for devices that need shapes known beforehand."""
    plain = Replicas.is_static
    Replicas.is_static = property(lambda self: self.strategy is not None)
    try:
        yield
    finally:
        Replicas.is_static = plain


# Runs that several cases compare: each is trained once.


@functools.cache
def cached_run(strategy):
    return fitted(strategy, classifier, (X, Y), (VAL_X, VAL_Y))


@functools.cache
def uncached_run(strategy):
    """The last class has no weight."""
    weights = {0: 1.0, 1: 5.0, 2: 0.0}
    given = {**SHORT, "cache": False, "class_weight": weights}
    return fitted(strategy, classifier, (X, Y), (VAL_X, VAL_Y), **given)


@functools.cache
def several_heads_run(strategy):
    labels = {
        "kind": np.where(np.arange(35) % 5 == 0, -1, Y),
        "length": np.where(np.arange(35) % 3 == 0, np.nan, 0.5 * Y),
    }
    val = {"kind": VAL_Y, "length": 0.5 * VAL_Y}

    def build():
        heads = {"kind": tl.Classes(3), "length": tl.Numbers(1, weight=0.1)}
        return tl.image_classifier(plain_backbone(), heads)

    return fitted(strategy, build, (X, labels), (VAL_X, val), **SHORT)


def static(run):
    with static_shapes():
        # Past the runs that are kept: those were not static.
        return compared(run("none"), run.__wrapped__(TWO))


@case
def cached():
    return compared(cached_run("none"), cached_run(TWO))


@case
def uncached():
    return compared(uncached_run("none"), uncached_run(TWO))


@case
def static_uncached():
    return static(uncached_run)


@case
def several_heads():
    return compared(several_heads_run("none"), several_heads_run(TWO))


@case
def saved_file():
    """A file saved under the strategy is one like any other."""
    model, _, moved = cached_run(TWO)
    configured(TWO)
    report = tl.evaluate(model, (VAL_X, VAL_Y), verbose=0)
    expected = model.predict(VAL_X, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        configured("none")
        loaded = tl.load(path)
    again = tl.evaluate(loaded, (VAL_X, VAL_Y), verbose=0)
    return {
        "difference": largest([expected], [loaded.predict(VAL_X, verbose=0)]),
        "moved": moved,
        "replicas": Replicas(loaded).count,
        "history": abs(report.accuracy - again.accuracy),
    }


@case
def clipped_averaged_and_by_depth_of_a_multi_label_flatten_head():
    labels = np.eye(3, dtype="float32")[Y]
    labels[:, 0] = 1
    val = np.eye(3, dtype="float32")[VAL_Y]

    def build():
        return classifier(multi_label=True, head="flatten", hidden=(8,), dropout=0.0)

    return alike(
        build,
        (X, labels),
        (VAL_X, val),
        optimizer=lambda: keras.optimizers.SGD(
            momentum=0.9, global_clipnorm=0.3, use_ema=True, ema_momentum=0.8
        ),
        layer_decay=0.5,
    )


@case
def class_weight_weighted_metrics_and_regularizer():
    """A penalty counts once, however many replicas there are."""

    def build():
        model = classifier()
        model.layers[-1].kernel_regularizer = keras.regularizers.L2(0.1)
        model.compile(
            "sgd",
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            weighted_metrics=["sparse_categorical_crossentropy"],
            jit_compile=False,
        )
        return model

    return alike(build, class_weight={0: 1.0, 1: 5.0, 2: 0.2})


def squared(y_true, y_pred):
    """A loss of one number for the whole batch."""
    hot = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), 3)
    return keras.ops.mean((hot - y_pred) ** 2)


class Squared(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return squared(y_true, y_pred)


def with_loss(loss):
    model = classifier()
    model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
    return model


@case
def own_loss_and_callbacks():
    def callbacks():
        return [
            keras.callbacks.EarlyStopping(
                "val_loss", patience=0, min_delta=10.0, restore_best_weights=True
            ),
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
        ]

    return alike(
        lambda: with_loss(Squared()), callbacks=callbacks, head_epochs=4, epochs=3
    )


@case
def mixed_float16():
    return alike(lambda: with_loss(squared), precision="mixed_float16")


@case
def pulled_to_pretrained_and_balanced():
    rare = np.where(Y == 2, np.arange(35) % 2, Y)
    rare[:3] = 2
    return alike(
        train=(X, rare),
        sampling="balanced",
        l2_sp=0.1,
        schedule="cosine",
        patience=5,
        epochs=2,
    )


@case
def texts():
    words = ["a good film", "a bad film", "the story was dull", "we loved it and you"]
    sentences = np.array([words[k % 4] + " very" * (k % 3) for k in range(35)])
    labels = np.arange(35) % 2

    def build():
        keras.utils.set_random_seed(0)
        backbone, tokenizer = tiny_bert(dropout=0.0)
        return tl.text_classifier(
            backbone, 2, tokenizer=tokenizer, sequence_length=8, dropout=0.0
        )

    return alike(
        build,
        (sentences, labels),
        (sentences[:23], labels[:23]),
        # A head that is solved.
        head_epochs="auto",
        learning_rate="auto",
        unfreeze_from="transformer_layer_1",
    )


@case
def regression_on_own_dataset():
    """Weighted batches of 8 and a last one of a single example: one replica has none.

    The validation data have no weights.
    """
    weights = np.linspace(0.1, 3, 33).astype("float32")

    def data(*arrays):
        return tf.data.Dataset.from_tensor_slices(arrays).batch(8)

    return alike(
        lambda: tl.image_regressor(plain_backbone(), 1),
        data(X[:33], Y[:33] / 2.0, weights),
        data(VAL_X[:17], VAL_Y[:17] / 2.0),
        batch_size=None,
        learning_rate=0.01,
    )


@case
def several_heads_evaluated():
    """The last of the batches has fewer examples than there are replicas."""
    labels = {"kind": Y[:33], "length": 0.5 * Y[:33]}

    def build():
        keras.utils.set_random_seed(0)
        heads = {"kind": tl.Classes(3), "length": tl.Numbers(1)}
        return tl.image_classifier(plain_backbone(), heads)

    reports = []
    for strategy in ("none", TWO):
        configured(strategy)
        with tl.current_runtime().scope():
            model = build()
        reports.append(tl.evaluate(model, (X[:33], labels), verbose=0))
    figures = [
        [report["kind"].metrics["loss"], report["length"].metrics["mae"]]
        for report in reports
    ]
    difference = largest(*[[np.array(each)] for each in figures])
    return {"difference": difference, "moved": 1, "history": difference}


@case
def resumed():
    """Interrupted within an epoch of either phase, and taken up again."""
    between, share = resume.SECONDS_BETWEEN, resume._SHARE
    resume.SECONDS_BETWEEN, resume._SHARE = 0.0, 1e9
    given = {"schedule": "cosine", "optimizer": "adamw"}
    data = (X, Y), (VAL_X, VAL_Y)
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole, cut = Path(folder, "whole"), Path(folder, "cut")
            expected, history, moved = fitted(
                TWO,
                classifier,
                *data,
                **given,
                checkpoint_dir=whole,
                callbacks=lambda: [StopAt(1000)],
            )
            stops = 0
            # 3 steps an epoch, 4 epochs.
            for steps in (5, 4):
                try:
                    fitted(
                        TWO,
                        classifier,
                        *data,
                        **given,
                        checkpoint_dir=cut,
                        callbacks=lambda steps=steps: [StopAt(steps)],
                    )
                except Stopped:
                    stops += 1
            model, again, _ = fitted(
                TWO,
                classifier,
                *data,
                **given,
                checkpoint_dir=cut,
                callbacks=lambda: [StopAt(1000)],
            )
    finally:
        resume.SECONDS_BETWEEN, resume._SHARE = between, share
    return {
        "difference": largest(weights_of(expected), weights_of(model)),
        "moved": moved,
        "stops": stops,
        "history": max(largest([history[k]], [again[k]]) for k in history),
    }


@case
def plain_keras():
    """What Keras' own `fit` makes of batches that cannot be split evenly."""
    found = []
    for strategy in ("none", TWO):
        configured(strategy)
        with tl.current_runtime().scope():
            inputs = keras.Input((1,))
            outputs = keras.layers.Dense(1, kernel_initializer="ones")(inputs)
            model = keras.Model(inputs, outputs)
            model.compile("sgd", "mse", jit_compile=False)
        x = np.arange(5.0)[:, None]
        model.fit(tf.data.Dataset.from_tensor_slices((x, x**2)).batch(5), verbose=0)
        found.append(weights_of(model))
    return {"difference": largest(*found)}


@case
def learning_rate_range():
    found = []
    for strategy in ("none", TWO):
        configured(strategy)
        with tl.current_runtime().scope():
            model = classifier()
        before = weights_of(model)
        found.append(
            tl.find_learning_rate(
                model, (X, Y), steps=40, recipe=tl.Recipe(optimizer="sgd"), verbose=0
            )
        )
        unchanged = largest(before, weights_of(model))
    one, two = found
    count = min(len(one.losses), len(two.losses)) - 5
    return {
        "difference": largest([one.smoothed[:count]], [two.smoothed[:count]]),
        "moved": 1.0,
        "unchanged": unchanged,
        "history": abs(np.log10(one.suggestion / two.suggestion)),
    }


def main():
    global TWO
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    )
    results = {}
    with contextlib.redirect_stdout(sys.stderr):
        TWO = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(REPLICAS)])
        for name in sys.argv[1:]:
            try:
                results[name] = CASES[name]()
            except Exception:  # noqa: BLE001 - its test fails, the others run
                results[name] = {"error": traceback.format_exc()[-2000:]}
            print(name, results[name], flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
