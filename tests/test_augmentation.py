"""Augmentation: pictures change, labels keep with them, and the seed decides how."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tlkeras import UnsupportedError
from tlkeras.augmentation import PRESETS, resolve_augment
from tlkeras.augmentation.presets import Erase, Warp
from tlkeras.augmentation.randomness import Draws
from tlkeras.inputs import Input, Pictures, Texts
from tlkeras.outputs import Classes, Labels, Numbers

CLASSES = 5
CLASSIFIED, LABELLED, MEASURED = Classes(CLASSES), Labels(CLASSES), Numbers()
LAYERS = keras.layers


def noise(n=7, size=12, channels=3):
    """Returns random pictures and the class numbers 0, 1, 2, ..."""
    pixels = np.random.default_rng(0).uniform(0, 255, (n, size, size, channels))
    return pixels.astype("float32"), np.arange(n, dtype="int32") % CLASSES


def filled(n=7, size=12):
    """Returns pictures of one value each, 50 times their class number."""
    labels = np.arange(n, dtype="int32") % CLASSES
    return np.full((n, size, size, 3), labels[:, None, None, None] * 50.0), labels


def resolve(augment, output=CLASSIFIED, seed=3):
    return resolve_augment(augment, output=output, seed=seed)


def batches(images, labels, size=4):
    data = (images.astype("float32"), labels)
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def read(dataset):
    """Returns all pictures and all labels of a dataset of batches."""
    parts = list(dataset.as_numpy_iterator())
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def mapped(augment, images, labels, size=4):
    return read(batches(images, labels, size).map(augment))


def invert(images):
    return 255.0 - images


def mirror_all(images, labels):
    return images[:, :, ::-1], labels[:, ::-1]


# What every augmentation keeps


@pytest.mark.parametrize(
    ("preset", "channels"), [("light", 3), ("medium", 1), ("strong", 1)]
)
def test_presets_change_pictures_and_keep_shape_and_range(preset, channels):
    images, labels = noise(channels=channels)
    dataset = batches(images, labels).map(resolve(preset))
    assert dataset.element_spec[0].shape == (None, 12, 12, channels)
    assert dataset.element_spec[0].dtype == "float32"
    new, new_labels = read(dataset)
    assert new.min() >= 0 and new.max() <= 255
    assert new.mean() == pytest.approx(images.mean(), abs=60)
    assert (np.abs(new - images).mean(axis=(1, 2, 3)) > 1).all()
    assert len(new) == len(new_labels) == 7


@settings(max_examples=15, deadline=None)
@given(
    preset=st.sampled_from(PRESETS),
    shape=st.tuples(*[st.integers(1, 9)] * 3, st.sampled_from([1, 3])),
    value=st.floats(0, 255, width=32),
    seed=st.integers(0, 2**31),
)
def test_presets_hold_the_range_for_any_shape(preset, shape, value, seed):
    images = np.full(shape, value, "float32")
    new, labels = resolve(preset, seed=seed)(images, np.zeros(shape[0], "int32"))
    assert new.shape == shape
    assert np.isfinite(new).all()
    assert np.min(new) >= 0 and np.max(new) <= 255
    assert len(labels) == shape[0]


def test_light_keeps_pictures_and_labels_together():
    images, labels = filled()
    new, new_labels = mapped(resolve("light"), images, labels)
    np.testing.assert_array_equal(new_labels, labels)
    assert new_labels.dtype == labels.dtype
    np.testing.assert_allclose(new, images, atol=1e-3)


def test_warp_without_strength_only_mirrors():
    images, _ = noise(n=40)
    draws = Draws(seed=1, step=0, batch=tf.constant(0, "int64"))
    new = np.array(Warp(zoom=(1.0, 1.0), shift=0.0)(images, draws))
    mirrored = (new == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (new == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 8 < mirrored.sum() < 32


def test_warp_zooms_about_the_centre():
    images = np.zeros((1, 21, 21, 1), "float32")
    images[:, 8:13, 8:13] = 200
    draws = Draws(seed=1, step=0, batch=tf.constant(0, "int64"))
    new = np.array(Warp(zoom=(0.5, 0.5), shift=0.0)(images, draws))[0, :, :, 0]
    bright = np.argwhere(new > 100)
    assert bright.min(axis=0).tolist() == [6, 6]
    assert bright.max(axis=0).tolist() == [14, 14]


def test_erase_covers_one_rectangle_with_one_colour():
    images = np.full((30, 20, 20, 3), 77.0, "float32")
    draws = Draws(seed=1, step=0, batch=tf.constant(0, "int64"))
    new = np.array(Erase(rate=0.5, sides=(0.2, 0.4))(images, draws))
    changed = (new != images).any(axis=-1)
    some = changed.any(axis=(1, 2))
    assert 5 < some.sum() < 25
    for mask, picture in zip(changed[some], new[some], strict=True):
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, np.outer(rows, columns))
        assert 3 <= rows.sum() <= 9 and 3 <= columns.sum() <= 9
        assert np.ptp(picture[mask], axis=0).max() == 0


def test_pictures_without_fixed_size_and_other_dtypes():
    images, labels = noise()
    unknown = tf.TensorSpec((None, None, None, 3), "uint8")
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([(images.astype("uint8"), labels)]),
        output_signature=(unknown, tf.TensorSpec((None,), "int32")),
    )
    new, _ = read(dataset.map(resolve("strong")))
    assert new.shape == images.shape and new.dtype == "float32"


# Mixing


@pytest.mark.parametrize(
    ("augment", "size"),
    [("mixup", 1), (LAYERS.MixUp(alpha=1.0), 4), (["light", "mixup"], 4)],
)
def test_mixup_mixes_labels_as_it_mixes_pictures(augment, size):
    images, labels = filled()
    augment = resolve(augment)
    assert augment.mixes_labels
    new, rows = mapped(augment, images, labels, size)
    assert rows.shape == (7, CLASSES) and rows.dtype == "float32"
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    expected = rows @ (np.arange(CLASSES) * 50.0)
    np.testing.assert_allclose(
        new, np.broadcast_to(expected[:, None, None, None], new.shape), atol=0.05
    )
    assert (rows.max(axis=1) < 0.999).any() == (size > 1)


def test_cutmix_mixes_labels_by_area():
    images, labels = filled(size=40)
    new, rows = mapped(resolve("cutmix"), images, labels)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    share = np.stack([(new == 50.0 * k).mean(axis=(1, 2, 3)) for k in range(CLASSES)])
    np.testing.assert_allclose(rows, share.T, atol=0.06)
    assert (rows.max(axis=1) < 0.95).any()


def test_strong_mixes_classes_but_not_numbers():
    assert resolve("strong").mixes_labels
    assert resolve("strong", output=LABELLED).mixes_labels
    assert not resolve("strong", output=MEASURED).mixes_labels
    assert not resolve("medium").mixes_labels


def test_multi_label_rows_are_mixed():
    images, labels = filled()
    rows = np.eye(CLASSES, dtype="int32")[labels]
    new, mixed = mapped(resolve("mixup", output=LABELLED), images, rows)
    np.testing.assert_allclose(
        mixed @ (np.arange(CLASSES) * 50.0), new.mean(axis=(1, 2, 3)), atol=0.05
    )


def test_soft_labels_take_the_form_of_augmented_ones():
    numbers = np.array([0, 4, 2])
    rows = np.eye(CLASSES, dtype="float32")[numbers]
    mixing = resolve("mixup")
    for labels in (numbers, numbers[:, None], numbers.astype("float32"), rows):
        soft = np.array(mixing.soft_labels(labels))
        np.testing.assert_array_equal(soft, rows)
        assert soft.dtype == "float32"
    assert resolve("light").soft_labels(numbers) is numbers


def test_mixing_needs_to_know_the_classes():
    unknown = resolve_augment("mixup", seed=0)
    with pytest.raises(ValueError, match="number of classes"):
        unknown.soft_labels(np.array([0, 1]))
    rows = np.eye(2)
    np.testing.assert_array_equal(unknown.soft_labels(rows), rows)
    with pytest.raises(ValueError, match=r"rows of 5.*\(2, 3\)"):
        resolve("mixup").soft_labels(np.zeros((2, 3)))


# Randomness


def function_of(layer):
    return lambda images: layer(images, training=True)


def loop_of(layer):
    def each(images):
        return tf.map_fn(lambda picture: layer(picture, training=True), images)

    return each


SEEDED = {
    "strong": lambda: "strong",
    "layers": lambda: [
        LAYERS.RandomFlip("horizontal"),
        LAYERS.RandomRotation(0.1, seed=1),
        keras.Sequential([LAYERS.RandomContrast(0.3)]),
        LAYERS.CutMix(),
    ],
    "function of a layer": lambda: function_of(LAYERS.RandomRotation(0.2)),
    "loop over examples": lambda: loop_of(LAYERS.RandomRotation(0.2)),
}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] * (name != "strong"))
        for name, make in SEEDED.items()
    ],
)
def test_the_same_seed_augments_alike_and_batches_and_epochs_differ(make):
    images, labels = noise(n=4)
    data = batches(np.concatenate([images] * 3), np.concatenate([labels] * 3))
    dataset = data.map(resolve(make()))
    epochs = [read(dataset) for _ in range(2)]
    again = read(data.map(resolve(make())))
    for a, b in zip(epochs[0], again, strict=True):
        np.testing.assert_array_equal(a, b)
    seen = np.stack([part for new, _ in epochs for part in np.split(new, 3)])
    for i in range(6):
        for j in range(i):
            assert (seen[i] != seen[j]).any()


def test_another_seed_augments_in_another_way():
    images, labels = noise()
    first, other = (resolve("light", seed=s)(images, labels)[0] for s in (3, 4))
    assert (np.array(first) != np.array(other)).any(axis=(1, 2, 3)).all()


def test_over_depends_on_the_number_of_the_batch_alone():
    images, labels = noise(n=20)
    augment = resolve(["light", "mixup"])
    whole = read(augment.over(batches(images, labels)))
    rest = read(augment.over(batches(images, labels).skip(2), first_batch=2))
    by_map = mapped(resolve(["light", "mixup"]), images, labels)
    for all_of_it, later, mapped_once in zip(whole, rest, by_map, strict=True):
        np.testing.assert_array_equal(all_of_it[8:], later)
        np.testing.assert_array_equal(all_of_it, mapped_once)


def test_over_seeds_the_random_operations_of_functions():
    def brighten(images):
        return images + tf.random.uniform((), 0.0, 50.0)

    images, labels = noise()
    first, again = (
        read(resolve(brighten).over(batches(images, labels)))[0] for _ in range(2)
    )
    later = read(resolve(brighten).over(batches(images, labels), first_batch=9))[0]
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()


def test_over_passes_weights_on():
    images, labels = noise()
    weights = np.arange(7.0)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(3)
    *_, new = read(resolve("light").over(dataset))
    np.testing.assert_array_equal(new, weights)


def test_layers_in_a_loop_over_examples_treat_each_in_its_own_way():
    each = loop_of(LAYERS.RandomFlip("horizontal"))
    one, labels = noise(n=1)
    images = np.repeat(one, 32, axis=0)
    new, _ = mapped(resolve(each), images, np.repeat(labels, 32), size=32)
    flipped = (new != images).any(axis=(1, 2, 3)).sum()
    assert 5 < flipped < 27


def test_layers_are_left_as_they_were():
    layer = LAYERS.RandomFlip("horizontal", dtype="mixed_bfloat16")
    images, labels = noise()
    new, _ = mapped(resolve(layer), images, labels)
    same = (new == images) | (new == images[:, :, ::-1])
    assert same.all()
    assert layer.dtype_policy.name == "mixed_bfloat16"
    state = np.array(layer.generator.next())
    assert state[1] + 1 == np.array(layer.generator.next())[1]


# What users pass


def test_nothing_to_do():
    assert resolve(None) is None
    assert resolve([]) is None


def test_lists_are_applied_in_order():
    images, labels = noise()

    def halve(pictures):
        return pictures / 2

    new, _ = mapped(resolve([invert, halve]), images, labels)
    np.testing.assert_allclose(new, (255 - images) / 2, rtol=1e-5)
    assert str(resolve([invert, (halve, "mixup")])) == "invert, halve, MixUp"
    assert str(resolve("light")).startswith("light: flip")


def test_function_of_pictures_and_labels_gets_rows():
    images, labels = noise()
    augment = resolve(mirror_all)
    new, rows = mapped(augment, images, labels)
    assert augment.mixes_labels
    np.testing.assert_array_equal(rows, np.eye(CLASSES)[labels][:, ::-1])
    np.testing.assert_array_equal(new, images[:, :, ::-1])


def test_function_of_pictures_and_labels_in_a_regression():
    def shift(pictures, numbers):
        return pictures, numbers + 1.0

    images, labels = noise()
    augment = resolve(shift, output=MEASURED)
    _, new = mapped(augment, images, labels.astype("float32"))
    assert not augment.mixes_labels
    np.testing.assert_array_equal(new, labels + 1.0)


def test_integer_pixels_of_a_function_become_floats():
    images, labels = noise()
    new, _ = mapped(resolve(lambda x: tf.cast(x, "uint8")), images, labels)
    np.testing.assert_array_equal(new, images.astype("uint8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, arguments, mixes",
    [
        ("GridMask", {}, False),
        ("ChannelShuffle", {"groups": 3}, False),
        ("FourierMix", {}, True),
    ],
)
def test_keras_cv_layers(name, arguments, mixes):
    import keras_cv

    images, labels = noise(n=6, size=16)
    layer = getattr(keras_cv.layers, name)(**arguments)
    augment = resolve(layer)
    assert augment.mixes_labels == mixes
    first, again = (read(augment.over(batches(images, labels))) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != images).any()
    if mixes:
        np.testing.assert_allclose(first[1].sum(axis=1), 1, rtol=1e-5)
    later = read(augment.over(batches(images, labels), first_batch=2))
    assert (first[0] != later[0]).any()
    assert layer._random_generator is tf.random.get_global_generator()


# Errors


@pytest.mark.parametrize(
    "augment, message",
    [
        ("lite", "Did you mean 'light'"),
        ("cut_mix", "Did you mean 'cutmix'"),
        (["light", "mixupp"], "Did you mean 'mixup'"),
        (True, r"augment=True"),
        (LAYERS.RandomFlip, r"Write `RandomFlip\(\.\.\.\)`"),
        (LAYERS.RandomBrightness(0.2, value_range=(0, 1)), r"value_range=\(0, 255\)"),
        (
            keras.Sequential([LAYERS.RandomHue(0.2, value_range=(0, 1))]),
            "RandomHue.*value_range",
        ),
        (LAYERS.Rescaling(1 / 255), "model does its own preprocessing"),
        (lambda a, b, c: a, "3 arguments"),
    ],
)
def test_arguments_that_do_not_fit(augment, message):
    with pytest.raises(ValueError, match=message):
        resolve(augment)


def test_regression_is_not_mixed():
    with pytest.raises(ValueError, match="MixUp mixes the labels.*Leave it out"):
        resolve(["light", "mixup"], output=MEASURED)


def test_pictures_alone_are_augmented():
    Pictures().check_augment("light")
    with pytest.raises(ValueError, match="`augment=` changes pictures; this model tak"):
        Texts().check_augment("light")
    with pytest.raises(UnsupportedError, match="for arrays. It is offered for: pict"):
        Input().check_augment("light")


def by_numpy(images):
    return np.asarray(images)[:, :, ::-1]


def constant(images):
    return np.zeros((4, 12, 12, 3))


def by_eager(images):
    return images.numpy()


def misspelt(images):
    return tf.image.flip_sideways(images)


@pytest.mark.parametrize(
    "augment, message",
    [
        (LAYERS.RandomCrop(8, 8), r"Step 1 .*\(RandomCrop\).*shape.*8, 8"),
        (lambda images: tf.reduce_mean(images, axis=-1), "shape that it got"),
        (lambda images: tf.as_string(images), "string"),
        (by_numpy, r"Step 1 .*\(by_numpy\).*`tf` or `keras.ops`"),
        (constant, r"returned ndarray.*`tf` or `keras.ops`"),
        (by_eager, "`tf` or `keras.ops`"),
        (misspelt, "flip_sideways"),
        (["light", lambda images, labels: images], r"Step 2 .*\(images, labels\)"),
        (lambda images, labels: (images, labels[:, :2]), "labels of the shape"),
    ],
)
def test_steps_that_fail_are_named(augment, message):
    images, labels = noise()
    with pytest.raises(ValueError, match=message):
        mapped(resolve(augment), images, labels)


@pytest.mark.parametrize(
    "augment, message",
    [
        (lambda images: images / 255.0, "must keep the range 0 to 255"),
        (lambda images: images / 0.0, "not finite"),
    ],
)
def test_pixels_out_of_range_are_said_while_training(augment, message):
    images, labels = noise()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        mapped(resolve(augment), images, labels)


def test_identity_tells_augmentations_apart():
    def identity(augment, seed=0):
        return resolve_augment(augment, output=Classes(2), seed=seed).identity()

    assert identity("light") == identity("light")
    assert len({identity("light"), identity("medium"), identity("light", 1)}) == 3
    flips = [keras.layers.RandomFlip("horizontal") for _ in range(2)]
    assert identity(flips[0]) == identity(flips[1])
    assert identity(flips[0]) != identity(keras.layers.RandomFlip("vertical"))
    assert identity(lambda x: x) != identity(lambda x: x)
