"""`augment=` and `cached_views=` on the fit verbs; steps that are taken together."""

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head, with_recipe

import tlkeras as tl
from tlkeras.training.feeding import plan_steps

X, Y = solid_colours(24, 3)


def splits(**arguments):
    return tl.from_arrays(
        X, Y, batch_size=8, validation_split=0.25, test_split=0, **arguments
    )


def classifier(classes=3):
    backbone = tiny_backbone(blocks=1)
    return tl.image_classifier(backbone, classes, preprocessing=None)


def test_pictures_are_augmented_but_not_for_validation_and_nothing_is_cached(capsys):
    """A step that blackens training pictures must not touch validation."""
    data, model, seen = splits(), classifier(), []

    def blacken(images):
        import tensorflow as tf

        tf.numpy_function(lambda x: seen.append(x.shape[0]), [images], [])
        return 0 * images + 9

    recipe = tl.Recipe(augment=blacken)
    history = tl.fit_head(model, data, epochs=1, recipe=recipe, verbose=2)
    assert sum(seen) >= 18
    assert "Not cached" in capsys.readouterr().out
    assert tl.cache_info().entries == ()
    ((x, y),) = data.val
    plain = float(model.compute_loss(y=y, y_pred=model(x)))
    assert history.history["val_loss"][-1] == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("augment", "views"),
    [
        (["light", "cutmix"], None),
        pytest.param("mixup", 2, marks=pytest.mark.slow),
    ],
)
def test_history_has_validation_whatever_the_labels_become(augment, views):
    recipe = tl.Recipe(augment=augment, cached_views=views)
    given = {"epochs": 1, "recipe": recipe, "verbose": 0}
    history = tl.fit_head(classifier(), splits(), **given)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert np.isfinite(history.history["val_loss"]).all()


def test_views_are_computed_once_and_epochs_take_turns():
    # A head that is no longer zeros and hardly moves shows which view an epoch reads.
    model, recipe = with_head(tiny_backbone(blocks=1), 3), tl.Recipe(augment="medium")
    given = {"recipe": recipe.but(cached_views=2), "verbose": 0}
    train = splits().train
    history = tl.fit_head(model, train, epochs=4, learning_rate=1e-6, **given)
    (entry,) = tl.cache_info().entries
    assert entry.examples == 2 * 18
    first, second, third, fourth = history.history["loss"]
    assert first == pytest.approx(third, rel=1e-4)
    assert second == pytest.approx(fourth, rel=1e-4)
    assert first != pytest.approx(second, rel=1e-4)


@pytest.mark.slow
def test_a_second_run_with_the_same_views_extracts_nothing():
    data, model = splits(), classifier()
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    light, medium = (
        tl.Recipe(augment=name, cached_views=2) for name in ("light", "medium")
    )
    tl.fit_head(model, data.train, epochs=1, recipe=light, verbose=0)
    history = tl.fit_head(model, data.train, epochs=1, recipe=light, verbose=0)
    assert history.phases[0].extraction_seconds == 0.0
    history = tl.fit_head(model, data.train, epochs=1, recipe=medium, verbose=0)
    assert history.phases[0].extraction_seconds > 0.0


def test_data_that_are_not_of_splits_are_augmented_anew_in_each_epoch():
    import tensorflow as tf

    data, means = splits(), []

    def jitter(images):
        images = images + tf.random.uniform([], 0, 50)
        tf.numpy_function(lambda x: means.append(float(x.mean())), [images], [])
        return images

    train = data.train.map(lambda x, y: (x, y)).cache()
    tl.fit_head(
        classifier(), train, epochs=2, recipe=tl.Recipe(augment=jitter), verbose=0
    )
    tl.fit_head(
        classifier(), (X, Y), epochs=1, recipe=tl.Recipe(augment=jitter), verbose=0
    )
    assert len(set(means)) == len(means) >= 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"augment": "lihgt"}, "light"),
        ({"cached_views": 2}, "needs `augment="),
        ({"cached_views": 2, "augment": "light", "cache": False}, "and a cache"),
        ({"cached_views": 0, "augment": "light"}, "cached_views"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tl.fit_head(
            classifier(), (X, Y), epochs=1, verbose=0, **with_recipe(**arguments)
        )


def test_mixed_labels_need_a_loss_that_takes_them():
    with pytest.raises(ValueError, match="categorical_crossentropy"):
        tl.fit_head(
            with_head(tiny_backbone(blocks=1), 3),
            (X, Y),
            recipe=tl.Recipe(augment="mixup"),
            verbose=0,
        )


def test_steps_are_taken_together_only_where_they_are_cheap():
    small = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    wide = keras.Sequential([keras.Input((4096,)), keras.layers.Dense(4096)])
    assert plan_steps(96, 32, None) == (3, 1)
    assert plan_steps(96, 32, small) == (3, 3)
    assert plan_steps(96, 32, wide)[1] < 3
    steps, together = plan_steps(2003 * 32, 32, small)
    assert steps % together == 0 and 2003 <= steps <= 1.01 * 2003
    assert plan_steps(257, 1, small) == (257, 1)


@pytest.mark.parametrize("watching", [False, True])
def test_callbacks_that_watch_batches_see_every_one(watching):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append("epoch")

    if watching:
        Watch.on_train_batch_end = lambda self, batch, logs=None: seen.append("batch")
    tl.fit_head(classifier(), (X, Y), epochs=2, callbacks=[Watch()], verbose=0)
    expected = ["epoch"] * 2 if not watching else ["batch", "epoch"] * 2
    assert seen == expected
