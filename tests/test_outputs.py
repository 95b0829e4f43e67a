"""Outputs: one contract for every kind, and what each refuses, learns and says."""

import inspect
import json
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tlkeras._validation import UnsupportedError
from tlkeras.evaluation import Report
from tlkeras.outputs import (
    OUTPUTS,
    TASKS,
    Anything,
    Classes,
    LabelLoss,
    Labels,
    Numbers,
    Output,
    Prediction,
    output_from_config,
    output_of_keras,
    output_of_task,
    read_labels,
    read_predictions,
)
from tlkeras.outputs.known import KnownLoss, KnownMetric
from tlkeras.outputs.sampling import balanced_positions

NAN = np.nan


@dataclass
class Case:
    """An output of one kind, with labels for it.

    Attributes:
        output: The output.
        labels: As data hold them.
        missing: The same, some of them missing, as they may be where heads have names.
        outputs: What a model might give for them.
        other: An output of the same kind and another width.
    """

    output: Output
    labels: np.ndarray
    missing: np.ndarray
    outputs: np.ndarray
    other: Output

    @property
    def rows(self):
        return self.output.pack(self.labels, len(self.labels), "labels")

    @property
    def some(self):
        return self.output.pack(self.missing, len(self.missing), "labels")


def rows(*values):
    return np.array(values, "float32")


CASES = {
    "classes": Case(
        Classes(["ant", "bee", "fly"], class_weight={"ant": 1.0, 1: 2.0, "fly": 3.0}),
        np.array([0, 1, 2, 0], "int32"),
        np.array([0, -1, NAN, 2]),
        rows([0.5, 0.2, 0.3], [0.1, 0.7, 0.2], [0.4, 0.3, 0.3], [0.0, 0.1, 0.9]),
        Classes(2),
    ),
    "two classes of one unit": Case(
        Classes(["no", "yes"], single_unit=True, class_weight="balanced"),
        np.array([0, 1, 1, 0], "int32"),
        np.array([1, -1, NAN, 0]),
        rows([0.25], [0.75], [0.5], [0.9]),
        Classes(2),
    ),
    "labels": Case(
        Labels(["red", "flying"], thresholds=(0.25, 0.75), weight=0.5),
        rows([1, 0], [0, 1], [1, 1], [0, 0]),
        rows([1, NAN], [NAN, NAN], [0, 1], [0, 0]),
        rows([0.25, 0.7], [0.2, 0.8], [0.3, 0.75], [0.1, 0.1]),
        Labels(3),
    ),
    "one number": Case(
        Numbers(loss="huber"),
        rows(1.5, 0.0, -2.0, 7.0),
        rows(1.5, NAN, NAN, -1.0),
        rows([1.0], [0.5], [-2.5], [6.0]),
        Numbers(2),
    ),
    "numbers": Case(
        Numbers(2, names=("width", "height")),
        rows([1.5, 2], [0, 1], [3, 1], [8, 1]),
        rows([1.5, NAN], [NAN, NAN], [3, 1], [8, 1]),
        rows([1, 2], [0, 0], [3, 2], [9, 1]),
        Numbers(),
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


# The contract of the base class.


def test_every_kind_of_the_table_is_tried():
    tried = {type(case.output) for case in CASES.values()}
    # Whose labels are rows are no case of numbers: `test_boxes.py` tries them.
    assert tried == {kind for kind in OUTPUTS.values() if not kind.has_rows}
    assert TASKS == (
        *("classification", "multi_label", "regression", "detection", "forecast"),
    )
    assert [output_of_task(task).task for task in TASKS] == list(TASKS)
    with pytest.raises(ValueError, match="Did you mean 'regression'"):
        output_of_task("regresion")


def test_nothing_of_the_base_class_is_without_words():
    for name, thing in vars(Output).items():
        if not name.startswith("_") and callable(getattr(Output, name)):
            assert inspect.getdoc(thing), name


def test_a_file_keeps_what_compile_does_not(case):
    config = json.loads(json.dumps(case.output.get_config()))
    again = output_from_config(config)
    assert type(again) is type(case.output)
    assert again.get_config() == case.output.get_config()
    for name in ("units", "columns", "class_names", "activation", "class_weight"):
        assert getattr(again, name) == getattr(case.output, name)
    assert again.answers(case.outputs) == case.output.answers(case.outputs)


def test_a_changed_output_is_another_one(case):
    changed = case.output.but(weight=3, hidden=[4])
    assert (changed.weight, changed.hidden) == (3, (4,))
    assert case.output.hidden == () and type(changed) is type(case.output)
    with pytest.raises(ValueError, match="`weight`"):
        case.output.but(weight=-1)


def test_outputs_of_the_same_form_fit(case):
    assert case.output.fits(case.output.but(weight=3))
    assert not case.output.fits(case.other)
    kinds = {type(other.output): other.output for other in CASES.values()}
    for kind, output in kinds.items():
        assert case.output.fits(output) <= (kind is type(case.output))


def test_names_and_widths_agree(case):
    output = case.output
    assert case.outputs.shape[1] == output.units
    assert isinstance(output.class_names, (tuple, type(None)))
    assert output.title and output.noun and output.output_name


def test_labels_are_packed_into_rows_and_unpacked(case):
    assert case.rows.dtype == np.float32
    assert case.rows.shape == (4, case.output.columns)
    np.testing.assert_array_equal(
        np.reshape(case.output.unpack(case.rows), case.labels.shape), case.labels
    )
    missing = np.isnan(case.missing) | (case.output.are_numbers & (case.missing < 0))
    np.testing.assert_array_equal(np.isnan(case.some), missing.reshape(case.some.shape))
    there = np.reshape(case.some, missing.shape)[~missing]
    np.testing.assert_array_equal(there, case.missing[~missing])
    tensor = case.output.unpack(tf.constant(case.rows))
    np.testing.assert_array_equal(tensor, case.output.unpack(case.rows))


def test_labels_of_its_own_pass_and_others_do_not(case):
    case.output.check(case.labels, "train")
    with pytest.raises(ValueError, match="in `train`"):
        case.output.check(np.full((4, 7), 9.0), "train")
    with pytest.raises(ValueError, match="these must have shape"):
        case.output.pack(np.zeros((4, 7)), 4, "these")
    with pytest.raises(ValueError, match="these must be numbers.*names.index"):
        case.output.pack(["ant"] * 4, 4, "these")


def test_data_tell_of_the_output(case):
    output, held = type(case.output).of_labels(case.labels, None)
    assert type(output) is type(case.output)
    assert len(held) == 4 and held.dtype in ("int32", "float32")
    output.check(held, "train")


def test_labels_in_words(case):
    words = [case.output.label_text(label) for label in case.labels]
    assert all(isinstance(text, str) for text in words)
    assert len(set(words)) == len(np.unique(case.labels, axis=0))
    # What is missing has no other label's name.
    for label, text in zip(case.missing, words, strict=True):
        assert isinstance(case.output.label_text(label), str), text


def test_labels_are_counted(case):
    output = case.output
    counts, strata = output.counts(case.labels), output.strata(case.labels)
    if counts is not None:
        assert len(counts) == len(output.class_names)
        known = output.counts(output.unpack(case.some))
        assert known.sum() < counts.sum() and known.dtype.kind == "i"
    if strata is not None:
        assert strata.shape == (4,) and strata.dtype.kind == "i"


def test_the_loss_over_known_labels_is_that_of_keras_over_them(case):
    output = case.output
    loss = output.make_loss()
    # A function of Keras gives a value for each example.
    everything = float(np.mean(loss(case.labels, case.outputs)))
    assert np.isfinite(everything)
    unpacked = output.unpack(case.rows)
    assert float(output.known_loss()(unpacked, case.outputs)) == pytest.approx(
        everything, rel=1e-5
    )
    partly = output.unpack(case.some)
    there = ~np.isnan(case.some)
    whole = there.all(axis=1)
    if (there.any(axis=1) == whole).all():
        expected = np.mean(loss(np.asarray(partly)[whole], case.outputs[whole]))
        found = output.known_loss()(partly, case.outputs)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(output.known_loss()(partly * NAN, case.outputs)) == 0.0


def test_metrics_of_a_compiled_model_and_of_known_labels_agree(case):
    inputs = keras.Input((case.output.units,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss=case.output.make_loss(), metrics=case.output.make_metrics())
    found = model.evaluate(case.outputs, case.labels, verbose=0, return_dict=True)
    (known,) = case.output.known_metrics()
    labels = case.output.unpack(case.rows)
    assert found[known.name] == pytest.approx(float(known(labels, case.outputs)))
    known.reset_state()
    partly = known(case.output.unpack(case.some), case.outputs)
    assert np.isfinite(float(partly))


def test_weights_of_examples(case):
    output = case.output
    assert output.weighing(None, case.labels) is None
    weighing = output.weighing("balanced", case.labels)
    weights = weighing(case.labels).numpy()
    assert weights.dtype == np.float32 and len(weights) == 4
    assert weights.mean(dtype="float64") == pytest.approx(1, rel=1e-5)
    by_head = output.weighing_of_known("balanced", case.rows)
    np.testing.assert_allclose(
        np.reshape(by_head(output.unpack(case.rows)), (4, -1)).mean(axis=1),
        np.reshape(weights, (4, -1)).mean(axis=1),
        rtol=1e-5,
    )
    assert np.isfinite(output.weighing_of_known("balanced", case.some)(case.rows)).all()
    for weighing in (output.weighing, output.weighing_of_known):
        with pytest.raises(ValueError, match="all training labels"):
            weighing("balanced", None)
        with pytest.raises(ValueError, match="Did you mean 'balanced'"):
            weighing("balancd", case.rows)


def test_what_is_rare_is_drawn_as_often_as_the_rest(case):
    shares, kinds = case.output.shares(case.labels)
    assert shares.shape == kinds.shape == (4,) and (shares > 0).all()
    drawn = balanced_positions(shares, kinds)(0, 0).numpy()
    assert drawn.shape == (4,) and set(drawn) <= set(range(4))


def test_labels_that_can_be_mixed_become_rows(case):
    if not case.output.mixable:
        with pytest.raises(ValueError, match="cannot be mixed"):
            case.output.soften(case.labels)
        return
    soft = case.output.soften(case.labels)
    assert soft.dtype == tf.float32 and soft.shape == case.outputs.shape
    np.testing.assert_array_equal(case.output.soften(soft), soft)
    with pytest.raises(ValueError, match="Mixing labels needs"):
        case.output.soften(np.zeros((4, 7)))
    # The same loss for them, and half as much of each for halves.
    loss = case.output.make_loss()
    expected = float(loss(case.labels, case.outputs))
    assert float(loss(soft, case.outputs)) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(float(loss((soft + soft[::-1]) / 2, case.outputs)))


def test_figures_get_labels_and_outputs_of_one_form(case):
    labels, outputs = case.output.read_predictions(case.labels, case.outputs)
    np.testing.assert_array_equal(labels, case.labels)
    assert len(outputs) == 4 and outputs.dtype == np.float32
    with pytest.raises(ValueError):
        case.output.read_predictions(np.full((4, 7), 0.5), case.outputs)
    with pytest.raises(ValueError):
        case.output.read_predictions(np.full_like(case.outputs, NAN), case.outputs)


def test_an_exported_graph_says_what_python_says(case):
    said = case.output.answers(case.outputs)
    graph = tf.function(case.output.graph_answers)(tf.constant(case.outputs))
    found = {name: tensor.numpy() for name, tensor in graph.items()}
    np.testing.assert_array_equal(found[case.output.output_name], case.outputs)
    for i, answer in enumerate(said):
        if not isinstance(answer, Prediction):
            assert answer == pytest.approx(tuple(found["value"][i]), rel=1e-6) or (
                answer == found["value"][i, 0]
            )
        elif isinstance(answer.label, tuple):
            given = [text.decode() for text in found["label"][i] if text]
            assert list(answer.label) == given
        else:
            assert answer.label == found["label"][i].decode()
            assert answer.probability == found["probability"][i]


def test_the_same_outputs_are_the_same_answers(case):
    same = case.output.same_answers(case.outputs, case.outputs)
    if not hasattr(case.output.answers(case.outputs)[0], "label"):
        assert same is None
        return
    assert same.all() and len(same) == 4
    other = 1 - case.outputs
    assert not case.output.same_answers(case.outputs, other).all()


def read(case):
    """Returns labels, outputs and predictions as reports have them."""
    y_true, outputs = case.output.read_predictions(case.labels, case.outputs)
    return y_true, outputs, case.output.predictions(outputs)


def test_a_report_has_figures_and_words_for_it(case):
    output, (y_true, outputs, y_pred) = case.output, read(case)
    assert y_pred.shape == y_true.shape
    assert output.title in output.heading(4) and "4 examples" in output.heading(4)
    figures = output.figures(y_true, outputs)
    assert output.headline_figures and output.first_figures
    assert set(output.headline_figures) <= set(figures)
    main = output.main_values(y_true, y_pred)
    losses = output.losses(y_true, outputs)
    assert len(main.values) == 4 and losses.shape == (4,)
    assert main.values.mean() == pytest.approx(figures[main.name], rel=1e-5)
    words = [output.verdict(*one) for one in zip(y_true, y_pred, outputs, strict=True)]
    assert all(words) and len(set(words)) > 1
    names = output.probabilities(outputs)
    assert names is None or names.shape == (4, len(output.class_names))


def test_a_report_tells_what_classify_tells(case):
    for answer, predicted in zip(
        case.output.answers(case.outputs), read(case)[2], strict=True
    ):
        if isinstance(answer, Prediction):
            said = answer.label
            said = said if isinstance(said, str) else ", ".join(said)
            assert said == case.output.label_text(predicted)
        else:
            assert answer == pytest.approx(
                predicted.item() if predicted.ndim == 0 else tuple(predicted)
            )


def test_what_a_kind_has_not_is_refused_by_one_error(case):
    y_true, outputs, _ = read(case)
    name = (case.output.class_names or (None,))[0]
    arguments = {
        "cost_curve": (y_true, outputs, 5, 1, name),
        "areas": (y_true, outputs),
        "reliability": (y_true, outputs, 10),
        "temperature": (y_true, outputs),
        "best_thresholds": (y_true, outputs),
        "most_confused": (case.output.confusion(y_true, outputs), 1),
        "plot_residuals": (None,),
        "plot_confusion": (None,),
        "plot_roc": (None,),
    }
    for name, given in arguments.items():
        if getattr(type(case.output), name) is getattr(Output, name):
            with pytest.raises(
                UnsupportedError, match=f"the task {case.output.task!r}"
            ):
                getattr(case.output, name)(*given)
        elif not name.startswith("plot"):
            getattr(case.output, name)(*given)


def test_scaled_logits_change_no_answer(case):
    output, (y_true, outputs, _) = case.output, read(case)
    if not output.calibratable:
        return
    assert output.temperature(y_true, outputs) > 0
    p = np.clip(case.outputs, 1e-7, 1 - 1e-7)
    scale = {"softmax": keras.ops.softmax, "sigmoid": keras.ops.sigmoid}
    odds = {"softmax": p, "sigmoid": p / (1 - p)}[output.activation]
    scaled = scale[output.activation](np.log(odds) / 2)
    before = [answer.label for answer in output.answers(case.outputs)]
    after = output.after_scaling(2.0).answers(np.asarray(scaled))
    assert [answer.label for answer in after] == before


def test_the_command_line_and_the_card_say_it(case):
    output = case.output
    for answer in output.answers(case.outputs):
        assert json.loads(json.dumps(output.record(answer)))
        assert all(isinstance(text, str) for text in output.fields(answer))
    assert "each hum" in output.does("hum", "these")
    names = output.class_names or ()
    sentences = [*output.limits("hum"), *output.calibration(2.0, names)]
    assert all(text.endswith(".") for text in sentences)
    assert output.amount


def test_names_may_be_others(case):
    count = len(case.output.class_names or [None] * case.output.units)
    names = [f"name {i}" for i in range(count)]
    renamed = case.output.renamed(names)
    assert renamed.class_names == tuple(names) and renamed.fits(case.output)
    with pytest.raises(ValueError):
        case.output.renamed(["one", "two", "many", "more"])
    if not case.output.has_thresholds:
        with pytest.raises(ValueError, match="`thresholds` are for"):
            case.output.with_thresholds(0.5)


# What the kinds are.


NAMES = {
    "unique": lambda: np.unique(["b", "a"]),
    "one array": lambda: np.array(["a", "b"], object),
    "series": lambda: pd.Series(["a", "b"], index=[1, 0]),
    "index": lambda: pd.Index(["a", "b"]),
    "iterator": lambda: iter("ab"),
    "keys": lambda: {"a": 0, "b": 1}.keys(),
    "tensor": lambda: tf.constant(["a", "b"]),
    "bytes": lambda: [b"a", b"b"],
}


@pytest.mark.parametrize("form", NAMES)
def test_names_come_in_every_form_that_has_an_order(form):
    names = NAMES[form]
    assert Classes(names()).names == Labels(names()).names == ("a", "b")
    assert Classes(2).renamed(names()).names == ("a", "b")
    assert read_labels([0, 1], names())[0].names == ("a", "b")
    assert Report([0, 1], np.eye(2), class_names=names()).class_names == ("a", "b")
    assert Numbers(2, names()).names == ("a", "b")


@pytest.mark.parametrize("make", [Classes, Labels, lambda names: Numbers(2, names)])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"b", "a"}, r"is a set, which has no order.*sorted.*'a', 'b'"),
        (frozenset("ab"), "is a set"),
        ({"a": 0, "b": 1}, "must be a list"),
    ],
)
def test_names_without_an_order_are_refused(make, names, message):
    with pytest.raises(ValueError, match=message):
        make(names)


@pytest.mark.parametrize("y", [iter([1, 0]), {"b": 1, "a": 0}.values(), (1, 0)])
def test_labels_may_come_from_an_iterator(y):
    assert read_labels(y)[1].tolist() == [1, 0]


def test_labels_are_no_set():
    with pytest.raises(ValueError, match="`y` is a set"):
        read_labels({0, 1})


def test_classes():
    output = Classes(["ant", "bee", "fly"])
    assert (output.units, output.columns, output.activation) == (3, 1, "softmax")
    assert Classes(3).class_names == ("0", "1", "2")
    (answer,) = output.answers([[0.1, 0.7, 0.2]])
    assert answer.label == "bee" and answer.probability == pytest.approx(0.7)
    assert list(answer.probabilities) == ["ant", "bee", "fly"]
    assert output.label_text(2) == output.label_text([0, 0, 1]) == "fly"
    assert output.label_text(-1) == output.label_text(NAN) == "missing"


@pytest.mark.parametrize("form", ["numbers", "column", "rows"])
def test_class_numbers_of_every_form(form):
    numbers = np.array([2, 0, 1, 2])
    labels = {
        "numbers": numbers,
        "column": numbers[:, None],
        "rows": np.eye(3)[numbers],
    }
    output = Classes(3)
    np.testing.assert_array_equal(output.numbers(labels[form]), numbers)
    np.testing.assert_array_equal(output.strata(labels[form]), numbers)
    assert output.counts(labels[form]).tolist() == [1, 1, 2]
    output.check(labels[form], "train")
    p = np.full((4, 3), 1 / 3, "float32")
    np.testing.assert_array_equal(output.read_predictions(labels[form], p)[0], numbers)


def test_two_classes_of_one_unit():
    output = Classes(["no", "yes"], single_unit=True)
    assert (output.units, output.activation) == (1, "sigmoid")
    answers = output.answers([[0.2], [0.7]])
    assert [answer.label for answer in answers] == ["no", "yes"]
    assert answers[0].probabilities == pytest.approx({"no": 0.8, "yes": 0.2})
    _, both = output.read_predictions(np.array([0, 1]), rows([0.2], [0.7]))
    np.testing.assert_allclose(both, [[0.8, 0.2], [0.3, 0.7]], rtol=1e-6)
    # Its loss takes probabilities, and weights of examples.
    output.check(np.array([0.3, 1.0]), "train")
    loss, plain = output.make_loss(), keras.losses.BinaryCrossentropy()
    p, weights = rows([0.2], [0.7]), np.array([2.0, 1.0])
    for labels in (np.array([0, 1]), rows([0.3], [1.0])):
        column = np.reshape(labels, (-1, 1))
        assert float(loss(labels, p)) == pytest.approx(float(plain(column, p)))
        assert float(loss(labels, p, weights)) == pytest.approx(
            float(plain(column, p, weights))
        )


def test_labels():
    output = Labels(["red", "flying"])
    assert (output.units, output.columns, output.activation) == (2, 2, "sigmoid")
    first, second = output.answers([[0.5, 0.4], [0.1, 0.2]])
    assert first.label == ("red",) and second.label == () == second.probability
    output = output.but(thresholds=np.array([0.6, 0.3]))
    assert output.thresholds == (0.6, 0.3) and output.least.dtype == np.float32
    assert output.answers([[0.5, 0.4]])[0].label == ("flying",)
    assert Labels(2, thresholds=0).thresholds == 0.0
    assert output.label_text([1, 1]) == "red, flying"
    assert output.label_text([NAN, 1]) == "flying" and output.label_text([0, 0]) == ""


def test_numbers():
    output = Numbers(2, names=["width", "height"])
    assert (output.units, output.columns, output.activation) == (2, 2, None)
    assert output.class_names == ("width", "height") and Numbers().class_names is None
    assert output.answers([[0.5, 2.0]]) == [(0.5, 2.0)]
    assert Numbers().answers([[0.5], [2.0]]) == [0.5, 2.0]
    assert output.label_text([1 / 3, 20]) == "0.3333, 20"


def test_of_anything_nothing_is_known():
    """As of a model with a loss of its user's own; training asks no more of it."""
    output, labels = Anything(), np.array([0, 1, 1])
    output.check(np.array(["what", "ever"]), "train")
    assert output.weighing(None, labels) is None
    weights = output.weighing({0: 1.0, 1: 3.0}, None)(labels)
    np.testing.assert_array_equal(weights, [1, 3, 3])
    assert output.weighing("balanced", labels)(labels).numpy().mean() == pytest.approx(
        1
    )
    assert not output.mixable and not output.calibratable
    with pytest.raises(UnsupportedError, match="'classification', 'multi_label'"):
        output.figures(labels, labels)


def test_accuracy_of_labels_counts_every_label():
    """Keras' own guess would be that of the most probable one."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    output = Labels(2, metrics=["accuracy", "mae"])
    model.compile(loss=output.make_loss(), metrics=output.make_metrics())
    p, labels = rows([0.9, 0.8], [0.4, 0.1]), rows([1, 0], [0, 0])
    found = model.evaluate(p, labels, verbose=0, return_dict=True)
    assert found["accuracy"] == 0.75 and "mae" in found


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (Classes, {"names": 1}, "at least 2"),
        (Classes, {"names": "ants"}, "list of their names"),
        (Classes, {"names": ["a", "b", "a"]}, "'a'. repeated"),
        (Classes, {"names": 2.5}, "number of classes"),
        (Classes, {"names": 3, "single_unit": True}, "two classes.*3 classes"),
        (Classes, {"names": 2, "weight": -1}, "`weight`"),
        (Classes, {"names": 2, "dropout": 1.0}, "`dropout`"),
        (Classes, {"names": 2, "hidden": 8}, "`hidden`"),
        (Classes, {"names": 2, "label_smoothing": 1.0}, "`label_smoothing`.*below 1"),
        (Classes, {"names": 2, "loss": "mse", "label_smoothing": 0.1}, "own loss"),
        (Classes, {"names": 2, "loss": "fokal"}, "Did you mean"),
        (Classes, {"names": 2, "metrics": ["no_such"]}, "Received: 'no_such'"),
        (Classes, {"names": 2, "class_weight": "even"}, "`class_weight`"),
        (Classes, {"names": 2, "class_weight": [1, 2]}, "`class_weight`"),
        (Labels, {"names": 0}, "at least 1"),
        (Labels, {"names": 2, "label_smoothing": -0.1}, "`label_smoothing`"),
        (Labels, {"names": 2, "thresholds": 2}, "`thresholds`.*0 to 1"),
        (Labels, {"names": 2, "thresholds": [0.1]}, "each of the 2 label"),
        (Labels, {"names": 2, "thresholds": "half"}, "`thresholds`"),
        (
            Labels,
            {"names": 2, "loss": keras.losses.Dice(), "class_weight": "balanced"},
            "LabelLoss",
        ),
        (Numbers, {"count": 0}, "`outputs`.*at least 1"),
        (Numbers, {"count": 2, "names": ["a"]}, "`names`.*2 names"),
        (Numbers, {"count": 2, "names": "ab"}, "`names` must be a list"),
        (Numbers, {"loss": 7}, "must be a Keras loss"),
        (Numbers, {"class_weight": {0: 1.0}}, "`class_weight`.*no classes"),
    ],
)
def test_bad_outputs(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_nothing_is_made_before_it_is_asked_for(monkeypatch):
    """Making outputs is cheap: metrics, which have variables, come with `compile`."""

    def refuse(*_, **__):
        raise AssertionError("a variable was made")

    monkeypatch.setattr(keras.Variable, "__init__", refuse)
    for kind, first in ((Classes, 2), (Labels, 2), (Numbers, 1)):
        output = kind(first, weight=0.5, loss=None, class_weight="balanced")
        output_from_config(output.but(weight=2).get_config())
    with pytest.raises(AssertionError, match="variable"):
        Numbers().known_metrics()


# Losses and metrics of labels that are known in part.


def test_missing_labels_change_nothing_but_their_own_head():
    values = KnownLoss("mean_squared_error")
    y, out = np.array([[1.0], [NAN], [2.0]]), np.array([[0.0], [9.0], [0.0]])
    assert float(values(y, out)) == pytest.approx(2.5)
    assert float(values(y, out, [2.0, 1.0, 1.0])) == pytest.approx(3.0)
    numbers = KnownLoss("sparse_categorical_crossentropy", classes=True)
    p = np.array([[0.5, 0.5], [0.1, 0.9]])
    for missing in (-1, NAN):
        assert float(numbers([0, missing], p)) == pytest.approx(-np.log(0.5))
    total = keras.losses.MeanSquaredError(reduction="sum")
    assert float(KnownLoss(total)(y, out)) == pytest.approx(5.0)
    # A loss that knows no outputs one by one takes whole examples.
    whole = KnownLoss(keras.losses.MeanSquaredError())
    y, out = np.array([[1.0, NAN], [2.0, 4.0]]), np.zeros((2, 2))
    assert float(whole(y, out)) == pytest.approx(10.0)
    parts = KnownLoss(LabelLoss(keras.losses.MeanSquaredError()))
    assert float(parts(y, out)) == pytest.approx(7.0)
    assert float(Numbers(2).known_loss()(y, out)) == pytest.approx(7.0)


def test_metrics_of_whole_examples_and_of_outputs():
    y, out = np.array([[1.0, NAN], [2.0, 4.0]]), np.zeros((2, 2))
    mae = keras.metrics.MeanAbsoluteError
    assert float(KnownMetric(mae())(y, out)) == pytest.approx(3.0)
    metric = KnownMetric(mae(), by_output=True)
    assert float(metric(y, out)) == pytest.approx(7 / 3)
    metric.reset_state()
    assert float(metric(y[1:], out[1:])) == pytest.approx(3.0)
    copy = KnownMetric.from_config(metric.get_config())
    assert copy.by_output and copy.name == metric.name


def test_known_losses_survive_saving(case):
    loss = case.output.known_loss()
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    labels = case.output.unpack(case.some)
    assert float(again(labels, case.outputs)) == float(loss(labels, case.outputs))


# What labels, predictions and models of somebody else's are of.

P3 = rows([0.2, 0.3, 0.5], [0.6, 0.3, 0.1])


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 2], Classes(3)),
        (["b", "a", "b"], Classes(["a", "b"])),
        ([[0, 1], [1, 0]], Classes(2)),
        ([[0, 1], [1, 1]], Labels(2)),
        ([0.5, 1.0], Numbers()),
        ([[0.5, 1.0], [3.0, 1.0]], Numbers(2)),
        ([True, False], Classes(["False", "True"])),
        (np.array([2, 3.5], object), Numbers()),
        ([[2], [0], [1]], Classes(3)),
    ],
)
def test_labels_tell_what_they_are(y, expected):
    output, held = read_labels(y)
    assert output.get_config() == expected.get_config()
    assert len(held) == len(y)


@pytest.mark.parametrize(
    ("y", "arguments", "message"),
    [
        (
            [0, 0],
            {"class_names": ["a", "b"]},
            "at least two classes.*2 examples of 'a'",
        ),
        ([["a", "b"], ["b", "a"]], {"task": "classification"}, "exactly one 1"),
        ([["a", "b"], ["b", "a"]], {"task": "regression"}, "Strings in `y` cannot be"),
        ([0.5, 1], {"task": "classification"}, "whole numbers or strings"),
        ([0, 1], {"task": "multi_label"}, r"shape \(n, classes\)"),
        ([[1, 1], [0, 1]], {"task": "classification"}, "exactly one 1"),
        ([0, 1], {"task": "clasification"}, "Did you mean"),
        ([0.5, NAN], {}, "NaN or infinite values in 1 of 2"),
        ([0, 3], {}, r"missing are \[1, 2\]"),
    ],
)
def test_labels_that_are_none(y, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_labels(y, **arguments)


@pytest.mark.parametrize(
    ("labels", "outputs", "expected"),
    [
        (np.array([0, 2]), P3, Classes(3)),
        (np.eye(3)[[0, 2]], P3, Classes(3)),
        (np.array([[1, 1, 0], [0, 0, 0]]), P3 / 2, Labels(3)),
        (np.array([0, 1]), rows([0.2], [0.7]), Classes(2, single_unit=True)),
        (np.array([0.5, 3.0]), rows([0.2], [0.7]), Numbers()),
        (rows([0.5, 3], [2, 1]), rows([1, 2], [3, 4]), Numbers(2)),
    ],
)
def test_predictions_tell_what_they_are(labels, outputs, expected):
    found = read_predictions(labels, outputs)
    assert found.get_config() == expected.get_config()
    names = [f"name {i}" for i in range(len(found.class_names or outputs[0]))]
    assert read_predictions(labels, outputs, None, names).class_names == tuple(names)


def test_predictions_that_tell_nothing():
    with pytest.raises(ValueError, match="Pass `task`, one of 'classification'"):
        # No softmax can have learnt such labels.
        read_predictions(np.array([[1, 1, 0], [0, 0, 0]]), P3)
    with pytest.raises(ValueError, match="Pass `task`, one of 'classification'"):
        read_predictions(np.array([0.0, 1.0]), rows([-2.0], [3.0]))
    with pytest.raises(ValueError, match="either one column, or one for each output"):
        read_predictions(np.zeros((2, 2)), P3)
    with pytest.raises(ValueError, match="a list of names, not one string"):
        read_predictions(np.array([0, 2]), P3, None, "abc")
    with pytest.raises(ValueError, match="sequence of 3 names"):
        read_predictions(np.array([0, 2]), P3, None, ["a", "b"])


SPARSE = keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize(
    ("loss", "activation", "units", "labels", "expected"),
    [
        ("sparse_categorical_crossentropy", None, 3, None, Classes(3)),
        (SPARSE(from_logits=True), "linear", 3, None, Classes(3)),
        (SPARSE(ignore_class=255), "linear", 3, None, None),
        ("categorical_crossentropy", "softmax", 3, None, Classes(3)),
        ("binary_crossentropy", "sigmoid", 3, np.eye(3), Labels(3)),
        (
            keras.losses.BinaryCrossentropy(),
            "sigmoid",
            1,
            None,
            Classes(2, single_unit=True),
        ),
        (None, "softmax", 3, None, Classes(3)),
        (None, "sigmoid", 3, None, Labels(3)),
        (None, "sigmoid", 1, None, Classes(2, single_unit=True)),
        ("mse", "linear", 1, None, Numbers()),
        (keras.losses.Huber(), "linear", 2, None, Numbers(2)),
        ("mse", "softmax", 3, np.eye(3), Classes(3)),
        ("mse", "softmax", 3, None, Classes(3)),
        ("mse", "linear", 1, np.array([0, 3]), Numbers()),
        (None, "linear", 3, np.array([0, 2]), Classes(3)),
        (None, "linear", 2, rows([0.5, 0.5], [1, 0]), Classes(2)),
        (None, "linear", 2, rows([1, 1], [0, 0]), Labels(2)),
        (None, "linear", 2, rows([3, 1], [0, -1]), Numbers(2)),
        (None, "linear", 3, None, None),
        (None, None, 3, None, None),
        (lambda y, p: p, "relu", 3, None, None),
    ],
)
def test_models_of_others_tell_their_output(loss, activation, units, labels, expected):
    found = output_of_keras(loss, activation, units, labels)
    if expected is None:
        assert found is None
    else:
        assert found.get_config() == expected.get_config()


def test_names_may_come_as_an_array():
    assert Classes(np.array(["u", "v"])).class_names == ("u", "v")
