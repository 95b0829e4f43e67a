"""The practices of fine-tuning on the verbs: stages, rates, schedules, plans."""

import dataclasses
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, weights_of, with_head, with_recipe

import tlkeras as tl
from tlkeras.inputs import Pictures, Texts
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.training.job import open_job
from tlkeras.training.recipe import completed

X, Y = solid_colours(48, 2)


@pytest.fixture(scope="module")
def untouched():
    """A classifier, for what leaves it as it is."""
    return tl.image_classifier(tiny_backbone(blocks=1), 2)


FIVE = (
    "head_epochs",
    "epochs",
    "unfreeze_from",
    "learning_rate",
    "fine_tune_learning_rate",
)


def tune(model, **arguments):
    settings = {
        "head_epochs": 1,
        "epochs": 2,
        "unfreeze_from": "block1",
        "learning_rate": 0.01,
        "fine_tune_learning_rate": 0.01,
        "verbose": 0,
    }
    return tl.fine_tune(model, (X, Y), **with_recipe(**{**settings, **arguments}))


class Rates(keras.callbacks.Callback):
    """Notes the learning rate before each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(float(np.asarray(self.model.optimizer.learning_rate)))


def test_what_verbs_and_recipe_both_hold_is_auto_in_both():
    fields = {field.name: field.default for field in dataclasses.fields(tl.Recipe)}
    for verb, names in ((tl.fine_tune, FIVE), (tl.fit_head, ("learning_rate",))):
        parameters = inspect.signature(verb).parameters
        shared = fields.keys() & parameters.keys() - {"epochs"}
        assert shared == set(names) - {"epochs"}
        for name in (*names, "epochs"):
            assert parameters[name].default == fields[name] == "auto", name


@pytest.mark.parametrize("name", FIVE)
def test_a_setting_that_call_and_recipe_say_is_refused_with_both_values(
    untouched, name
):
    recipe = tl.Recipe(**{name: 7})
    message = rf"{name}=5 in the call and {name}=7 in `recipe=`.*but\({name}=5\)"
    with pytest.raises(ValueError, match=message):
        tl.fine_tune(untouched, (X, Y), recipe=recipe, **{name: 5})


def test_a_recipe_is_a_recipe(untouched):
    for recipe in ({"epochs": 3}, "fast", 3):
        with pytest.raises(ValueError, match="`recipe` must be a `tl.Recipe`"):
            tl.fit_head(untouched, (X, Y), recipe=recipe)
    with pytest.raises(ValueError, match="No such setting: 'epoch'"):
        tl.Recipe().but(epoch=3)


def test_the_head_alone_is_trained_by_a_recipe_of_both_phases(monkeypatch):
    made, init = [], ArrayExamples.__init__

    def note(self, *arguments, **settings):
        made.append(self)
        init(self, *arguments, **settings)

    monkeypatch.setattr(ArrayExamples, "__init__", note)
    backbone = tiny_backbone(blocks=1)
    recipe = tl.Recipe(
        head_epochs=2, epochs=5, unfreeze_from="nowhere", layer_decay=7, l2_sp=0.1
    ).but(backbone=backbone)
    model = tl.image_classifier(backbone, 2)
    history = tl.fit_head(model, (X, Y), (X, Y), recipe=recipe, verbose=0)
    assert [phase.epochs for phase in history.phases] == [2]
    # Arrays are read once.
    assert len(made) == 2
    settings = model.record.runs[0].settings
    assert (settings["epochs"], settings["l2_sp"]) == (0, 0.0)
    assert settings["backbone"] == backbone.name
    with pytest.raises(ValueError, match="`head_epochs` must be .* at least 1"):
        tl.fit_head(model, (X, Y), recipe=tl.Recipe(head_epochs=0), verbose=0)


@pytest.mark.slow
def test_gradual_unfreezes_block_by_block():
    history = tune(with_head(tiny_backbone(blocks=4)), unfreeze_from="gradual")
    points = [phase.unfreeze_from for phase in history.phases]
    assert points == [None, "block4", "block3", "block2"]
    assert [phase.epochs for phase in history.phases] == [1, 2, 2, 2]
    trainable = [phase.trainable for phase in history.phases]
    assert trainable == sorted(set(trainable))


@pytest.mark.slow
def test_a_stage_that_stalls_gives_way_to_the_next():
    noise = np.random.default_rng(0).integers(0, 2, len(Y))
    history = tl.fine_tune(
        with_head(tiny_backbone()),
        (X, Y),
        (X, noise),
        head_epochs=0,
        epochs=30,
        unfreeze_from=["block3", "block2"],
        fine_tune_learning_rate=0.02,
        recipe=tl.Recipe(patience=1),
        verbose=0,
    )
    assert all(2 <= phase.epochs < 30 for phase in history.phases)


@pytest.mark.slow
def test_layer_decay_moves_lower_blocks_less():
    moved = {}
    for decay in (None, 0.1):
        keras.utils.set_random_seed(0)
        model = with_head(tiny_backbone())
        model.compile(
            keras.optimizers.SGD(), "sparse_categorical_crossentropy", jit_compile=False
        )
        before = weights_of(model)
        tune(model, head_epochs=0, epochs=1, layer_decay=decay, batch_size=48)
        after = weights_of(model)
        for name in ("block1_conv/kernel", "block3_conv/kernel", "out/kernel"):
            moved[name, decay] = np.abs(after[name] - before[name]).max()
    # One step of gradient descent: the change is the rate times the gradient.
    for name, factor in (("out", 1.0), ("block3_conv", 0.1), ("block1_conv", 0.001)):
        ratio = moved[f"{name}/kernel", 0.1] / moved[f"{name}/kernel", None]
        assert ratio == pytest.approx(factor, rel=2e-2)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.slow
def test_rates_by_depth_go_with_loss_scaling_and_with_the_file(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = tl.image_classifier(tiny_backbone(), 2)
    history = tune(model, epochs=8, layer_decay=0.8, optimizer="adamw", l2_sp=0.01)
    assert history.history["loss"][-1] < history.history["loss"][0]
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for mine, theirs in zip(
        model.optimizer.variables, again.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(mine), np.array(theirs))
    tune(again, layer_decay=0.9)


@pytest.mark.slow
def test_a_callback_sets_the_rates_of_all_depths():
    model, rates = with_head(tiny_backbone()), Rates()
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=0, min_delta=100.0
    )
    tune(model, head_epochs=0, epochs=3, layer_decay=0.5, callbacks=[plateau, rates])
    assert sorted({round(r, 5) for r in rates.seen}, reverse=True) == [0.01, 0.005]


@pytest.mark.slow
def test_a_schedule_runs_anew_in_each_phase():
    rates = Rates()
    tune(
        with_head(tiny_backbone()),
        head_epochs=5,
        epochs=5,
        fine_tune_learning_rate=0.002,
        schedule="cosine",
        batch_size=12,
        callbacks=[rates],
    )
    for seen, peak in ((rates.seen[:20], 0.01), (rates.seen[20:], 0.002)):
        assert len(seen) == 20
        top = int(np.argmax(seen))
        assert seen[top] == pytest.approx(peak, rel=1e-5) and top == 2
        assert np.all(np.diff(seen[top:]) < 0) and seen[-1] < 0.05 * peak


def test_a_schedule_needs_to_know_the_number_of_steps(untouched):
    import tensorflow as tf

    data = (
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).filter(lambda x, y: True)
    )
    with pytest.raises(ValueError, match="how many batches an epoch has"):
        tl.fit_head(untouched, data, recipe=tl.Recipe(schedule="cosine"), verbose=0)


def test_a_schedule_and_a_callback_that_sets_rates_are_refused(untouched):
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    with pytest.raises(ValueError, match="ReduceLROnPlateau sets the learning rate"):
        tune(untouched, schedule="cosine", callbacks=[plateau])


@pytest.mark.slow
def test_an_optimizer_of_ones_own_keeps_its_settings():
    model, seen = with_head(tiny_backbone()), []
    optimizer = keras.optimizers.AdamW(
        weight_decay=0.3, global_clipnorm=0.5, gradient_accumulation_steps=2
    )
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(note.model.optimizer)
    )
    tune(model, optimizer=optimizer, callbacks=[note])
    assert len(seen) == 2 and seen[0] is not seen[1] is not optimizer
    for used in seen:
        assert isinstance(used, keras.optimizers.AdamW)
        settings = used.weight_decay, used.global_clipnorm
        assert (*settings, used.gradient_accumulation_steps) == (0.3, 0.5, 2)


@pytest.mark.slow
def test_decay_towards_the_pretrained_weights_holds_them():
    distances = {}
    for l2_sp in (0.0, 50.0):
        keras.utils.set_random_seed(0)
        model = with_head(tiny_backbone())
        start = weights_of(tl.find_backbone(model))
        tune(
            model,
            epochs=5,
            unfreeze_from=["block3", "block1"],
            l2_sp=l2_sp,
        )
        end = weights_of(tl.find_backbone(model))
        distances[l2_sp] = sum(np.sum((end[k] - start[k]) ** 2) for k in start)
    assert distances[50.0] < 0.3 * distances[0.0]


@pytest.mark.slow
def test_balance_helps_the_rare_class():
    rng = np.random.default_rng(0)
    labels = (np.arange(120) % 10 == 0).astype("int32")
    pixels = (
        110 + 14 * labels[:, None, None, None] + rng.normal(0, 60, (120, 16, 16, 3))
    )
    pixels = np.clip(pixels, 0, 255).astype("uint8")
    recalls = []
    for setting in {}, {"class_weight": "balanced"}, {"sampling": "balanced"}:
        keras.utils.set_random_seed(0)
        model = tl.image_classifier(tiny_backbone(blocks=1), 2)
        tl.fit_head(
            model,
            (pixels, labels),
            epochs=15,
            learning_rate=0.02,
            recipe=tl.Recipe(**setting),
            verbose=0,
        )
        found = np.argmax(model(pixels), axis=1)
        recalls.append(np.mean(found[labels == 1]))
    assert min(recalls[1:]) > recalls[0] + 0.2


def test_balanced_weights_and_sampling_together_are_refused(untouched):
    with pytest.raises(ValueError, match="pass one of them"):
        tune(untouched, class_weight="balanced", sampling="balanced")


@pytest.mark.slow
def test_splits_bring_their_validation_part():
    data = tl.from_arrays(X, Y, validation_split=0.25, test_split=0.0)
    history = tl.fit_head(tl.image_classifier(tiny_backbone(), 2), data, verbose=0)
    assert "val_loss" in history.history


def test_epochs_of_the_head_follow_the_number_of_steps(untouched):
    def epochs(**settings):
        return completed(tl.Recipe(), usual={}, **settings).head_epochs

    assert epochs(steps=None) == 10
    assert epochs(steps=1000) == 10
    assert epochs(steps=10) == 30
    assert epochs(steps=1) == 150
    job = open_job(untouched, (X, Y), recipe=tl.Recipe(head="gradient"))
    assert job.recipe.head_epochs == 150


def test_defaults_follow_kind_and_number_of_examples():
    def usual(input, examples, blocks=(), **given):
        settings = input.usual(examples, blocks)
        return completed(tl.Recipe(**given), usual=settings, steps=100)

    few, many = (usual(Pictures((32, 32)), count) for count in (499, 500))
    assert usual(Pictures((32, 32)), None) == few
    assert (few.epochs, few.unfreeze_from, few.schedule) == (10, 0.3, "constant")
    assert (many.epochs, many.unfreeze_from, many.schedule) == (10, 0.6, "cosine")
    assert few.fine_tune_learning_rate < many.fine_tune_learning_rate
    layers = [f"transformer_layer_{n}" for n in range(6)]
    texts = usual(Texts(), 100, layers, epochs=7)
    assert (texts.epochs, texts.unfreeze_from) == (7, "transformer_layer_3")
    assert (texts.schedule, texts.fine_tune_learning_rate) == ("cosine", 1e-4)
    assert usual(Texts(), 100).unfreeze_from == 0.5
    rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.5)
    assert usual(Texts(), 100, learning_rate=rate).schedule == "constant"


@pytest.mark.slow
def test_a_plan_is_followed():
    data = tl.from_arrays(X, Y, validation_split=0.25, test_split=0.0)
    plan = tl.plan(with_head(tiny_backbone()), data, verbose=0)
    plan = plan.but(head_epochs=2, epochs=1, unfreeze_from="block3", patience=None)
    model = tl.image_classifier(tiny_backbone(), 2)
    history = tl.fine_tune(model, data, recipe=plan, verbose=0)
    assert [p.epochs for p in history.phases] == [2, 1]
    recipe = tl.Recipe(head_epochs=1, epochs=0)
    history = tl.fine_tune(model, data, recipe=recipe, verbose=0)
    assert [p.name for p in history.phases] == ["head"]


@pytest.mark.slow
def test_a_plan_is_made_and_shown(capsys):
    data = tl.from_arrays(X, Y, validation_split=0.25, test_split=0.0)
    model = tl.image_classifier(tiny_backbone(), 2)
    tl.fine_tune(model, data, recipe="auto", cache="memory", verbose=2)
    printed = capsys.readouterr().out
    assert "Plan for 36 images" in printed and "Phase head" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "auto"}, r"settles head_epochs, .*but\(head_epochs=1\)"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"layer_decay": {"blok": 0.5}}, "blok"),
        ({"schedule": "wavy"}, "schedule"),
        ({"optimizer": "adamm"}, "adam"),
        ({"l2_sp": -1}, "l2_sp"),
        ({"sampling": "even"}, "sampling"),
        ({"class_weight": "even"}, "class_weight"),
        ({"batch_size": 0}, "batch_size"),
        ({"head_epochs": "many"}, "head_epochs"),
    ],
)
def test_bad_settings_change_nothing(untouched, arguments, message):
    before = weights_of(untouched)
    with pytest.raises(ValueError, match=message):
        tune(untouched, **arguments)
    after = weights_of(untouched)
    for path, value in before.items():
        np.testing.assert_array_equal(value, after[path])


@pytest.mark.slow
def test_the_example_of_the_guide_runs(tmp_path, monkeypatch):
    page = Path(__file__).parents[1].joinpath("docs/fine_tuning.md").read_text("utf-8")
    block = re.search(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    data = tl.from_arrays(X, Y, validation_split=0.25, test_split=0.0)
    model = tl.image_classifier(tiny_backbone(blocks=4), 2)
    names = {"tl": tl, "model": model, "data": data}
    exec(block, names)
    assert len(names["history"].phases) == 4
    assert (tmp_path / "run1" / "done.npz").exists()
    assert (tmp_path / "logs" / "epochs.csv").exists()
