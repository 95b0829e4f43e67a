"""LoRA: adapters and head train, nothing else; files keep adapters, or merge them."""

import functools
import math

import keras
import numpy as np
import pytest
from helpers import assert_equal_weights, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import tiny_bert, tiny_f_net, tiny_gpt2

import tlkeras as tl
from tlkeras import _keras, lora
from tlkeras.features.fingerprints import fingerprint_model
from tlkeras.freezing import check_adapters_train, freeze_index

FAMILIES = [tiny_bert, pytest.param(tiny_gpt2, marks=pytest.mark.slow)]
TEXTS = np.array(
    ["the film was good", "a bad story", "we loved it", "i hated the dull film"] * 4
)
LABELS = np.array([1, 0] * 8)


def classifier(make=tiny_bert, lora_rank=2, **arguments):
    keras.utils.set_random_seed(0)
    backbone, tokenizer = make()
    return tl.text_classifier(
        backbone,
        ["bad", "good"],
        tokenizer=tokenizer,
        sequence_length=16,
        lora_rank=lora_rank,
        **arguments,
    )


def tune(model, val=(TEXTS, LABELS), **arguments):
    return tl.fine_tune(
        model,
        (TEXTS, LABELS),
        val,
        learning_rate=1e-2,
        fine_tune_learning_rate=1e-2,
        verbose=0,
        **{
            "head_epochs": 1,
            "epochs": 2,
            "unfreeze_from": "transformer_layer_1",
            # What training did is looked at, whether it was of use or not.
            "recipe": tl.Recipe(keep="last"),
            **arguments,
        },
    )


class Tuned:
    """A classifier whose adapters and head have trained."""

    def __init__(self, make):
        self.model = classifier(make)
        self.tokens = dict(self.model.ready(TEXTS))
        self.train()

    def train(self):
        tune(self.model, None, head_epochs=0, epochs=1)

    def outputs(self, model=None):
        return np.asarray((model or self.model)(self.tokens, training=False))


class Trained(Tuned):
    """The same after both phases, and what was seen on the way."""

    def train(self):
        self.weights = [weights_of(self.model)]
        self.losses = []
        # As one `fine_tune` does it, with a look between the phases.
        for epochs in ({"epochs": 0}, {"head_epochs": 0}):
            history = tune(self.model, cache="memory", **epochs).history
            self.losses += history["loss"] + history["val_loss"]
            self.weights.append(weights_of(self.model))


# Models that tests leave as they are.
trained_on = functools.cache(Trained)
tuned_on = functools.cache(Tuned)


@pytest.fixture(params=FAMILIES)
def tuned(request):
    return tuned_on(request.param), request.param


@pytest.fixture
def bert():
    return tuned_on(tiny_bert)


def states(model):
    """Returns everything that says what of a model trains."""
    flags = [layer.trainable for layer in _keras.sublayers(model)]
    return flags, [v.trainable for v in model.weights]


def names_of_changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


# What trains.


@pytest.mark.slow
@pytest.mark.parametrize("make", FAMILIES)
def test_adapters_above_the_freeze_point_and_head_move_and_all_else_stays(make):
    trained = trained_on(make)
    paths = weights_of(trained.model.backbone)
    adapters = {p for p in paths if "transformer_layer_1" in p and "lora" in p}
    assert len(adapters) == 4
    head = {v.path for v in trained.model.get_layer("predictions").weights}
    before, after_head, after = trained.weights
    # From a kernel of zeros classes of one size leave the bias where it is.
    changed = names_of_changed(before, after_head)
    assert changed and changed <= head
    changed = names_of_changed(after_head, after)
    assert adapters <= changed <= head | adapters


def test_the_count_of_what_trains_follows_the_formula():
    rank = 3
    model = classifier(lora_rank=rank)
    assert tl.trainable_summary(model).trainable == 8 * 2 + 2
    adapters = 0
    for layer in (1, 0):
        tl.freeze(model, f"transformer_layer_{layer}")
        # Query and value have kernels of (width, heads, width / heads); Keras takes
        # all axes but the last for the adapter's input.
        adapters += 2 * rank * (8 * 2 + 4)
        summary = tl.trainable_summary(model)
        assert summary.trainable == adapters + 8 * 2 + 2
        assert dict(row[::2] for row in summary.rows)["transformer_layer_1"] == (
            2 * rank * (8 * 2 + 4)
        )
    assert summary.trainable == sum(
        math.prod(v.shape) for v in model.trainable_variables
    )


POINTS = [None, 0, 0.2, 1.0, "transformer_layer_0", "transformer_layer_1"]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(POINTS), min_size=2, max_size=4))
def test_a_freeze_point_is_the_whole_state_whatever_came_before(points):
    model, fresh = MODELS
    for point in points:
        tl.freeze(model, point)
    assert states(model) == states(tl.freeze(fresh, points[-1]))


@pytest.fixture(scope="module", autouse=True)
def _two_models():
    """Models for the test above: hypothesis and fixtures do not go together."""
    global MODELS
    MODELS = classifier(), classifier()


def test_keras_own_flag_frees_the_kernels_and_freeze_holds_them_again():
    """The reason for `hold_base`; when this fails, it may no longer be needed."""
    model = classifier()
    expected = states(tl.freeze(model, "transformer_layer_1"))
    block = model.backbone.get_layer("transformer_layer_1")
    block.trainable = False
    block.trainable = True
    assert any("query/kernel" in v.path for v in model.trainable_variables)
    assert states(tl.freeze(model, "transformer_layer_1")) == expected


@pytest.mark.slow
def test_a_kernel_that_changes_beside_its_adapters_breaks_the_promise():
    class Meddling(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            block = self.model.backbone.get_layer("transformer_layer_1")
            (query,) = [v for v in block.weights if v.path.endswith("query/kernel")]
            query.assign_add(keras.ops.full_like(query, 1e-3))

    with pytest.raises(tl.PhaseError, match="Frozen weights changed.*query/kernel"):
        tune(classifier(), head_epochs=0, callbacks=[Meddling()])


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2])
def test_cached_and_uncached_training_give_the_same_losses(make):
    trained = trained_on(make)
    model, losses = classifier(make), []
    for epochs in ({"epochs": 0}, {"head_epochs": 0}):
        history = tune(model, cache=False, **epochs).history
        losses += history["loss"] + history["val_loss"]
    assert len(set(losses)) == len(losses) == 6
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-4)


def test_cached_features_are_known_by_the_adapters_below_them():
    model = classifier()
    before = fingerprint_model(tl.split_model(model).prefix)
    lora.adapted_layers(model)[0].lora_kernel_b.assign(np.ones((2, 4)))
    assert fingerprint_model(tl.split_model(model).prefix) != before


@pytest.mark.slow
def test_adapters_train_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = classifier()
    tune(model, head_epochs=0, epochs=1)
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


# The user's backbone.


def test_the_given_backbone_stays_as_it_is():
    backbone, tokenizer = tiny_bert()
    config, before = backbone.get_config(), weights_of(backbone)
    arguments = {"tokenizer": tokenizer, "sequence_length": 16}
    plain = tl.text_regressor(backbone, **arguments)
    for rank in (2, 3):
        model = tl.text_regressor(backbone, **arguments, lora_rank=rank)
        tl.freeze(model, 1.0)
        shapes = [v.shape for v in model.trainable_variables if "lora" in v.path]
        assert len(shapes) == 8 and all(rank in shape for shape in shapes)
    assert backbone.get_config() == config
    assert_equal_weights(before, weights_of(backbone))
    assert not lora.adapted_layers(plain)
    tuned = weights_of(model.backbone)
    for path, value in before.items():
        if path in tuned:
            np.testing.assert_array_equal(tuned[path], value)


def test_new_adapters_change_no_output(bert):
    model, plain = classifier(), classifier(lora_rank=None)
    # The adapters have drawn from the seed before the head.
    head = plain.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights(head)
    np.testing.assert_allclose(bert.outputs(model), bert.outputs(plain), rtol=1e-5)


def test_adapters_that_the_user_has_put_on_train_and_are_kept(tmp_path, bert):
    backbone, tokenizer = tiny_bert()
    backbone.enable_lora(2, target_layer_names=["key"])
    arguments = {"tokenizer": tokenizer, "sequence_length": 16}
    with pytest.raises(ValueError, match="has LoRA adapters already.*lora_rank=2"):
        tl.text_classifier(backbone, 2, **arguments, lora_rank=2)
    model = tl.text_classifier(backbone, 2, **arguments)
    tl.freeze(model, 1.0)
    adapters = model.backbone.trainable_variables
    assert {v.path.split("/")[-2] for v in adapters} == {"key"}
    for variable in adapters:
        variable.assign(keras.ops.full_like(variable, 0.1))
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    np.testing.assert_allclose(bert.outputs(loaded), bert.outputs(model), atol=1e-5)
    assert states(loaded) == states(model)


# Files.


def assert_same_weights(model, other):
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(two), one.path)


def test_a_file_keeps_adapters_apart(tmp_path, tuned):
    tuned, _ = tuned
    tuned.model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    np.testing.assert_allclose(tuned.outputs(loaded), tuned.outputs(), atol=1e-5)
    assert_same_weights(tuned.model, loaded)
    assert states(loaded) == states(tuned.model)


@pytest.mark.slow
def test_training_goes_on_after_loading(tmp_path, bert):
    bert.model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    before = weights_of(loaded)
    tune(loaded, head_epochs=0, epochs=1)
    moved = names_of_changed(before, weights_of(loaded))
    assert sum("lora_kernel_a" in path for path in moved) == 2
    assert all("lora" in path or "predictions" in path for path in moved)


# The optimizer's state in these files suits another freeze point.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_checkpoint_of_weights_keeps_adapters(tmp_path, bert):
    path = tmp_path / "checkpoint.weights.h5"
    bert.model.save_weights(path)
    other = classifier()
    other.load_weights(path)
    assert_same_weights(bert.model, other)
    with pytest.raises(ValueError, match="expected 2 variables"):
        classifier(lora_rank=None).load_weights(path)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_weights_without_adapters_leave_adapters_that_can_learn(tmp_path, bert):
    path = tmp_path / "merged.weights.h5"
    tl.merge_lora(bert.model).save_weights(path)
    model = classifier()
    before = [np.array(x.lora_kernel_a) for x in lora.adapted_layers(model)]
    model.load_weights(path)
    np.testing.assert_allclose(bert.outputs(model), bert.outputs(), atol=1e-5)
    for layer, a in zip(lora.adapted_layers(model), before, strict=True):
        np.testing.assert_array_equal(np.array(layer.lora_kernel_a), a)
        assert np.any(a) and not np.any(np.array(layer.lora_kernel_b))


def test_keras_own_loading_still_leaves_adapters_that_cannot_learn():
    """The reason for `keep_in_files`; when this fails, it may no longer be needed."""
    layer = keras.layers.Dense(3, lora_rank=2)
    layer.build((None, 4))
    store = {}
    layer.save_own_variables(store)
    layer.load_own_variables(store)
    assert not np.any(np.array(layer.lora_kernel_a))
    assert not np.any(np.array(layer.lora_kernel_b))


def test_merging_keeps_outputs_and_leaves_plain_layers(tmp_path, tuned):
    tuned, make = tuned
    before = weights_of(tuned.model)
    merged = tl.merge_lora(tuned.model)
    assert_equal_weights(before, weights_of(tuned.model))
    np.testing.assert_allclose(tuned.outputs(merged), tuned.outputs(), atol=1e-5)
    merged.save(tmp_path / "merged.keras")
    loaded = tl.load(tmp_path / "merged.keras")
    np.testing.assert_allclose(tuned.outputs(loaded), tuned.outputs(), atol=1e-5)
    # From here on it is a model like others: kernels train.
    plain = classifier(make, lora_rank=None)
    for point in (None, "transformer_layer_1"):
        expected = states(tl.freeze(plain, point))
        for model in (merged, loaded):
            assert [v.shape for v in model.weights] == [v.shape for v in plain.weights]
            assert states(tl.freeze(model, point)) == expected


@pytest.mark.slow
def test_a_merged_model_is_compiled_as_before_and_trains(bert):
    merged = tl.merge_lora(bert.model)
    assert merged.optimizer is not bert.model.optimizer
    assert type(merged.optimizer) is type(bert.model.optimizer)
    assert merged.loss is bert.model.loss
    assert merged.classify(TEXTS[0])[0].label in ("bad", "good")
    before = weights_of(merged)
    tune(merged, head_epochs=0, epochs=1)
    moved = names_of_changed(before, weights_of(merged))
    assert "transformer_layer_1/self_attention_layer/query/kernel" in moved


def test_top_level_adapters_and_plain_keras_models_merge():
    inputs = keras.Input((4,))
    base = keras.Model(inputs, keras.layers.Dense(3, lora_rank=2)(inputs))
    outer = keras.Input((4,))
    model = keras.Model(outer, keras.layers.Dense(1)(base(outer)))
    (layer,) = lora.adapted_layers(model)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    merged = tl.merge_lora(model)
    assert merged.count_params() == 4 * 3 + 3 + 3 + 1
    x = np.ones((2, 4))
    np.testing.assert_allclose(merged(x), model(x), rtol=1e-5)


# What is refused.


# A backbone that stays as it is.
shared_bert = functools.cache(tiny_bert)


@pytest.mark.parametrize("rank", [0, -1, 1.5, "2", True])
def test_a_rank_that_is_none_is_refused(rank):
    with pytest.raises(ValueError, match="lora_rank"):
        classifier(shared_bert, lora_rank=rank)


def test_a_backbone_that_takes_no_adapters_is_refused():
    with pytest.raises(ValueError, match="FNetBackbone.*no layer.*'query'"):
        classifier(tiny_f_net)


def test_a_freeze_point_above_all_adapters_is_refused():
    backbone = classifier(tiny_gpt2).backbone
    check_adapters_train(backbone, freeze_index(backbone, 0.5))
    check_adapters_train(backbone, len(backbone.layers))
    message = "has LoRA adapters: it begins with 'layer_norm'.*'transformer_layer_1'"
    with pytest.raises(ValueError, match=message):
        check_adapters_train(backbone, freeze_index(backbone, 0.1))


def test_a_model_without_adapters_cannot_be_merged():
    with pytest.raises(ValueError, match="no LoRA adapters.*lora_rank=8"):
        tl.merge_lora(classifier(lora_rank=None))
