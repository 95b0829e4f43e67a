"""Models with several heads: what they build, pack, minimise, answer and save."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import solid_colours, tiny_backbone
from text_models import SENTENCES, tiny_bert
from tlkeras.builders.known import KnownLoss, KnownMetric
from tlkeras.builders.multi_task import Head, image_multi_task, text_multi_task
from tlkeras.builders.targets import Target, Targets

import tlkeras as tl
from tlkeras.features.splitting import join
from tlkeras.heads import LabelLoss

NAN = np.nan
X, Y = solid_colours(24, 2)
HEADS = {
    "species": Head(classes=["ant", "bee"]),
    "tags": Head(classes=["red", "flying"], multi_label=True, weight=0.5),
    "length": Head(outputs=1, loss="huber", weight=0.1),
}
LABELS = {
    "species": np.where(np.arange(24) % 5 == 0, -1, Y),
    "tags": np.stack([Y, np.where(Y == 1, NAN, 1)], axis=1),
    "length": np.where(np.arange(24) % 3 == 0, NAN, 2.0 * Y),
}


def several(heads=HEADS, **arguments):
    return image_multi_task(tiny_backbone(), heads, **arguments)


def batches(model, x=X, labels=LABELS, size=8, weighings=None):
    rows = model.targets.pack_data((x, labels), "val")
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(size)
    return model.targets.unpacked(dataset, weighings)


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
    outputs = model.predict(X, verbose=0)
    shapes = {name: values.shape for name, values in outputs.items()}
    assert shapes == {"species": (24, 2), "tags": (24, 2), "length": (24, 1)}
    assert all(values.dtype == np.float32 for values in outputs.values())
    np.testing.assert_allclose(outputs["species"].sum(axis=1), 1, rtol=1e-5)
    # 4 x 6 + 6 of the shared layer, then 6 x units + units of each head.
    assert tl.trainable_summary(model).trainable == 30 + 14 + 14 + 7


@pytest.mark.slow
def test_a_head_has_layers_of_its_own():
    heads = {"a": Head(classes=2, hidden=(7,), dropout=0.2), "b": Head(outputs=3)}
    model = several(heads, weight_decay=0.01)
    assert model.get_layer("a").input.shape == (None, 7)
    assert model.get_layer("b").input.shape == (None, 4)
    assert len(model.losses) == 3
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.2, 0.2]


def test_classify_says_for_each_input_what_each_head_says():
    model = several()
    outputs = model.predict(X[:3], verbose=0)
    answers = model.classify(X[:3])
    assert [list(answer) for answer in answers] == [list(HEADS)] * 3
    for i, answer in enumerate(answers):
        place = outputs["species"][i].argmax()
        assert answer["species"].label == ("ant", "bee")[place]
        assert answer["length"] == pytest.approx(outputs["length"][i, 0])
        high = outputs["tags"][i] >= 0.5
        assert len(answer["tags"].label) == high.sum()
    two = several({"place": Head(outputs=2)})
    assert len(two.classify(X[:1])[0]["place"]) == 2


def test_the_loss_is_the_weighted_sum_of_means_over_known_labels():
    model = several()
    found = model.evaluate(batches(model, size=24), verbose=0, return_dict=True)
    expected = losses_by_hand(model.predict(X, verbose=0), LABELS)
    for name, value in expected.items():
        assert found[f"{name}_loss"] == pytest.approx(value, rel=1e-5)
    total = expected["species"] + 0.5 * expected["tags"] + 0.1 * expected["length"]
    assert found["loss"] == pytest.approx(total, rel=1e-5)


def test_metrics_ignore_missing_labels_however_they_fall_into_batches():
    model = several()
    outputs = model.predict(X, verbose=0)
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
    model = several()
    labels = {"tags": LABELS["tags"]}
    x, y = next(iter(batches(model, labels=labels, size=24)))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x))
    names = [v.path.split("/")[0] for v in model.trainable_variables]
    gradients = tape.gradient(loss, model.trainable_variables)
    for name, gradient in zip(names, gradients, strict=True):
        assert np.isfinite(gradient).all()
        assert np.any(gradient != 0) == (name == "tags")


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "builder", "labels"),
    [
        (Head(classes=2), tl.image_classifier, Y),
        (
            Head(classes=2, multi_label=True),
            tl.image_classifier,
            np.stack([Y, 1 - Y], 1),
        ),
        (Head(outputs=1, loss="huber"), tl.image_regressor, 2.0 * Y),
    ],
    ids=["classification", "multi_label", "regression"],
)
def test_one_head_trains_as_a_model_with_a_single_task(head, builder, labels):
    given = {
        "classification": {"classes": 2},
        "multi_label": {"classes": 2, "multi_label": True},
        "regression": {"loss": "huber"},
    }[head.task]
    backbone = tiny_backbone()
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model = image_multi_task(backbone, {"only": head})
    single = builder(backbone, **given)
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
    model = several({**HEADS, "length": Head(outputs=1)})
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
    from tlkeras.training.weighing import resolve_weighing

    heads = {
        "species": Head(classes=["ant", "bee"], class_weight={"ant": 1, "bee": 3}),
        "tags": Head(classes=["red", "flying"], multi_label=True),
        "length": Head(outputs=1, loss="huber"),
    }
    model = several(heads)
    rows = model.targets.pack(LABELS, 24, "train")
    weighings = model.targets.weighings(resolve_weighing, rows)
    assert list(weighings) == ["species"]
    _, _, weights = next(iter(batches(model, size=24, weighings=weighings)))
    known = LABELS["species"] >= 0
    expected = np.where(LABELS["species"] == 1, 3, 1)
    np.testing.assert_array_equal(weights["species"][known], expected[known])
    np.testing.assert_array_equal(weights["tags"], np.ones(24))

    data = batches(model, size=24, weighings=weighings)
    found = model.evaluate(data, verbose=0, return_dict=True)
    plain = model.evaluate(batches(model, size=24), verbose=0, return_dict=True)
    outputs = model.predict(X, verbose=0)["species"]
    each = -np.log(outputs[known, LABELS["species"][known]]) * expected[known]
    assert found["species_loss"] == pytest.approx(each.mean(), rel=1e-5)
    same = [name for name in found if name not in ("loss", "species_loss")]
    assert {name: found[name] for name in same} == pytest.approx(
        {name: plain[name] for name in same}
    )


@pytest.mark.parametrize("part", ["species", "tags", "length"])
def test_balanced_weights_come_from_the_known_labels(part):
    from tlkeras.training.weighing import resolve_weighing

    heads = {
        "species": Head(classes=3, class_weight="balanced"),
        "tags": Head(classes=2, multi_label=True, class_weight="balanced"),
        "length": Head(outputs=1, class_weight="balanced"),
    }
    model = several({part: heads[part]})
    labels = {
        "species": np.array([0, 0, 0, 1, -1, -1]),
        "tags": np.array([[1, NAN], [0, NAN], [0, 1], [0, 0], [NAN, NAN], [0, 1]]),
        "length": np.array([0.0, 0.0, 0.1, 5.0, NAN, NAN]),
    }[part]
    rows = model.targets.pack({part: labels}, 6, "train")
    weighing = model.targets.weighings(resolve_weighing, rows)[part]
    data = tf.data.Dataset.from_tensors((X[:6], rows, np.full(6, 2.0, "float32")))
    _, _, doubled = next(iter(model.targets.unpacked(data, {part: weighing})))
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
    from tlkeras.training.weighing import resolve_weighing

    model = several({"species": Head(classes=2, class_weight="balanced")})
    with pytest.raises(ValueError, match="Head 'species': .*all training labels"):
        model.targets.weighings(resolve_weighing, None)
    heads = {"species": Head(classes=2, class_weight={"ant": 1.0})}
    with pytest.raises(ValueError, match="Head 'species'.*class number from 0 to 1"):
        several(heads).targets.weighings(resolve_weighing, None)


@pytest.mark.slow
def test_losses_and_metrics_of_choice():
    def distance(labels, outputs):
        return keras.ops.mean(keras.ops.abs(labels - outputs), axis=-1)

    heads = {
        "a": Head(classes=2, loss="focal", metrics="sparse_categorical_crossentropy"),
        "b": Head(classes=2, multi_label=True, metrics=[keras.metrics.AUC(name="auc")]),
        "c": Head(outputs=1, loss=distance, metrics=["mse", distance]),
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
    off = np.abs(model.predict(X, verbose=0)["c"][:, 0] - labels["c"])
    assert found["c_distance"] == pytest.approx(np.nanmean(off), rel=1e-5)
    assert found["c_mse"] == pytest.approx(np.nanmean(off**2), rel=1e-5)
    assert found["c_loss"] == pytest.approx(np.nanmean(off), rel=0.5)


def test_packing_is_undone_by_unpacking():
    targets = several().targets
    rows = targets.pack(LABELS, 24, "train")
    assert rows.shape == (24, 4) and rows.dtype == np.float32
    labels = targets.unpack(rows)
    np.testing.assert_array_equal(labels["species"] == 1, LABELS["species"] == 1)
    np.testing.assert_array_equal(np.isnan(labels["species"]), LABELS["species"] < 0)
    np.testing.assert_array_equal(labels["tags"], LABELS["tags"])
    np.testing.assert_array_equal(labels["length"][:, 0], LABELS["length"])
    without = targets.pack({"tags": LABELS["tags"]}, 24, "val")
    assert np.isnan(targets.unpack(without)["species"]).all()


def test_a_dataset_is_packed_batch_by_batch():
    targets = several().targets
    x, w = X.astype("float32"), np.arange(24.0)
    data = tf.data.Dataset.from_tensor_slices((x, LABELS, w)).batch(10)
    parts = list(targets.pack_data(data, "train"))
    assert [len(rows) for _, rows, _ in parts] == [10, 10, 4]
    rows = np.concatenate([rows for _, rows, _ in parts])
    np.testing.assert_array_equal(rows, targets.pack(LABELS, 24, "train"))
    np.testing.assert_array_equal(np.concatenate([w for *_, w in parts]), w)


def test_parts_of_splits_hold_rows_that_are_packed():
    targets = Targets({"a": Target("regression", 1), "b": Target("classification", 2)})
    rows = np.stack([np.linspace(0.1, 1, 24), Y], axis=1)
    data = tl.from_arrays(X, rows, task="regression", test_split=0)
    assert targets.pack_data(data.train, "train") is data.train
    assert targets.pack_data(None, "val") is None
    with pytest.raises(ValueError, match=r"shape \(n, 4\)"):
        several().targets.pack_data(data.train, "train")


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
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    targets = several().targets
    with pytest.raises(ValueError, match=message):
        targets.pack_data((X, labels), "train")
    # Which labels a dataset lacks shows only when all of it is read.
    seen_at_once = "no labels for ['species']" not in message.replace("\\", "")
    same = isinstance(labels, dict) and all(len(v) == 24 for v in labels.values())
    if same and seen_at_once:
        data = tf.data.Dataset.from_tensor_slices((X, labels)).batch(24)
        with pytest.raises(ValueError, match=message):
            targets.pack_data(data, "train")


def test_data_of_other_kinds_are_refused():
    targets = several().targets
    for data in (iter([]), [X, LABELS], tf.data.Dataset.range(3)):
        with pytest.raises(ValueError, match="`train` must be a tuple of arrays"):
            targets.pack_data(data, "train")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    with pytest.raises(ValueError, match="must be a dictionary by head"):
        targets.pack_data(data, "train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either `classes` or `outputs`"),
        ({"classes": 2, "outputs": 1}, "either `classes` or `outputs`"),
        ({"outputs": 2, "multi_label": True}, "goes with `classes`"),
        ({"classes": 1}, "at least 2"),
        ({"outputs": 0}, "`outputs`"),
        ({"classes": 2, "weight": -1}, "`weight`"),
        ({"classes": 2, "dropout": 1.0}, "`dropout`"),
        ({"classes": 2, "hidden": 8}, "`hidden`"),
        ({"classes": 2, "loss": "fokal"}, "Did you mean"),
        ({"classes": 2, "metrics": ["no_such"]}, "Received: 'no_such'"),
        ({"classes": 2, "class_weight": "even"}, "`class_weight`"),
        ({"outputs": 1, "class_weight": {0: 1.0}}, "`class_weight`"),
        (
            {
                "classes": 2,
                "multi_label": True,
                "loss": keras.losses.Dice(),
                "class_weight": "balanced",
            },
            "LabelLoss",
        ),
    ],
)
def test_bad_heads(arguments, message):
    with pytest.raises(ValueError, match=message):
        Head(**arguments)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "`heads` must map names"),
        ({"a": 3}, "`heads` must map names"),
        ([Head(classes=2)], "`heads` must map names"),
        ({"a/b": Head(classes=2)}, "without '/'"),
        ({3: Head(classes=2)}, "names of layers"),
        ({"tiny": Head(classes=2)}, "name of a layer"),
        ({"a": Head(classes=2, weight=0)}, "`weight` of every head is 0"),
    ],
)
def test_bad_collections_of_heads(heads, message):
    with pytest.raises(ValueError, match=message):
        several(heads)


def test_a_saved_model_comes_back_whole(tmp_path):
    heads = {
        **HEADS,
        "age": Head(
            classes=3,
            class_weight={0: 1.0, 1: 2.0, 2: 3.0},
            metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
        ),
    }
    model = several(heads, hidden=(3,))
    model.save(tmp_path / "m.keras")
    loaded = tl.load(tmp_path / "m.keras")
    assert loaded.task == "multi_task" and loaded.class_names == model.class_names
    assert loaded.targets.by_head == model.targets.by_head
    assert loaded.classify(X[:2]) == model.classify(X[:2])
    labels = {**LABELS, "age": np.arange(24) % 4 - 1}
    data = batches(model, labels=labels)
    ours, theirs = (
        each.evaluate(data, verbose=0, return_dict=True) for each in (model, loaded)
    )
    assert ours == pytest.approx(theirs) and "age_accuracy" in ours


@pytest.mark.slow
@pytest.mark.parametrize("point", [None, "block3"])
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


@pytest.mark.slow
def test_half_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = several({"a": Head(classes=2, hidden=(4,)), "b": Head(outputs=1)})
    assert model.get_layer("a").input.dtype == "bfloat16"
    assert {tensor.dtype for tensor in model.outputs} == {"float32"}


@pytest.mark.slow
def test_texts_have_several_heads_too(tmp_path):
    bert, tokenizer = tiny_bert()
    heads = {"good": Head(classes=["no", "yes"]), "stars": Head(outputs=1)}
    model = text_multi_task(bert, heads, tokenizer=tokenizer, sequence_length=16)
    outputs = model.predict(SENTENCES, verbose=0)
    one_by_one = [model.predict([text], verbose=0) for text in SENTENCES]
    for name, values in outputs.items():
        each = np.concatenate([single[name] for single in one_by_one])
        np.testing.assert_allclose(values, each, atol=1e-5)
    assert sorted(model.classify("the film was good")[0]) == ["good", "stars"]
    model.save(tmp_path / "m.keras")
    loaded = tl.load(tmp_path / "m.keras")
    assert loaded.classify(SENTENCES) == model.classify(SENTENCES)
