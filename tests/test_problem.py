"""Problems: faces, labels by head in one row, weights, thresholds, other models."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_backbone, with_head
from several_heads import HEADS, LABELS, NAN, X, Y
from text_models import tiny_bert, word_piece_vocabulary

import tlkeras as tl
from tlkeras.inputs import Input, Pictures, Texts
from tlkeras.inputs.texts.preprocessor import TextPreprocessor
from tlkeras.outputs import Classes, Labels, Numbers, Prediction
from tlkeras.problem import PREDICTIONS, Problem, input_of, pack_data, problem_of

PICTURES = Pictures((16, 16))
SEVERAL = Problem(PICTURES, HEADS)
ONE = Problem(PICTURES, Classes(["ant", "bee"]))
ONE_OF_LABELS = Problem(PICTURES, Labels(["red", "flying"]))


# What it is.


def test_one_head_is_a_dictionary_of_one_with_a_face():
    assert list(ONE.outputs) == [PREDICTIONS] and not ONE.named
    assert ONE.output is ONE.outputs[PREDICTIONS]
    assert (ONE.task, ONE.class_names) == ("classification", ("ant", "bee"))
    assert ONE.face({PREDICTIONS: 3}) == 3 and ONE.by_head(3) == {PREDICTIONS: 3}
    assert repr(ONE) == "Problem(pictures -> classification)"
    assert ONE.outputs_by_head("tensor") == {PREDICTIONS: "tensor"}


def test_named_heads_are_a_dictionary_everywhere():
    assert SEVERAL.named and SEVERAL.outputs == HEADS
    assert SEVERAL.task == "multi_task"
    assert SEVERAL.class_names == {"species": ("ant", "bee"), "tags": ("red", "flying")}
    by_head = {name: 1 for name in HEADS}
    assert SEVERAL.face(by_head) == SEVERAL.by_head(by_head) == by_head
    assert SEVERAL.outputs_by_head(by_head) == by_head
    with pytest.raises(ValueError, match="several heads.*one was asked for"):
        _ = SEVERAL.output
    only = Problem(PICTURES, {"only": Numbers()})
    assert only.named and only.output is only.outputs["only"]
    assert only.face({"only": 1}) == {"only": 1} and only.task == "multi_task"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Outputs must be one.*dictionary"),
        ({"a": 3}, "Outputs must be one.*Received: {'a': 3}"),
        ([Classes(2)], "Outputs must be one"),
        (3, "Outputs must be one.*Received: 3"),
        ({"a/b": Classes(2)}, "without '/'"),
        ({"": Classes(2)}, "names of layers"),
        ({3: Classes(2)}, "names of layers"),
        ({"a": Classes(2, weight=0)}, "`weight` of every head is 0"),
        (Numbers(weight=0), "`weight` of every head is 0"),
    ],
)
def test_bad_outputs(outputs, message):
    with pytest.raises(ValueError, match=message):
        Problem(PICTURES, outputs)


def test_a_head_of_weight_0_may_stand_beside_another():
    heads = {"a": Classes(2, weight=0), "b": Numbers()}
    assert Problem(PICTURES, heads).compile_arguments()["loss_weights"] == {
        "a": 0.0,
        "b": 1.0,
    }


@pytest.mark.parametrize(
    "problem",
    [
        ONE,
        SEVERAL,
        Problem(Input(), Numbers(3, names=list("abc"))),
        Problem(Pictures((None, 8), 1, "pad"), {"only": Classes(2, single_unit=True)}),
        Problem(Texts(pairs=True), Labels(2, thresholds=(0.1, 0.9))),
        Problem(PICTURES, {"a": Classes(2, class_weight={0: 1.0, "1": 2.0})}),
    ],
    ids=["one", "several", "arrays", "one named", "texts", "weights"],
)
def test_a_file_keeps_the_problem(problem):
    config = json.loads(json.dumps(problem.get_config()))
    again = Problem.from_config(config)
    assert again == problem and hash(again) == hash(problem)
    assert again.named == problem.named and list(again.outputs) == list(problem.outputs)
    assert again.class_names == problem.class_names
    assert again.thresholds == problem.thresholds


def test_other_problems_are_not_equal():
    assert ONE == ONE.but() and ONE != ONE_OF_LABELS and ONE != 3
    assert ONE != ONE.but(input=Pictures((16, 16), 1)) and ONE != ONE.but(input=Input())
    assert ONE != Problem(PICTURES, {PREDICTIONS: ONE.output})
    assert ONE != ONE.but(outputs={PREDICTIONS: Classes(["bee", "ant"])})
    # The order of heads is that of their labels in a row.
    assert SEVERAL != Problem(PICTURES, dict(reversed(HEADS.items())))
    assert SEVERAL.but(outputs={"length": HEADS["length"].but(weight=1)}) != SEVERAL


def test_texts_are_equal_where_all_texts_have_the_same_tokens():
    import keras_hub

    def texts(words, length=16, **arguments):
        tokenizer = keras_hub.models.BertTokenizer(words, **arguments)
        return Texts(TextPreprocessor(tokenizer, length))

    words = word_piece_vocabulary()
    first = texts(words)
    assert first == texts(words) and hash(first) == hash(texts(words))
    assert first == first.adopt(Texts()) and first != first.adopt(Texts(pairs=True))
    assert first != texts([*words, "more"]) and first != texts(words, 8)
    assert first != texts(words, lowercase=True)
    assert first != Texts() and Texts() == Texts() and Texts() != PICTURES


def test_data_of_other_classes_are_refused():
    ONE.check_fits(None, "train")
    ONE.check_fits(ONE, "train")
    ONE.check_fits(SEVERAL, "train")
    SEVERAL.check_fits(Problem(PICTURES, {"other": Classes(7)}), "train")
    backwards = Classes(["bee", "ant"])
    with pytest.raises(ValueError, match="`val`.*in another order"):
        ONE.check_fits(Problem(PICTURES, backwards), "val")
    with pytest.raises(ValueError, match="`val`.*2 in number"):
        ONE.check_fits(Problem(PICTURES, Classes(3)), "val")
    with pytest.raises(ValueError, match="`val`.*in another order"):
        SEVERAL.check_fits(SEVERAL.but(outputs={"species": backwards}), "val")


# Thresholds.


def test_thresholds_of_one_head():
    changed = ONE_OF_LABELS.with_thresholds([0.3, 0.6])
    assert changed.thresholds == (0.3, 0.6) and ONE_OF_LABELS.thresholds is None
    assert changed.with_thresholds(0.25).thresholds == 0.25
    assert changed.with_thresholds(None).thresholds is None
    assert ONE.with_thresholds(None).thresholds is None
    with pytest.raises(ValueError, match="not exclusive.*'classification'"):
        ONE.with_thresholds(0.5)
    with pytest.raises(ValueError, match="0 to 1, or one for each of the 2 label"):
        ONE_OF_LABELS.with_thresholds([0.1, 0.2, 0.3])


def test_thresholds_by_head():
    changed = SEVERAL.with_thresholds({"tags": np.array([0.0, 1.0])})
    assert changed.thresholds == {"tags": (0.0, 1.0)} and SEVERAL.thresholds is None
    assert changed.with_thresholds(None).thresholds is None
    for value in (0.5, {"species": 0.5}, {"tgas": 0.5}):
        with pytest.raises(ValueError, match=r"by head.*\['tags'\]"):
            SEVERAL.with_thresholds(value)


# Labels of named heads, packed into rows.


def test_packing_is_undone_by_unpacking():
    rows = SEVERAL.pack(LABELS, 24, "train")
    assert rows.shape == (24, SEVERAL.columns) == (24, 4) and rows.dtype == np.float32
    labels = SEVERAL.unpack(rows)
    np.testing.assert_array_equal(labels["species"] == 1, LABELS["species"] == 1)
    np.testing.assert_array_equal(np.isnan(labels["species"]), LABELS["species"] < 0)
    np.testing.assert_array_equal(labels["tags"], LABELS["tags"])
    np.testing.assert_array_equal(labels["length"][:, 0], LABELS["length"])
    without = SEVERAL.pack({"tags": LABELS["tags"]}, 24, "val")
    assert np.isnan(SEVERAL.unpack(without)["species"]).all()
    assert ONE.unpack(Y) == {PREDICTIONS: Y}


def test_examples_whose_labels_are_known():
    known = SEVERAL.known(SEVERAL.pack(LABELS, 24, "train"))
    np.testing.assert_array_equal(known["species"][1], LABELS["species"] >= 0)
    np.testing.assert_array_equal(known["tags"][1], Y == 0)
    np.testing.assert_array_equal(known["length"][1], ~np.isnan(LABELS["length"]))
    labels, where = ONE.known(Y)[PREDICTIONS]
    assert where.all() and np.array_equal(labels, Y)


def test_a_dataset_is_packed_batch_by_batch():
    x, w = X.astype("float32"), np.arange(24.0)
    data = tf.data.Dataset.from_tensor_slices((x, LABELS, w)).batch(10)
    parts = list(pack_data(SEVERAL, data, "train"))
    assert [len(rows) for _, rows, _ in parts] == [10, 10, 4]
    rows = np.concatenate([rows for _, rows, _ in parts])
    np.testing.assert_array_equal(rows, SEVERAL.pack(LABELS, 24, "train"))
    np.testing.assert_array_equal(np.concatenate([w for *_, w in parts]), w)
    assert pack_data(ONE, data, "train") is data


def test_parts_of_splits_hold_rows_that_are_packed():
    problem = Problem(PICTURES, {"a": Numbers(), "b": Classes(2)})
    rows = np.stack([np.linspace(0.1, 1, 24), Y], axis=1)
    data = tl.from_arrays(X, rows, task="regression", test_split=0)
    assert pack_data(problem, data.train, "train") is data.train
    assert pack_data(problem, None, "val") is None
    with pytest.raises(ValueError, match=r"shape \(n, 4\)"):
        pack_data(SEVERAL, data.train, "train")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"specis": Y}, "No such head: 'specis'. Did you mean 'species'"),
        ({"species": Y[:5]}, r"'species' in `train` must have shape \(n,\) for n = 24"),
        ({"species": Y + 1}, "whole numbers from 0 to 1.*Received: 2"),
        ({"species": Y + 0.5}, "whole numbers from 0 to 1"),
        ({"species": Y - 2}, "-1 where missing. Received: -2"),
        ({"species": ["ant"] * 24}, "must be numbers.*names.index"),
        ({"tags": Y}, r"must have shape \(n, 2\)"),
        ({"tags": np.full((24, 2), -1)}, "from 0 to 1, NaN where missing"),
        ({"length": np.full(24, np.inf)}, "finite"),
        ({"species": Y, "tags": LABELS["tags"]}, r"no labels for \['length'\]"),
        ({**LABELS, "species": np.full(24, -1)}, r"no labels for \['species'\]"),
        (Y, "must be a dictionary by head"),
        (np.full((24, 4), 0.5), "Labels of head 'species' in `train`"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        pack_data(SEVERAL, (X, labels), "train")
    # Which labels a dataset lacks shows only when all of it is read.
    seen_at_once = "no labels for ['species']" not in message.replace("\\", "")
    same = isinstance(labels, dict) and all(len(v) == 24 for v in labels.values())
    if same and seen_at_once:
        data = tf.data.Dataset.from_tensor_slices((X, labels)).batch(24)
        with pytest.raises(ValueError, match=message):
            pack_data(SEVERAL, data, "train")


def test_data_of_other_kinds_are_refused():
    for data in (iter([]), [X, LABELS], tf.data.Dataset.range(3)):
        with pytest.raises(ValueError, match="`train` must be a tuple of arrays"):
            pack_data(SEVERAL, data, "train")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    with pytest.raises(ValueError, match="must be a dictionary by head"):
        pack_data(SEVERAL, data, "train")


# Weights of examples.


def one_batch(problem, rows, weighings, *weights):
    data = tf.data.Dataset.from_tensors((X[: len(rows)], rows, *weights))
    return next(iter(problem.unpacked(data, weighings)))


def test_class_weights_of_each_head():
    weighed = HEADS["species"].but(class_weight={"ant": 1, "bee": 3})
    problem = SEVERAL.but(outputs={"species": weighed})
    rows = problem.pack(LABELS, 24, "train")
    weighings = problem.weighings(None, rows)
    assert list(weighings) == ["species"]
    _, labels, weights = one_batch(problem, rows, weighings)
    known = LABELS["species"] >= 0
    expected = np.where(LABELS["species"] == 1, 3, 1)
    np.testing.assert_array_equal(weights["species"][known], expected[known])
    np.testing.assert_array_equal(weights["tags"], np.ones(24))
    np.testing.assert_array_equal(labels["tags"], LABELS["tags"])
    # In validation labels alone are unpacked.
    assert len(one_batch(problem, rows, None)) == 2


@pytest.mark.parametrize("part", ["species", "tags", "length"])
def test_balanced_weights_come_from_the_known_labels(part):
    heads = {
        "species": Classes(3, class_weight="balanced"),
        "tags": Labels(2, class_weight="balanced"),
        "length": Numbers(class_weight="balanced"),
    }
    problem = Problem(PICTURES, {part: heads[part]})
    labels = {
        "species": np.array([0, 0, 0, 1, -1, -1]),
        "tags": np.array([[1, NAN], [0, NAN], [0, 1], [0, 0], [NAN, NAN], [0, 1]]),
        "length": np.array([0.0, 0.0, 0.1, 5.0, NAN, NAN]),
    }[part]
    rows = problem.pack({part: labels}, 6, "train")
    weighings = problem.weighings(None, rows)
    _, _, doubled = one_batch(problem, rows, weighings, np.full(6, 2.0, "float32"))
    weights = np.array(doubled[part]) / 2
    if part == "species":
        np.testing.assert_allclose(weights[:4], [2 / 3, 2 / 3, 2 / 3, 2])
    elif part == "tags":
        there = ~np.isnan(labels)
        for label, column in enumerate(labels.T):
            got = weights[there[:, label], label]
            has = column[there[:, label]] == 1
            assert got[has].sum() == pytest.approx(got[~has].sum(), rel=1e-5)
    else:
        assert weights[3] > weights[0] and weights[:4].mean() == pytest.approx(1.0)


def test_balanced_weights_need_known_labels():
    problem = Problem(PICTURES, {"species": Classes(2, class_weight="balanced")})
    with pytest.raises(ValueError, match="Head 'species': .*all training labels"):
        problem.weighings(None, None)
    problem = Problem(PICTURES, {"species": Classes(2, class_weight={"ant": 1.0})})
    with pytest.raises(ValueError, match="Head 'species'.*class number from 0 to 1"):
        problem.weighings(None, None)


def test_one_head_is_weighed_by_what_the_verb_says_or_by_its_own_weights():
    assert ONE.weighings(None, Y) == {}
    own = ONE.but(outputs={PREDICTIONS: ONE.output.but(class_weight={0: 1, 1: 4})})
    for problem, given in ((ONE, {"ant": 1, "bee": 4}), (own, None)):
        _, labels, weights = one_batch(problem, Y, problem.weighings(given, Y))
        np.testing.assert_array_equal(weights, np.where(Y == 1, 4, 1))
        np.testing.assert_array_equal(labels, Y)
    (weighing,) = own.weighings({0: 1, 1: 2}, Y).values()
    assert weighing(Y).numpy().max() == 2
    with pytest.raises(ValueError, match="LabelLoss"):
        ONE_OF_LABELS.weighings({0: 1, 1: 2}, None, "binary_crossentropy")


# Training and answers.


def test_what_a_model_is_compiled_with():
    one = ONE.compile_arguments()
    assert one["loss_weights"] is None
    assert [metric.name for metric in one["metrics"]] == ["accuracy"]
    several = SEVERAL.compile_arguments()
    assert several["loss_weights"] == {"species": 1.0, "tags": 0.5, "length": 0.1}
    assert set(several["loss"]) == set(several["metrics"]) == set(HEADS)
    half = ONE.but(outputs={PREDICTIONS: ONE.output.but(weight=0.5)})
    assert half.compile_arguments()["loss_weights"] == 0.5


def test_answers_have_the_face_of_the_problem():
    outputs = {
        "species": np.array([[0.2, 0.8]]),
        "tags": np.array([[0.9, 0.1]]),
        "length": np.array([[3.5]]),
    }
    (answer,) = SEVERAL.answers(outputs)
    assert list(answer) == list(HEADS)
    assert answer["species"].label == "bee" and answer["tags"].label == ("red",)
    assert answer["length"] == 3.5
    (answer,) = ONE.answers(outputs["species"])
    assert isinstance(answer, Prediction) and answer.label == "bee"
    assert Problem(PICTURES, Numbers(2)).answers([[1.0, 2.0]]) == [(1.0, 2.0)]


# Models of somebody else's.


def dense(units, activation, shape=(16, 16, 3), loss=None):
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(units, activation=activation)(x))
    if loss is not None:
        model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("units", "activation", "loss", "expected"),
    [
        (3, "softmax", None, Classes(3)),
        (3, None, "sparse_categorical_crossentropy", Classes(3)),
        (3, "sigmoid", None, Labels(3)),
        (3, "sigmoid", "binary_crossentropy", Labels(3)),
        (1, "sigmoid", None, Classes(2, single_unit=True)),
        (1, None, keras.losses.BinaryCrossentropy(True), Classes(2, single_unit=True)),
        (2, None, "mse", Numbers(2)),
        (1, "relu", keras.losses.MeanAbsoluteError(), Numbers()),
        (3, None, None, None),
        (3, "tanh", lambda y, p: p, None),
    ],
)
def test_a_model_of_somebody_elses_tells_its_problem(units, activation, loss, expected):
    found = problem_of(dense(units, activation, loss=loss))
    expected = None if expected is None else Problem(PICTURES, expected)
    assert found == expected


def test_labels_tell_what_the_model_does_not():
    model = dense(3, None)
    assert problem_of(model) is None
    assert problem_of(model, Y).output == Classes(3)
    assert problem_of(model, np.ones((4, 3))).output == Labels(3)
    assert problem_of(model, np.full((4, 3), 7.5)).output == Numbers(3)


@pytest.mark.parametrize("loss", [None, "one", "each"])
def test_outputs_by_name_are_heads(loss):
    inputs = keras.Input((4,))
    layers = {"a": ("softmax", 3), "b": ("sigmoid", 2), "c": ("sigmoid", 1)}
    outputs = {
        name: keras.layers.Dense(units, activation)(inputs)
        for name, (activation, units) in layers.items()
    }
    model = keras.Model(inputs, outputs)
    if loss == "one":
        model.compile("sgd", "mse")
    elif loss == "each":
        model.compile("sgd", dict.fromkeys(outputs, "binary_crossentropy"))
    found = problem_of(model)
    assert found.named and isinstance(found.input, Input)
    first = Labels(3) if loss == "each" else Classes(3)
    expected = {"a": first, "b": Labels(2), "c": Classes(2, single_unit=True)}
    assert found == Problem(Input(), expected)
    outputs["map"] = keras.layers.Reshape((3, 1))(outputs["a"])
    assert problem_of(keras.Model(inputs, outputs)) is None


def test_models_that_tell_nothing():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    inputs = keras.Input((4,))
    one, two = keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)
    model = keras.Model(inputs, [one, two])
    model.compile("sgd", ["mse", "mse"])
    for silent in (Subclassed(), keras.Sequential([keras.layers.Dense(2)]), model):
        assert problem_of(silent) is None


def test_a_sequential_model_and_a_hand_written_one():
    layers = [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
    assert problem_of(model) == Problem(Pictures(), Classes(2))
    assert problem_of(with_head(tiny_backbone(blocks=1), 4)).output == Classes(4)
    last = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    last.add(keras.layers.Softmax())
    assert problem_of(last) == Problem(Input(), Classes(2))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((16, 16, 3), PICTURES),
        ((8, 4, 1), Pictures((8, 4), 1)),
        ((16, 16, 8), Input()),
        ((5,), Input()),
    ],
)
def test_the_shape_tells_the_input(shape, expected):
    assert input_of(dense(2, "softmax", shape)) == expected


def test_our_models_say_their_problem_themselves():
    bert, tokenizer = tiny_bert(num_layers=1)
    model = tl.text_classifier(bert, 2, tokenizer=tokenizer, sequence_length=8)
    model.compile("sgd", "mse")
    assert problem_of(model) is model.problem and input_of(model) is model.problem.input
    assert problem_of(model, np.full((4, 2), 7.5)) is model.problem
    assert model.preprocessor is model.problem.input.preprocessor


@pytest.mark.parametrize(
    ("builder", "given", "right"),
    [
        (tl.image_regressor, {}, "classification"),
        (tl.image_classifier, {"classes": 2}, "regression"),
    ],
)
def test_data_that_were_read_for_something_else_are_refused(builder, given, right):
    labels = {"classification": ["ant", "bee"] * 12, "regression": Y.astype("float32")}
    data = tl.from_arrays(X, labels[right], test_split=0)
    model = builder(tiny_backbone(blocks=1), **given)
    for verb in (tl.fit_head, tl.evaluate):
        with pytest.raises(ValueError, match=f"read for '{right}'; the model is for"):
            verb(model, data.train, verbose=0)


def test_whole_numbers_that_were_read_as_classes_are_numbers_too():
    data = tl.from_arrays(X, Y, test_split=0)
    model = tl.image_regressor(tiny_backbone(blocks=1))
    assert tl.fit_head(model, data.train, epochs=1, verbose=0).history["loss"]


def test_pictures_that_are_read_in_another_way_are_warned_of():
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    model.problem = model.problem.but(input=Pictures((16, 16), 3, "pad"))
    other = Problem(Pictures((16, 16), 3, "crop"), tl.Classes(2))
    with pytest.warns(UserWarning, match="fit='crop'; the model was trained .*'pad'"):
        model.problem.check_fits(other, "data")


def test_pairs_do_not_go_into_a_model_of_single_texts():
    single = Problem(Texts(pairs=False), tl.Classes(2))
    with pytest.raises(ValueError, match="`train` holds pairs of texts"):
        single.check_fits(Problem(Texts(pairs=True), tl.Classes(2)), "train")


@pytest.mark.parametrize("name", ["my head", "kopf ü", "_a", "a/b", ""])
def test_names_that_no_layer_can_have_are_refused(name):
    with pytest.raises(ValueError, match="names of layers"):
        Problem(Pictures(), {name: tl.Numbers()})
