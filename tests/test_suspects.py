"""Suspects: wrong labels and copies are found by features and by what they show."""

import shutil

import keras
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
from helpers import needs_shared, solid_colours, tiny_backbone, with_head
from images import picture
from text_models import tiny_bert, write_preset

import tlkeras as tl
from tlkeras.inputs import Input, Pictures
from tlkeras.outputs.suspicion import _folds as folds_of
from tlkeras.suspects import Suspects, find_suspects
from tlkeras.suspects.duplicates import find_duplicates
from tlkeras.suspects.pooling import pooled

ALONE = {"validation_split": 0, "test_split": 0}


def clusters(classes=3, each=40, seed=0):
    """Returns features in well separated clusters, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(classes * each) % classes
    centres = rng.normal(0, 3, (classes, 12))
    return centres[labels] + rng.normal(0, 1, (len(labels), 12)), labels


ABC = tl.Classes(["a", "b", "c"])


def wrong(features, labels, output=ABC):
    return output.wrong_labels(features, labels, np.arange(len(labels)))


def test_swapped_labels_come_first_with_the_right_one():
    features, labels = clusters()
    given = labels.copy()
    swapped = [4, 17, 50, 77]
    given[swapped] = (labels[swapped] + 1) % 3
    found = wrong(features, given)
    assert sorted(x.row for x in found[:4]) == swapped
    for x in found[:4]:
        assert (x.given, x.likely) == ("abc"[given[x.row]], "abc"[labels[x.row]])
        assert x.score < 0.3
    assert [x.score for x in found] == sorted(x.score for x in found)


def test_right_labels_are_not_suspected():
    features, labels = clusters()
    assert not wrong(features, labels)


def test_duplicates_are_never_on_both_sides_of_a_fold():
    groups, labels = np.arange(60) // 3, np.arange(60) // 3 % 2
    judged = []
    for fitted, held_out in folds_of(labels, groups):
        assert not set(groups[fitted]) & set(groups[held_out])
        assert len(set(labels[fitted])) == 2
        judged += held_out.tolist()
    assert sorted(judged) == list(range(60))


def test_there_are_no_more_folds_than_groups_of_the_smallest_class():
    labels = np.repeat([0, 1], [40, 6])
    groups = np.concatenate([np.arange(40), np.repeat([40, 41], 3)])
    found = list(folds_of(labels, groups))
    assert len(found) == 2
    assert all(set(labels[fitted]) == {0, 1} for fitted, _ in found)
    copies = np.repeat(np.arange(4), 10)
    assert len(list(folds_of(copies // 2, copies))) == 2


def test_wrong_labels_that_speak_for_each_other_are_found():
    """Of one class a third is wrong: more than half of what is near some of them."""
    features, labels = clusters(each=60)
    given = labels.copy()
    wrong_rows = np.flatnonzero(labels == 0)[:20]
    given[wrong_rows] = 1
    found = wrong(features, given)
    assert {x.row for x in found[:20]} == set(wrong_rows)


def test_classes_of_one_example_and_absent_ones_are_left_alone():
    features, labels = clusters()
    labels[labels == 2] = 0
    labels[5] = 3
    found = wrong(features, labels, tl.Classes(list("abcd")))
    assert all(x.row != 5 and {x.given, x.likely} <= {"a", "b"} for x in found)
    assert not wrong(features[:3], np.array([0, 0, 0]))
    assert not wrong(features[:2], np.array([0, 1]))


def test_each_of_several_labels_is_judged():
    features, labels = clusters(each=60)
    rows = np.stack([labels == 0, labels != 1], axis=1).astype("float32")
    rows[7, 1] = 1 - rows[7, 1]
    rows[30, 0] = 1 - rows[30, 0]
    found = wrong(features, rows, tl.Labels(["x", "y"]))
    assert {x.row for x in found[:2]} == {7, 30}
    (seven,) = [x for x in found if x.row == 7]
    assert {seven.given, seven.likely} == {"with 'y'", "without 'y'"}
    assert seven.given == ("with 'y'" if rows[7, 1] else "without 'y'")


def test_targets_far_from_their_prediction():
    features, _ = clusters(each=60)
    rng = np.random.default_rng(0)
    targets = features @ rng.normal(0, 1, (12, 2)) + rng.normal(0, 0.3, (180, 2))
    targets[9, 1] += 8
    targets[100, 0] -= 6
    found = wrong(features, targets.astype("float32"), tl.Numbers(2))
    assert {x.row for x in found[:2]} == {9, 100}
    assert len(found) < 8
    assert found[0].given.count(",") == 1 and found[0].score < 0.01


def cropped(image):
    width, height = image.size
    return image.crop((3, 2, width - 3, height - 2))


COPIES = {
    "bright.jpg": lambda image: PIL.ImageEnhance.Brightness(image).enhance(1.2),
    "cropped.jpg": cropped,
    "small.jpg": lambda image: image.resize((40, 30)),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The suspects of pictures in two parts, of which three are in both.

    One of them has another label in training.
    """
    folder = tmp_path_factory.mktemp("pictures")
    for part, count in (("train", 16), ("test", 8)):
        for i, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True)
            for k in range(count):
                seed = 1000 * (part == "test") + 100 * i + k
                image = PIL.Image.fromarray(picture(48, 64, seed))
                image.save(folder / part / name / f"{k}.png")
    for k, (name, make) in enumerate(COPIES.items()):
        with PIL.Image.open(folder / "test" / "dog" / f"{k}.png") as image:
            place = folder / "train" / ("dog" if k else "cat") / name
            make(image).save(place, quality=85)
    options = {"image_size": 32, "validation_split": 0, "color_mode": "grayscale"}
    data = tl.image_folder(folder, **options)
    model = tl.image_classifier("glyphnet", data.class_names)
    return find_suspects(model, data, cache=False, verbose=0)


def test_copies_across_parts_are_found(found):
    pairs = {(x.first.name, x.second.name): x.same_label for x in found.leaks[:3]}
    assert pairs == {
        ("train/cat/bright.jpg", "test/dog/0.png"): False,
        ("train/dog/cropped.jpg", "test/dog/1.png"): True,
        ("train/dog/small.jpg", "test/dog/2.png"): True,
    }
    assert found.duplicates[0].similarity == max(x.similarity for x in found.leaks)


def test_the_suspects_print_and_draw_themselves(found):
    assert isinstance(found, Suspects)
    text = str(found)
    assert "train/cat/bright.jpg" in text and text.count("labels differ") >= 1
    assert "across parts" in text
    assert found._repr_html_().count("<table>") == 2
    ax = found.plot("duplicates", n=1)
    left, right = (cell.images[0].get_array().astype(int) for cell in ax.child_axes)
    assert np.abs(left - right).mean() < 25
    assert found.label_errors
    ax = found.plot(n=3)
    first = found.label_errors[0]
    assert ax.child_axes[0].get_title() == f"{first.given}: {first.likely}?"
    with pytest.raises(ValueError, match="kind"):
        found.plot("errors")
    nothing = Suspects((), (), found.data)
    assert str(nothing).startswith("0 labels that may be wrong")
    with pytest.raises(ValueError, match="no label_errors"):
        nothing.plot()


def test_wrong_labels_of_pictures_are_found_by_a_model():
    x, y = solid_colours(60, 2)
    given = y.copy()
    given[[8, 31]] = 1 - y[[8, 31]]
    data = tl.from_arrays(x, given, **ALONE)
    found = find_suspects(
        with_head(tiny_backbone(blocks=1)), data, cache=False, verbose=0
    )
    assert {x.place.name for x in found.label_errors[:2]} == {"x[8]", "x[31]"}


@pytest.mark.slow
def test_texts_are_looked_at_too(tmp_path):
    write_preset(tmp_path / "bert", *tiny_bert(num_layers=1))
    good, bad = "the film was very good {}", "a dull story and i hated it {}"
    fill = ["we", "you", "play", "sad", "funny", "bright", "awful", "loved", "in", "to"]
    texts = [
        (good, bad)[i % 2].format(" ".join([fill[i // 2], fill[i % 7]]))
        for i in range(20)
    ]
    labels = np.arange(20) % 2
    texts.append(texts[4].upper() + " !")
    labels = np.append(labels, labels[4])
    labels[9] = 0
    data = tl.from_arrays(texts, labels, **ALONE)
    model = tl.text_classifier(tmp_path / "bert", 2, sequence_length=16)
    found = find_suspects(model, data, verbose=0)
    assert found.label_errors[0].place.position == 9
    assert (4, 20) in [(x.first.position, x.second.position) for x in found.duplicates]
    with pytest.raises(ValueError, match="not offered for texts.*: pictures"):
        found.plot()


def test_padding_is_no_part_of_a_mean():
    features = tl.FeatureSet(
        (np.arange(24, dtype="float16").reshape(2, 4, 3), np.ones((2, 4), bool)),
        np.zeros(2),
        0.0,
        "key",
        ragged=(True, True),
        lengths=np.array([2, 4]),
    )
    np.testing.assert_allclose(pooled(features), [[1.5, 2.5, 3.5], [16.5, 17.5, 18.5]])
    maps = tl.FeatureSet((np.ones((2, 3, 3, 5)),), np.zeros(2), 0.0, "key")
    assert pooled(maps).shape == (2, 5)
    with pytest.raises(ValueError, match="no features"):
        pooled(tl.FeatureSet((np.ones((2, 3), bool),), np.zeros(2), 0.0, "key"))


def likeness_of(data):
    return Pictures((32, 32)).likeness({"train": data._parts["train"]})


def test_a_mirrored_picture_is_the_same_where_its_features_are():
    # As wide as the features that a "flatten" head of VGG16 takes.
    channels = 25_088
    rng = np.random.default_rng(0)
    x = np.stack([picture(32, 32, seed) for seed in range(24)])
    x[20] = x[4, :, ::-1]
    features = rng.normal(0, 1, (24, channels))
    features[20] = features[4] + rng.normal(0, 0.3, channels)
    data = tl.from_arrays(x, np.arange(24) / 40, **ALONE)
    pairs, similarities = find_duplicates(features, likeness_of(data))
    assert pairs.tolist() == [[4, 20]]
    assert similarities[0] > 0.9


def test_where_nothing_tells_what_examples_show_their_features_do():
    features = np.random.default_rng(0).normal(0, 1, (40, 64))
    features[30] = features[4]
    likeness = Input().likeness({})
    pairs, similarities = find_duplicates(features, likeness)
    assert pairs.tolist() == [[4, 30]] and similarities[0] == pytest.approx(1)


def test_more_is_asked_for_where_all_pictures_are_alike():
    rng = np.random.default_rng(0)
    base, n = picture(32, 32).astype(float), 80
    x = np.stack([base + 0.35 * picture(32, 32, 50 + i) for i in range(n)])
    x = np.append(x, x[:1] + rng.normal(0, 2, (1, 32, 32, 3)), axis=0)
    x = np.clip(x * 0.7, 0, 255).astype("uint8")
    features = 1 + rng.normal(0, 0.1, (n + 1, 64))
    features[n] = features[0] + 0.01
    data = tl.from_arrays(x, np.arange(n + 1) / n, **ALONE)
    pairs, similarities = find_duplicates(features, likeness_of(data))
    assert pairs[0].tolist() == [0, n]
    assert len(pairs) < 8 and similarities[0] > 0.95


def test_what_cannot_be_looked_at():
    x, y = solid_colours(20, 2)
    model = with_head(tiny_backbone(blocks=1))
    with pytest.raises(ValueError, match="must be `Splits`.*tuple"):
        find_suspects(model, (x, y))
    layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    with pytest.raises(ValueError, match="backbone"):
        find_suspects(keras.Sequential(layers), tl.from_arrays(x, y, **ALONE))


def spoil(folder, seed):
    """Swaps the labels of 10 training pictures, and puts 5 test pictures there.

    The copies are made smaller and saved in another quality.

    Returns:
        The names of the swapped pictures, and of the copies with their originals.
    """
    rng = np.random.default_rng(seed)
    other, swapped, leaked = {"ants": "bees", "bees": "ants"}, set(), set()
    train = sorted((folder / "train").glob("*/*.jpg"))
    test = sorted((folder / "test").glob("*/*.jpg"))
    for i in rng.choice(len(train), 10, replace=False):
        path = folder / "train" / other[train[i].parent.name] / train[i].name
        train[i].rename(path)
        swapped.add(str(path.relative_to(folder)))
    for i in rng.choice(len(test), 5, replace=False):
        path = folder / "train" / test[i].parent.name / f"copy_{test[i].name}"
        with PIL.Image.open(test[i]) as image:
            size = [int(side * rng.uniform(0.5, 0.9)) for side in image.size]
            quality = int(rng.integers(40, 80))
            image.convert("RGB").resize(size).save(path, quality=quality)
        names = str(path.relative_to(folder)), str(test[i].relative_to(folder))
        leaked.add(frozenset(names))
    return swapped, leaked


@pytest.mark.real
def test_planted_errors_are_among_the_first_suspects(tmp_path):
    """Of ants and bees; at least 8 of 10 wrong labels and all 5 copies in the first 25.

    Measured of three seeds: 9, 10 and 9 in the first 20, all 5 copies in the first 5.
    """
    source = needs_shared("data", "ants_bees")
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    weights = needs_shared("keras_home", "models", name)
    shutil.copytree(source, tmp_path / "data", copy_function=shutil.copyfile)
    for folder in (tmp_path / "data").rglob("*"):
        folder.chmod(0o755)
    swapped, leaked = spoil(tmp_path / "data", seed=0)
    data = tl.image_folder(tmp_path / "data", image_size=224)
    model = tl.image_classifier("mobilenet_v2", data.class_names, weights=weights)
    found = find_suspects(model, data, verbose=0)
    pairs = [frozenset((x.first.name, x.second.name)) for x in found.leaks[:5]]
    assert set(pairs) == leaked
    first = {x.place.name for x in found.label_errors[:20]}
    print(f"{len(first & swapped)} of 10 wrong labels in the first 20")
    assert len(first & swapped) >= 8
    groups = [g for f in data.check() if "across" in f.kind for g in f.places]
    assert {frozenset(place.name for place in group) for group in groups} == leaked
