"""Evaluation: one pass, figures as scikit-learn gives them, reports and files."""

import doctest
import functools
import json
import os
import pickle
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import echo, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from sklearn import metrics as sk

import tlkeras as tl
from tlkeras import evaluation, metrics
from tlkeras._validation import UnsupportedError
from tlkeras.evaluation import Report, evaluate
from tlkeras.inputs import Input, Reading
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.problem import Problem

NAMES = ("cat", "dog", "owl")
SCORES = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}


def probabilities(n, classes=3, seed=0):
    return np.random.default_rng(seed).dirichlet([1] * classes, n).astype("float32")


def class_numbers(n, classes=3, seed=1):
    return np.random.default_rng(seed).integers(0, classes, n)


def dataset(*arrays, batch_size=8):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, batches=5):
        super().__init__()
        self.x, self.y = np.array_split(x, 5), np.array_split(y, 5)
        self.batches = batches

    @property
    def num_batches(self):
        return self.batches

    def __getitem__(self, index):
        return self.x[index], self.y[index]


# Figures


def test_classification_figures_are_scikit_learns():
    p, y, model = probabilities(50), class_numbers(50), echo(3)
    report = evaluate(model, (p, y), class_names=NAMES, verbose=0)
    # The last batch is shorter.
    assert model.predict_function.experimental_get_tracing_count() == 1
    y_pred = p.argmax(axis=1)
    assert report.task == "classification"
    assert report.metrics == pytest.approx(
        {
            "accuracy": sk.accuracy_score(y, y_pred),
            "balanced_accuracy": sk.balanced_accuracy_score(y, y_pred),
            "top_2_accuracy": sk.top_k_accuracy_score(y, p, k=2),
            "loss": sk.log_loss(y, p),
            "ece": report.reliability(15).ece,
            "roc_auc": sk.roc_auc_score(y, p, multi_class="ovr"),
            "mean_average_precision": sk.average_precision_score(np.eye(3)[y], p),
            **{
                f"{average}_{name}": score(y, y_pred, average=average, zero_division=0)
                for average in ("macro", "weighted")
                for name, score in SCORES.items()
            },
            "micro_f1": sk.f1_score(y, y_pred, average="micro"),
        },
        rel=1e-5,
    )
    assert report.accuracy == report.metrics["accuracy"]
    assert report.confusion.dtype.kind == "i"
    assert report.confusion.tolist() == sk.confusion_matrix(y, y_pred).tolist()
    assert [row["class"] for row in report.per_class] == list(NAMES)
    assert [row["f1"] for row in report.per_class] == pytest.approx(
        sk.f1_score(y, y_pred, average=None)
    )
    assert [row["support"] for row in report.per_class] == np.bincount(y).tolist()


def test_accuracy_and_loss_are_those_of_keras():
    p, y = probabilities(50), class_numbers(50)
    weights = np.linspace(0.1, 2, 50)
    model = echo(3)
    loss = keras.losses.SparseCategoricalCrossentropy(
        reduction="mean_with_sample_weight"
    )
    model.compile("sgd", loss, metrics=["accuracy"])
    theirs = model.evaluate(dataset(p, y, weights), verbose=0, return_dict=True)
    ours = evaluate(model, dataset(p, y, weights, batch_size=50), verbose=0).metrics
    plain = evaluate(model, (p, y), verbose=0).metrics
    assert ours["accuracy"] == pytest.approx(theirs["accuracy"], rel=1e-5)
    in_one_batch = model.evaluate(p, y, 50, 0, weights, return_dict=True)
    assert ours["loss"] == pytest.approx(in_one_batch["loss"], rel=1e-4)
    assert plain["loss"] != pytest.approx(ours["loss"], rel=1e-3)


def test_classes_without_examples_are_kept():
    p, y = np.eye(4, dtype="float32")[[0, 1, 1]], [0, 1, 0]
    report = evaluate(echo(4), (p, y), verbose=0)
    assert report.confusion.tolist() == [
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert report.per_class[3] == {
        "class": "3",
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "support": 0,
    }
    assert report.metrics["macro_recall"] == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert "averages): 2, 3." in str(report)
    assert report.metrics["balanced_accuracy"] == pytest.approx(0.75)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=30), seed=st.integers(0, 99)
)
def test_confusion_counts_every_example_once(labels, seed):
    p = probabilities(len(labels), classes=5, seed=seed)
    report = Report(labels, p, task="classification")
    assert report.confusion.sum() == len(labels)
    assert np.trace(report.confusion) / len(labels) == pytest.approx(report.accuracy)
    assert report.confusion.sum(axis=1).tolist() == [
        row["support"] for row in report.per_class
    ]


def test_multi_label_figures_are_scikit_learns():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (40, 3)), rng.random((40, 3)).astype("float32")
    report = evaluate(echo(3), dataset(p, y), class_names=NAMES, verbose=0)
    y_pred = (p > 0.5).astype(int)
    assert report.task == "multi_label"
    assert report.accuracy == pytest.approx((y == y_pred).all(axis=1).mean())
    precision = sk.average_precision_score(y, p)
    assert report.metrics["mean_average_precision"] == pytest.approx(precision)
    assert report.metrics["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p))
    for average in ("macro", "weighted", "micro"):
        assert report.metrics[f"{average}_f1"] == pytest.approx(
            sk.f1_score(y, y_pred, average=average)
        )
    assert report.metrics["loss"] == pytest.approx(
        float(keras.losses.BinaryCrossentropy()(y.astype("float32"), p)), rel=1e-4
    )
    assert np.array_equal(report.y_pred, y_pred)
    assert np.array_equal(report.confusion, sk.multilabel_confusion_matrix(y, y_pred))
    assert [row["recall"] for row in report.per_class] == pytest.approx(
        sk.recall_score(y, y_pred, average=None)
    )


def test_a_single_label_is_not_two_classes():
    y, p = [[1], [0], [0], [1]], [[0.9], [0.8], [0.1], [0.6]]
    report = Report(y, p, task="multi_label", class_names=["urgent"])
    assert report.metrics["macro_precision"] == pytest.approx(2 / 3)
    assert Report([[1]], [[0.5]], task="multi_label").accuracy == 1.0
    assert report.metrics["micro_f1"] == report.per_class[0]["f1"] == pytest.approx(0.8)
    assert report.per_class[0]["support"] == 2
    assert report.confusion.tolist() == [[[1, 1], [0, 2]]]


@pytest.mark.parametrize("targets", [1, 2])
def test_regression_figures_are_scikit_learns(targets):
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 30, targets)).astype("float32")
    report = evaluate(echo(targets), dataset(x, y), verbose=0)
    assert report.task == "regression"
    assert report.metrics == pytest.approx(
        {
            "mae": sk.mean_absolute_error(y, x),
            "rmse": sk.root_mean_squared_error(y, x),
            "r2": sk.r2_score(y, x),
            "loss": sk.mean_squared_error(y, x),
        },
        rel=1e-5,
    )
    assert (report.accuracy, report.confusion, report.per_class) == (None,) * 3
    assert report.y_pred.dtype == "float32"


def test_regression_labels_with_and_without_a_column_agree():
    x = np.linspace(0, 3, 20, dtype="float32")[:, None]
    flat = evaluate(echo(1), (x, x.ravel() + 0.5), verbose=0)
    column = evaluate(echo(1), (x, x + 0.5), verbose=0)
    assert flat.metrics == column.metrics
    assert flat.metrics["mae"] == pytest.approx(0.5)


def test_weights_weigh_the_loss_alone():
    rng = np.random.default_rng(0)
    y, p, weights = rng.integers(0, 2, (20, 3)), rng.random((20, 3)), rng.random(20)
    weighted = Report(y, p, sample_weight=weights).metrics
    plain = Report(y, p).metrics
    single = [Report(y[i : i + 1], p[i : i + 1], task="multi_label") for i in range(20)]
    losses = [report.metrics["loss"] for report in single]
    assert weighted["loss"] == pytest.approx(np.average(losses, weights=weights))
    assert {**weighted, "loss": plain["loss"]} == plain

    values = Report(p[:, 0], p[:, 1], sample_weight=weights).metrics
    errors = (p[:, 0] - p[:, 1]) ** 2
    assert values["loss"] == pytest.approx(np.average(errors, weights=weights))
    assert values["rmse"] == pytest.approx(np.sqrt(errors.mean()))


# The pass over the data


def test_a_shuffled_dataset_is_read_once_and_stays_aligned():
    reads = []

    def examples():
        reads.append(1)
        for label in class_numbers(50):
            yield np.eye(3, dtype="float32")[label], label

    signature = (tf.TensorSpec((3,)), tf.TensorSpec((), "int64"))
    data = tf.data.Dataset.from_generator(examples, output_signature=signature)
    report = evaluate(echo(3), data.shuffle(50).batch(8), verbose=0)
    assert reads == [1]
    assert len(report.y_true) == 50
    assert report.accuracy == 1.0
    assert report.y_true.tolist() != class_numbers(50).tolist()


@pytest.mark.contract
@pytest.mark.parametrize("n", [1, 8, 11])
def test_every_way_to_pass_data_gives_the_same(n):
    p, y = probabilities(n), class_numbers(n)
    reports = [
        evaluate(echo(3), data, task="classification", verbose=0)
        for data in (
            (p, y),
            (p.tolist(), y.tolist()),
            (tf.constant(p), y[:, None]),
            dataset(p, y),
            dataset(p, np.eye(3)[y]),
            dataset(p, y.astype("float32")),
            dataset(p, y).filter(lambda x, y: True),
            Batches(p, y),
        )
    ]
    for report in reports:
        assert report.y_true.tolist() == y.tolist()
        assert np.array_equal(report.probabilities, p)
        assert report.metrics == pytest.approx(reports[0].metrics, nan_ok=True)


def test_models_with_several_inputs_are_evaluated():
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    model = keras.Model({"left": left, "right": right}, left + right)
    p, y = probabilities(40), class_numbers(40)
    parts = {"left": p / 4, "right": 3 * p / 4}
    for data in ((parts, y), dataset(parts, y)):
        np.testing.assert_allclose(
            evaluate(model, data, verbose=0).probabilities, p, rtol=1e-5
        )


def test_dropout_and_batch_norm_are_in_inference_mode():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.9), keras.layers.Softmax()]
    )
    x = 9 * np.eye(3, dtype="float32")[class_numbers(60)]
    assert evaluate(model, (x, class_numbers(60)), verbose=0).accuracy == 1.0


def test_what_the_model_knows_is_used():
    model = echo(2)
    model.problem = Problem(Input(), tl.Labels(("red", "round")))
    one_active = np.array([[1, 0], [0, 1]])
    report = evaluate(model, (one_active.astype("float32"), one_active), verbose=0)
    assert (report.task, report.class_names) == ("multi_label", ("red", "round"))
    named = evaluate(model, (one_active, one_active), class_names=["a", "b"], verbose=0)
    assert named.class_names == ("a", "b")


def test_what_is_said_wins_over_what_the_output_says():
    y, p = [[1, 0], [0, 1]], [[0.6, 0.3], [0.2, 0.6]]
    known = tl.Labels(["red", "round"], thresholds=0.5)
    report = Report(y, p, output=known)
    assert (report.output, report.task, report.class_names) == (
        known,
        "multi_label",
        ("red", "round"),
    )
    assert report.accuracy == 1.0
    other = Report(y, p, output=known, class_names=["a", "b"], thresholds=[0.7, 0.5])
    assert other.output == tl.Labels(["a", "b"], thresholds=(0.7, 0.5))
    assert other.subset([0]).accuracy == 0.0
    report = Report(y, p, output=known, task="classification")
    assert report.output == tl.Classes(["red", "round"])
    with pytest.raises(ValueError, match="2 names.*'a', 'b', 'c'"):
        Report(y, p, output=known, class_names=["a", "b", "c"])


def test_labels_know_better_what_a_sigmoid_stands_for():
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Activation("sigmoid")(x))
    z = np.linspace(-1, 1, 9, dtype="float32")[:, None]
    assert evaluate(model, (z, z > 0), verbose=0).task == "classification"
    assert evaluate(model, (z, z / 3), verbose=0).task == "regression"
    given = evaluate(model, (z, z > 0), task="regression", verbose=0)
    assert given.output == tl.Numbers(1)


def test_heads_of_a_model_of_somebody_else_are_told_by_its_graph():
    x = keras.Input((3,))
    kind, tags = keras.layers.Softmax()(x), keras.layers.Activation("sigmoid")(x)
    model = keras.Model(x, {"kind": kind, "tags": tags})
    y = {"kind": [0, 1, 2, -1], "tags": MULTI_HOT}
    reports = evaluate(model, (P, y), verbose=0)
    assert {name: report.task for name, report in reports.items()} == {
        "kind": "classification",
        "tags": "multi_label",
    }
    assert len(reports["kind"].y_true) == 3


def test_reports_are_pickled_without_what_a_user_trained_with():
    output = tl.Classes(2, loss=lambda y, p: keras.ops.mean(p))
    report = Report([0, 1], [[0.9, 0.1], [0.7, 0.3]], output=output)
    again = pickle.loads(pickle.dumps(report))
    assert again.metrics == report.metrics


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_outputs_are_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, activation="softmax")]
    )
    x = np.random.default_rng(0).normal(size=(40, 6))
    y = model.predict(x, verbose=0).astype("float32").argmax(axis=1)
    report = evaluate(model, (x, y), verbose=0)
    assert report.probabilities.dtype == "float32"
    assert report.accuracy == 1.0
    assert np.isfinite(report.metrics["loss"])


@pytest.mark.parametrize("verbose, shown", [(0, False), (1, True), ("auto", True)])
@pytest.mark.parametrize("known", [True, False])
def test_progress_shows_where_it_is_wanted(verbose, shown, known, capsys):
    data = dataset(probabilities(20), class_numbers(20))
    data = data if known else data.filter(lambda x, y: True)
    evaluate(echo(3), data, verbose=verbose)
    out = capsys.readouterr().out
    assert ("3/3" in out or "3/Unknown" in out) == shown
    assert out.endswith("\n") == shown


REPLICAS = """
    import numpy as np
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    import keras
    from tlkeras.evaluation import evaluate
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([9 * np.eye(2), np.zeros(2)])
    y = np.arange(11) % 2
    print(evaluate(model, (np.eye(2)[y], y), verbose=0).confusion.tolist())
"""


@pytest.mark.slow
def test_two_replicas_count_every_example_once():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REPLICAS)],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.stdout.splitlines() == ["[[6, 0], [0, 5]]"], run.stderr


# What labels and outputs mean


def test_logits_become_probabilities():
    z = 5 * np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    report = evaluate(echo(3), (z, class_numbers(20)), verbose=0)
    np.testing.assert_allclose(report.probabilities, softmax(z), rtol=1e-4)


def test_multi_label_logits_become_probabilities():
    z = np.array([[2.0, -1.0], [0.5, 3.0]], "float32")
    report = Report([[1, 0], [1, 1]], z)
    np.testing.assert_allclose(report.probabilities, 1 / (1 + np.exp(-z)), rtol=1e-5)
    assert report.accuracy == 1.0


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
@pytest.mark.parametrize("column", [False, True])
def test_a_single_sigmoid_output_is_two_classes(dtype, column):
    p, y = np.array([[0.2], [0.9], [0.4]], "float32"), np.array([0, 1, 1], dtype)
    y = y[:, None] if column else y
    report = evaluate(echo(1), (p, y), class_names=["no", "yes"], verbose=0)
    assert report.confusion.tolist() == [[1, 0], [1, 1]]
    np.testing.assert_allclose(report.probabilities[:, 1], p[:, 0])


def test_a_single_logit_is_two_classes():
    report = Report([0, 1, 1], [-2.0, 3.0, -1.0])
    assert report.y_pred.tolist() == [0, 1, 0]
    assert report.probabilities[1, 1] == pytest.approx(1 / (1 + np.exp(-3)))


def linear(units, activation=None):
    """Returns a model whose last layer passes its inputs on to its activation."""
    layer = keras.layers.Dense(units, activation, kernel_initializer="identity")
    return keras.Sequential([keras.Input((units,)), layer])


BINARY = keras.losses.BinaryCrossentropy
SIGMOID = (0.7109, 0.5250)


@pytest.mark.parametrize(
    "loss, expected",
    [
        (BINARY(from_logits=True), SIGMOID),
        ([BINARY(from_logits=True)], SIGMOID),
        (functools.partial(keras.losses.binary_crossentropy, from_logits=True), None),
        (BINARY(), (0.9, 0.1)),
        ("binary_crossentropy", (0.9, 0.1)),
        (None, SIGMOID),
    ],
)
def test_the_loss_tells_logits_that_lie_between_0_and_1(loss, expected):
    model = linear(1)
    if loss is None or isinstance(loss, list):
        # What lies inside of another model is looked into.
        model = keras.Sequential([keras.Input((1,)), model])
    if loss is not None:
        model.compile("sgd", loss)
    z, y = np.array([[0.9], [0.1]], "float32"), np.array([1, 1])
    report = evaluate(model, (z, y), verbose=0)
    assert report.probabilities[:, 1] == pytest.approx(expected or SIGMOID, abs=1e-4)
    if loss is not None and not isinstance(loss, functools.partial):
        assert report.metrics["loss"] == pytest.approx(
            model.evaluate(z, y, verbose=0), rel=1e-3
        )


@pytest.mark.parametrize("loss", ["hinge", keras.losses.SquaredHinge()])
def test_the_sign_tells_the_class_where_the_loss_is_a_hinge(loss):
    model = linear(1, "tanh")
    model.compile("sgd", loss)
    z = np.array([[0.3], [0.1]], "float32")
    assert evaluate(model, (z, np.array([1, 1])), verbose=0).y_pred.tolist() == [1, 1]


@pytest.mark.parametrize("cast", [False, True])
def test_the_last_activation_tells_probabilities(cast):
    model = linear(3, "softmax")
    if cast:
        model.add(keras.layers.Activation("linear", dtype="float32"))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    report = evaluate(model, (np.eye(3), np.arange(3)), verbose=0)
    np.testing.assert_allclose(report.probabilities, softmax(np.eye(3)), rtol=1e-5)


def test_logits_may_sum_to_one_and_labels_lie_between_0_and_1():
    z = np.array([[0.9, 0.1], [0.3, 0.7]], "float32")
    model = linear(2)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    report = evaluate(model, (z, np.array([0, 1])), verbose=0)
    np.testing.assert_allclose(report.probabilities, softmax(z), rtol=1e-5)
    model.compile(loss=BINARY(from_logits=True))
    report = evaluate(model, (z, np.array([[1, 1], [0, 1]])), verbose=0)
    np.testing.assert_allclose(report.probabilities, 1 / (1 + np.exp(-z)), rtol=1e-5)
    calibrated = tl.calibrate(model, (z, np.array([[1, 1], [0, 1]])), verbose=0)
    assert calibrated.loss[0] == pytest.approx(report.losses.mean())


def test_outputs_that_a_loss_takes_for_probabilities_and_are_none_are_told():
    model = linear(1)
    model.compile(loss="binary_crossentropy")
    z, y = np.array([[1.5], [0.2], [-0.3]], "float32"), np.array([1, 1, 0])
    with pytest.warns(UserWarning, match="from_logits=False.*clipped"):
        report = evaluate(model, (z, y), verbose=0)
    np.testing.assert_allclose(report.probabilities[:, 1], [1, 0.2, 0])
    model = linear(2)
    model.compile(loss="sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="taken for logits"):
        evaluate(model, (np.array([[1.5, -0.2]]), np.array([0])), verbose=0)
    # A sigmoid for each class: divided by the sum, as the loss does.
    model = linear(2, "sigmoid")
    model.compile(loss="sparse_categorical_crossentropy")
    report = evaluate(model, (np.array([[2.0, -2.0]]), np.array([0])), verbose=0)
    np.testing.assert_allclose(report.probabilities, [[0.8808, 0.1192]], atol=1e-4)


ONE_HOT, MULTI_HOT = np.eye(3)[[0, 1, 2, 0]], np.array([[1, 1, 0]] * 4)
P, SIGMOIDS = probabilities(4), np.full((4, 3), 0.7)


@pytest.mark.parametrize(
    "labels, outputs, task",
    [
        ([0, 1, 2, 2], P, "classification"),
        ([0, 1, 2, 2], 10 * P, "classification"),
        (ONE_HOT, P, "classification"),
        (MULTI_HOT, SIGMOIDS, "multi_label"),
        (MULTI_HOT, 10 * P, "multi_label"),
        (MULTI_HOT / 3, 10 * P, "regression"),
        ([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.3], "classification"),
        ([0, 1, 1, 0], [-3, 0.9, 0.2, 4], "classification"),
        ([0.0, 1.0, 1.0, 0.0], [0.1, 0.9, 0.2, 0.3], "classification"),
        ([0.5, 1.5, 1.0, 0.0], [0.1, 0.9, 0.2, 0.3], "regression"),
        ([31, 42, 27, 30], [0.1, 0.9, 0.2, 0.3], "regression"),
    ],
)
def test_the_task_is_inferred_where_it_is_plain(labels, outputs, task):
    assert Report(labels, outputs).task == task


@pytest.mark.parametrize(
    "labels, outputs",
    [
        (ONE_HOT, SIGMOIDS),
        (ONE_HOT, 10 * P),
        (MULTI_HOT / 2, P),
        ([0.0, 1.0, 1.0, 0.0], [-3, 0.9, 0.2, 4]),
        ([0.5, 1.0, 1.0, 0.0], P),
    ],
)
def test_a_task_that_could_be_two_is_asked_for(labels, outputs):
    with pytest.raises(ValueError, match="Pass `task`"):
        Report(labels, outputs)


# Errors


@pytest.mark.parametrize(
    "data, arguments, message",
    [
        ((P[:0], []), {}, "`data` is empty"),
        (dataset(P, [0, 1, 2, 0]).take(0), {}, "`data` is empty"),
        (dataset(P, [0, 1, 2, 0]).repeat(), {}, r"leave out `.repeat\(\)`"),
        (Batches(P, P, batches=None), {}, "endless data"),
        (P, {}, "`data` must be a batched .* Received: <class 'numpy.ndarray'>"),
        (None, {}, "`data` must be a batched"),
        ((P,), {}, "a tuple of 1"),
        ((P, None), {}, "needs labels"),
        ((P, [0, 1]), {}, r"as many labels.*\[4, 2\]"),
        (dataset(P).map(lambda x: x), {}, "no labels"),
        (dataset(P, [0, 1, 2, 0]).unbatch(), {}, "must come in batches"),
        ((P, ["cat", "dog", "owl", "cat"]), {}, "turn names into numbers"),
        (dataset(P, {"a": [0, 1, 2, 0]}), {}, "one array of labels"),
        ((P, [0, 1, 3, 0]), {}, "from 0 to 2.* Received 1 .* such as 3"),
        ((P, [0, -1, 2, 0]), {}, "such as -1"),
        ((P, [0, 0.5, 2, 0]), {"task": "classification"}, "such as 0.5"),
        ((P, np.zeros((4, 2))), {}, r"\(4, 2\) do not fit outputs of shape \(4, 3\)"),
        ((P, np.zeros((4, 2))), {"task": "classification"}, "one column, or 3"),
        ((P, MULTI_HOT), {"task": "classification"}, "one-hot"),
        ((P, MULTI_HOT * 2), {"task": "multi_label"}, "zeros and ones"),
        ((P, [0, 1, 2, 0]), {"task": "multi_label"}, "3 columns of zeros"),
        ((P, [0, 1, 2, 0]), {"task": "regression"}, "3 columns of numbers"),
        ((P, P * np.nan), {"task": "regression"}, "must be finite"),
        ((P, np.zeros((4, 3, 1))), {}, r"shape \(n,\) or \(n, columns\)"),
        ((P, [0, 1, 2, 0]), {"class_names": ["a", "b"]}, "3 names.*'a', 'b'"),
        ((P, [0, 1, 2, 0]), {"class_names": "abc"}, "`class_names` must be"),
        ((P, [0, 1, 2, 0]), {"task": "clasification"}, "Did you mean 'class"),
        ((P, [0, 1, 2, 0]), {"verbose": 3}, "`verbose` must be one of"),
        ((P * np.inf, [0, 1, 2, 0]), {}, "not finite"),
        (dataset(P, [0, 1, 2, 0], P), {}, r"`sample_weight`.*\(4, 3\)"),
        ((P, [0, 1, 2, 0], [0, 0, 0, 0]), {}, "not all of them 0"),
    ],
)
def test_what_does_not_fit_raises(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(echo(3), data, **{"verbose": 0, **arguments})


@pytest.mark.parametrize(
    "outputs",
    [lambda x: {"a": x, "b": x}, lambda x: keras.ops.reshape(x, (-1, 3, 1))],
)
def test_models_that_give_no_plain_output_raise(outputs):
    x = keras.Input((3,))
    with pytest.raises(ValueError, match="must have one output"):
        evaluate(keras.Model(x, outputs(x)), (P, [0, 1, 2, 0]), verbose=0)


def test_a_mismatch_shows_on_the_first_batch():
    seen = []

    class Counting(Batches):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    data = Counting(probabilities(40), class_numbers(40) + 3)
    with pytest.raises(ValueError, match="from 0 to 2"):
        evaluate(echo(3), data, task="classification", verbose=0)
    assert seen == [0]


def test_data_of_other_classes_are_refused():
    model, examples = echo(3), ArrayExamples(P, np.array([0, 1, 2, 0]))
    model.problem = Problem(Input(), tl.Classes(NAMES))
    same, other = (
        Reading(examples, 2, False, 0, Problem(Input(), tl.Classes(names))).dataset()
        for names in (NAMES, NAMES[::-1])
    )
    assert evaluate(model, same, verbose=0).class_names == NAMES
    for arguments in ({}, {"class_names": NAMES}):
        with pytest.raises(ValueError, match="`data`.*in another order"):
            evaluate(model, other, verbose=0, **arguments)


def test_a_report_of_mismatched_arrays_raises():
    with pytest.raises(ValueError, match="as many examples"):
        Report([0, 1], P)
    with pytest.raises(ValueError, match="at least one"):
        Report([], [])


# Text, HTML, files

NASTY = ("<script>alert(1)</script>", 'a "b" & c', "$x$ 日本")


def report_for(task, class_names=NASTY):
    labels = {
        "classification": class_numbers(30),
        "multi_label": np.eye(3)[class_numbers(30)],
        "regression": np.linspace(0, 1, 30),
    }[task]
    outputs = np.linspace(0, 0.9, 30) if task == "regression" else probabilities(30)
    names = None if task == "regression" else class_names
    return Report(labels, outputs, task=task, class_names=names)


TASKS = ("classification", "multi_label", "regression")
CURVES = {"roc.png", "precision_recall.png", "reliability.png"}
ignore_missing_glyphs = pytest.mark.filterwarnings("ignore:Glyph .* missing")


def test_text_is_an_aligned_table():
    text = str(Report([0, 1, 1], np.eye(2)[[0, 1, 0]], class_names=["cat", "a\nb"]))
    assert text.splitlines() == [
        "Classification of 3 examples, 2 classes",
        "accuracy 0.6667, balanced_accuracy 0.7500, loss 5.3141, ece 0.3333, "
        "roc_auc 0.7500",
        "95% interval of accuracy: 0.2077 to 0.9385 (Wilson)",
        "",
        "                  precision     recall         f1    support",
        "cat                   0.500      1.000      0.667          1",
        "a b                   1.000      0.500      0.667          2",
        "",
        "macro average         0.750      0.750      0.667          3",
        "weighted average      0.833      0.667      0.667          3",
        "",
        "Most confused: a b as cat (1).",
    ]


def test_the_class_table_prints_and_is_a_list():
    table = report_for("classification", NAMES).per_class
    assert [line.split()[0] for line in str(table).splitlines()[1:]] == list(NAMES)
    assert table[0].keys() == {"class", "precision", "recall", "f1", "support"}


@pytest.mark.parametrize("task", TASKS)
def test_the_dictionary_survives_json(task):
    report = report_for(task)
    plain = report.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["metrics"] == report.metrics
    assert plain["examples"] == 30


def test_a_figure_that_is_undefined_is_none_in_json():
    report = Report([1.5], [1.0])
    assert np.isnan(report.metrics["r2"])
    assert report.to_dict()["metrics"]["r2"] is None


class Outline(HTMLParser):
    """Collects tags and text, and fails where a tag is not closed in order."""

    VOID = {"meta", "img", "br"}

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@ignore_missing_glyphs
@pytest.mark.parametrize(
    "task, pictures",
    [
        ("classification", {"confusion.png", *CURVES}),
        ("multi_label", CURVES),
        ("regression", {"residuals.png"}),
    ],
)
def test_a_folder_holds_page_figures_and_pictures(task, pictures, tmp_path):
    report, folder = report_for(task), tmp_path / "new" / "report"
    report.save(folder)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report"]
    files = {file.name for file in folder.iterdir()}
    assert files == {"report.html", "report.json"} | pictures
    saved = json.loads((folder / "report.json").read_text("utf-8"))
    assert saved == report.to_dict()
    # The page is whole, escaped, accessible and self-contained.
    outline = Outline((folder / "report.html").read_text("utf-8"))
    assert not outline.all("script") and not outline.all("link")
    for image in outline.all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"]
    assert len(outline.all("img")) == len(pictures)
    assert len(outline.all("table")) == len(outline.all("caption"))
    assert all(cell["scope"] for cell in outline.all("th"))
    assert (set(NASTY) <= set(outline.texts)) == (task != "regression")
    assert outline.all("html") == [{"lang": "en"}]
    assert pyplot.get_fignums() == []


def test_a_report_in_a_notebook_says_what_it_shows():
    names = ['"cat"', "<dog>"]
    report = Report([0, 0, 1], np.eye(2)[[1, 0, 1]], class_names=names)
    outline = Outline(report._repr_html_())
    assert set(names) <= set(outline.texts) and not outline.all("dog")
    image, *_ = outline.all("img")
    assert '"cat" predicted as <dog>, 1 times' in image["alt"]


def test_saving_again_replaces_the_report_and_nothing_else(tmp_path):
    (tmp_path / "model.keras").write_text("kept")
    (tmp_path / "report.json").write_text("old")
    report = report_for("regression")
    report.save(tmp_path)
    assert (tmp_path / "model.keras").read_text() == "kept"
    assert json.loads((tmp_path / "report.json").read_text())["examples"] == 30
    assert len(list(tmp_path.iterdir())) == 3 + 1
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page == (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["report.html", "report"])
def test_a_failure_leaves_nothing_under_the_final_name(name, tmp_path, monkeypatch):
    report = report_for("classification", NAMES)

    def fail(*args):
        raise RuntimeError("no picture")

    monkeypatch.setattr(report, "to_dict", fail)
    monkeypatch.setattr(report, "plot_confusion", fail)
    with pytest.raises(RuntimeError, match="no picture"):
        report.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.html", "report"])
def test_final_names_are_given_by_renaming_alone(name, tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(f"cannot rename to {target}")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ValueError, match="cannot rename"):
        report_for("regression").save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_report_as_it_was(tmp_path, monkeypatch):
    report = report_for("regression")
    report.save(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    report.metrics["mae"] = "wrong"
    with pytest.raises(TypeError):
        report.save(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_path_that_cannot_be_written_raises_before_any_drawing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    report = report_for("classification", NAMES)
    monkeypatch.setattr(report, "plot_confusion", None)
    for path, message in {
        "file/report.html": "cannot be written",
        "file/report": "cannot be written",
        "file": "which is a file",
        "folder.html": "which is a folder",
        "report.json": "must end in '.html'",
    }.items():
        with pytest.raises(ValueError, match=message):
            report.save(tmp_path / path)


def test_plots_come_with_the_task_they_suit():
    ax = report_for("classification", NAMES).plot_confusion(normalize=True)
    assert ax.get_xlabel() == "Predicted class"
    ax = report_for("regression").plot_residuals(ax)
    assert ax.get_xlabel() == "Predicted"
    pyplot.close("all")
    offered = "`Report.plot_confusion` .* task 'multi_label'.* for: 'classification'.$"
    with pytest.raises(UnsupportedError, match=offered):
        report_for("multi_label").plot_confusion()
    with pytest.raises(UnsupportedError, match="for: 'regression'"):
        report_for("classification").plot_residuals()


@pytest.mark.parametrize(
    "module",
    [
        evaluation.evaluating,
        evaluation.figures,
        evaluation.report,
        metrics.calibration,
        metrics.classification,
        metrics.multi_label,
        metrics.ranking,
        metrics.regression,
        metrics.table,
    ],
    ids=lambda module: module.__name__,
)
def test_examples_run(module):
    results = doctest.testmod(module, extraglobs={"tl": tl})
    pyplot.close("all")
    assert results.attempted and not results.failed


def test_labels_may_be_names():
    outputs = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    report = tl.Report(["no", "yes", "yes"], outputs, class_names=["no", "yes"])
    assert report.y_true.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="No such class name: 'ye'.*'yes'"):
        tl.Report(["no", "ye", "yes"], outputs, class_names=["no", "yes"])
    with pytest.raises(ValueError, match="need `class_names`"):
        tl.Report(["no", "yes", "yes"], outputs)
