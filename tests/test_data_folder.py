"""`image_folder`: layouts, splits, damaged files, bad arguments."""

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import needs_shared
from images import damaged_files, encode, picture, write_class_folders

from tlkeras.data import image_folder
from tlkeras.inputs.pictures.decoding import load_images

PARTS = ("train", "val", "test")


def files_in(data, part):
    """Returns the examples of a part, without a dataset that would read them."""
    return data._parts.get(part)


def files_of(data, part):
    """Returns the names, relative to the root, of the files of a part."""
    found = files_in(data, part)
    return [] if found is None else found.files


def labels_of(data, part):
    return files_in(data, part).labels


def read_labels(dataset):
    return np.concatenate([y.numpy() for _, y in dataset])


def sizes(data):
    return [len(files_of(data, part)) for part in PARTS]


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Three classes of unequal size in `path/<class>`."""
    root = tmp_path_factory.mktemp("pets")
    return write_class_folders(root, {"cat": 20, "dog": 10, "owl": 5})


def test_class_folders_are_split_stratified(pets):
    data = image_folder(pets, image_size=8, batch_size=4)
    assert data.class_names == ("cat", "dog", "owl")
    assert data.num_classes == 3
    assert data.task == "classification"
    assert data.problem.input.image_size == (8, 8)
    assert data.skipped == []
    names = [files_of(data, part) for part in PARTS]
    everything = sorted(p.relative_to(pets).as_posix() for p in pets.glob("*/*"))
    assert sorted(sum(names, [])) == everything
    counts = [np.bincount(labels_of(data, part)).tolist() for part in PARTS]
    assert counts == [[14, 7, 3], [3, 2, 1], [3, 1, 1]]


def test_batches_are_raw_pixels_and_class_ids(pets):
    data = image_folder(pets, image_size=(8, 9), batch_size=4)
    x, y = next(iter(data.val))
    assert x.shape == (4, 8, 9, 3)
    assert x.dtype == tf.float32
    assert y.dtype == tf.int32
    assert x.numpy().max() > 100
    first = pets / files_of(data, "val")[0]
    np.testing.assert_array_equal(x[:1], load_images(first, (8, 9)))
    labels = read_labels(data.val)
    for name, label in zip(files_of(data, "val"), labels, strict=True):
        assert name.startswith(data.class_names[label])
    # Validation and test keep their order.
    np.testing.assert_array_equal(labels, labels_of(data, "val"))
    np.testing.assert_array_equal(labels, read_labels(data.val))
    assert read_labels(data.test).tolist() == labels_of(data, "test").tolist()
    for part in ("val", "test"):
        assert sorted(files_of(data, part)) == files_of(data, part)


def test_grayscale(pets):
    whole = {"validation_split": 0, "test_split": 0}
    data = image_folder(pets, image_size=8, color_mode="grayscale", **whole)
    assert data.train.element_spec[0].shape.as_list() == [None, 8, 8, 1]


def test_pictures_fit_as_load_images_does_it(pets):
    fit = "pad"
    whole = {"image_size": (8, 12), "validation_split": 0, "test_split": 1}
    data = image_folder(pets, fit=fit, **whole)
    files = [pets / name for name in files_in(data, "test").files]
    found = np.concatenate([x for x, _ in data.test])
    np.testing.assert_array_equal(found, load_images(files, (8, 12), fit=fit))
    cropped = files_in(image_folder(pets, **whole), "test").fingerprint()
    assert files_in(data, "test").fingerprint() != cropped


def test_training_order_changes_and_repeats_with_the_seed(pets):
    def two_epochs(seed):
        keras.utils.set_random_seed(0)
        data = image_folder(
            pets, image_size=4, validation_split=0, test_split=0, seed=seed
        )
        return [read_labels(data.train).tolist() for _ in range(2)]

    first, second = two_epochs(seed=1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert two_epochs(seed=1) == [first, second]
    assert two_epochs(seed=2) != [first, second]


def test_split_does_not_depend_on_the_listing_order(pets, monkeypatch):
    data = image_folder(pets)
    before = [files_of(data, part) for part in PARTS]
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listdir(path)[::-1])
    data = image_folder(pets)
    assert [files_of(data, part) for part in PARTS] == before


@pytest.mark.slow
def test_split_and_order_are_the_same_in_every_process(pets):
    script = (
        "import tensorflow as tf\n"
        "from tlkeras.data import image_folder\n"
        "from tlkeras.inputs.examples import examples_of\n"
        "tf.random.set_seed(0)\n"
        f"data = image_folder({str(pets)!r}, image_size=4, seed=3)\n"
        "print(examples_of(data.val).files)\n"
        "print(examples_of(data.train).fingerprint())\n"
        "print([label for _, y in data.train for label in y.numpy().tolist()])\n"
    )
    environment = {"PYTHONHASHSEED": "7", "TF_CPP_MIN_LOG_LEVEL": "3"}
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    data = image_folder(pets, image_size=4, seed=3)
    here = [
        str(files_of(data, "val")),
        files_in(data, "train").fingerprint(),
        str(read_labels(data.train).tolist()),
    ]
    assert there == here


def test_other_seeds_split_otherwise(pets):
    first, second = (
        image_folder(pets, validation_split=0.5, test_split=0, seed=seed)
        for seed in range(2)
    )
    assert files_of(first, "val") != files_of(second, "val")


@pytest.mark.parametrize(
    ("validation_split", "test_split", "expected"),
    [
        (0, 0, [35, 0, 0]),
        (0.2, 0, [28, 7, 0]),
        (0.4, 0.4, [7, 14, 14]),
        (1, 0, [0, 35, 0]),
        (0, 1, [0, 0, 35]),
    ],
)
def test_fractions(pets, validation_split, test_split, expected):
    data = image_folder(pets, validation_split=validation_split, test_split=test_split)
    assert sizes(data) == expected
    for part, size in zip(PARTS, expected, strict=True):
        assert (getattr(data, part) is None) == (size == 0)


@pytest.mark.parametrize(
    ("validation_split", "test_split"),
    [(-0.1, 0), (0, 1.1), (0.5, 0.5), (0.6, 0.6), (1, 1), ("a", 0), (None, 0)],
)
def test_fractions_out_of_range(pets, validation_split, test_split):
    with pytest.raises(ValueError, match="_split"):
        image_folder(pets, validation_split=validation_split, test_split=test_split)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("image_size", 0),
        ("batch_size", 0),
        ("seed", -1),
        ("seed", None),
        ("color_mode", "bgr"),
        ("class_names", "cat"),
        ("class_names", []),
        ("class_names", ["cat", "cat"]),
    ],
)
def test_bad_arguments_are_named(pets, argument, value):
    with pytest.raises(ValueError, match=argument):
        image_folder(pets, **{argument: value})


def test_class_names_choose_and_order_the_classes(pets):
    data = image_folder(pets, class_names=["owl", "cat"], image_size=4)
    assert data.class_names == ("owl", "cat")
    found = image_folder(pets, class_names=np.unique(["owl", "cat"]), image_size=4)
    assert found.class_names == ("cat", "owl")
    assert np.bincount(labels_of(data, "train")).tolist() == [3, 14]
    with pytest.raises(ValueError, match="'dgo'.*Did you mean 'dog'"):
        image_folder(pets, class_names=["cat", "dgo"])


def test_pictures_are_found_at_any_depth_and_through_links(tmp_path):
    write_class_folders(tmp_path, {"a/x/y": 4, "a": 2, "b": 4})
    elsewhere = write_class_folders(tmp_path / ".elsewhere", {"c": 4})
    (tmp_path / "c").symlink_to(elsewhere / "c")
    (tmp_path / "b" / "back").symlink_to(tmp_path / "b")
    data = image_folder(tmp_path)
    assert data.class_names == ("a", "b", "c")
    assert sum(sizes(data)) == 14


def test_litter_is_ignored_silently(tmp_path):
    write_class_folders(tmp_path, {"a": 4, "b": 4, ".ipynb_checkpoints": 1})
    write_class_folders(tmp_path, {"__MACOSX": 1, "a/.hidden": 1})
    for litter in [".DS_Store", "a/.DS_Store", "a/Thumbs.db", "a/._001.jpg", "README"]:
        (tmp_path / litter).write_bytes(b"litter")
    data = image_folder(tmp_path)
    assert data.class_names == ("a", "b")
    assert data.skipped == []
    assert sum(sizes(data)) == 8


def test_damaged_files_are_skipped_and_reported_once(tmp_path):
    write_class_folders(tmp_path, {"a": 4, "b": 4})
    damaged = damaged_files()
    for name, (contents, _) in damaged.items():
        (tmp_path / "a" / name).write_bytes(contents)
    (tmp_path / "b" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="Skipped") as caught:
        data = image_folder(tmp_path, image_size=4)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert f"{len(damaged) + 1} of {len(damaged) + 9} files" in str(caught[0].message)
    reasons = {os.path.basename(path): reason for path, reason in data.skipped}
    assert set(reasons) == {*damaged, "broken.jpg"}
    for name, (_, reason) in damaged.items():
        assert reason in reasons[name]
    assert sum(sizes(data)) == 8
    assert len(read_labels(data.train)) == sizes(data)[0]
    assert "text.jpg is not an image" in str(data.describe())


def test_a_file_that_fails_while_training_is_named(tmp_path):
    write_class_folders(tmp_path, {"a": 4, "b": 4})
    data = image_folder(tmp_path, image_size=4, validation_split=0, test_split=0)
    name = files_of(data, "train")[2]
    whole = encode(picture(12, 16), "JPEG")
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(tf.errors.InvalidArgumentError, match=name):
        model.fit(data.train, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("lost", "batch_size", "shuffle"), [([0, 7], 3, False), ([3, 4, 5], 8, True)]
)
def test_files_that_fail_are_named_wherever_they_are(
    tmp_path, lost, batch_size, shuffle
):
    write_class_folders(tmp_path, {"a": 4, "b": 4})
    data = image_folder(tmp_path, image_size=4, validation_split=0, test_split=0)
    examples = files_in(data, "train")
    for i in lost:
        os.unlink(examples.paths[i])
    named = "|".join(examples.files[i] for i in lost)
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        list(examples.dataset(batch_size, shuffle))


@pytest.mark.slow
def test_files_are_read_by_position_also_inside_a_dataset(pets):
    data = image_folder(pets, image_size=4, validation_split=0, test_split=0)
    examples = files_in(data, "train")
    everything = np.concatenate([x.numpy() for x, _ in examples.dataset(16)])
    for positions in ([4, 0, 30], [], [2, 2]):
        one = tf.data.Dataset.from_tensors(np.array(positions, np.int64))
        batches = one.flat_map(
            lambda chosen: examples.in_order(
                tf.data.Dataset.from_tensor_slices(chosen), 2
            )
        )
        seen = [(x.numpy(), y.numpy()) for x, y in batches]
        assert [len(y) for _, y in seen] == [2] * (len(positions) // 2) + [1] * (
            len(positions) % 2
        )
        if seen:
            xs, ys = map(np.concatenate, zip(*seen, strict=True))
            np.testing.assert_array_equal(xs, everything[positions])
            np.testing.assert_array_equal(ys, examples.labels[positions])


@pytest.mark.parametrize(
    "names", [("Train", "valid", "TEST"), ("seg_train", "seg_dev", "seg_test")]
)
def test_given_splits_are_used(tmp_path, names):
    for name, count in zip(names, (6, 3, 2), strict=True):
        write_class_folders(tmp_path / name, {"a": count, "b": count})
    data = image_folder(tmp_path, image_size=4)
    assert data.class_names == ("a", "b")
    assert sizes(data) == [12, 6, 4]
    for part, name in zip(PARTS, names, strict=True):
        assert all(f.startswith(name) for f in files_of(data, part))


def test_a_missing_validation_split_comes_from_train(tmp_path):
    for name in ("train", "test"):
        write_class_folders(tmp_path / name, {"a": 10, "b": 20})
    data = image_folder(tmp_path, validation_split=0.2, image_size=4)
    assert sizes(data) == [24, 6, 30]
    assert np.bincount(labels_of(data, "val")).tolist() == [2, 4]
    assert all(name.startswith("train") for name in files_of(data, "val"))


def test_a_lone_train_folder_is_split(tmp_path):
    write_class_folders(tmp_path / "train", {"a": 10, "b": 10})
    data = image_folder(tmp_path)
    assert data.class_names == ("a", "b")
    assert sizes(data) == [14, 3, 3]


def test_a_class_may_be_called_train(tmp_path):
    write_class_folders(tmp_path, {"bus": 4, "train": 4})
    assert image_folder(tmp_path).class_names == ("bus", "train")
    write_class_folders(tmp_path, {"bus/old": 4, "train/old": 4})
    assert image_folder(tmp_path).class_names == ("bus", "train")


def test_split_folders_beside_others_are_ambiguous(tmp_path):
    for name in ("train", "test", "extra"):
        write_class_folders(tmp_path / name, {"a": 3, "b": 3})
    with pytest.raises(ValueError, match="extra"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ("all/ant all/bee", "only the folder 'all', which holds .*'ant', 'bee'.*Pass"),
        ("train/all/ant train/all/bee", "only the folder 'all'"),
        ("ant bee all/ant all/bee", "'all' holds all the others again: 'ant', 'bee'"),
        ("one/ant one/bee two/ant two/bee two/cow", "same sub-folders, 'ant', 'bee'"),
        ("one/ant one/bee two/bee two/cow", "same sub-folders, 'bee'"),
        ("test/ant test/bee val/ant val/bee", "no training folder"),
        ("ant/train ant/test bee/train bee/test", "same sub-folders, 'test', 'train'"),
        (
            "train test",
            r"'train' has no class folders.*class_names=\['test', 'train'\]",
        ),
        ("train/ant train/bee more", r"folders of split data, \['train'\], beside"),
    ],
)
def test_folders_that_are_parts_or_hold_the_classes_are_no_classes(
    tmp_path, folders, message
):
    write_class_folders(tmp_path, dict.fromkeys(folders.split(), 1))
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path, validation_split=0, test_split=0)


def test_class_names_say_that_folders_are_classes(tmp_path):
    folders = ["train/left", "train/right", "test/left", "test/right"]
    write_class_folders(tmp_path, dict.fromkeys(folders, 2))
    assert image_folder(tmp_path, validation_split=0).num_classes == 2
    data = image_folder(tmp_path, class_names=["train", "test"])
    assert data.class_names == ("train", "test")
    assert sum(sizes(data)) == 8


def test_pictures_of_a_part_without_class_folders_are_left_out(tmp_path):
    # Both were unpacked into folders of their own names.
    write_class_folders(tmp_path, {"train/train/a": 4, "train/train/b": 4})
    write_class_folders(tmp_path / "test1", {"test1": 3})
    with pytest.warns(
        UserWarning, match="'.*test1' has no class folders.*classify"
    ) as w:
        data = image_folder(tmp_path, validation_split=0)
    assert w[0].filename == __file__
    assert data.class_names == ("a", "b")
    assert sizes(data) == [6, 0, 2]


def test_two_folders_for_the_same_part(tmp_path):
    for name in ("train", "val", "validation"):
        write_class_folders(tmp_path / name, {"a": 3, "b": 3})
    with pytest.raises(ValueError, match="'val', 'validation'"):
        image_folder(tmp_path)


def test_a_class_of_the_test_folder_must_be_known_to_train(tmp_path):
    write_class_folders(tmp_path / "train", {"cat": 4, "dog": 4})
    write_class_folders(tmp_path / "test", {"cat": 4, "dogs": 4})
    with pytest.raises(ValueError, match=r"\['dogs'\].*Did you mean 'dog'"):
        image_folder(tmp_path)


def test_a_class_that_the_test_folder_lacks_is_reported(tmp_path):
    write_class_folders(tmp_path / "train", {"cat": 4, "dog": 4, "owl": 4})
    write_class_folders(tmp_path / "test", {"cat": 4, "dog": 4})
    with pytest.warns(UserWarning, match="test part has no example of 'owl'") as caught:
        data = image_folder(tmp_path, validation_split=0)
    assert caught[0].filename == __file__
    assert data.num_classes == 3


def test_a_class_too_small_to_split_is_named(tmp_path):
    write_class_folders(tmp_path, {"cat": 4, "dog": 1})
    with pytest.raises(ValueError, match="'dog' has 1 example, .*`validation_split=0`"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match="'dog' has 1 example"):
        image_folder(tmp_path, test_split=0)
    assert sizes(image_folder(tmp_path, validation_split=0, test_split=0)) == [5, 0, 0]


def test_one_class_only(tmp_path):
    write_class_folders(tmp_path, {"cat": 4})
    with pytest.raises(ValueError, match="two classes.*4 examples of 'cat'"):
        image_folder(tmp_path)


def test_a_class_without_readable_images_is_named(tmp_path):
    write_class_folders(tmp_path, {"cat": 4, "dog": 4, "owl": 0})
    with pytest.raises(ValueError, match=r"No readable picture.*\['owl'\]"):
        image_folder(tmp_path)
    (tmp_path / "owl" / "a.jpg").write_bytes(b"nothing")
    with (
        pytest.warns(UserWarning, match="Skipped 1 of 9"),
        pytest.raises(ValueError, match=r"\['owl'\].*a\.jpg', which is not an image"),
    ):
        image_folder(tmp_path)


def test_a_path_that_does_not_exist_suggests_its_siblings(tmp_path):
    write_class_folders(tmp_path, {"flowers/a": 3, "flowers/b": 3})
    with pytest.raises(ValueError, match="`path` must be one path, a string"):
        image_folder([str(tmp_path / "flowers")])
    with pytest.raises(ValueError, match="No such folder.*Did you mean 'flowers'"):
        image_folder(tmp_path / "flower")
    with pytest.raises(ValueError, match="No such folder"):
        image_folder(tmp_path / "x" / "y" / "z")
    with pytest.raises(ValueError, match="is a file"):
        image_folder(tmp_path / "flowers" / "a" / "000.jpg")


def test_a_folder_without_class_folders(tmp_path):
    with pytest.raises(ValueError, match="sub-folder.*nothing"):
        image_folder(tmp_path)
    (tmp_path / "a.jpg").write_bytes(encode(picture(), "JPEG"))
    with pytest.raises(ValueError, match=r"sub-folder.*only files, such as 'a\.jpg'"):
        image_folder(tmp_path)


def test_names_that_are_not_ascii_or_very_long(tmp_path):
    long_name = "x" * 251 + ".jpg"
    write_class_folders(tmp_path, {"größe": 3, "花 花": 3})
    (tmp_path / "größe" / long_name).write_bytes(encode(picture(), "JPEG"))
    data = image_folder(tmp_path, image_size=4, validation_split=0, test_split=0)
    assert set(data.class_names) == {"größe", "花 花"}
    assert len(read_labels(data.train)) == 7


def test_a_home_folder_and_a_relative_path(pets, monkeypatch):
    monkeypatch.setenv("HOME", str(pets.parent))
    monkeypatch.chdir(pets.parent)
    whole = {"image_size": 4, "validation_split": 1, "test_split": 0}
    relative = image_folder(pets.name, **whole)
    monkeypatch.chdir("/")
    assert len(read_labels(relative.val)) == 35
    assert sizes(image_folder(f"~/{pets.name}", **whole)) == sizes(relative)


def test_fingerprint_of_files(tmp_path):
    write_class_folders(tmp_path, {"a": 4, "b": 4})

    def fingerprint(**kwargs):
        return files_in(parts(**kwargs), "val").fingerprint()

    def parts(**kwargs):
        return image_folder(tmp_path, validation_split=0.5, test_split=0, **kwargs)

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(batch_size=3) == first
    assert len(first) == 64
    changed = [
        fingerprint(image_size=100),
        fingerprint(color_mode="grayscale"),
        fingerprint(seed=5),
        fingerprint(class_names=["b", "a"]),
    ]
    path = tmp_path / files_of(parts(), "val")[0]
    stamp = path.stat().st_mtime_ns
    os.utime(path, ns=(stamp, stamp + 1))
    changed.append(fingerprint())
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(stamp, stamp))
    changed.append(fingerprint())
    assert len({first, *changed}) == 7


def test_a_folder_that_moved_has_the_same_fingerprint(tmp_path):
    write_class_folders(tmp_path / "here", {"a": 4, "b": 4})
    before = files_in(image_folder(tmp_path / "here"), "train").fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    after = files_in(image_folder(tmp_path / "there"), "train").fingerprint()
    assert before == after


@pytest.mark.slow
def test_a_model_learns_from_a_folder(tmp_path):
    for number, colour in enumerate([(250, 20, 20), (20, 250, 20)]):
        folder = tmp_path / f"colour{number}"
        folder.mkdir()
        for i in range(16):
            flat = np.full((8, 8, 3), colour, "uint8") - np.uint8(i)
            (folder / f"{i}.png").write_bytes(encode(flat, "PNG"))
    data = image_folder(tmp_path, image_size=8, batch_size=8)
    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.1),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(data.train, validation_data=data.val, epochs=10, shuffle=False, verbose=0)
    assert model.evaluate(data.test, verbose=0)[1] == 1


def test_examples_are_dealt_out_to_replicas(pets):
    data = image_folder(pets, image_size=4, batch_size=8)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    distributed = strategy.experimental_distribute_dataset(data.val)
    assert sum(len(y) for _, y in distributed) == 6


@pytest.mark.real
def test_real_photographs():
    root = needs_shared("data", "ants_bees")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = image_folder(root, image_size=64)
    assert data.class_names == ("ants", "bees")
    assert sizes(data) == [207, 36, 153]
    assert np.bincount(labels_of(data, "test")).tolist() == [70, 83]
    assert len(read_labels(data.train)) == 207
