"""Phase one solved, and which weights a run leaves."""

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
    with_head,
    with_recipe,
)

import tlkeras as tl
from tlkeras.training.phase import epoch_of_end
from tlkeras.training.recipe import completed

# Of fewer than 20 of a class folds would be drawn several times over.
N = 60
PIXELS, CLASSES = solid_colours(N, 3)
VAL = solid_colours(24, 3, seed=1)


def built(classes=3, **arguments):
    keras.utils.set_random_seed(0)
    builder = arguments.pop("builder", tl.image_classifier)
    return builder(tiny_backbone(blocks=1), classes, **arguments)


def fitted(model, labels=CLASSES, val=None, **given):
    return tl.fit_head(
        model, (PIXELS, labels), val, verbose=0, cache="memory", **with_recipe(**given)
    )


def head_of(model):
    return [np.array(v) for v in model.layers[-1].weights]


@pytest.fixture(scope="module")
def solved():
    """A model whose head was solved, its history, and its weights before and after."""
    model = built()
    before = weights_of(model.backbone)
    return model, fitted(model, val=VAL), before, weights_of(model)


def test_the_head_is_solved(solved):
    model, history, backbone, _ = solved
    (phase,) = history.phases
    assert (phase.name, phase.epochs, history.epoch) == ("head", 1, [0])
    facts = phase.solved["predictions"]
    assert facts["folds"] >= 5 and facts["strength"] > 0 and facts["loss"] < 1
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history.history)
    assert tl.evaluate(model, VAL, verbose=0).accuracy > 0.9
    assert_equal_weights(backbone, weights_of(model.backbone))
    # It is what a record says, too.
    assert model.record.runs[-1].phases[0]["solved"] == phase.solved


@pytest.mark.parametrize(
    ("outputs", "labels", "counts", "strength"),
    [
        # Beside squared errors, which are halved.
        (tl.Numbers(1), CLASSES / 2.0, None, 0.05),
        # Beside a loss, twice the penalty: it weighs less, and examples weigh more.
        (tl.Classes(3, weight=0.5), CLASSES, np.linspace(1, 7, N), 0.1 * 2 / 4),
    ],
)
def test_a_penalty_of_the_layer_is_the_one_that_counts(
    outputs, labels, counts, strength
):
    """Keras' own loss, penalty included, is least there."""
    model = built(outputs, weight_decay=0.05)
    train = (PIXELS, labels) if counts is None else (PIXELS, labels, counts)
    history = tl.fit_head(model, train, verbose=0, cache="memory")
    found = history.phases[0].solved["predictions"]["strength"]
    assert found == pytest.approx(strength)

    def loss_now():
        model.reset_metrics()
        return model.test_on_batch(*train[:2], sample_weight=counts)[0]

    loss = loss_now()
    layer, random = model.layers[-1], np.random.default_rng(0)
    kernel = np.array(layer.kernel)
    steps = [random.normal(size=kernel.shape) * 0.02 for _ in range(4)]
    # Along the kernel itself a wrong penalty shows most.
    for step in (*steps, 0.02 * kernel, -0.02 * kernel):
        layer.kernel.assign(kernel + step)
        assert loss_now() > loss


@pytest.mark.parametrize(
    ("arguments", "given", "reason"),
    [
        ({"hidden": (4,)}, {}, "other layers below"),
        ({"loss": "focal"}, {}, "loss"),
        ({}, {"augment": "light"}, "not cached"),
    ],
)
def test_what_cannot_be_solved_is_trained_and_told(arguments, given, reason, capsys):
    model, train = built(**arguments), (PIXELS, CLASSES)
    recipe = tl.Recipe(head="solve", **given)
    with pytest.raises(ValueError, match=f"head='solve' cannot.*{reason}"):
        tl.fit_head(model, train, recipe=recipe, verbose=0)
    if "hidden" not in arguments:
        return  # It is trained as one with other layers below is.
    history = tl.fit_head(model, train, recipe=tl.Recipe(**given), verbose=2)
    assert history.phases[0].solved is None and len(history.epoch) > 1
    assert reason in capsys.readouterr().out


@pytest.mark.slow
def test_a_head_by_gradient_begins_with_a_kernel_of_zeros():
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(np.array(note.model.layers[-1].kernel))
    )
    model = built()
    assert fitted(model, epochs=1, callbacks=[note]).phases[0].solved is None
    # What has been trained goes on from where it is, as does a model of others.
    fitted(model, epochs=1, callbacks=[note])
    model = with_head(tiny_backbone(blocks=1))
    fitted(model, CLASSES % 2, epochs=1, callbacks=[note])
    assert [bool(kernel.any()) for kernel in seen] == [False, True, True]


def test_a_penalty_that_nothing_chose_is_told(capsys):
    train = PIXELS[:3], CLASSES[:3]
    history = tl.fit_head(built(), train, verbose=2, cache="memory")
    assert history.phases[0].solved["predictions"]["folds"] == 0
    (note,) = history.notes
    assert "No example could be held out" in note
    assert note in capsys.readouterr().out


@pytest.mark.slow
def test_each_of_several_heads_is_solved_of_what_it_has_labels_for():
    heads = {
        "kind": tl.Classes(3),
        "traits": tl.Labels(2, class_weight="balanced"),
        "size": tl.Numbers(1, weight=0.1),
    }
    rows = np.stack([CLASSES != 1, CLASSES > 0], axis=1).astype("float32")
    rows[::5, 0] = np.nan
    labels = {
        "kind": np.where(np.arange(N) % 7 == 0, -1, CLASSES),
        "traits": rows,
        "size": np.where(np.arange(N) % 4 == 0, np.nan, CLASSES / 2),
    }
    model = built(heads)
    history = fitted(model, labels)
    assert set(history.phases[0].solved) == set(heads)
    answers = {name: np.array(rows) for name, rows in model(PIXELS).items()}
    assert np.mean(answers["kind"].argmax(axis=1) == CLASSES) > 0.95
    known = ~np.isnan(rows)
    assert np.mean((answers["traits"] > 0.5)[known] == rows[known]) > 0.95
    errors = answers["size"][:, 0] - CLASSES / 2
    assert np.mean(errors**2) < 0.1 * np.var(CLASSES / 2)


@pytest.mark.slow
def test_weights_of_examples_are_heeded():
    """Those that are wrong, most of them, weigh nothing, in phases of each kind."""
    wrong = np.arange(N) % 4 != 0
    labels, counts = np.where(wrong, 0, CLASSES), np.where(wrong, 0.0, 2.0)
    labels[wrong] = (CLASSES[wrong] + 1) % 3
    train, val = (PIXELS, labels, counts), (*VAL, np.linspace(0, 1, 24))
    # All in one batch: its loss is divided by its weights.
    last = {"keep": "last", "batch_size": N}
    for given in {"augment": "light", "cached_views": 2}, last:
        model, recipe = built(dropout=0.0), tl.Recipe(**given)
        part = val if given is last else None
        fit = {"cache": "memory", "recipe": recipe, "verbose": 0}
        head = tl.fit_head(model, train, part, **fit)
        assert head.phases[0].solved["predictions"]["loss"] > 0
        assert np.mean(np.argmax(model(VAL[0]), axis=1) == VAL[1]) > 0.9
    # A rate so small that losses are those of the model as it is.
    fit |= {"epochs": 1, "learning_rate": 1e-6, "cache": False}
    whole = tl.fit_head(model, train, val, **fit)
    for name, (x, y, weights) in {"loss": train, "val_loss": val}.items():
        expected = model.evaluate(x, y, N, 0, weights)[0]
        for history in (head.history, whole.history):
            assert history[name][-1] == pytest.approx(expected, rel=1e-3), name


@pytest.mark.slow
def test_weights_of_classes_and_examples_are_heeded_as_balanced_draws_are():
    """Examples that weigh nothing are as good as left out."""
    labels = np.where(np.arange(N) % 5 < 2, 1, 0)
    counts = np.where(np.arange(N) % 7 == 0, 0.0, np.linspace(0.5, 1.5, N))
    heads, kept = [], counts > 0
    for rows, given in (
        (slice(None), {"class_weight": "balanced"}),
        (kept, {"class_weight": "balanced"}),
        (kept, {"sampling": "balanced"}),
    ):
        model, recipe = built(2), tl.Recipe(**given)
        train = PIXELS[rows], labels[rows], counts[rows]
        tl.fit_head(model, train, recipe=recipe, cache="memory", verbose=0)
        heads.append(head_of(model))
    for one, other, third in zip(*heads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other, third, atol=1e-3)
    # Colours tell nothing of them: two of five, which balance makes half.
    chances = np.array(model(PIXELS))[:, 1]
    assert np.mean(chances) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "counts", [np.ones(N - 1), np.zeros(N), -np.ones(N), np.full(N, np.nan)]
)
def test_weights_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="one weight for each|Sample weights must"):
        tl.fit_head(built(), (PIXELS, CLASSES, counts), verbose=0)


@pytest.mark.parametrize("given", [{"epochs": 5}, {"learning_rate": 0.1}])
def test_what_a_solved_head_would_not_heed_is_refused(given):
    with pytest.raises(ValueError, match="head='solve' finds the minimum in one go"):
        tl.fit_head(built(), (PIXELS, CLASSES), recipe=tl.Recipe(head="solve"), **given)


@pytest.mark.parametrize(
    ("given", "callbacks", "head"),
    [
        ({}, [], "auto"),
        ({"head_epochs": 2}, [], "gradient"),
        ({"learning_rate": 0.01}, [], "gradient"),
        ({}, [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)], "gradient"),
        ({}, [keras.callbacks.ReduceLROnPlateau()], "auto"),
    ],
)
def test_what_only_gradients_heed_has_gradients_used(given, callbacks, head):
    found = completed(tl.Recipe(**given), usual={}, steps=None, callbacks=callbacks)
    assert found.head == head


def test_groups_of_the_data_reach_the_folds():
    data = tl.from_arrays(
        PIXELS, CLASSES, groups=np.arange(N) // 4, validation_split=0.25, test_split=0
    )
    reading = tl.inputs.examples.reading_of(data.train)
    assert len(reading.groups) == len(reading.examples)
    assert len(np.unique(reading.groups)) < len(reading.groups)
    assert tl.inputs.examples.reading_of(data.val).groups is None


def test_a_run_with_checkpoints_is_done_or_not_done(tmp_path, solved):
    one, two = built(), built()
    history = fitted(one, checkpoint_dir=tmp_path, val=VAL)
    again = fitted(two, checkpoint_dir=tmp_path, val=VAL)
    assert again.phases == history.phases and again.best == history.best
    # With and without checkpoints the same.
    for first, second, third in zip(*map(head_of, (one, two, solved[0])), strict=True):
        assert np.array_equal(first, second) and np.array_equal(first, third)


@pytest.mark.slow
def test_a_solved_head_is_repeated_from_its_record():
    tl.configure(precision="float32", strategy="none", seed=0)
    x, y = solid_colours(24, 2, size=32)
    data = tl.from_arrays(x[..., :1], y, validation_split=0.25, test_split=0)
    model = tl.image_classifier("glyphnet", data.class_names)
    tl.fine_tune(model, data, epochs=1, unfreeze_from="block1", verbose=0)
    assert model.record.runs[-1].settings["head"] == "solve"
    again = tl.rerun(model, data, verbose=0)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))


# --- The best weights ---------------------------------------------------------------


def tuned(model, **given):
    settings = {"unfreeze_from": "block1", "verbose": 0, **given}
    train = (PIXELS, CLASSES)
    return tl.fine_tune(model, train, VAL, cache="memory", **with_recipe(**settings))


@pytest.mark.parametrize(
    ("given", "best", "said"),
    [({}, "head", "clearly do better"), ({"head_epochs": 0}, "start", "came with")],
)
def test_a_phase_that_spoils_the_model_is_undone(solved, given, best, said):
    """A head that is solved once more is the same."""
    model, _, _, weights = solved
    given |= {"fine_tune_learning_rate": 0.5, "schedule": "constant", "epochs": 1}
    history = tuned(model, **given)
    assert history.best["phase"] == best and said in history.notes[-1]
    assert_equal_weights(weights, weights_of(model))


def test_the_last_weights_stay_where_asked():
    model = built()
    given = {"fine_tune_learning_rate": 0.5, "schedule": "constant", "epochs": 1}
    history = tuned(model, **given, head_epochs=0, keep="last")
    assert history.best is None
    loss = float(model.compute_loss(y=VAL[1], y_pred=model(VAL[0])))
    assert loss == pytest.approx(history.history["val_loss"][-1], rel=1e-4)


def test_a_phase_that_helps_stays_and_is_calibrated():
    """Labels a fifth of which are wrong are learnt by heart: much too sure."""
    wrong = np.where(np.arange(N) % 5 == 0, (CLASSES + 1) % 3, CLASSES)
    x, y = VAL
    doubtful = x, np.where(np.arange(24) % 5 == 0, (y + 1) % 3, y)
    model = built(head="flatten")
    recipe = tl.Recipe(unfreeze_from="block1", epochs=12, head_epochs=0)
    recipe = recipe.but(fine_tune_learning_rate=0.02, schedule="constant")
    history = tl.fine_tune(model, (PIXELS, wrong), doubtful, recipe=recipe, verbose=0)
    loss = model.evaluate(*doubtful, verbose=0, return_dict=True)["loss"]
    assert loss < history.history["val_loss"][-1]
    assert history.best["temperature"]["predictions"] > 1.1
    # What is promised is what the model does.
    assert loss == pytest.approx(history.best["calibrated_loss"], rel=1e-3)


@pytest.mark.slow
def test_the_least_loss_stays_of_outputs_without_names():
    backbone, inputs = tiny_backbone(blocks=1), keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    layers = keras.layers.Dense(3, "softmax"), keras.layers.Dense(1)
    model = keras.Model(inputs, [layer(x) for layer in layers])
    losses = ["sparse_categorical_crossentropy", "mse"]
    model.compile("sgd", losses, jit_compile=False)
    wrong = (VAL[1] + 1) % 3
    train, val = (PIXELS, [CLASSES, 0.1 * CLASSES]), (VAL[0], [wrong, 0.1 * wrong])
    rates = {"learning_rate": 0.1, "fine_tune_learning_rate": 0.1}
    given = {"head_epochs": 4, "epochs": 2, "unfreeze_from": "block1", "verbose": 0}
    history = tl.fine_tune(model, train, val, **given, **rates)
    least = min(history.history["val_loss"])
    assert history.best["val_loss"] == least < history.history["val_loss"][-1]
    loss = float(model.compute_loss(y=val[1], y_pred=model(val[0])))
    assert loss == pytest.approx(least, rel=1e-4)


SIZES = np.linspace(-1.0, 1.0, 48)
GREY = np.tile(128 + 90 * SIZES[:, None, None, None], (16, 16, 3)).astype("uint8")


@pytest.mark.slow
def test_numbers_of_any_size_are_learnt_alike_by_gradient():
    """Huber's loss has a size of its own."""
    heads = {"size": tl.Numbers(hidden=(8,)), "huber": tl.Numbers(loss="huber")}
    found = []
    for sizes in ((5e4, 2e4), (5e4, 2e4)), ((0, 1), (40.0, 50.0)):
        keras.utils.set_random_seed(0)
        model = tl.image_regressor(tiny_backbone(blocks=1), heads)
        labels = {
            name: mean + deviation * SIZES / SIZES.std()
            for name, (mean, deviation) in zip(heads, sizes, strict=True)
        }
        recipe = tl.Recipe(optimizer="adamw")
        history = tl.fit_head(
            model, (GREY, labels), epochs=5, recipe=recipe, cache=False, verbose=0
        )
        assert not history.notes
        answers = model(GREY, training=False)
        found.append(
            [
                (np.ravel(answers[name]) - mean) / deviation
                for name, (mean, deviation) in zip(heads, sizes, strict=True)
            ]
        )
    np.testing.assert_allclose(found[0], found[1], atol=0.03)


def test_each_number_has_its_own_start_and_unit():
    labels = np.stack([300 + 10 * SIZES, 1e-3 * SIZES], axis=1)
    labels[::3, 0] = np.nan
    model = tl.image_regressor(tiny_backbone(blocks=1), {"both": tl.Numbers(2)})
    biases = []
    note = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: biases.append(np.array(model.layers[-1].bias))
    )
    given = {"head_epochs": 0, "epochs": 1, "callbacks": [note], "verbose": 0}
    tl.fine_tune(model, (GREY, {"both": labels}), **given)
    np.testing.assert_allclose(biases[0], np.nanmean(labels, axis=0), atol=1e-5)
    units = [rule.unit for rule in model.optimizer.rules if rule.unit != 1.0]
    assert len(units) == 2
    np.testing.assert_allclose(units[0], np.nanstd(labels, axis=0), rtol=1e-5)


def test_what_is_worse_than_the_mean_is_said(capsys):
    import tensorflow as tf

    model = with_head(tiny_backbone(blocks=1), 1)
    model.layers[-1].activation = keras.activations.linear
    model.compile("adam", "mse", jit_compile=False)
    data = GREY.astype("float32"), (1000 + SIZES).astype("float32")
    # Of one the labels are read, and of the other they are known.
    train = tf.data.Dataset.from_tensor_slices(data).batch(16)
    history = tl.fit_head(model, train, data, epochs=1, verbose=2)
    assert "worse than always answering the mean" in history.notes[-1]
    assert "scale the labels" in history.notes[-1]
    assert history.notes[-1] in capsys.readouterr().out
    report = tl.Report(data[1], np.asarray(model(data[0])))
    sentence = "Worse than always answering the mean of these labels (R2 -"
    assert sentence in str(report) and sentence in report._repr_html_()
    fine = tl.Report([1.0, 2.0, 3.0], [1.0, 2.5, 3.0])
    assert "Worse" not in str(fine)


@pytest.mark.slow
def test_restored_weights_are_of_the_epoch_that_they_are_from():
    """Early stopping by something else than the loss ends a phase with its choice."""

    class Falls(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_chosen"] = -float(epoch)

    stopping = keras.callbacks.EarlyStopping(
        "val_chosen", mode="max", patience=1, restore_best_weights=True
    )
    recipe = tl.Recipe(head="gradient", head_epochs=4, learning_rate=0.05)
    model = built({"kind": tl.Classes(3), "size": tl.Numbers(1)}, dropout=0.0)
    data = [(x, {"kind": y, "size": 10.0 * y}) for x, y in ((PIXELS, CLASSES), VAL)]
    # Metrics of one of several heads may be watched, too.
    others = [
        keras.callbacks.EarlyStopping(f"val_{name}", patience=9)
        for name in ("kind_accuracy", "size_mae", "size_loss")
    ]
    callbacks = [*others, Falls(), stopping]
    given = {"recipe": recipe, "callbacks": callbacks, "verbose": 0}
    history = tl.fit_head(model, *data, **given)
    assert {one.monitor for one in others} <= history.history.keys()
    assert [one.mode for one in others] == ["max", "min", "min"]
    (phase,) = history.phases
    assert phase.epochs == 2
    assert (epoch_of_end([stopping], phase), epoch_of_end([], phase)) == (0, 1)
    best, losses = history.best, history.history["val_loss"]
    assert best["val_loss"] == losses[best["epoch"]]
    # Numbers count in the score as in the loss: temperatures change the loss of the
    # classes alone, which is small.
    assert best["calibrated_loss"] == pytest.approx(best["val_loss"], rel=0.1)
