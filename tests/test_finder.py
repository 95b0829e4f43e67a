"""The learning rate range test: what it suggests, and that it leaves no trace."""

import random

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras import _keras
from tlkeras.plots import plot_learning_rates
from tlkeras.training import finder
from tlkeras.training.finder import LearningRateRange, find_learning_rate
from tlkeras.training.unchanged import set_freeze_point, unchanged

X, Y = solid_colours(48, 2)
SGD = tl.Recipe(optimizer="sgd")


def find(model, **arguments):
    return find_learning_rate(model, (X, Y), **{"verbose": 0, **arguments})


def state_of(model):
    """Returns all that a trial could change, ready to be compared."""
    variables = [*model.variables, *model.metrics_variables]
    variables += model.optimizer.variables
    return {
        "values": [np.array(v) for v in variables],
        "identities": [id(v) for v in variables],
        "variable flags": [v.trainable for v in model.variables],
        "flags": [layer.trainable for layer in _keras.sublayers(model)],
        "compiled": [id(model.optimizer), id(model.loss), id(model.train_function)],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
    }


def assert_same_state(before, after):
    for name in before:
        if name == "values":
            for old, new in zip(before[name], after[name], strict=True):
                assert old.dtype == new.dtype
                np.testing.assert_array_equal(old, new)
        else:
            assert before[name] == after[name], name


def trained_model():
    """Returns a model halfway through its training, frozen in a way of its own."""
    model = with_head(tiny_backbone())
    tl.freeze(model, "block2")
    model.get_layer("tiny").get_layer("block3_bn").trainable = True
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(X, Y, epochs=2, verbose=0)
    return model


@pytest.mark.parametrize("point", [None, "stem"])
@pytest.mark.slow
def test_the_model_is_bit_for_bit_what_it_was(point):
    model = trained_model()
    before = state_of(model)
    find(model, unfreeze_from=point, start=1e-4)
    assert_same_state(before, state_of(model))


def regressor():
    """Returns a model whose loss has no upper bound."""
    return tl.image_regressor(tiny_backbone(), loss="mean_squared_error")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1e2, 1e9])
def test_a_diverged_run_leaves_no_trace(stop):
    model = regressor()
    before = state_of(model)
    found = find_learning_rate(
        model,
        (X, Y.astype("float32") * 10),
        unfreeze_from="stem",
        recipe=SGD,
        start=1e-6,
        stop=stop,
        verbose=0,
    )
    assert found.diverged
    assert len(found.losses) < 100
    assert found.suggestion < found.learning_rates[-1] / 5
    assert_same_state(before, state_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_leaves_no_trace(monkeypatch, error):
    def interrupt(test, batch, logs=None):
        if len(test.losses) == 30:
            raise error("stop")
        noted(test, batch, logs)

    noted = finder._RangeTest.on_train_batch_end
    monkeypatch.setattr(finder._RangeTest, "on_train_batch_end", interrupt)
    model = trained_model()
    before = state_of(model)
    with pytest.raises(error):
        find(model, unfreeze_from="stem", start=1e-3)
    assert_same_state(before, state_of(model))


@pytest.mark.slow
def test_flags_come_back_from_any_state():
    model = with_head(tiny_backbone())
    rng = np.random.default_rng(0)
    for layer in _keras.sublayers(model):
        layer.trainable = bool(rng.integers(2))
    kernel = model.get_layer("tiny").get_layer("block3_conv").kernel
    kernel.trainable = not kernel.trainable
    before = state_of(model)
    with unchanged(model):
        set_freeze_point(model, "stem")
        assert state_of(model)["flags"] != before["flags"]
    assert_same_state(before, state_of(model))


@pytest.mark.slow
def test_the_loss_falls_at_the_suggestion_and_less_at_much_lower_rates():
    model = with_head(tiny_backbone(blocks=1))
    found = find(model)

    def loss_after_training(rate):
        copy = with_head(tiny_backbone(blocks=1))
        copy.set_weights(model.get_weights())
        history = tl.fit_head(copy, (X, Y), epochs=8, learning_rate=rate, verbose=0)
        return history.history["loss"][-1]

    at_start = model.evaluate(X, Y, verbose=0)[0]
    assert found.learning_rates[0] < found.suggestion < found.learning_rates[-1]
    assert loss_after_training(found.suggestion) < 0.75 * at_start
    assert loss_after_training(found.suggestion / 1000) > 0.9 * at_start


@pytest.mark.slow
def test_losses_are_those_of_single_steps_at_rising_rates():
    """The first steps change nothing worth speaking of: each has its batch's loss."""
    model = with_head(tiny_backbone())
    data = tl.from_arrays(X, Y, batch_size=16, validation_split=0, test_split=0)
    found = find_learning_rate(model, data.train, start=1e-9, stop=1.0, verbose=0)
    rates = np.geomspace(1e-9, 1, 100)[: len(found.losses)]
    np.testing.assert_allclose(found.learning_rates, rates)
    whole = model.evaluate(X, Y, verbose=0)[0]
    # Three batches of 16 are an epoch. A running mean would be near the whole's loss
    # in each step.
    for start in (0, 3, 6):
        epoch = found.losses[start : start + 3]
        assert epoch.mean() == pytest.approx(whole, rel=1e-4)
    assert np.ptp(found.losses[:9]) > 0.01 * whole


@pytest.mark.slow
def test_each_step_is_taken_at_its_rate(monkeypatch):
    used = []

    def note(test, batch, logs=None):
        used.append(float(np.asarray(test.model.optimizer.learning_rate)))
        noted(test, batch, logs)

    noted = finder._RangeTest.on_train_batch_end
    monkeypatch.setattr(finder._RangeTest, "on_train_batch_end", note)
    found = find(with_head(tiny_backbone()), start=1e-3, stop=1.0, steps=25)
    np.testing.assert_allclose(used, np.geomspace(1e-3, 1, 25), rtol=1e-5)
    assert len(found.losses) == 25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "dataset", "splits"])
def test_data_smaller_than_the_test_are_read_again(kind):
    import tensorflow as tf

    data = {
        "arrays": (X[:20], Y[:20]),
        "dataset": tf.data.Dataset.from_tensor_slices((X[:20], Y[:20])).batch(8),
        "splits": tl.from_arrays(
            X[:20], Y[:20], validation_split=0, test_split=0
        ).train,
    }[kind]
    model = with_head(tiny_backbone())
    found = find_learning_rate(model, data, stop=0.1, verbose=0)
    assert len(found.losses) == 100


@pytest.mark.slow
def test_the_head_is_tested_on_cached_features(capsys):
    found = find(with_head(tiny_backbone()), verbose=2)
    assert "Frozen part" in capsys.readouterr().out
    uncached = find(with_head(tiny_backbone()), cache=False)
    assert found.learning_rates.shape == uncached.learning_rates.shape


@pytest.mark.slow
def test_cached_and_uncached_tests_see_the_same():
    model = with_head(tiny_backbone())
    cached = find(model, stop=0.1)
    uncached = find(model, stop=0.1, cache=False)
    np.testing.assert_allclose(cached.losses, uncached.losses, rtol=1e-4)
    assert cached.suggestion == uncached.suggestion


@pytest.mark.slow
def test_augmented_pictures_and_mixed_labels():
    model = tl.image_classifier(tiny_backbone(), 2)
    found = find(model, recipe=tl.Recipe(augment=["light", "mixup"]), steps=30)
    assert len(found.losses) <= 30 and found.suggestion > 0


@pytest.mark.slow
def test_texts_with_adapters():
    backbone, tokenizer = tiny_bert()
    model = tl.text_classifier(
        backbone, 2, tokenizer=tokenizer, sequence_length=20, lora_rank=2
    )
    before = state_of(model)
    data = np.array(SENTENCES * 4), np.arange(20) % 2
    found = find_learning_rate(
        model, data, unfreeze_from="transformer_layer_1", verbose=0
    )
    assert found.suggestion > 0
    assert_same_state(before, state_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = tl.image_classifier(tiny_backbone(), 2)
    before = state_of(model)
    assert 1e-6 < find(model, unfreeze_from="block3").suggestion < 10
    assert_same_state(before, state_of(model))


@pytest.mark.slow
def test_a_loss_that_does_not_fall_is_an_error():
    model = with_head(tiny_backbone())
    model.compile("adam", lambda y, p: keras.ops.mean(p * 0.0, -1) + 1.0)
    with pytest.raises(ValueError, match="fell at no learning rate from 1e-07 to 10"):
        find(model)


@pytest.mark.slow
def test_a_loss_that_hardly_falls_is_said():
    model = with_head(tiny_backbone())
    crossentropy = keras.losses.sparse_categorical_crossentropy
    model.compile("adam", lambda y, p: crossentropy(y, p) + 40.0)
    with pytest.warns(UserWarning, match="hardly fell"):
        found = find(model)
    assert "the suggestion means little" in repr(found)


@pytest.mark.slow
def test_a_rate_that_is_too_high_from_the_start_is_an_error():
    model = regressor()
    before = state_of(model)
    with pytest.raises(ValueError, match=r"diverged after \d+ step.*Start lower"):
        find(model, unfreeze_from="stem", recipe=SGD, start=1e5, stop=1e9)
    assert_same_state(before, state_of(model))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_an_error():
    model = with_head(tiny_backbone())
    model.compile("adam", lambda y, p: keras.ops.mean(p, -1) * np.nan)
    with pytest.raises(ValueError, match="not finite before anything was trained"):
        find(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 10}, "`steps`"),
        ({"start": 0}, "`start`"),
        ({"start": 1, "stop": 0.1}, "`stop` must be a number above 1"),
        ({"verbose": 3}, "`verbose`"),
        ({"unfreeze_from": "block9"}, "No such freeze point"),
        ({"cache": "memroy"}, "`cache`"),
    ],
)
def test_bad_arguments_leave_the_model_alone(arguments, message):
    model = with_head(tiny_backbone())
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        find(model, **arguments)
    assert_same_state(before, state_of(model))


def test_the_valley_is_the_middle_of_the_longest_fall():
    losses = np.r_[np.ones(20), np.linspace(1, 0.1, 30), np.linspace(0.2, 3, 10)]
    start, end = finder._longest_fall(losses)
    assert (start, end) in {(19, 49), (18, 49), (20, 49)}


def test_the_plot_marks_the_suggestions():
    rates = np.geomspace(1e-4, 1, 5)
    losses = np.array([1.0, 0.9, 0.5, 0.4, 2.0])
    found = LearningRateRange(rates, losses, losses, 1e-2, 1e-3, True)
    ax = found.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["each step", "smoothed", "valley: 0.01", "steepest: 0.001"]
    assert ax.get_xscale() == "log"
    assert found.plot(ax) is ax
    assert "the loss diverged there" in repr(found)


def test_the_plot_refuses_what_does_not_fit_together():
    with pytest.raises(ValueError, match="belong to each learning rate"):
        plot_learning_rates([1e-3, 1e-2], [1.0], [1.0])
