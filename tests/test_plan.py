"""`plan`: what it measures, what it proposes for what, and how it says so."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import needs_shared, solid_colours, tiny_backbone, with_head
from hums import Hums, hum_classifier, make_hums, small_backbone
from test_finder import assert_same_state, state_of
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.builders import build_for
from tlkeras.inputs import Input, Pictures, Texts
from tlkeras.problem import Problem
from tlkeras.training import plan_facts
from tlkeras.training.plan_facts import PlanFacts, numbered_blocks, sample_rows
from tlkeras.training.planning import make_plan
from tlkeras.training.recipe import SETTINGS, Recipe

PICTURES = PlanFacts(
    examples=200,
    has_validation=True,
    problem=Problem(Pictures((32, 32)), tl.Classes(2)),
    class_sizes=(100, 100),
    details={"is_colour": True},
    backbone="any",
    parameters=2_000_000,
    has_adapters=False,
    blocks=(),
    devices="2 CPU cores",
    sampled=200,
    separability=0.9,
)
TEXTS = replace(
    PICTURES,
    problem=Problem(Texts(), tl.Classes(2)),
    details={},
    parameters=22_000_000,
    blocks=tuple(f"transformer_layer_{n}" for n in range(6)),
    separability=0.5,
)


def recipe_for(facts, **changes):
    return make_plan(replace(facts, **changes))


def points(facts=PICTURES):
    """Returns the share that is unfrozen for each size, from near to far."""
    return [
        [
            recipe_for(facts, examples=n, separability=s).unfreeze_from
            for s in (0.9, 0.6, 0.1)
        ]
        for n in (200, 5_000, 50_000)
    ]


def test_more_is_unfrozen_the_more_examples_there_are_and_the_farther_they_are():
    shares = np.array(points())
    assert np.all(np.diff(shares, axis=0) >= 0)
    assert np.all(np.diff(shares, axis=1) >= 0)
    assert shares[0, 0] <= 0.3 and shares[-1, -1] == 1.0


def test_few_examples_are_regularised_more():
    few, many = (make_plan(replace(PICTURES, examples=n)) for n in (200, 50_000))
    assert few.builder["dropout"] > many.builder["dropout"] == 0
    assert (few.size, many.size) == ("small", "large")


def test_far_data_take_a_larger_rate():
    near, far = (recipe_for(PICTURES, separability=s) for s in (0.9, 0.1))
    assert near.fine_tune_learning_rate < far.fine_tune_learning_rate


def test_texts_are_trained_with_all_layers_where_there_are_enough():
    assert recipe_for(TEXTS, examples=400).unfreeze_from == "transformer_layer_3"
    enough = recipe_for(TEXTS, examples=2_000)
    assert enough.unfreeze_from == "transformer_layer_0"
    assert enough.epochs == 3
    assert (enough.optimizer, enough.schedule) == ("adamw", "cosine")
    assert enough.fine_tune_learning_rate == 1e-4
    assert recipe_for(TEXTS, parameters=110e6).fine_tune_learning_rate == 5e-5
    adapted = recipe_for(TEXTS, has_adapters=True)
    assert adapted.fine_tune_learning_rate == pytest.approx(1e-3)
    assert enough.augment is None
    assert recipe_for(TEXTS, blocks=()).unfreeze_from == 0.5


def test_only_colour_pictures_are_augmented_and_it_says_why():
    assert recipe_for(PICTURES).augment == "medium"
    assert recipe_for(PICTURES, examples=5_000).augment == "light"
    assert recipe_for(PICTURES).cached_views == 4
    assert recipe_for(PICTURES, devices="1 GPU").cached_views is None
    grey = make_plan(replace(PICTURES, details={"is_colour": False}))
    assert grey.augment is None and grey.cached_views is None
    assert "must not be flipped" in str(grey)
    assert "flips" in str(make_plan(PICTURES))


def test_classes_are_weighed_where_their_sizes_differ():
    assert recipe_for(PICTURES).class_weight is None
    uneven = make_plan(replace(PICTURES, class_sizes=(150, 50, 0)))
    assert uneven.class_weight == "balanced"
    assert "1 have none" in str(uneven).replace("\n", " ")
    numbers = Problem(Pictures((32, 32)), tl.Numbers(3))
    targets = replace(PICTURES, problem=numbers, class_sizes=())
    assert make_plan(targets).class_weight is None
    assert "with 3 outputs on any" in str(make_plan(targets))
    assert "with 2 classes on any" in str(make_plan(PICTURES))


def test_inputs_of_any_kind_follow_the_general_rules():
    for input in (Input(), Hums(2_000)):
        facts = replace(PICTURES, problem=Problem(input, tl.Classes(2)), details={})
        assert points(facts) == points()
        found = make_plan(facts)
        assert (found.augment, found.cached_views) == (None, None)
        assert (found.head, found.learning_rate) == ("auto", "auto")
        assert f"Plan for 200 {input.name} (small)" in str(found)


def test_a_model_is_built_for_what_data_are_for():
    problem = Problem(Pictures((24, 16), fit="pad"), tl.Numbers(2))
    model = build_for(problem, tiny_backbone(size=None), dropout=0.1)
    assert model.input_shape == (None, 24, 16, 3) and model.output_shape == (None, 2)
    assert model.problem.input == problem.input
    assert model.record.builder == "image_regressor"
    heads = {"a": tl.Labels(["x", "y"]), "b": tl.Numbers()}
    several = build_for(Problem(problem.input, heads), tiny_backbone(size=None))
    assert several.problem.class_names == {"a": ("x", "y")}
    with pytest.raises(ValueError, match="No such builder: 'array_classifier'"):
        build_for(Problem(Input(), tl.Classes(2)), tiny_backbone())


def test_a_plan_for_a_model_that_is_built_says_nothing_of_building():
    built = make_plan(PICTURES, built=True)
    assert built.builder == {} and "dropout" not in str(built)
    assert built.epochs == make_plan(PICTURES).epochs


def test_a_gpu_takes_the_largest_batch_of_many_examples():
    many = replace(PICTURES, examples=50_000)
    assert make_plan(many).batch_size == 32
    assert make_plan(replace(many, devices="1 GPU")).batch_size == "auto"


def test_every_setting_has_a_reason_and_every_reason_is_a_setting():
    for facts in (PICTURES, TEXTS, replace(PICTURES, separability=None)):
        found = make_plan(facts)
        for setting, value, why in found.reasons:
            assert len(why) > 10
            known = found.builder.get(setting, getattr(found, setting, None))
            assert known == value
        told = {reason.setting for reason in found.reasons}
        changed = {
            name for name in SETTINGS if getattr(found, name) != getattr(Recipe(), name)
        }
        assert changed <= told


def test_it_prints_as_a_table_and_as_html():
    found = make_plan(PICTURES)
    assert "Distance: near." in str(found) and repr(found) == str(found)
    assert max(map(len, str(found).splitlines())) <= 110
    page = found._repr_html_()
    assert page.count("<tr>") == len(found.reasons) + 1
    unknown = make_plan(replace(PICTURES, separability=None))
    assert unknown.distance == "middling" and "not known" in str(unknown)


def test_but_changes_settings_of_both_kinds():
    found = make_plan(PICTURES)
    other = found.but(epochs=3, dropout=0.5, l2_sp=0.1)
    assert (other.epochs, other.builder["dropout"]) == (3, 0.5)
    assert other.unfreeze_from == found.unfreeze_from
    assert found.epochs != 3
    why = {reason.setting: reason.why for reason in other.reasons}
    assert why["epochs"] == why["l2_sp"] == "as you asked"
    with pytest.raises(ValueError, match="No such setting: 'epoch'.*'epochs'"):
        found.but(epoch=3)


def noise(n, classes=4, seed=0):
    """Returns pictures that say nothing of their labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 16, 16, 3), "uint8"), np.arange(n) % classes


@pytest.mark.slow
def test_few_near_and_many_far_pictures_get_different_plans(monkeypatch):
    monkeypatch.setattr(plan_facts, "LARGE", 1_500)
    few = tl.from_arrays(*solid_colours(60, 2), test_split=0)
    many = tl.from_arrays(*noise(2_000), test_split=0)
    near, far = (tl.plan(tiny_backbone(), data, verbose=0) for data in (few, many))
    assert (near.size, near.distance) == ("small", "near")
    assert (far.size, far.distance) == ("large", "far")
    assert near.unfreeze_from < far.unfreeze_from == 1.0
    assert near.builder["dropout"] > far.builder["dropout"]
    assert far.facts.sampled == 500


def test_the_model_stays_as_it_was_and_the_plan_is_the_same_each_time():
    model = tl.image_classifier(tiny_backbone(), 4)
    tl.freeze(model, "block2")
    data = tl.from_arrays(*noise(120), test_split=0)
    before = state_of(model)
    first = tl.plan(model, data, verbose=0)
    assert_same_state(before, state_of(model))
    assert tl.plan(model, data, verbose=0) == first
    assert tl.plan(model, data.train, data.val, verbose=0) == first


@pytest.mark.slow
def test_texts_with_a_model():
    backbone, tokenizer = tiny_bert()
    model = tl.text_classifier(
        backbone, ["a", "b"], tokenizer=tokenizer, sequence_length=20
    )
    texts = [*filter(None, SENTENCES)] * 10
    data = tl.from_arrays(texts, ["a", "b"] * 20, test_split=0)
    found = tl.plan(model, data, verbose=0)
    assert "Plan for 34 texts (small)" in str(found)
    assert found.facts.blocks == ("transformer_layer_0", "transformer_layer_1")
    assert found.unfreeze_from in found.facts.blocks


@pytest.mark.slow
def test_targets_and_labels_that_are_not_exclusive():
    x, y = solid_colours(60, 2)
    targets = tl.from_arrays(x, x.mean((1, 2, 3)) / 255.0, test_split=0)
    found = tl.plan(tiny_backbone(), targets, verbose=0)
    assert found.facts.class_sizes == () and found.facts.separability > 0.8
    rows = np.stack([y, np.ones_like(y)], 1)
    labels = tl.from_arrays(x, rows, task="multi_label", test_split=0)
    found = tl.plan(tiny_backbone(), labels, verbose=0)
    assert len(found.facts.class_sizes) == 2 and found.facts.separability > 0.8


def test_a_plan_for_another_kind_of_input():
    model = hum_classifier(small_backbone(), 2)
    found = tl.plan(model, make_hums(40, (150.0, 800.0)), verbose=0)
    assert str(found).startswith("Plan for 40 hums (small) with 2 classes on small")
    assert found.facts.details == {} and found.facts.class_sizes == (20, 20)


def test_several_heads_are_refused():
    x, y = solid_colours(20, 2)
    heads = {"colour": tl.Classes(2), "light": tl.Numbers()}
    model = tl.image_classifier(tiny_backbone(), heads)
    labels = {"colour": y, "light": x.mean((1, 2, 3))}
    with pytest.raises(ValueError, match="one head without a name.*'light'"):
        tl.plan(model, (x, labels))


@pytest.mark.slow
def test_a_model_that_is_not_ours_and_arrays():
    model = with_head(tiny_backbone())
    found = tl.plan(model, solid_colours(40, 2), verbose=0)
    assert found.facts.class_sizes == (20, 20)
    assert found.patience is None


@pytest.mark.parametrize("seed", [0, 1])
def test_separability_runs_from_chance_to_perfect(seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [150, 50])
    noise = rng.normal(size=(200, 30)).astype("float32")
    informed = noise + 8 * labels[:, None]
    classes, numbers = tl.Classes(2), tl.Numbers()
    assert classes.separability(noise, labels) < 0.2
    assert classes.separability(informed, labels) > 0.95
    assert classes.separability(informed, np.eye(2)[labels]) > 0.95
    assert numbers.separability(informed, informed[:, 0]) > 0.9
    assert numbers.separability(noise[:, 1:], noise[:, 0]) < 0.2


def test_separability_of_too_few_examples_is_not_known():
    features = np.ones((3, 4), "float32")
    assert tl.Classes(3).separability(features, np.arange(3)) is None
    assert tl.Labels(2).separability(features, np.eye(3)[:, :2]) is None
    assert tl.Numbers().separability(features, np.ones(3)) is None


@pytest.mark.slow
def test_very_wide_features_are_projected():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    wide = rng.normal(size=(60, 4_200)).astype("float32") + labels[:, None]
    assert tl.Classes(2).separability(wide, labels) > 0.9


def test_the_sample_is_stratified_and_seeded():
    labels = np.repeat(np.arange(3), [3_000, 300, 3])
    rows = sample_rows(labels, len(labels), 0)
    counts = np.bincount(labels[rows])
    assert 490 <= len(rows) <= 510 and counts[2] == 2
    assert counts[0] / counts[1] == pytest.approx(10, rel=0.1)
    np.testing.assert_array_equal(rows, sample_rows(labels, len(labels), 0))
    assert not np.array_equal(rows, sample_rows(labels, len(labels), 1))
    assert len(sample_rows(None, 3_000, 0)) == 500


def test_blocks_are_composite_layers_only():
    assert numbered_blocks(tiny_backbone()) == ()


def test_grey_pictures_in_three_channels_are_grey():
    x, y = noise(40, 2)
    grey = np.repeat(x[..., :1], 3, axis=-1)
    model = with_head(tiny_backbone())
    for pixels, is_colour in ((grey, False), (x, True)):
        facts = tl.plan(model, (pixels, y), verbose=0).facts
        assert facts.details == {"is_colour": is_colour}


def test_bad_arguments():
    import tensorflow as tf

    data = tl.from_arrays(*solid_colours(40, 2), test_split=0)
    with pytest.raises(ValueError, match="needs `Splits` with training"):
        tl.plan("glyphnet", data.train)
    with pytest.raises(ValueError, match="backbone"):
        tl.plan("mobilnet_v2", data)
    unknown = tf.data.Dataset.from_tensor_slices(solid_colours(8, 2)).batch(4)
    with pytest.raises(ValueError, match="A plan needs to know"):
        tl.plan(with_head(tiny_backbone()), unknown)


@pytest.mark.real
def test_photographs_are_near_to_imagenet(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(needs_shared("keras_home")))
    folder = needs_shared("data", "ants_bees", "train")
    data = tl.image_folder(folder, test_split=0)
    found = tl.plan("mobilenet_v2", data, verbose=0)
    assert (found.size, found.distance) == ("small", "near")
    assert found.augment == "medium"
