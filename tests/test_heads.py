"""Heads: shapes and dtypes; losses: their numbers, their weights, their files."""

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.heads import last_layer, stack_hidden, to_vector
from tlkeras.outputs import ClassCrossentropy, ClassLoss, LabelLoss
from tlkeras.outputs.losses import classifier_loss


def with_head(features, units, activation, head="pool", **arguments):
    """Stacks a head on features, as the builders do."""
    penalty = arguments.get("weight_decay", 0.0)
    x = stack_hidden(to_vector(features, head), **arguments)
    return last_layer(x, units, activation, "predictions", penalty)


def layer_names(inputs, outputs):
    return [type(layer).__name__ for layer in keras.Model(inputs, outputs).layers[1:]]


def test_the_classic_head():
    x = keras.Input((7, 7, 512))
    y = with_head(x, 3, "softmax", head="flatten", hidden=(256,))
    assert layer_names(x, y) == ["Flatten", "Dense", "Dense"]
    assert keras.Model(x, y).count_params() == 7 * 7 * 512 * 256 + 256 + 257 * 3


@pytest.mark.parametrize(
    ("shape", "pooling"),
    [
        ((4, 4, 8), "GlobalAveragePooling2D"),
        ((5, 8), "GlobalAveragePooling1D"),
        ((8,), "Dense"),
    ],
)
def test_pooling_follows_the_rank_of_the_features(shape, pooling):
    x = keras.Input(shape)
    assert layer_names(x, with_head(x, 2, None))[0] == pooling


def test_dropout_stands_before_every_dense_layer():
    x = keras.Input((8,))
    y = with_head(x, 2, None, hidden=(4,), dropout=0.5)
    assert layer_names(x, y) == ["Dropout", "Dense", "Dropout", "Dense"]


def test_weight_decay_penalises_every_kernel():
    x = keras.Input((8,))
    model = keras.Model(x, with_head(x, 2, None, hidden=(4,), weight_decay=0.5))
    expected = 0.5 * sum(np.sum(np.square(layer.kernel)) for layer in model.layers[1:])
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    x = keras.Input((8,))
    y = with_head(x, 2, "softmax", hidden=(4,))
    assert y.dtype == "float32"
    assert keras.Model(x, y).layers[1].compute_dtype == policy.removeprefix("mixed_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "poll"}, "Did you mean 'pool'"),
        ({"hidden": 256}, "must be a tuple"),
        ({"hidden": (0,)}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
        ({"weight_decay": -1}, "at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        with_head(keras.Input((8,)), 2, None, **arguments)


def test_flatten_needs_a_fixed_size_and_a_head_needs_features():
    with pytest.raises(ValueError, match="fixed input size"):
        with_head(keras.Input((None, None, 8)), 2, None, head="flatten")
    with pytest.raises(ValueError, match="rank 2, 3 or 4"):
        with_head(keras.Input((2, 3, 4, 8)), 2, None)


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], "float32")
LABELS = np.array([0, 1])
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_numbers_and_distributions_give_the_same_loss(smoothing):
    loss = ClassCrossentropy(label_smoothing=smoothing)
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(
        ONE_HOT, PROBABILITIES
    )
    for targets in (LABELS, LABELS[:, None], ONE_HOT):
        np.testing.assert_allclose(loss(targets, PROBABILITIES), expected, rtol=1e-5)


def test_soft_targets_are_not_taken_for_class_numbers():
    mixed = 0.5 * ONE_HOT + 0.5 * ONE_HOT[::-1]
    expected = keras.losses.CategoricalCrossentropy()(mixed, PROBABILITIES)
    np.testing.assert_allclose(ClassCrossentropy()(mixed, PROBABILITIES), expected)


def test_the_loss_survives_saving():
    config = keras.losses.serialize(ClassCrossentropy(label_smoothing=0.2))
    assert keras.losses.deserialize(config).label_smoothing == 0.2


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_by_hand(smoothing):
    loss = classifier_loss("focal", multi_label=False, label_smoothing=smoothing)
    soft = ONE_HOT * (1 - smoothing) + smoothing / 3
    values = -soft * (1 - PROBABILITIES) ** 2 * np.log(PROBABILITIES)
    expected = values.sum(axis=1).mean()
    for targets in (LABELS, LABELS[:, None], ONE_HOT):
        np.testing.assert_allclose(loss(targets, PROBABILITIES), expected, rtol=1e-5)
    mixed = np.full((2, 3), 1 / 3, "float32")
    assert loss(mixed, PROBABILITIES) > loss(ONE_HOT, PROBABILITIES)


MULTI = np.array([[1, 0, 1], [0, 0, 1]], "float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_of_labels_that_are_not_exclusive(smoothing):
    loss = classifier_loss("focal", multi_label=True, label_smoothing=smoothing)
    soft = MULTI * (1 - smoothing) + smoothing / 2
    entropy = -soft * np.log(PROBABILITIES) - (1 - soft) * np.log(1 - PROBABILITIES)
    right = soft * PROBABILITIES + (1 - soft) * (1 - PROBABILITIES)
    expected = (1 - right) ** 2 * entropy
    np.testing.assert_allclose(loss.call(MULTI, PROBABILITIES), expected, rtol=1e-4)
    np.testing.assert_allclose(loss(MULTI, PROBABILITIES), expected.mean(), rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_loss_of_labels_equals_that_of_keras_and_takes_both_kinds_of_weights(
    smoothing,
):
    loss = classifier_loss(multi_label=True, label_smoothing=smoothing)
    plain = keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    np.testing.assert_allclose(
        loss(MULTI, PROBABILITIES), plain(MULTI, PROBABILITIES), rtol=1e-6
    )
    examples = np.array([0.5, 2.0], "float32")
    expected = plain(MULTI, PROBABILITIES, examples)
    for weights in (examples, examples[:, None]):
        found = loss(MULTI, PROBABILITIES, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    labels = np.array([[1, 2, 3], [4, 5, 6]], "float32")
    values = np.array(loss.call(MULTI, PROBABILITIES))
    found = loss(MULTI, PROBABILITIES, labels)
    np.testing.assert_allclose(found, (labels * values).mean(), rtol=1e-6)


def test_as_many_examples_as_labels_are_weighed_as_examples():
    loss, square = LabelLoss("binary_crossentropy"), np.eye(3, dtype="float32")
    p = np.full((3, 3), 0.2, "float32")
    p[0] = 0.6
    plain = keras.losses.BinaryCrossentropy()
    weights = np.array([1.0, 0.0, 0.0])
    assert float(loss(square, p, weights)) == pytest.approx(
        float(plain(square, p, weights)), rel=1e-6
    )


def test_one_label_of_any_shape():
    p = np.array([[0.2], [0.9]], "float32")
    loss = LabelLoss(keras.losses.BinaryCrossentropy())
    assert float(loss([0, 1], p)) == pytest.approx(float(loss([[0], [1]], p)))


@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        keras.losses.categorical_crossentropy,
        keras.losses.CategoricalHinge(),
        keras.losses.KLDivergence(reduction="sum"),
        "mse",
    ],
)
def test_losses_of_keras_take_class_numbers(loss):
    ours = classifier_loss(loss, multi_label=False)
    known = keras.losses.get(loss)
    expected = np.mean(known(ONE_HOT, PROBABILITIES))
    for targets in (LABELS, LABELS[:, None], ONE_HOT):
        np.testing.assert_allclose(ours(targets, PROBABILITIES), expected, rtol=1e-6)


def test_other_losses_stay_what_they_are():
    class Own(keras.losses.CategoricalCrossentropy):
        pass

    def own(y_true, y_pred):
        return y_pred

    sparse = keras.losses.SparseCategoricalCrossentropy()
    for loss in (own, Own(), sparse, ClassCrossentropy(0.1)):
        assert classifier_loss(loss, multi_label=False) is loss
    for loss in (own, keras.losses.Dice(), LabelLoss("bce")):
        assert classifier_loss(loss, multi_label=True) is loss
    known = "sparse_categorical_crossentropy"
    assert classifier_loss(known, multi_label=False) is getattr(keras.losses, known)


@pytest.mark.parametrize(
    ("loss", "smoothing", "message"),
    [
        ("focl", 0.0, "Did you mean 'focal'"),
        ("categorical_crosentropy", 0.0, "Did you mean 'categorical_crossentropy'"),
        (7, 0.0, "must be a Keras loss"),
        (keras.losses.CategoricalCrossentropy(), 0.1, "set it in your own loss"),
        ("mse", 0.1, "set it in your own loss"),
        (keras.losses.BinaryCrossentropy(from_logits=True), 0.0, "are probabilities"),
        ("focal", 1.0, "below 1"),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_bad_losses(loss, smoothing, message, multi_label):
    with pytest.raises(ValueError, match=message):
        classifier_loss(loss, multi_label=multi_label, label_smoothing=smoothing)


def test_a_regressor_names_the_losses_that_there_are():
    with pytest.raises(ValueError, match="Did you mean 'huber'"):
        tl.image_regressor(tiny_backbone(blocks=0), loss="hubr")
    with pytest.raises(ValueError, match="must be a Keras loss"):
        tl.image_regressor(tiny_backbone(blocks=0), loss=7)
    model = tl.image_regressor(tiny_backbone(blocks=0), loss=None)
    assert model.loss.__name__ == "mean_squared_error"


LOSSES = [
    {"loss": "focal", "label_smoothing": 0.2},
    {"loss": "focal", "multi_label": True},
    {"label_smoothing": 0.1, "multi_label": True},
    {"loss": keras.losses.CategoricalFocalCrossentropy(alpha=[1.0, 3.0], gamma=3.0)},
    {"loss": "categorical_crossentropy"},
]


@pytest.mark.parametrize("arguments", LOSSES)
def test_the_losses_of_builders_survive_saving(arguments):
    loss = classifier_loss(**{"multi_label": False, **arguments})
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(loss, (ClassLoss, LabelLoss))
    assert type(again) is type(loss) and again.name == loss.name
    assert again.get_config() == loss.get_config()
    targets, p = ONE_HOT[:, :2], np.array([[0.7, 0.3], [0.4, 0.6]], "float32")
    assert float(again(targets, p)) == float(loss(targets, p))


def assert_a_file_keeps_the_loss(model, folder):
    model.save(folder / "model.keras")
    again = tl.load(folder / "model.keras")
    assert type(again.loss) is type(model.loss)
    assert again.loss.get_config() == model.loss.get_config()
    return again


def test_a_file_of_an_image_model_keeps_the_loss(tmp_path):
    x, y = solid_colours(6, 2)
    model = tl.image_classifier(
        tiny_backbone(blocks=0), ["a", "b"], loss="focal", preprocessing=None
    )
    again = assert_a_file_keeps_the_loss(model, tmp_path)
    losses = [float(m.compute_loss(x, y, m(x, training=False))) for m in (model, again)]
    assert losses[0] == losses[1] > 0


def test_a_file_of_a_text_model_keeps_the_loss(tmp_path):
    bert, tokenizer = tiny_bert(num_layers=1)
    model = tl.text_classifier(
        bert,
        ["a", "b"],
        tokenizer=tokenizer,
        sequence_length=8,
        multi_label=True,
        loss="focal",
    )
    assert_a_file_keeps_the_loss(model, tmp_path)


def test_a_file_with_the_loss_of_keras_loads(tmp_path):
    """As models of several labels were saved before they had a loss of their own."""
    model = tl.image_classifier(
        tiny_backbone(blocks=0), 2, multi_label=True, preprocessing=None
    )
    model.compile(model.optimizer, keras.losses.BinaryCrossentropy(label_smoothing=0.1))
    assert_a_file_keeps_the_loss(model, tmp_path)


def test_focal_loss_learns_from_mixed_class_numbers():
    x, y = solid_colours(32, 2)
    model = tl.image_classifier(
        tiny_backbone(blocks=0), 2, loss="focal", preprocessing=None
    )
    tl.fit_head(
        model,
        (x, y),
        epochs=20,
        learning_rate=0.2,
        recipe=tl.Recipe(augment="mixup"),
        verbose=0,
    )
    assert model.evaluate(x, y, verbose=0)[1] > 0.9


METRICS = {
    "accuracy": 0.75,
    "top_k_categorical_accuracy": 1.0,
    "sparse_top_k_categorical_accuracy": 1.0,
    "sparse_categorical_accuracy": 0.75,
    "auc": None,
    "f1_score": None,
}


@pytest.mark.slow
def test_metrics_take_class_numbers_and_one_hot_rows(tmp_path):
    metrics = [name for name in METRICS if name not in ("auc", "f1_score")]
    metrics += [keras.metrics.AUC(name="auc"), keras.metrics.F1Score("macro")]
    backbone = keras.Sequential([keras.Input((1, 1, 3)), keras.layers.Dense(3)])
    model = tl.image_classifier(
        keras.Model(backbone.inputs, backbone.outputs, name="tiny"),
        tl.Classes(3, metrics=metrics),
        preprocessing=None,
    )
    x = 99 * np.random.default_rng(0).normal(size=(8, 1, 1, 3)).astype("float32")
    numbers = np.argmax(model(x), axis=1)
    numbers[:2] = (numbers[:2] + 1) % 3
    rows = np.eye(3, dtype="float32")[numbers]
    weights = np.ones(8)
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    # Each with and without weights, as a model that was loaded, and in another form.
    cases = [
        (model, numbers, None),
        (model, rows.astype("int64"), weights),
        (loaded, numbers[:, None] * 1.0, weights),
    ]
    found = [
        one.evaluate(x, y, sample_weight=given, verbose=0, return_dict=True)
        for one, y, given in cases
    ]
    for figures in found:
        assert figures == pytest.approx(found[0], abs=1e-6)
        for name, value in METRICS.items():
            assert value is None or figures[name] == pytest.approx(value)


@pytest.mark.parametrize(("rows_in", "solved"), [("train", True), ("val", False)])
def test_training_and_validation_labels_may_differ_in_form(rows_in, solved):
    x, y = solid_colours(60, 3)
    forms = {"train": y, "val": y} | {rows_in: np.eye(3, dtype="float32")[y]}
    model = tl.image_classifier(tiny_backbone(blocks=0), 3)
    given = {} if solved else {"epochs": 2, "learning_rate": 0.01}
    history = tl.fit_head(
        model,
        (x, forms["train"]),
        (x, forms["val"]),
        **given,
        cache="memory",
        verbose=0,
    )
    right = np.mean(np.argmax(model(x), axis=1) == y)
    assert history.history["val_accuracy"][-1] == pytest.approx(right)


def test_a_metric_of_the_users_own_gets_the_labels_as_they_are():
    def shown(y_true, y_pred):
        return keras.ops.ones(()) * len(y_true.shape)

    model = tl.image_classifier(tiny_backbone(blocks=0), tl.Classes(3, metrics=[shown]))
    x = np.zeros((4, 16, 16, 3), "float32")
    assert model.evaluate(x, np.eye(3)[[0, 1, 2, 0]], verbose=0)[1] == 2
