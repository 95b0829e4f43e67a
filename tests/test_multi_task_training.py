"""The fit verbs on models with several heads: labels by head, missing ones, weights."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import solid_colours, tiny_backbone, with_recipe
from text_models import tiny_bert

import tlkeras as tl

NAN = np.nan
X, Y = solid_colours(48, 2)
LABELS = {
    "species": np.where(np.arange(48) % 5 == 0, -1, Y),
    "tags": np.stack([Y, np.where(Y == 1, NAN, 1)], axis=1),
    "length": np.where(np.arange(48) % 3 == 0, NAN, 2.0 * Y),
}
QUIET = {"verbose": 0, "learning_rate": 0.05, "fine_tune_learning_rate": 0.01}


def several(**heads):
    default = {
        "species": tl.Classes(["ant", "bee"]),
        "tags": tl.Labels(["red", "flying"], weight=0.5),
        "length": tl.Numbers(1, weight=0.5),
    }
    return tl.image_classifier(tiny_backbone(blocks=1), heads or default)


def tune(model, train, val=None, **arguments):
    settings = {"head_epochs": 2, "epochs": 1, "unfreeze_from": "block1", **QUIET}
    return tl.fine_tune(model, train, val, **with_recipe(**{**settings, **arguments}))


@pytest.mark.slow
def test_all_heads_learn_in_both_phases():
    model = several()
    history = tune(model, (X, LABELS), (X, LABELS), head_epochs=30, epochs=5)
    figures = history.history
    assert len(figures["loss"]) == len(figures["val_species_loss"]) == 35
    assert figures["val_species_accuracy"][-1] > 0.9
    assert figures["val_tags_accuracy"][-1] > 0.9
    assert figures["val_length_loss"][-1] < figures["val_length_loss"][0] / 2


@pytest.mark.slow
def test_cached_and_uncached_phases_give_the_same_numbers():
    found = []
    weights = several().get_weights()
    for cache in ("memory", False):
        model = several()
        model.set_weights(weights)
        found.append(tl.fit_head(model, (X, LABELS), epochs=3, cache=cache, verbose=0))
    for name, values in found[0].history.items():
        np.testing.assert_allclose(values, found[1].history[name], rtol=1e-4)


@pytest.mark.slow
def test_one_head_is_fine_tuned_as_a_model_with_a_single_task():
    single = tl.image_classifier(tiny_backbone(blocks=1), 2)
    model = several(only=tl.Classes(2))
    model.set_weights(single.get_weights())
    ours = tl.fit_head(model, (X, {"only": Y}), epochs=3, verbose=0).history
    theirs = tl.fit_head(single, (X, Y), epochs=3, verbose=0).history
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5)


@pytest.mark.slow
def test_class_weights_of_a_head_are_those_of_a_single_task():
    weights = {0: 1.0, 1: 3.0}
    single = tl.image_classifier(tiny_backbone(blocks=1), 2)
    model = several(only=tl.Classes(2, class_weight=weights))
    model.set_weights(single.get_weights())
    data = {"epochs": 3, "verbose": 0}
    ours = tl.fit_head(model, (X, {"only": Y}), (X, {"only": Y}), **data).history
    theirs = tl.fit_head(
        single, (X, Y), (X, Y), recipe=tl.Recipe(class_weight=weights), **data
    ).history
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_balanced_weights_come_from_the_training_labels():
    rare = np.where(np.arange(48) < 42, 0, 1)
    model = several(a=tl.Classes(2, class_weight="balanced"), b=tl.Numbers(1))
    labels = {"a": rare, "b": Y * 1.0}
    history = tl.fit_head(model, (X, labels), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    data = tf.data.Dataset.from_tensor_slices((X, labels)).batch(16)
    with pytest.raises(ValueError, match="Head 'a'.*all training labels"):
        tune(model, data)


@pytest.mark.slow
def test_datasets_of_labels_by_head_and_sample_weights():
    model = several()
    x, w = X.astype("float32"), np.ones(48, "float32")
    train = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(16)
    for data in (train, (X, LABELS, w)):
        history = tl.fit_head(model, data, data, epochs=1, verbose=0)
        assert np.isfinite(history.history["val_tags_loss"]).all()


@pytest.mark.slow
def test_validation_may_lack_a_head_and_training_may_not():
    model = several()
    some = {"species": LABELS["species"]}
    history = tl.fit_head(model, (X, LABELS), (X, some), epochs=1, verbose=0)
    assert history.history["val_tags_loss"] == [0.0]
    with pytest.raises(ValueError, match=r"no labels for \['tags', 'length'\]"):
        tune(model, (X, some))


def test_what_several_heads_cannot_have_is_refused():
    model = several()
    with pytest.raises(ValueError, match="`class_weight`"):
        tune(model, (X, LABELS), class_weight="balanced")
    with pytest.raises(ValueError, match="`sampling`"):
        tune(model, (X, LABELS), sampling="balanced")
    with pytest.raises(ValueError, match="mix"):
        tune(model, (X, LABELS), augment="mixup")
    with pytest.raises(ValueError, match="No such head: 'tag'"):
        tune(model, (X, {"tag": Y}))


@pytest.mark.slow
def test_pictures_are_augmented():
    data = X, LABELS
    history = tl.fit_head(
        several(), data, epochs=1, recipe=tl.Recipe(augment="light"), verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
def test_a_model_from_a_file_goes_on_training(tmp_path):
    model = several(a=tl.Classes(2, class_weight={0: 1, 1: 2}))
    model.save(tmp_path / "m.keras")
    loaded = tl.load(tmp_path / "m.keras")
    for each in (model, loaded):
        tl.fit_head(each, (X, {"a": Y}), epochs=1, verbose=0)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.slow
def test_texts_are_fine_tuned_with_several_heads():
    bert, tokenizer = tiny_bert()
    texts = np.array(["a good film", "a very bad story"] * 12)
    good = np.arange(24) % 2 == 0
    labels = {"good": np.where(np.arange(24) < 4, -1, good), "stars": 4.0 * good}
    heads = {"good": tl.Classes(["no", "yes"]), "stars": tl.Numbers(1)}
    model = tl.text_classifier(bert, heads, tokenizer=tokenizer, sequence_length=16)
    data = texts, labels
    history = tune(model, data, data, head_epochs=30, unfreeze_from=0.3)
    assert history.history["val_good_accuracy"][-1] > 0.9
