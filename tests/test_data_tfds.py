"""`from_tfds`: data sets on disk, folders of images, and what is not there."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers import needs_shared
from images import pillow_pixels, write_class_folders

from tlkeras.data import from_tfds
from tlkeras.inputs.examples import examples_of
from tlkeras.inputs.pictures import tfds as module

IMAGE = tfds.features.Image(shape=(None, None, 3))
LABEL = tfds.features.ClassLabel(names=["cat", "dog"])


def write_dataset(folder, splits, features=None, supervised_keys=("image", "label")):
    """Writes a data set `toy/1.0.0` as TensorFlow Datasets would.

    Args:
        folder: The `data_dir`.
        splits: The examples of each split, a list of feature dictionaries.
        features: By default an RGB image and a class label.
        supervised_keys: As in `tfds.core.DatasetInfo`.
    """
    features = tfds.features.FeaturesDict(features or {"image": IMAGE, "label": LABEL})
    folder = folder / "toy" / "1.0.0"
    folder.mkdir(parents=True)
    infos = []
    for split, examples in splits.items():
        shards = [examples[::2], examples[1::2]]
        for number, shard in enumerate(shards):
            path = folder / f"toy-{split}.tfrecord-0000{number}-of-00002"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for example in shard:
                    writer.write(features.serialize_example(example))
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name="toy", split=split, filetype_suffix="tfrecord"
        )
        lengths = [len(shard) for shard in shards]
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=lengths,
                num_bytes=0,
                filename_template=template,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        supervised_keys=supervised_keys,
    )
    return tfds.builder_from_directory(folder)


def numbered(count, start=0):
    """Examples whose pixels hold twice their number, and whose label its parity."""
    return [
        {"image": np.full((9, 11, 3), 2 * i, "uint8"), "label": i % 2}
        for i in range(start, start + count)
    ]


def numbers(dataset):
    """Returns the numbers of the examples in a dataset, checking their labels."""
    found = []
    for x, y in dataset:
        values = np.round(x.numpy()[:, 0, 0, 0] / 2).astype(int)
        np.testing.assert_array_equal(values % 2, y)
        found += values.tolist()
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return write_dataset(folder, {"train": numbered(40), "test": numbered(10, 40)})


def test_own_splits_are_used_and_the_missing_one_is_split(toy):
    data = from_tfds(toy, image_size=(6, 7), batch_size=8, validation_split=0.2)
    assert data.class_names == ("cat", "dog")
    assert data.task == "classification"
    assert sorted(numbers(data.test)) == list(range(40, 50))
    train, val = numbers(data.train), numbers(data.val)
    assert sorted(train + val) == list(range(40))
    assert np.bincount(np.array(val) % 2).tolist() == [4, 4]
    assert len(data.train) == 4
    x, y = next(iter(data.val))
    assert x.shape == (8, 6, 7, 3)
    assert (x.dtype, y.dtype) == (tf.float32, tf.int32)


def test_a_data_set_is_found_by_name(toy, tmp_path):
    data_dir = str(toy.data_dir).split("/toy/")[0]
    data = from_tfds("toy", data_dir=data_dir, image_size=4)
    assert [len(examples_of(part)) for part in (data.train, data.test)] == [34, 10]
    assert data.class_names == ("cat", "dog")


def test_all_three_splits(tmp_path):
    names = "train", "validation", "test", "unsupervised"
    splits = {name: films(4 + 2 * i) for i, name in enumerate(names)}
    features = {"text": TEXT, "label": LABEL}
    builder = write_dataset(tmp_path, splits, features, ("text", "label"))
    data = from_tfds(builder)
    parts = data.train, data.val, data.test
    assert [len(examples_of(part)) for part in parts] == [4, 6, 8]


def test_order_follows_the_seed_and_changes_each_epoch(tmp_path):
    features = {"text": TEXT, "label": LABEL}
    builder = write_dataset(tmp_path, {"train": films(40)}, features, ("text", "label"))

    def two_epochs(seed):
        tf.random.set_seed(0)
        given = {"validation_split": 0, "test_split": 0}
        train = from_tfds(builder, seed=seed, **given).train
        return [film_numbers(train), film_numbers(train)]

    first, second = two_epochs(1)
    assert first != second and sorted(first) == list(range(40))
    assert two_epochs(1) == [first, second]
    assert two_epochs(2) != [first, second]


def test_shuffling_holds_few_bytes(toy, monkeypatch):
    examples = examples_of(from_tfds(toy, image_size=4).train)
    assert examples._shuffle_window() == len(examples)
    mean_size = examples.sizes[examples.rows].mean()
    monkeypatch.setattr(module, "SHUFFLE_BYTES", 5.5 * mean_size)
    assert examples._shuffle_window() == 5
    monkeypatch.setattr(module, "SHUFFLE_BYTES", 1)
    assert numbers(examples.dataset(4, shuffle=True)) == numbers(examples.dataset(4))


def test_images_are_not_decoded_for_the_labels(tmp_path, monkeypatch):
    builder = write_dataset(tmp_path, {"train": numbered(20)})

    def fail(*args):
        raise AssertionError("decoded")

    monkeypatch.setattr(type(builder.info.features["image"]), "decode_example", fail)
    assert from_tfds(builder).describe().rows[-1] == (
        "(examples)",
        "14",
        "3",
        "3",
        "20",
    )


def test_image_folder_of_tfds(tmp_path):
    for split in ("train", "test"):
        write_class_folders(tmp_path / split, {"a": 8, "b": 8})
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path))
    data = from_tfds(builder, image_size=(12, 16), validation_split=0.25)
    assert data.class_names == ("a", "b")
    sizes = [len(examples_of(d)) for d in (data.train, data.val, data.test)]
    assert sizes == [12, 4, 16]
    seen = np.concatenate([x.numpy() for x, _ in data.test])
    files = [pillow_pixels(path) for path in (tmp_path / "test").glob("*/*")]
    for image in seen:
        assert min(np.abs(image - other).max() for other in files) <= 4


def test_an_image_that_fails_stops_the_epoch(tmp_path):
    """It must not be dropped: the labels of all that follow would be shifted."""
    write_class_folders(tmp_path / "train", {"a": 8, "b": 8})
    (tmp_path / "train" / "a" / "000.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path))
    data = from_tfds(builder, image_size=4, validation_split=0, test_split=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG"):
        list(data.train)


@pytest.mark.parametrize(
    ("shape", "dtype", "value", "color_mode"),
    [
        ((None, None, 1), np.uint8, 80, "rgb"),
        ((None, None, 3), np.uint8, 80, "grayscale"),
        ((None, None, 4), np.uint8, 80, "rgb"),
        ((8, 8, 1), np.uint16, 80 * 257, "grayscale"),
    ],
)
def test_images_of_any_depth(tmp_path, shape, dtype, value, color_mode):
    image = np.full((8, 8, shape[-1]), value, dtype)
    features = {
        "image": tfds.features.Image(shape=shape, dtype=dtype, encoding_format="png"),
        "label": LABEL,
    }
    examples = [{"image": image, "label": i % 2} for i in range(6)]
    builder = write_dataset(tmp_path, {"train": examples}, features)
    whole = {"validation_split": 0, "test_split": 0}
    data = from_tfds(builder, image_size=4, color_mode=color_mode, **whole)
    ((x, _),) = data.train
    assert x.shape == (6, 4, 4, 3 if color_mode == "rgb" else 1)
    np.testing.assert_allclose(x, 80, atol=1e-3)


def test_images_fit_as_asked_for(tmp_path):
    grey = np.full((4, 8, 3), 80, "uint8")
    examples = [{"image": grey, "label": i % 2} for i in range(8)]
    builder = write_dataset(tmp_path, {"train": examples})
    means = {}
    for fit in ("pad", "stretch"):
        data = from_tfds(builder, image_size=8, fit=fit)
        means[fit] = float(np.mean(next(iter(data.test))[0]))
    assert means == pytest.approx({"pad": 40, "stretch": 80})


def test_float_images_are_refused(tmp_path):
    features = {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.float32)}
    examples = [
        {"image": np.ones((4, 4, 1), "float32"), "label": i % 2} for i in range(12)
    ]
    builder = write_dataset(tmp_path, {"train": examples}, features | {"label": LABEL})
    with pytest.raises(ValueError, match="8 or 16-bit.*float32"):
        from_tfds(builder).train  # noqa: B018


@pytest.mark.parametrize(
    "supervised_keys",
    [
        ("picture", "kind"),
        ({"x": "picture"}, {"y": "kind"}),
        None,
    ],
)
def test_features_may_have_other_names(tmp_path, supervised_keys):
    features = {"picture": IMAGE, "kind": LABEL, "id": tfds.features.Text()}
    examples = [
        {"picture": example["image"], "kind": example["label"], "id": str(i)}
        for i, example in enumerate(numbered(12))
    ]
    builder = write_dataset(tmp_path, {"train": examples}, features, supervised_keys)
    data = from_tfds(builder, image_size=4)
    assert data.class_names == ("cat", "dog")
    assert len(examples_of(data.train)) == 8
    if supervised_keys is None:
        numbers(data.val)


PAIR = [1.0, 2.0]


@pytest.mark.parametrize(
    ("feature", "label", "task", "expected"),
    [
        (tfds.features.Scalar(np.float32), 0.5, "regression", 0.5),
        (
            tfds.features.Tensor(shape=(2,), dtype=np.float64),
            [1, 2],
            "regression",
            [1, 2],
        ),
        (
            tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"])),
            ["c", "a"],
            "multi_label",
            [1, 0, 1],
        ),
    ],
)
def test_other_labels(tmp_path, feature, label, task, expected):
    examples = [{**example, "label": label} for example in numbered(12)]
    features = {"image": IMAGE, "label": feature}
    data = from_tfds(write_dataset(tmp_path, {"train": examples}, features))
    assert data.task == task
    assert examples_of(data.val).labels[0].tolist() == expected
    assert examples_of(data.val).labels.dtype == np.float32


def test_labels_that_are_no_labels(tmp_path):
    examples = [{**example, "label": "cat"} for example in numbered(12)]
    features = {"image": IMAGE, "label": tfds.features.Text()}
    builder = write_dataset(tmp_path, {"train": examples}, features)
    with pytest.raises(ValueError, match="a class, a sequence of classes or a float"):
        from_tfds(builder)


TEXT = tfds.features.Text()


def films(count, start=0, **extra):
    """Examples whose text ends in their number, and whose label is its parity."""
    return [
        {"text": f"film {i}", "label": i % 2, **extra}
        for i in range(start, start + count)
    ]


def film_numbers(dataset):
    """Returns the numbers of the films in a dataset, checking their labels."""
    found = []
    for x, y in dataset:
        numbers = [int(text.split()[-1]) for text in x.numpy()]
        assert [number % 2 for number in numbers] == y.numpy().tolist()
        found += numbers
    return found


@pytest.mark.parametrize("supervised_keys", [("text", "label"), None])
def test_texts(tmp_path, supervised_keys):
    features = {"text": TEXT, "label": LABEL, "idx": tfds.features.Scalar(np.int32)}
    splits = {"train": films(20, idx=0), "test": films(6, 20, idx=0)}
    builder = write_dataset(tmp_path, splits, features, supervised_keys)
    data = from_tfds(builder, batch_size=4)
    assert data.problem.input.kind == "texts"
    assert sorted(film_numbers(data.test)) == list(range(20, 26))
    train, val = film_numbers(data.train), film_numbers(data.val)
    assert sorted(train + val) == list(range(20))
    assert next(iter(data.train))[0].shape == (4,)


def test_one_text_or_two_of_several(tmp_path):
    features = {"text": TEXT, "other": TEXT, "label": LABEL}
    examples = films(12, other="reply")
    builder = write_dataset(tmp_path, {"train": examples}, features, None)
    with pytest.raises(ValueError, match="several texts, name one or two: text="):
        from_tfds(builder)
    assert len(film_numbers(from_tfds(builder, text="text").val)) == 2
    pairs = from_tfds(builder, text=("other", "text"))
    assert pairs.problem.input.kind == "text pairs"
    x, _ = next(iter(pairs.val))
    assert x.shape == (2, 2)
    assert [row[0] for row in x.numpy()] == [b"reply"] * 2
    with pytest.raises(ValueError, match="text feature: 'txt'. Did you mean 'text'"):
        from_tfds(builder, text="txt")
    with pytest.raises(ValueError, match="one feature or two"):
        from_tfds(builder, text=["text", "other", "text"])


def test_a_text_beside_an_image_is_read_where_it_is_named(tmp_path):
    features = {"image": IMAGE, "text": TEXT, "label": LABEL}
    examples = [a | b for a, b in zip(numbered(12), films(12), strict=True)]
    builder = write_dataset(tmp_path, {"train": examples}, features)
    assert from_tfds(builder).problem.input.kind == "images"
    assert film_numbers(from_tfds(builder, text="text", test_split=0).val)


def test_what_has_no_text_is_skipped(tmp_path):
    features = {"text": TEXT, "label": LABEL}
    examples = films(12)
    examples[4]["text"] = " "
    builder = write_dataset(tmp_path, {"train": examples}, features, ("text", "label"))
    with pytest.warns(UserWarning, match="Skipped 1 of 12 texts.*empty") as caught:
        data = from_tfds(builder, test_split=0)
    assert caught[0].filename == __file__
    assert len(data.skipped) == 1
    seen = film_numbers(data.train) + film_numbers(data.val)
    assert sorted(seen) == [i for i in range(12) if i != 4]


@pytest.mark.parametrize("label", [LABEL, tfds.features.Scalar(np.float32)])
def test_a_test_part_without_labels_as_those_of_glue(tmp_path, label):
    hidden = [{**example, "label": -1} for example in films(4)]
    splits = {"train": films(20), "test": hidden}
    features = {"text": TEXT, "label": label}
    builder = write_dataset(tmp_path, splits, features, None)
    with pytest.warns(UserWarning, match="'test' .* has no labels"):
        data = from_tfds(builder)
    assert len(examples_of(data.test)) == 3


def test_a_train_part_without_labels(tmp_path):
    hidden = [{**example, "label": -1} for example in films(4)]
    features = {"text": TEXT, "label": LABEL}
    builder = write_dataset(tmp_path, {"train": hidden}, features, None)
    with pytest.raises(ValueError, match="no labels to train on"):
        from_tfds(builder)


def test_a_data_set_without_images_and_texts(tmp_path):
    features = {"x": tfds.features.Scalar(np.int32), "label": LABEL}
    examples = [{"x": 1, "label": i % 2} for i in range(6)]
    builder = write_dataset(tmp_path, {"train": examples}, features, ("x", "label"))
    with pytest.raises(ValueError, match="one image and one label.*'x': 'Scalar'"):
        from_tfds(builder)


def test_a_data_set_without_a_train_split(tmp_path):
    builder = write_dataset(tmp_path, {"test": numbered(6)})
    with pytest.raises(ValueError, match=r"no split named 'train'.*\['test'\]"):
        from_tfds(builder)


def test_a_split_without_labels_is_not_used(tmp_path):
    hidden = [{**example, "label": -1} for example in numbered(4)]
    builder = write_dataset(tmp_path, {"train": numbered(20), "test": hidden})
    with pytest.warns(
        UserWarning, match="'test' of 'toy/1.0.0' has no labels"
    ) as caught:
        data = from_tfds(builder)
    assert caught[0].filename == __file__
    assert len(examples_of(data.test)) == 3


def test_an_unknown_name_is_answered_with_near_ones(tmp_path):
    with pytest.raises(ValueError, match="'tf_flower'. Did you mean 'tf_flowers'"):
        from_tfds("tf_flower", data_dir=tmp_path)


@pytest.mark.parametrize(
    "installed, message",
    [
        (None, r'pip install "tlkeras\[tfds\]"'),
        (SimpleNamespace(), 'does not work.*pip install "tensorflow-metadata<1.18"'),
    ],
    ids=["absent", "broken"],
)
def test_without_a_tfds_that_works(monkeypatch, installed, message):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", installed)
    with pytest.raises(ImportError, match=message):
        from_tfds("tf_flowers")


def unprepared(error):
    def download_and_prepare():
        raise error

    return SimpleNamespace(
        as_dataset=None,
        data_dir="/data/flowers/3.0.1",
        download_and_prepare=download_and_prepare,
        info=SimpleNamespace(splits={}, full_name="flowers/3.0.1"),
    )


def test_a_failed_download_says_what_to_do():
    with pytest.raises(
        RuntimeError, match="flowers/3.0.1.*no route.*image_folder"
    ) as e:
        from_tfds(unprepared(ConnectionError("no route")))
    assert "'/data/flowers/3.0.1'" in str(e.value)
    with pytest.raises(ImportError, match="flowers/3.0.1.*no mwxml"):
        from_tfds(unprepared(ImportError("no mwxml")))


@pytest.mark.parametrize(
    ("arguments", "kwargs", "message"),
    [
        (3, {}, "name_or_builder"),
        (unprepared(None), {"data_dir": "x"}, "data_dir"),
        ("mnist", {"image_size": 0}, "image_size"),
        ("mnist", {"batch_size": 0}, "batch_size"),
        ("mnist", {"validation_split": 2}, "validation_split"),
        ("mnist", {"seed": -1}, "seed"),
        ("mnist", {"color_mode": "hsv"}, "color_mode"),
    ],
)
def test_bad_arguments(arguments, kwargs, message):
    with pytest.raises(ValueError, match=message):
        from_tfds(arguments, **kwargs)


@pytest.mark.slow
def test_fingerprint_of_a_data_set(tmp_path):
    def fingerprint(builder, **kwargs):
        data = from_tfds(builder, validation_split=0, **kwargs)
        return examples_of(data.train).fingerprint()

    changed = numbered(6)
    changed[3]["image"] = changed[3]["image"] + np.uint8(1)
    few, other = (
        write_dataset(tmp_path / name, {"train": examples, "test": numbered(2)})
        for name, examples in (("few", numbered(6)), ("other", changed))
    )
    first = fingerprint(few)
    assert fingerprint(few) == first
    assert len({first, fingerprint(other), fingerprint(few, image_size=9)}) == 3


@pytest.mark.real
def test_real_photographs_through_tfds():
    builder = tfds.folder_dataset.ImageFolder(str(needs_shared("data", "ants_bees")))
    data = from_tfds(builder, image_size=64)
    sizes = [len(examples_of(d)) for d in (data.train, data.val, data.test)]
    assert sizes == [207, 36, 153]
    assert sum(len(y) for _, y in data.val) == 36
