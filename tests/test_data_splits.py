"""`Splits`, how examples are dealt out to its parts, and what labels mean."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from tlkeras.data import Splits, from_arrays
from tlkeras.data.splitting import PARTS, parts_of, split_by_time, split_positions
from tlkeras.inputs.examples import examples_of, reading_of
from tlkeras.outputs import read_labels


def pictures(n, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, 4, 5, channels), "uint8")


def make(y, **kwargs):
    return from_arrays(pictures(len(y)), y, **kwargs)


FRACTIONS = st.floats(0, 0.45)
CLASS_SIZES = st.lists(st.integers(3, 60), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(CLASS_SIZES, FRACTIONS, FRACTIONS, st.integers(0, 2**40))
def test_a_split_is_complete_disjoint_stratified_and_repeatable(
    class_sizes, validation_split, test_split, seed
):
    groups = np.repeat(np.arange(len(class_sizes)), class_sizes)
    np.random.default_rng(seed).shuffle(groups)
    parts = split_positions(groups, validation_split, test_split, seed)
    everything = np.concatenate([parts[part] for part in PARTS])
    assert sorted(everything) == list(range(len(groups)))
    train_split = 1 - validation_split - test_split
    fractions = {"train": train_split, "val": validation_split, "test": test_split}
    for part in PARTS:
        assert (np.diff(parts[part]) > 0).all()
        counts = np.bincount(groups[parts[part]], minlength=len(class_sizes))
        if fractions[part] == 0:
            assert not counts.any()
            continue
        assert counts.min() >= 1
        wanted = np.array(class_sizes) * fractions[part]
        assert (np.abs(counts - wanted) <= 2).all()
    again = split_positions(groups, validation_split, test_split, seed)
    assert all((again[part] == parts[part]).all() for part in PARTS)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(20, 60), min_size=1, max_size=40),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
)
def test_parts_have_the_right_size_in_total(class_sizes, validation_split, test_split):
    groups = np.repeat(np.arange(len(class_sizes)), class_sizes)
    parts = split_positions(groups, validation_split, test_split, seed=0)
    assert abs(len(parts["val"]) - validation_split * len(groups)) <= 1
    assert abs(len(parts["test"]) - test_split * len(groups)) <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=3), FRACTIONS, FRACTIONS)
def test_the_latest_are_for_testing(times, validation_split, test_split):
    times = np.array(times, "float64")
    asked = 1 + (validation_split > 0) + (test_split > 0)
    if len(np.unique(times)) < asked:
        with pytest.raises(ValueError, match="Too few times"):
            split_by_time(times, validation_split, test_split)
        return
    parts = split_by_time(times, validation_split, test_split)
    found = [times[parts[part]] for part in PARTS if len(parts[part])]
    assert len(found) == asked and sum(map(len, found)) == len(times)
    for earlier, later in zip(found[:-1], found[1:], strict=True):
        assert earlier.max() < later.min()


def test_parts_by_time_are_as_large_as_asked_for():
    drawn = split_by_time(np.arange(100.0)[::-1], 0.2, 0.1)
    assert [len(drawn[part]) for part in PARTS] == [70, 20, 10]
    assert drawn["test"].tolist() == list(range(10))
    days = split_by_time(np.repeat(np.arange(3.0), [50, 5, 45]), 0.1, 0.1)
    assert [len(days[part]) for part in PARTS] == [50, 5, 45]


def test_a_class_with_too_few_examples_is_named_before_anything_is_split():
    with pytest.raises(ValueError, match="class 'b' has 2 examples, class 'c' has 1"):
        split_positions(np.array([0] * 9 + [1, 1, 2]), 0.1, 0.1, 0, ["a", "b", "c"])


def test_the_parts_are_datasets_that_keras_takes():
    data = make([0, 1] * 20, batch_size=8)
    assert isinstance(data, Splits)
    assert [len(getattr(data, part)) for part in PARTS] == [4, 1, 1]
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train, validation_data=data.val, shuffle=False, verbose=0)
    assert model.predict(data.test, verbose=0).shape == (6, 2)


def test_a_part_is_made_once():
    data = make([0, 1] * 20)
    assert data.train is data.train


def test_repr_is_one_line():
    assert repr(make([0, 1] * 20)) == (
        "Splits(train=28, val=6, test=6, task='classification', num_classes=2, "
        "input=Pictures(image_size=[4, 5], channels=3, fit=None), batch_size=32, "
        "skipped=0)"
    )


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("train val test", "train val test"),
        ("Training Testing", "train test"),
        ("TRAIN Valid TEST1", "train val test"),
        ("training_set test_set", "train test"),
        ("TrainImages ValImages", "train val"),
        ("train2017 val2017", "train val"),
        ("dataset-train trainset", "train train"),
        ("train dev eval", "train val test"),
        ("train holdout", "train test"),
        ("train test hold-out", "train test val"),
        ("seg_train seg_test seg_pred", "train test -"),
        ("train_station test_tube", "- -"),
        ("steam_train bullet_train", "- -"),
        ("train seg_train seg_test", "train - -"),
        ("train_test trainee contest", "- - -"),
    ],
)
def test_the_usual_names_of_parts_are_known(names, parts):
    names, parts = names.split(), parts.split()
    pairs = zip(names, parts, strict=True)
    assert parts_of(names) == {name: part for name, part in pairs if part != "-"}


def test_examples_are_found_behind_datasets_of_splits_only():
    data = make([0, 1] * 20)
    examples = examples_of(data.val)
    assert len(examples) == 6
    np.testing.assert_array_equal(examples.labels, next(iter(data.val))[1])
    for other in [data.val.take(1), tf.data.Dataset.range(3), np.zeros(3), [1], None]:
        assert examples_of(other) is None


def test_examples_are_read_in_the_same_order_without_shuffling():
    data = make([0, 1] * 20)
    examples = examples_of(data.train)
    batches = list(examples.dataset(batch_size=16))
    labels = np.concatenate([y.numpy() for _, y in batches])
    np.testing.assert_array_equal(labels, examples.labels)
    assert [len(y) for _, y in batches] == [16, 12]


def test_how_a_dataset_reads_is_known():
    data = make([0, 1] * 20, batch_size=8, seed=5)
    reading = reading_of(data.train)
    assert (reading.batch_size, reading.shuffled, reading.seed) == (8, True, 5)
    assert not reading_of(data.val).shuffled
    assert reading_of(data.val.take(1)) is None


def test_the_registry_lets_datasets_go():
    from tlkeras.inputs import examples as module

    gc.collect()
    before = len(module._BEHIND)
    data = make([0, 1] * 20)
    assert data.train and len(module._BEHIND) == before + 1
    del data
    gc.collect()
    assert len(module._BEHIND) == before


def test_class_weights_are_those_of_scikit_learn():
    data = make([0] * 30 + [1] * 12 + [2] * 6)
    labels = examples_of(data.train).labels
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert data.class_weights() == pytest.approx(dict(enumerate(expected)))
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train, class_weight=data.class_weights(), shuffle=False, verbose=0)


def test_class_weights_of_a_class_without_examples():
    data = make([0, 2] * 20, class_names=["a", "b", "c"])
    assert data.class_weights() == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize(
    ("y", "kwargs"),
    [
        (np.linspace(0, 1, 20), {}),
        ([0, 1] * 20, {"test_split": 1, "validation_split": 0}),
    ],
)
def test_class_weights_need_training_classes(y, kwargs):
    with pytest.raises(ValueError, match="Class weights need"):
        make(y, **kwargs).class_weights()


def test_describe_counts_classes():
    text = str(make(["cat"] * 20 + ["dog"] * 40).describe())
    assert repr(make(["cat"] * 20 + ["dog"] * 40).describe()) == text
    assert text.splitlines() == [
        "classification: 60 examples of 4 x 5 pixels",
        "",
        "class       train  val  test  total",
        "cat            14    3     3     20",
        "dog            28    6     6     40",
        "(examples)     42    9     9     60",
    ]


def test_describe_as_html_escapes_names():
    table = make(["a<b", "c&d"] * 10).describe()._repr_html_()
    assert ">a&lt;b</th>" in table
    assert ">c&amp;d</th>" in table
    assert ">train</th>" in table


def test_describe_counts_each_label_of_an_example():
    y = np.array([[1, 1], [0, 1], [0, 0], [1, 1]] * 5)
    data = make(y, class_names=["sun", "sea"], validation_split=0, test_split=0)
    lines = [line.split() for line in str(data.describe()).splitlines()]
    assert ["sun", "10", "0", "0", "10"] in lines
    assert ["sea", "15", "0", "0", "15"] in lines
    assert ["(examples)", "20", "0", "0", "20"] in lines


def test_describe_summarises_targets():
    data = make(np.arange(20, dtype="float32"), task="regression", test_split=0)
    lines = [line.split() for line in str(data.describe()).splitlines()]
    assert lines[0][:3] == ["regression:", "20", "examples"]
    targets = examples_of(data.val).labels
    assert lines[2] == ["part", "examples", "mean", "deviation", "least", "greatest"]
    assert [line[0] for line in lines[3:]] == ["train", "val"]
    assert lines[4][:3] == ["val", "3", f"{targets.mean():.4g}"]
    assert lines[4][4:] == [f"{targets.min():.4g}", f"{targets.max():.4g}"]


def test_describe_lists_skipped_files_but_not_thousands():
    data = make([0, 1] * 10)
    data.skipped = [(f"{i}.jpg", "is empty") for i in range(25)]
    lines = str(data.describe()).splitlines()
    assert "25 files skipped:" in lines
    assert "  0.jpg is empty" in lines
    assert lines[-1] == "  and 5 more"
    assert "0.jpg is empty" in data.describe()._repr_html_()


@pytest.mark.parametrize(
    ("y", "titles"),
    [
        (["cat", "dog"] * 10, {"cat", "dog"}),
        (np.array([[1, 1], [0, 1]] * 10), {"0, 1", "1"}),
        (np.full(20, 0.5), {"0.5"}),
        (np.full((20, 2), 0.25), {"0.25, 0.25"}),
    ],
)
def test_show_draws_examples_with_their_labels(y, titles):
    from matplotlib import pyplot

    ax = make(y).show(6)
    assert len(ax.child_axes) == 6
    assert {cell.get_title() for cell in ax.child_axes} == titles
    pyplot.close("all")


def test_show_draws_the_right_picture():
    from matplotlib import pyplot

    x = np.zeros((20, 4, 4, 3), "uint8")
    x[1::2] = 200
    for split, n in [("train", 9), ("test", 30)]:
        ax = from_arrays(x, ["dark", "light"] * 10).show(n, split=split)
        for cell in ax.child_axes:
            pixel = cell.images[0].get_array()[0, 0, 0]
            assert cell.get_title() == ("light" if pixel == 200 else "dark")
    pyplot.close("all")


def test_show_has_all_classes_in_no_order():
    names = np.repeat(["a", "b", "c"], [60, 6, 6])
    x = [f"{name} {i}" for i, name in enumerate(names)]
    rows = from_arrays(x, names, seed=0).show(9).rows
    labels = [label for _, label in rows]
    assert all(text.startswith(label) for text, label in rows)
    assert [labels.count(name) for name in "abc"] == [3, 3, 3]
    assert labels != sorted(labels)
    again = from_arrays(x, names, seed=0).show(9).rows
    assert again == rows
    assert len(from_arrays(x, np.arange(72.0)).show(5).rows) == 5


def test_image_grid_draws_on_given_axes():
    from matplotlib import pyplot

    from tlkeras.plots.images import image_grid

    _, ax = pyplot.subplots()
    assert image_grid(pictures(6, 1), columns=3, ax=ax) is ax
    places = {tuple(np.round(cell.get_position().p0, 3)) for cell in ax.child_axes}
    assert len(places) == 6
    assert len({x for x, _ in places}) == 3
    pyplot.close("all")


@pytest.mark.parametrize(
    ("images", "titles", "message"),
    [
        (pictures(2), ["a"], "one title per image"),
        (pictures(0), None, "n at least 1"),
        (pictures(2, 2), None, "1 or 3"),
        (pictures(2)[0], None, "shape"),
    ],
)
def test_image_grid_of_what_is_no_image(images, titles, message):
    from tlkeras.plots.images import image_grid

    with pytest.raises(ValueError, match=message):
        image_grid(images, titles)


def texts(n, words=3):
    return [" ".join([f"w{i}"] * (words + i % 2)) for i in range(n)]


def test_describe_says_how_long_texts_are():
    y = ["a", "b"] * 20
    title = str(from_arrays(texts(40), y).describe()).splitlines()[0]
    assert title == (
        "classification: 40 texts of 3.5 words (median; 95% have 4 or fewer)"
    )
    title = str(from_arrays((texts(40), texts(40)), y).describe()).splitlines()[0]
    assert "40 text pairs of 7 words (median; 95% have 8 or fewer)" in title


def test_show_lists_texts_with_their_labels():
    x = [f"text <{i}>" for i in range(20)]
    data = from_arrays(x, ["odd" if i % 2 else "even" for i in range(20)])
    table = data.show(5)
    assert len(table.rows) == 5
    for text, label in table.rows:
        assert label == ("odd" if int(text[6:-1]) % 2 else "even")
    assert "text &lt;" in table._repr_html_()
    assert str(table).startswith("5 of 14 texts in train")


def test_show_puts_long_texts_and_pairs_on_one_line():
    long = from_arrays(["word\n" * 99] * 20, [0, 1] * 10).show(1).rows[0][0]
    assert len(long) == 100 and long.endswith("word word…")
    pairs = from_arrays((["a"] * 20, ["b c"] * 20), [0, 1] * 10)
    assert pairs.show(1).rows[0][0] == "a | b c"


def test_repr_says_what_is_not_pixels():
    assert "input=Texts(pairs=False)" in repr(from_arrays(texts(20), [0, 1] * 10))
    assert make([0, 1] * 10).problem.input.kind == "images"


def test_show_of_nothing():
    data = make([0, 1] * 10, test_split=0)
    with pytest.raises(ValueError, match="no examples in 'test'"):
        data.show(split="test")
    with pytest.raises(ValueError, match="split"):
        data.show(split="tset")
    with pytest.raises(ValueError, match="`n`"):
        data.show(0)


def ids(y, **kwargs):
    output, values = read_labels(y, **kwargs)
    return values.tolist(), output.class_names, output.task


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([1, 0, 2], [1, 0, 2]),
        (np.array([1, 0, 2], "uint8"), [1, 0, 2]),
        ([[1], [0], [2]], [1, 0, 2]),
        ([[0, 1, 0], [1, 0, 0]], [1, 0]),
        (np.eye(3, dtype="float32"), [0, 1, 2]),
    ],
)
def test_whole_numbers_and_one_hot_rows_are_classes(y, expected):
    values, names, task = ids(y)
    assert values == expected
    assert task == "classification"
    assert names == tuple(str(i) for i in range(len(names)))
    assert read_labels(y)[1].dtype == np.int32


def test_booleans_are_classes():
    assert ids([True, False]) == ([1, 0], ("False", "True"), "classification")


def test_whole_floats_are_classes_where_these_have_names():
    assert ids([0.0, 1.0], class_names=["a", "b"])[0] == [0, 1]


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        np.array([b"b", b"a", b"b"]),
        [["b"], ["a"], ["b"]],
    ],
)
def test_strings_are_classes(y):
    assert ids(y) == ([1, 0, 1], ("a", "b"), "classification")
    assert ids(y, class_names=["b", "x", "a"])[0] == [0, 2, 0]


def test_rows_of_0_and_1_are_multi_label():
    output, values = read_labels([[0, 1, 1], [0, 0, 0]])
    assert output.task == "multi_label"
    assert values.dtype == np.float32
    assert output.class_names == ("0", "1", "2")
    assert read_labels(np.eye(3), task="multi_label")[0].task == "multi_label"


@pytest.mark.parametrize("y", [[0.5, 1.5], [[0.5, 1], [2, 3]], [[0.5], [1]]])
def test_floats_are_targets(y):
    output, values = read_labels(y)
    assert output.task == "regression"
    assert values.dtype == np.float32
    assert output.class_names is None
    assert read_labels([1, 2], task="regression")[1].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("y", "kwargs", "message"),
    [
        ([0, -1], {}, "negative.*-1 at index 1"),
        ([0, 5], {"class_names": ["a", "b"]}, "0 to 1.*5 at index 1"),
        ([0, 5], {}, r"missing are \[1, 2, 3, 4\]"),
        ([0.0, 1.0], {"task": "classification"}, r"y.astype\('int32'\)"),
        (["a", "x"], {"class_names": ["a", "b"]}, "No such class name: 'x'"),
        (["a", "b"], {"task": "regression"}, "Strings"),
        ([0, 1], {"task": "multi_label"}, r"shape \(n, classes\)"),
        ([[1, 1], [1, 0]], {"task": "classification"}, "first at index 0"),
        ([[2, 1], [1, 0]], {"task": "multi_label"}, "only 0 and 1"),
        ([[1, 0], [0, 1]], {"class_names": ["a"]}, "one name per column"),
        ([0, 1], {"task": "classify"}, "Did you mean 'classification'"),
        ([0.5, np.nan, np.inf], {}, "2 of 3 examples, first at index 1"),
        ([0, 1], {"class_names": "ab"}, "list of names"),
        ([0, 1], {"class_names": ["a", "a"]}, "distinct"),
        ([0, 1], {"class_names": []}, "empty"),
        ([[0, 1], [1]], {}, "regular array"),
        (np.array([0, "a", None], dtype=object), {}, "dtype object"),
        (np.zeros((2, 2, 2)), {}, r"Received: shape \(2, 2, 2\)"),
        (3, {}, r"shape \(\)"),
        (np.array(["2020-01-01"], "datetime64[D]"), {}, "dtype datetime64"),
    ],
)
def test_labels_that_do_not_fit_together(y, kwargs, message):
    with pytest.raises(ValueError, match=message):
        read_labels(y, **kwargs)
