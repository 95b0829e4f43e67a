"""Trains on one device and on two replicas of it; prints how far the results differ.

    python tests/replicas_script.py CASE...

Run by `test_distribution.py`, in a process of its own: logical devices must be made
before TensorFlow computes anything. The last line of the output is JSON.
"""

import contextlib
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
    model, one, moved = fitted("none", build, train, val, **given)
    replicated, two, _ = fitted(TWO, build, train, val, **given)
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


@case
def cached():
    return alike()


@case
def uncached():
    return alike(cache=False, class_weight="balanced")


@case
def clipped_and_by_depth():
    return alike(
        optimizer=lambda: keras.optimizers.Adam(global_clipnorm=0.01), layer_decay=0.5
    )


@case
def class_weight():
    return alike(class_weight={0: 1.0, 1: 5.0, 2: 0.2})


@case
def multi_label():
    labels = np.eye(3, dtype="float32")[Y]
    labels[:, 0] = 1
    val = np.eye(3, dtype="float32")[VAL_Y]
    return alike(lambda: classifier(multi_label=True), (X, labels), (VAL_X, val))


@case
def regression():
    def build():
        return tl.image_regressor(plain_backbone(), 1)

    return alike(build, (X, Y / 2.0), (VAL_X, VAL_Y / 2.0), learning_rate=0.01)


@case
def flatten_head():
    return alike(lambda: classifier(head="flatten", hidden=(8,), dropout=0.0))


@case
def weighted_metrics_and_regularizer():
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


@case
def own_loss_of_one_number():
    def own_loss(y_true, y_pred):
        hot = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), 3)
        return keras.ops.mean((hot - y_pred) ** 2)

    def build():
        model = classifier()
        model.compile("sgd", own_loss, metrics=["accuracy"], jit_compile=False)
        return model

    return alike(build)


@case
def own_loss_object_of_one_number():
    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            hot = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), 3)
            return keras.ops.mean((hot - y_pred) ** 2)

    def build():
        model = classifier()
        model.compile("sgd", Own(), metrics=["accuracy"], jit_compile=False)
        return model

    return alike(build)


@case
def mixed_bfloat16():
    return alike(precision="mixed_bfloat16")


@case
def mixed_float16():
    return alike(precision="mixed_float16")


@case
def early_stopping():
    def callbacks():
        return [
            keras.callbacks.EarlyStopping(
                "val_loss", patience=0, min_delta=10.0, restore_best_weights=True
            )
        ]

    return alike(callbacks=callbacks, head_epochs=4)


@case
def learning_rate_scheduler():
    def callbacks():
        return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))]

    return alike(callbacks=callbacks)


@case
def averaged_weights():
    return alike(
        optimizer=lambda: keras.optimizers.SGD(
            momentum=0.9, use_ema=True, ema_momentum=0.8
        )
    )


@case
def pulled_to_pretrained():
    return alike(l2_sp=0.1, schedule="cosine", patience=5)


@case
def balanced_sampling():
    rare = np.where(Y == 2, np.arange(35) % 2, Y)
    rare[:3] = 2
    return alike(train=(X, rare), sampling="balanced")


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
        unfreeze_from="transformer_layer_1",
    )


@case
def own_dataset():
    """Batches of 8 and a last one of a single example: one replica has none."""

    def data(x, y):
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(8)

    train, val = data(X[:33], Y[:33]), data(VAL_X[:17], VAL_Y[:17])
    return alike(train=train, val=val, batch_size=None)


@case
def own_weights():
    """A dataset of `(x, y, sample_weight)`."""
    weights = np.linspace(0.1, 3, 33).astype("float32")
    train = tf.data.Dataset.from_tensor_slices((X[:33], Y[:33], weights)).batch(8)
    return alike(train=train, batch_size=None)


@case
def several_heads():
    labels = {
        "kind": np.where(np.arange(35) % 5 == 0, -1, Y),
        "length": np.where(np.arange(35) % 3 == 0, np.nan, 0.5 * Y),
    }
    val = {"kind": VAL_Y, "length": 0.5 * VAL_Y}

    def build():
        heads = {"kind": tl.Classes(3), "length": tl.Numbers(1, weight=0.1)}
        return tl.image_classifier(plain_backbone(), heads)

    return alike(build, (X, labels), (VAL_X, val))


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


def _static(**given):
    plain = Replicas.is_static
    Replicas.is_static = property(lambda self: self.strategy is not None)
    try:
        return alike(**given)
    finally:
        Replicas.is_static = plain


@case
def static():
    return _static()


@case
def static_class_weight():
    return _static(cache=False, class_weight={0: 1.0, 1: 5.0, 2: 0.0})


@case
def static_several_heads():
    plain = Replicas.is_static
    Replicas.is_static = property(lambda self: self.strategy is not None)
    try:
        return several_heads()
    finally:
        Replicas.is_static = plain


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
def saved_file():
    """A file saved under the strategy is one like any other."""
    model, _, moved = fitted(TWO, classifier, (X, Y), None)
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
