"""Builders and `TransferModel`: what is built, what is saved, what it answers."""

import functools
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
    with_head,
)
from several_heads import HEADS, LABELS, X, Y
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.builders import BUILDERS, make_builders
from tlkeras.features.splitting import join
from tlkeras.inputs import Input
from tlkeras.problem import pack_data
from tlkeras.training.job import open_job

CLASSES = ["cat", "dog", "newt"]
FOUR = ("resnet50", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_small")


def classifier(**arguments):
    return tl.image_classifier(tiny_backbone(blocks=2), CLASSES, **arguments)


# For those who only look at it.
unchanged = functools.cache(classifier)


def test_the_classic_vgg16_model_is_one_call():
    model = tl.image_classifier(
        "vgg16", ["a", "b"], weights=None, head="flatten", hidden=(256,)
    )
    assert model.backbone.count_params() == 14_714_688
    assert model.head.count_params() == 6_422_784 + 2 * 257
    assert tl.trainable_summary(model).trainable == 6_422_784 + 2 * 257
    assert model.input_shape == (None, 224, 224, 3)


def test_a_new_model_is_frozen_compiled_and_names_its_classes():
    model = unchanged()
    assert isinstance(model, keras.Model) and model.compiled
    assert model.class_names == ("cat", "dog", "newt")
    assert model.task == "classification"
    assert not model.backbone.trainable_variables
    assert model.jit_compile is False


def test_classes_by_number_are_named_by_number():
    model = tl.image_classifier(tiny_backbone(blocks=0), 3)
    assert model.class_names == ("0", "1", "2")


def test_probabilities_sum_to_one_and_multi_label_ones_need_not():
    x, _ = solid_colours(4, 3)
    rows = np.asarray(unchanged()(x))
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-5)
    model = unchanged(multi_label=True)
    assert model.task == "multi_label"
    assert model.layers[-1].activation is keras.activations.sigmoid
    assert isinstance(model.loss.loss, keras.losses.BinaryCrossentropy)


def test_a_regressor_has_linear_outputs_and_says_numbers():
    x, _ = solid_colours(2, 2)
    model = tl.image_regressor(tiny_backbone(blocks=0), outputs=2)
    assert model.task == "regression" and model.class_names is None
    assert model.output_shape == (None, 2)
    expected = model.predict(x, verbose=0)
    assert model.classify(x) == [tuple(row) for row in expected.tolist()]
    (number,) = tl.image_regressor(tiny_backbone(blocks=0)).classify(x[0])
    assert isinstance(number, float)


def test_one_output_is_said_as_one_or_by_the_arguments_of_the_builder():
    labels = tl.Labels(["red", "flying"], hidden=(3,), dropout=0.1, weight=0.5)
    model = tl.image_classifier(tiny_backbone(blocks=0), labels)
    assert model.problem.output is labels and model.task == "multi_label"
    assert model.layers[-1].input.shape == (None, 3)
    x, y = solid_colours(4, 2)
    rows = np.eye(2)[y]
    loss = model.loss(rows, model(x))
    assert model.evaluate(x, rows, verbose=0)[0] == pytest.approx(0.5 * float(loss))
    # A classifier's builder and a regressor's differ in what a bare argument means.
    backbones = tiny_backbone(blocks=0), tiny_backbone(blocks=0)
    assert tl.image_classifier(backbones[0], tl.Numbers(2)).task == "regression"
    assert tl.image_regressor(backbones[1], tl.Classes(2)).task == "classification"


def test_two_classes_of_one_unit_learn():
    x, y = solid_colours(32, 2)
    two = tl.Classes(["no", "yes"], single_unit=True)
    model = tl.image_classifier(tiny_backbone(blocks=0), two)
    model.optimizer.learning_rate = 0.2
    history = model.fit(x, y, epochs=20, shuffle=False, verbose=0).history
    answers = [answer.label for answer in model.classify(x)]
    assert answers == [("no", "yes")[label] for label in y]
    assert history["accuracy"][-1] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "at least 2"),
        ({"classes": "cats"}, "list of their names"),
        ({"classes": ["a"]}, "at least 2"),
        ({"classes": ["a", "b", "a"]}, "repeated"),
        ({"classes": None}, "list of their names"),
        ({"classes": 2.5}, "list of their names"),
        ({"classes": tl.Classes(2), "multi_label": True}, "`multi_label` is for the"),
        ({"classes": HEADS, "label_smoothing": 0.1}, "`label_smoothing` is for the"),
        ({"classes": HEADS, "loss": "focal"}, "`loss` is for the one head"),
        ({"classes": [tl.Classes(2), tl.Numbers()]}, "dictionary from their names"),
        ({"classes": {}}, "Outputs must be one"),
        ({"classes": {"a": 3}}, "Outputs must be one"),
        ({"classes": {"a/b": tl.Classes(2)}}, "without '/'"),
        ({"classes": {"a": tl.Classes(2, weight=0)}}, "`weight` of every head is 0"),
        ({"classes": 2, "label_smoothing": 1.0}, "below 1"),
        ({"classes": 2, "loss": "focl"}, "Did you mean 'focal'"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_a_backbone_is_loaded(
    arguments, message
):
    with pytest.raises(ValueError, match=message):
        tl.image_classifier("no_such_backbone", **arguments)


def test_no_head_may_have_the_name_of_a_layer():
    with pytest.raises(ValueError, match="name of a layer.*'tiny'"):
        tl.image_classifier(tiny_backbone(blocks=0), {"tiny": tl.Classes(2)})


def test_a_head_of_ours_gives_probabilities():
    with pytest.raises(ValueError, match="Models of tlkeras give probabilities"):
        tl.image_classifier(tiny_backbone(blocks=0), tl.Classes(2, logits=True))


# The builders themselves.


TARGETS = {"regressor": "outputs", "forecaster": "horizon"}


@pytest.mark.parametrize("name", sorted(set(BUILDERS) & set(tl.__all__)))
def test_a_builder_says_all_of_its_arguments(name):
    builder = getattr(tl, name)
    signature, text = inspect.signature(builder), inspect.getdoc(builder)
    assert builder is BUILDERS[name] and builder.__name__ == name
    assert signature.return_annotation is tl.TransferModel
    listed = text.partition("Args:\n")[2].partition("\nReturns:")[0]
    for argument, parameter in signature.parameters.items():
        assert f"\n    {argument}: " in f"\n{listed}", argument
        assert parameter.annotation is not parameter.empty
    positional = [p.name for p in signature.parameters.values() if p.kind == 1]
    assert positional == [
        "backbone",
        TARGETS.get(name.partition("_")[2], "classes"),
    ]
    assert "As in" not in text and "as in" not in listed and ">>>" in text
    assert max(map(len, builder.__doc__.splitlines())) <= 88


def test_dropout_is_what_suits_the_kind_of_input():
    defaults = {
        name: parameters["dropout"].default
        for name, builder in BUILDERS.items()
        if "dropout" in (parameters := inspect.signature(builder).parameters)
    }
    assert defaults["image_classifier"] == defaults["image_regressor"] == 0.0
    assert defaults["text_classifier"] == defaults["text_regressor"] == 0.1


def test_a_kind_of_input_must_say_what_its_arguments_are():
    class Sounds(Input):
        prefix = "sound"

        @classmethod
        def assemble(cls, backbone, *, rate=16_000):
            """Puts a backbone behind sounds.

            Args:
                backbone: A model.
            """

    with pytest.raises(ValueError, match="Sounds.assemble must say what `rate` is"):
        make_builders(Sounds)
    assert "sound_classifier" not in BUILDERS


def test_a_copy_that_keras_makes_predicts_and_says_that_it_knows_no_names(tmp_path):
    model, (x, _) = unchanged(), solid_colours(2, 2)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        copy.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert copy.preprocessor is None
    for ask in (
        lambda: copy.class_names,
        lambda: copy.task,
        lambda: copy.classify(np.zeros((16, 16, 3))),
        lambda: copy.save(tmp_path / "a.keras"),
    ):
        with pytest.raises(ValueError, match=r"clone_model.*copy.problem = model.prob"):
            ask()
    copy.problem = model.problem
    assert copy.class_names == model.class_names
    copy.save(tmp_path / "a.keras")
    assert tl.load(tmp_path / "a.keras").class_names == model.class_names


def test_classify_arrays_of_any_size():
    x, _ = solid_colours(3, 3)
    model = unchanged()
    expected = model.predict(x, verbose=0)
    predictions = model.classify(x)
    for row, prediction in zip(expected, predictions, strict=True):
        assert prediction.label == CLASSES[row.argmax()]
        assert list(prediction.probabilities) == CLASSES
        np.testing.assert_allclose(prediction.probability, row.max(), rtol=1e-6)
    assert model.classify(x[0]) == model.classify(x[:1])
    larger = np.repeat(np.repeat(x, 2, 1), 2, 2)
    assert [p.label for p in model.classify(larger)] == [p.label for p in predictions]


def test_classify_paths_and_arrays_agree(tmp_path):
    x, _ = solid_colours(2, 2)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, picture in zip(paths, x, strict=True):
        keras.utils.save_img(path, picture, scale=False)
    model = unchanged()
    assert model.classify(paths) == model.classify(x)
    assert model.classify(str(paths[0])) == model.classify(x[:1])


def test_classify_names_several_labels_or_none():
    model = classifier(multi_label=True)
    model.layers[-1].set_weights(
        [np.zeros_like(model.layers[-1].kernel), np.array([3.0, -3.0, 3.0])]
    )
    (prediction,) = model.classify(np.zeros((16, 16, 3)))
    assert prediction.label == ("cat", "newt")
    assert min(prediction.probability) > 0.9


@pytest.mark.parametrize(
    "bad", [np.zeros((16, 16)), np.zeros((2, 16, 16, 1)), ["missing.jpg"], [None]]
)
def test_classify_rejects_what_it_cannot_read(bad):
    with pytest.raises(ValueError, match=r"shape|missing.jpg"):
        unchanged().classify(bad)


def saved_and_loaded(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return tl.load(path)


@pytest.mark.contract
@pytest.mark.parametrize(
    ("policy", "before"),
    [("float32", "block2"), ("mixed_float16", None)],
)
def test_a_file_holds_everything(tmp_path, policy, before):
    keras.config.set_dtype_policy(policy)
    model = tl.freeze(classifier(dropout=0.3, hidden=(4,)), unfreeze_from=before)
    keras.config.set_dtype_policy("float32")
    x, _ = solid_colours(4, 3)
    again = saved_and_loaded(model, tmp_path)
    assert again.classify(x) == model.classify(x)
    assert again.class_names == model.class_names and again.task == model.task
    assert_equal_weights(weights_of(model), weights_of(again))
    assert [v.path for v in again.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert again.loss.get_config() == model.loss.get_config()
    assert again.backbone.layers[1].dtype_policy.name == policy


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUR)
def test_each_backbone_saves_and_loads_after_unfreezing(tmp_path, name):
    model = tl.image_classifier(name, CLASSES, weights=None, input_shape=32)
    tl.freeze(model, unfreeze_from=0.2)
    x, _ = solid_colours(2, 2, size=32)
    again = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert tl.trainable_summary(again) == tl.trainable_summary(model)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_answers(tmp_path):
    x, _ = solid_colours(3, 3)
    model = classifier()
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    script = (
        "import keras, numpy as np, tlkeras\n"
        "model = keras.models.load_model('m.keras')\n"
        "print(repr([p.probabilities for p in model.classify(np.load('x.npy'))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [p.probabilities for p in model.classify(x)]
    answered = done.stdout.strip().splitlines()[-1]
    assert answered == repr(expected)


def test_a_kerashub_backbone_keeps_its_freeze_point_in_the_file(tmp_path):
    from test_backbones_hub import tiny_resnet

    backbone = tiny_resnet((16, 16, 3))
    model = tl.image_classifier(backbone, CLASSES, preprocessing=None)
    tl.freeze(model, unfreeze_from=0.3)
    again = saved_and_loaded(model, tmp_path)
    x, _ = solid_colours(2, 2)
    assert again.classify(x) == model.classify(x)
    assert tl.trainable_summary(again) == tl.trainable_summary(model)
    assert 0 < len(again.backbone.trainable_weights) < len(again.backbone.weights)


def test_load_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match="no file .*nowhere.keras"):
        tl.load(tmp_path / "nowhere.keras")


# Several heads over one backbone.


def several(heads=HEADS, **arguments):
    return tl.image_classifier(tiny_backbone(blocks=1), heads, **arguments)


# For those who only look at it.
several_heads = functools.cache(several)


def outputs_of(model, x=X):
    """Returns what each head gives, without what `predict` has to trace."""
    found = model(x.astype("float32"), training=False)
    return {name: np.asarray(values) for name, values in found.items()}


def batches(model, x=X, labels=LABELS, size=8, weighings=None):
    rows = pack_data(model.problem, (x, labels), "val")
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(size)
    return model.problem.unpacked(dataset, weighings)


def losses_by_hand(outputs, labels):
    """Returns the mean loss over the known labels of each head of `HEADS`."""
    ids, tags = labels["species"], labels["tags"]
    known = ids >= 0
    species = -np.log(outputs["species"][known, ids[known]])
    p, there = outputs["tags"], ~np.isnan(tags)
    each = -np.where(tags == 1, np.log(p), np.log(1 - p))
    off = np.abs(outputs["length"][:, 0] - labels["length"])
    huber = np.where(off <= 1, off**2 / 2, off - 0.5)
    return {
        "species": species.mean(),
        "tags": each[there].mean(),
        "length": huber[~np.isnan(off)].mean(),
    }


def test_heads_share_one_frozen_backbone_and_answer_by_name():
    model = several(hidden=(6,), dropout=0.1)
    assert model.task == "multi_task" and model.compiled
    assert model.class_names == {"species": ("ant", "bee"), "tags": ("red", "flying")}
    assert not model.backbone.trainable_variables
    outputs = outputs_of(model)
    shapes = {name: values.shape for name, values in outputs.items()}
    assert shapes == {"species": (24, 2), "tags": (24, 2), "length": (24, 1)}
    assert all(values.dtype == np.float32 for values in outputs.values())
    np.testing.assert_allclose(outputs["species"].sum(axis=1), 1, rtol=1e-5)
    # 4 x 6 + 6 of the shared layer, then 6 x units + units of each head.
    assert tl.trainable_summary(model).trainable == 30 + 14 + 14 + 7


def test_a_head_has_layers_of_its_own():
    heads = {"a": tl.Classes(2, hidden=(7,), dropout=0.2), "b": tl.Numbers(3)}
    model = several(heads, weight_decay=0.01)
    assert model.get_layer("a").input.shape == (None, 7)
    assert model.get_layer("b").input.shape == (None, 4)
    assert len(model.losses) == 3
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.2, 0.2]


def test_classify_says_for_each_input_what_each_head_says():
    model = several_heads()
    outputs = outputs_of(model, X[:3])
    answers = model.classify(X[:3])
    assert [list(answer) for answer in answers] == [list(HEADS)] * 3
    for i, answer in enumerate(answers):
        place = outputs["species"][i].argmax()
        assert answer["species"].label == ("ant", "bee")[place]
        assert answer["length"] == pytest.approx(outputs["length"][i, 0])
        high = outputs["tags"][i] >= 0.5
        assert len(answer["tags"].label) == high.sum()
    two = several({"place": tl.Numbers(2)})
    assert len(two.classify(X[:1])[0]["place"]) == 2


def test_the_loss_is_the_weighted_sum_of_means_over_known_labels():
    model = several_heads()
    outputs = outputs_of(model)
    found = model.evaluate(batches(model, size=24), verbose=0, return_dict=True)
    expected = losses_by_hand(outputs, LABELS)
    for name, value in expected.items():
        assert found[f"{name}_loss"] == pytest.approx(value, rel=1e-5)
    total = expected["species"] + 0.5 * expected["tags"] + 0.1 * expected["length"]
    assert found["loss"] == pytest.approx(total, rel=1e-5)
    # Metrics ignore missing labels however these fall into batches.
    known = LABELS["species"] >= 0
    right = (outputs["species"].argmax(axis=1) == LABELS["species"])[known]
    there = ~np.isnan(LABELS["tags"])
    tags = ((outputs["tags"] > 0.5) == LABELS["tags"])[there]
    off = np.abs(outputs["length"][:, 0] - LABELS["length"])
    found = model.evaluate(batches(model, size=5), verbose=0, return_dict=True)
    assert found["species_accuracy"] == pytest.approx(right.mean())
    assert found["tags_accuracy"] == pytest.approx(tags.mean())
    assert found["length_mae"] == pytest.approx(np.nanmean(off), rel=1e-5)


def test_a_head_without_labels_in_a_batch_gets_no_gradient_and_no_nan():
    model = several_heads()
    labels = {"tags": LABELS["tags"]}
    x, y = next(iter(batches(model, labels=labels, size=24)))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x))
    names = [v.path.split("/")[0] for v in model.trainable_variables]
    gradients = tape.gradient(loss, model.trainable_variables)
    for name, gradient in zip(names, gradients, strict=True):
        assert np.isfinite(gradient).all()
        assert np.any(gradient != 0) == (name == "tags")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "labels"),
    [
        (tl.Classes(2), Y),
        (tl.Labels(2), np.stack([Y, 1 - Y], 1)),
        (tl.Numbers(loss="huber"), 2.0 * Y),
    ],
    ids=["classification", "multi_label", "regression"],
)
@pytest.mark.filterwarnings("ignore:The backbone 'tiny' is part of:UserWarning")
def test_one_head_trains_as_a_model_with_a_single_task(output, labels):
    backbone = tiny_backbone()
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model = tl.image_classifier(backbone, {"only": output})
    single = tl.image_classifier(backbone, output)
    single.set_weights(model.get_weights())
    data = batches(model, labels={"only": labels})
    ours = model.fit(data, epochs=2, shuffle=False, verbose=0).history
    plain = tf.data.Dataset.from_tensor_slices((X, labels)).batch(8)
    theirs = single.fit(plain, epochs=2, shuffle=False, verbose=0).history
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_all_heads_learn_from_labels_that_are_partly_missing():
    model = several({**HEADS, "length": tl.Numbers()})
    model.optimizer.learning_rate = 0.05
    data = batches(model, size=24)
    before = model.evaluate(data, verbose=0, return_dict=True)
    model.fit(data, epochs=60, shuffle=False, verbose=0)
    after = model.evaluate(data, verbose=0, return_dict=True)
    assert after["species_accuracy"] > 0.9 and after["tags_accuracy"] > 0.9
    for name in ("species_loss", "tags_loss", "length_loss"):
        assert after[name] < before[name] / 2


@pytest.mark.slow
def test_class_weights_of_each_head_count_in_training_alone():
    heads = {
        "species": tl.Classes(["ant", "bee"], class_weight={"ant": 1, "bee": 3}),
        "tags": tl.Labels(["red", "flying"]),
        "length": tl.Numbers(loss="huber"),
    }
    model = several(heads)
    weighings = model.problem.weighings(None, model.problem.pack(LABELS, 24, "train"))
    known = LABELS["species"] >= 0
    expected = np.where(LABELS["species"] == 1, 3, 1)
    data = batches(model, size=24, weighings=weighings)
    found = model.evaluate(data, verbose=0, return_dict=True)
    plain = model.evaluate(batches(model, size=24), verbose=0, return_dict=True)
    outputs = outputs_of(model)["species"]
    each = -np.log(outputs[known, LABELS["species"][known]]) * expected[known]
    assert found["species_loss"] == pytest.approx(each.mean(), rel=1e-5)
    same = [name for name in found if name not in ("loss", "species_loss")]
    assert {name: found[name] for name in same} == pytest.approx(
        {name: plain[name] for name in same}
    )


def test_losses_and_metrics_of_choice():
    def distance(labels, outputs):
        return keras.ops.mean(keras.ops.abs(labels - outputs), axis=-1)

    heads = {
        "a": tl.Classes(2, loss="focal", metrics="sparse_categorical_crossentropy"),
        "b": tl.Labels(2, metrics=[keras.metrics.AUC(name="auc")]),
        "c": tl.Numbers(loss=distance, metrics=["mse", distance]),
    }
    model = several(heads)
    labels = dict(zip("abc", LABELS.values(), strict=True))
    found = model.evaluate(batches(model, labels=labels), verbose=0, return_dict=True)
    assert {name for name in found if not name.endswith("loss")} == {
        "a_sparse_categorical_crossentropy",
        "b_auc",
        "c_mse",
        "c_distance",
    }
    off = np.abs(outputs_of(model)["c"][:, 0] - labels["c"])
    assert found["c_distance"] == pytest.approx(np.nanmean(off), rel=1e-5)
    assert found["c_mse"] == pytest.approx(np.nanmean(off**2), rel=1e-5)
    assert found["c_loss"] == pytest.approx(np.nanmean(off), rel=0.5)


def test_a_saved_model_comes_back_whole(tmp_path):
    heads = {
        **HEADS,
        "age": tl.Classes(
            3,
            class_weight={0: 1.0, 1: 2.0, 2: 3.0},
            metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
        ),
    }
    model = several(heads, hidden=(3,))
    model.save(tmp_path / "m.keras")
    loaded = tl.load(tmp_path / "m.keras")
    assert loaded.task == "multi_task" and loaded.class_names == model.class_names
    assert loaded.problem == model.problem
    assert loaded.classify(X[:2]) == model.classify(X[:2])
    labels = {**LABELS, "age": np.arange(24) % 4 - 1}
    data = batches(model, labels=labels, size=24)
    x, y = next(iter(data))
    found = loaded.evaluate(data, verbose=0, return_dict=True)
    loss = model.compute_loss(x, y, model(x, training=False))
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert "age_accuracy" in found


@pytest.mark.parametrize("point", [None, "block1"])
def test_models_with_several_heads_are_split_and_joined(point):
    model = tl.freeze(several(hidden=(6,)), point)
    parts = tl.split_model(model)
    expected = model(X.astype("float32"), training=False)
    cut = parts.prefix(X.astype("float32"), training=False)
    for outputs in (parts.suffix(cut), join(parts)(X.astype("float32"))):
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values, atol=1e-6)
    assert set(model.head.output) == set(HEADS)


def test_half_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = several({"a": tl.Classes(2, hidden=(4,)), "b": tl.Numbers()})
    assert model.get_layer("a").input.dtype == "bfloat16"
    assert {tensor.dtype for tensor in model.outputs} == {"float32"}


@pytest.mark.slow
def test_texts_have_several_heads_too(tmp_path):
    bert, tokenizer = tiny_bert()
    heads = {"good": tl.Classes(["no", "yes"]), "stars": tl.Numbers()}
    model = tl.text_classifier(bert, heads, tokenizer=tokenizer, sequence_length=16)
    outputs = model.predict(SENTENCES, verbose=0)
    one_by_one = [model.predict([text], verbose=0) for text in SENTENCES]
    for name, values in outputs.items():
        each = np.concatenate([single[name] for single in one_by_one])
        np.testing.assert_allclose(values, each, atol=1e-5)
    assert sorted(model.classify("the film was good")[0]) == ["good", "stars"]
    model.save(tmp_path / "m.keras")
    loaded = tl.load(tmp_path / "m.keras")
    assert loaded.classify(SENTENCES) == model.classify(SENTENCES)


# Backbones that are part of another model.


def test_a_second_head_on_a_backbone_is_told():
    old = tl.image_classifier(tiny_backbone(blocks=0), 2)
    with pytest.warns(UserWarning, match="'tiny' is part of model 'tiny_class.*copy"):
        tl.image_classifier(old.backbone, 3)
    other = keras.Sequential([keras.Input((16, 16, 3)), tiny_backbone(blocks=0)])
    with pytest.warns(UserWarning, match="part of another Keras model"):
        tl.image_classifier(other.layers[0], 3)


def test_training_a_hand_written_head_on_a_backbone_of_another_model_is_told():
    old = tl.image_classifier(tiny_backbone(blocks=0), 2)
    data = solid_colours(8, 2)
    by_hand = with_head(old.backbone)
    open_job(by_hand, data, head_only=True)
    with pytest.warns(UserWarning, match="shares weights with model 'tiny_class.*copy"):
        open_job(by_hand, data)


def test_a_backbone_that_is_not_shared_is_silent():
    backbone = tiny_backbone(blocks=0)
    tl.image_classifier(backbone, 2)
    # The first model is gone.
    tl.image_classifier(backbone, 3)
    kept = tl.image_classifier(tiny_backbone(blocks=0), 2)
    copy = keras.models.clone_model(kept.backbone)
    copy.set_weights(kept.backbone.get_weights())
    new = tl.image_classifier(copy, 3)
    assert not {id(w) for w in new.weights} & {id(w) for w in kept.weights}


def test_data_say_what_a_model_of_them_is_for():
    x, y = solid_colours(24, 3, size=8)
    data = tl.from_arrays(
        x, [CLASSES[i] for i in y], class_names=CLASSES, image_size=16
    )
    model = tl.image_classifier(tiny_backbone(16), data, dropout=0.2)
    assert model.class_names == tuple(CLASSES)
    assert model.record.arguments["classes"]["names"] == CLASSES
    # Of another size than the model: they are read as the data were.
    assert model.problem.input == data.problem.input
    with pytest.raises(ValueError, match="not for these data.*`tl.image_classifier`"):
        tl.image_regressor(tiny_backbone(16), data)
