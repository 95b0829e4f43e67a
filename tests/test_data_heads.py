"""Labels of several heads: nothing is lost between what is given and what is learnt."""

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import tiny_backbone
from hypothesis import given, settings
from hypothesis import strategies as st
from images import write_class_folders
from several_heads import HEADS, LABELS, X

import tlkeras as tl
from tlkeras.data.splitting import PARTS
from tlkeras.inputs import examples_of, reading_of
from tlkeras.outputs import Classes, Labels, Numbers, read_labels_with_gaps
from tlkeras.problem import Problem, pack_data

NAN = np.nan
WHOLE = {"validation_split": 0, "test_split": 0}


def numbered(n):
    """Pictures whose pixels are their number."""
    return np.arange(n, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 1))


def read_back(data):
    """Returns the labels of each example by its number, from the public datasets."""
    found = {}
    for part in PARTS:
        for x, labels in getattr(data, part) or ():
            for i, number in enumerate(x.numpy()[:, 0, 0, 0].astype(int)):
                found[number] = {name: y.numpy()[i] for name, y in labels.items()}
    return found


def equal(first, second):
    np.testing.assert_array_equal(np.asarray(first, "float32"), second)


def heads_of(n):
    """Labels for three heads, of which each lacks some."""
    names = [None if i % 5 == 0 else ("ant", "bee", "cat")[i % 3] for i in range(n)]
    tags = [[i % 2, NAN if i % 4 else 1] for i in range(n)]
    lengths = [NAN if i % 3 == 1 else i / 2 for i in range(n)]
    return {"species": names, "tags": tags, "length": lengths}


# From arrays


def test_labels_come_out_by_head():
    data = tl.from_arrays(numbered(60), heads_of(60), batch_size=8)
    assert data.task == "multi_task"
    assert data.class_names == {"species": ("ant", "bee", "cat"), "tags": ("0", "1")}
    assert data.num_classes == {"species": 3, "tags": 2, "length": None}
    x, labels = next(iter(data.train))
    assert x.shape == (8, 4, 4, 1)
    shapes = {name: (y.shape, y.dtype.name) for name, y in labels.items()}
    assert shapes == {
        "species": ((8,), "float32"),
        "tags": ((8, 2), "float32"),
        "length": ((8, 1), "float32"),
    }
    assert examples_of(data.train).labels.shape == (42, 4)
    assert "task='multi_task'" in repr(data) and "'species': 3" in repr(data)


LABEL = st.none() | st.integers(0, 2)
TARGET = st.none() | st.floats(-1e3, 1e3, width=32)
ROW = st.tuples(*[st.sampled_from([0.0, 1.0, NAN])] * 2)


@settings(max_examples=3, deadline=None)
@given(st.lists(st.tuples(LABEL, ROW, TARGET), max_size=12), st.integers(0, 9))
def test_nothing_is_lost_on_the_way_through_splits(drawn, seed):
    """Whatever is missing, and however examples are dealt out."""
    # All that each head needs to be of its kind.
    whole = [(i % 3, (1.0, float(i % 2)), 0.5 + i) for i in range(9)]
    rows = [row for row in drawn if not all(map(is_gap, row))] + whole
    species, tags, lengths = map(list, zip(*rows, strict=True))
    given = {
        "species": species,
        "tags": np.array(tags),
        "length": [NAN if length is None else length for length in lengths],
    }
    data = tl.from_arrays(numbered(len(rows)), given, batch_size=4, seed=seed)
    found = read_back(data)
    assert sorted(found) == list(range(len(rows)))
    for i, (number, row, length) in enumerate(rows):
        equal(NAN if number is None else number, found[i]["species"])
        equal(row, found[i]["tags"])
        equal([NAN if length is None else length], found[i]["length"])
    # As a model with the heads in another order is trained on them.
    turned = dict(reversed(data.problem.outputs.items()))
    problem = Problem(data.problem.input, turned)
    packed = pack_data(problem, data.train, "train")
    for (_, labels), (_, unpacked) in zip(
        examples_of(data.train).dataset(4),
        problem.unpacked(examples_of(packed).dataset(4)),
        strict=True,
    ):
        for name, values in data.problem.unpack(labels).items():
            equal(values, unpacked[name])


def is_gap(value):
    return value is None or bool(np.isnan(value).all())


XY = Classes(["x", "y"])


@pytest.mark.parametrize(
    ("y", "arguments", "expected", "rows"),
    [
        ([0, 1, None], {}, Classes(2), [0, 1, NAN]),
        ([0, 1, NAN], {}, Classes(2), [0, 1, NAN]),
        ([0, 1, -1], {}, Classes(2), [0, 1, NAN]),
        (np.array([0, 1, -1]), {}, Classes(2), [0, 1, NAN]),
        (pd.Series([0, 1, None], dtype="Int64"), {}, Classes(2), [0, 1, NAN]),
        (pd.Series(["b", "a", None]), {}, Classes(["a", "b"]), [1, 0, NAN]),
        (
            ["b", "a", None],
            {"class_names": ["b", "a"]},
            Classes(["b", "a"]),
            [0, 1, NAN],
        ),
        (np.array(["b", "a"]), {}, Classes(["a", "b"]), [1, 0]),
        (np.array([0.0, 1, NAN]), {}, Numbers(), [0, 1, NAN]),
        (np.array([0.0, 1, NAN]), {"class_names": ["x", "y"]}, XY, [0, 1, NAN]),
        (np.array([0.0, 1, NAN]), {"task": "classification"}, Classes(2), [0, 1, NAN]),
        ([0, -1, None], {"task": "regression"}, Numbers(), [0, -1, NAN]),
        ([0.5, None, 2], {}, Numbers(), [0.5, NAN, 2]),
    ],
)
def test_what_is_missing_of_one_column(y, arguments, expected, rows):
    output, packed = read_labels_with_gaps(y, **arguments)
    assert output == expected
    equal(np.array(rows)[:, None], packed)


@pytest.mark.parametrize(
    ("y", "arguments", "expected", "rows"),
    [
        ([[1, 0], [NAN, NAN], [0, 1]], {}, Classes(2), [[0], [NAN], [1]]),
        ([[1, 0], [None, 1]], {}, Labels(2), [[1, 0], [NAN, 1]]),
        ([[1, 1], [NAN, NAN]], {}, Labels(2), [[1, 1], [NAN, NAN]]),
        ([[1, 0], [0, 1]], {"task": "multi_label"}, Labels(2), [[1, 0], [0, 1]]),
        ([[0.5, NAN], [NAN, NAN]], {}, Numbers(2), [[0.5, NAN], [NAN, NAN]]),
        ([[1, NAN], [0, 1]], {"task": "regression"}, Numbers(2), [[1, NAN], [0, 1]]),
    ],
)
def test_what_is_missing_of_rows(y, arguments, expected, rows):
    for values in (y, np.array(y, "float64")):
        output, packed = read_labels_with_gaps(values, **arguments)
        assert output == expected
        equal(rows, packed)


@pytest.mark.parametrize(
    ("y", "arguments", "message"),
    [
        ({}, {}, "dictionary without heads"),
        ({"a": [0, 1] * 5, "b": [0.5] * 9}, {}, r"as many labels.*'a': 10, 'b': 9"),
        ({"a": [0, 1] * 4}, {}, r"len\(x\)=10, len\(y\)=8"),
        ({"a": [None] * 10}, {}, "Head 'a': All labels are missing"),
        ({"a": [0] * 9 + [-1]}, {}, "Head 'a': .*two classes.*9 examples of '0'"),
        ({"a": [0, 1] * 4 + [-1, -2]}, {}, "Head 'a': .*negative"),
        ({"a": [0, 1] * 4 + [-1, NAN]}, {}, "2 of 10 .* no label.*first at index 8"),
        ({"a": [0, "x"] * 5}, {}, "Head 'a': .*one kind only"),
        ({"a": [0.5, np.inf] * 5}, {}, "Head 'a': .*infinite"),
        ({"a": [[0, 1], [1]] * 5}, {}, "Head 'a': "),
        ({"a/b": [0, 1] * 5}, {}, "without '/'"),
        ({"a": [0, 1] * 5}, {"class_names": ["x", "y"]}, "dictionary by head"),
        ({"a": [0, 1] * 5}, {"task": "regression"}, "`task` must be a dictionary"),
        ({"a": [0, 1] * 5}, {"task": {"b": "regression"}}, "No such head: 'b'"),
        ({"a": [0, 1] * 5}, {"task": {"a": "regress"}}, "Head 'a': .*'regression'"),
        ({"a": [0, 1] * 5}, {"class_names": {"a": ["x"]}}, "Head 'a': .*0 to 0"),
        ([0, 1] * 5, {"class_names": {"a": ["x", "y"]}}, "by head goes with labels by"),
        ([0, 1] * 5, {"task": {"a": "regression"}}, "`task` must be one of"),
    ],
)
def test_heads_that_do_not_do(y, arguments, message):
    with pytest.raises(ValueError, match=message):
        tl.from_arrays(numbered(10), y, **arguments)


def test_a_split_is_stratified_by_the_first_head_with_classes():
    kinds = np.repeat(["a", "b"], [40, 20]).tolist()
    other = np.resize([0, 1, 2], 60)
    data = tl.from_arrays(
        numbered(60), {"size": np.linspace(0, 1, 60), "kind": kinds, "other": other}
    )
    rows = examples_of(data.test).labels
    assert np.bincount(rows[:, 1].astype(int)).tolist() == [6, 3]


def test_what_is_not_known_need_not_be_in_every_part():
    kinds = ["a"] * 9 + ["b"] * 9 + [None]
    data = tl.from_arrays(numbered(19), {"kind": kinds, "size": np.arange(19.0)})
    assert len(read_back(data)) == 19
    kinds[0] = "c"
    with pytest.raises(ValueError, match="class 'c' has 1 example"):
        tl.from_arrays(numbered(19), {"kind": kinds, "size": np.arange(19.0)})


def test_groups_of_heads_stay_together():
    groups = np.repeat(np.arange(20), 3)
    labels = {"size": groups / 2, "group": groups.astype("float32")}
    data = tl.from_arrays(numbered(60), labels, groups=groups)
    sets = [set(examples_of(getattr(data, part)).labels[:, -1]) for part in PARTS]
    assert sum(map(len, sets)) == 20


# What is said of them


def test_describe_has_a_table_for_each_head():
    table = tl.from_arrays(numbered(60), heads_of(60)).describe()
    lines = [line.split() for line in str(table).splitlines()]
    assert str(table).startswith("multi_task: 60 examples of 4 x 4 pixels\n\nspecies: ")
    assert lines[2] == ["species:", "classification"]
    (examples,) = [x for x in lines if x[:1] == ["(examples)"] and x[-1] == "48"]
    assert sum(map(int, examples[1:4])) == 48
    (train,) = [x for x in lines if x[:1] == ["train"]]
    assert int(train[1]) < 42
    html = table._repr_html_()
    assert html.count("<table>") == 3 and "length: regression" in html


def test_check_names_heads_and_lets_labels_be_missing():
    labels = heads_of(60)
    labels["species"] = ["ant"] * 30 + ["bee"] * 27 + ["cat"] * 3
    labels["length"] = np.where(np.arange(60) % 2, 3.0, NAN)
    random = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), "uint8")
    random[40] = random[41]
    found = {x.kind: x for x in tl.from_arrays(random, labels, **WHOLE).check()}
    assert found["species: small classes"].examples == (
        "train: 'cat' has 3, 10 are few",
    )
    assert "10 times" in found["species: class imbalance"].what
    assert found["length: constant targets"].count == 1
    assert found["tags: labels that always apply"].examples == ("train: '1'",)
    # The lengths of these two are 3 and missing: they do not differ.
    assert found["duplicates with different labels"].severity == "error"
    labels["tags"] = [[1, 0], [0, 1]] + [[1, 1]] * 58
    again = tl.from_arrays(random, labels, **WHOLE).check()
    assert "duplicates within a part" in [x.kind for x in again]


def test_show_says_what_is_known_of_each_head():
    data = tl.from_arrays(
        [f"text {i}" for i in range(10)],
        {"kind": ["a", "b"] * 4 + [None] * 2, "size": [NAN] * 4 + [2.5] * 6},
        **WHOLE,
    )
    shown = dict(data.show(10).rows)
    assert (shown["text 0"], shown["text 5"]) == ("a; ?", "b; 2.5")
    assert shown["text 9"] == "?; 2.5"


def test_class_weights_are_those_of_each_head_with_classes():
    kinds = ["a"] * 30 + ["b"] * 10 + [None] * 10
    data = tl.from_arrays(
        numbered(50), {"kind": kinds, "size": np.arange(50.0)}, **WHOLE
    )
    assert data.class_weights() == {"kind": {0: 40 / 60, 1: 2.0}}
    none = tl.from_arrays(numbered(50), {"size": np.arange(50.0)})
    with pytest.raises(ValueError, match="Class weights need"):
        none.class_weights()


def test_a_part_that_lacks_a_class_of_a_head_is_warned_of():
    frames = {
        "train": pd.DataFrame({"text": list("uvwxyz"), "a": list("kkkmmm"), "b": 0.5}),
        "test": pd.DataFrame({"text": ["s", "t"], "a": ["k", None], "b": [1.0, 2]}),
    }
    with pytest.warns(UserWarning, match="no example of 'm' of head 'a'") as caught:
        tl.from_dataframe(frames, label={"a": "a", "b": "b"}, validation_split=0)
    assert caught[0].filename == __file__


# From tables


def frame_of(**columns):
    length = len(next(iter(columns.values())))
    return pd.DataFrame({"text": [f"text {i}" for i in range(length)]} | columns)


FRAME = frame_of(
    kind=["ant", "bee", None, "ant", "bee", None],
    cm=[1.5, None, 2.5, 3.5, 4.0, None],
    red=[1, 0, 1, None, 1, 0],
    big=[0, 0, 1, None, 1, 1],
)
BY_HEAD = {"species": "kind", "length": ["cm"], "tags": ["red", "big"]}
EXPECTED = [
    [0, 1.5, 1, 0],
    [1, NAN, 0, 0],
    [NAN, 2.5, 1, 1],
    [0, 3.5, NAN, NAN],
    [1, 4, 1, 1],
    [NAN, NAN, 0, 1],
]


@pytest.mark.parametrize("from_file", [False, True])
def test_columns_by_head(tmp_path, from_file):
    arguments = {"text": "text", "label": BY_HEAD, **WHOLE}
    if from_file:
        FRAME.to_csv(tmp_path / "a.csv", index=False)
        data = tl.from_csv(tmp_path / "a.csv", **arguments)
    else:
        data = tl.from_dataframe(FRAME, **arguments)
    assert data.problem.outputs == {
        "species": Classes(["ant", "bee"]),
        "length": Numbers(),
        "tags": Labels(["red", "big"]),
    }
    equal(EXPECTED, examples_of(data.train).labels)


def test_names_and_tasks_of_columns_by_head():
    frame = frame_of(kind=[0, 1, None, 1], stars=[1, 5, 3, None])
    data = tl.from_dataframe(
        frame,
        label={"kind": "kind", "stars": "stars"},
        class_names={"kind": ["no", "yes"]},
        task={"stars": "regression"},
        **WHOLE,
    )
    assert data.class_names == {"kind": ("no", "yes")}
    rows = [[0, 1], [1, 5], [NAN, 3], [1, NAN]]
    equal(rows, examples_of(data.train).labels)


def test_columns_by_part_and_head():
    test = frame_of(art=["bee", "ant", None], laenge=[None, 8, 9.5])
    data = tl.from_dataframe(
        {"train": FRAME[:5][["text", "kind", "cm"]], "test": test},
        label={
            "train": {"species": "kind", "length": "cm"},
            "test": {"species": "art", "length": "laenge"},
        },
        validation_split=0,
    )
    equal([[1, NAN], [0, 8], [NAN, 9.5]], examples_of(data.test).labels)


def test_a_row_is_unusable_where_all_heads_lack_a_label():
    arguments = {"label": {"species": "kind", "length": "cm"}, "text": "text"}
    with pytest.raises(
        ValueError, match=r"1 of 6 rows .*iloc\[5\] has no label in any"
    ):
        tl.from_dataframe(FRAME, **arguments)
    with pytest.warns(UserWarning, match="Skipped 1 of 6"):
        data = tl.from_dataframe(FRAME, **arguments, errors="skip", **WHOLE)
    equal(np.array(EXPECTED)[:5, :2], examples_of(data.train).labels)


@pytest.mark.parametrize(
    ("column", "values", "arguments", "message"),
    [
        ("cm", [1.5, "?", None, 1, 2, 3], {}, r"iloc\[1\] has .*\(head 'length'\)"),
        ("red", [1, 0, "x", 1, None, 1], {}, r"iloc\[2\] has 'x' in column 'red'"),
        ("cm", [None] * 6, {}, "Head 'length': .*'cm' holds no label"),
        ("red", [1, 2, 1, 1, 1, 1], {"task": {"tags": "multi_label"}}, "Head 'tags': "),
        ("kind", list("aabbab"), {"class_names": {"species": ["a", "c"]}}, "label 'b'"),
        ("kind", ["a"] * 6, {}, "Head 'species': .*two classes"),
        ("cm", [1] * 6, {"class_names": ["x"]}, "`class_names` must be a dictionary"),
        ("cm", [1] * 6, {"task": {"size": "regression"}}, "No such head: 'size'"),
        ("cm", [1] * 6, {"label": {"a": "kid"}}, r"label\['a'\]='kid'.*mean 'kind'"),
    ],
)
def test_columns_that_do_not_do(column, values, arguments, message):
    frame = FRAME.assign(**{column: values})
    with pytest.raises(ValueError, match=message):
        tl.from_dataframe(frame, **{"text": "text", "label": BY_HEAD, **arguments})


def test_all_parts_have_the_same_heads():
    with pytest.raises(ValueError, match="as many columns for their labels"):
        tl.from_dataframe(
            {"train": FRAME, "test": FRAME},
            text="text",
            label={"train": BY_HEAD, "test": {"species": "kind"}},
        )


def test_pictures_have_heads_too(tmp_path):
    root = write_class_folders(tmp_path, {"cat": 4, "dog": 4})
    files = [str(path.relative_to(root)) for path in sorted(root.glob("*/*"))]
    frame = pd.DataFrame({"path": files, "kind": [f[:3] for f in files]})
    frame["age"] = [1.5, None] * 4
    arguments = {"image": "path", "image_root": root, "image_size": 8, **WHOLE}
    data = tl.from_dataframe(frame, label={"kind": "kind", "age": "age"}, **arguments)
    x, labels = next(iter(data.train))
    assert x.shape == (8, 8, 8, 3) and np.isnan(labels["age"]).sum() == 4
    (root / "dog" / "001.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="Skipped 1 of 8"):
        data = tl.from_dataframe(
            frame, label={"kind": "kind", "age": "age"}, **arguments
        )
    assert len(examples_of(data.train)) == 7


# What is learnt of them


@pytest.fixture
def data():
    return tl.from_arrays(X, LABELS, class_names=NAMES, batch_size=8, seed=1)


NAMES = {"species": ["ant", "bee"], "tags": ["red", "flying"]}


@pytest.mark.slow
def test_keras_own_fit_learns_of_them(data):
    model = tl.image_classifier(tiny_backbone(blocks=1), HEADS)
    model.compile(keras.optimizers.Adam(0.01), **model.problem.compile_arguments())
    history = model.fit(
        data.train, validation_data=data.val, epochs=1, shuffle=False, verbose=0
    )
    assert np.isfinite(list(history.history.values())).all()
    assert {"species_accuracy", "val_length_mae"} <= set(history.history)
    pixels, rows = next(iter(examples_of(data.val).dataset(99)))
    labels = model.problem.unpack(rows)
    again = model.evaluate(pixels, labels, verbose=0, return_dict=True)
    for name in ("species_accuracy", "tags_accuracy", "length_mae"):
        found = history.history[f"val_{name}"][0]
        assert found == pytest.approx(again[name], rel=1e-4)


def test_rows_are_repacked_for_heads_in_another_order(data):
    assert pack_data(data.problem, data.val, "val") is not data.val
    same = pack_data(data.problem, data.train, "train")
    assert examples_of(same) is examples_of(data.train)
    assert reading_of(same).shuffled and reading_of(same).packed
    heads = {name: HEADS[name] for name in ("length", "species", "tags")}
    problem = Problem(data.problem.input, heads)
    packed = pack_data(problem, data.val, "val")
    rows, before = examples_of(packed).labels, examples_of(data.val).labels
    equal(before[:, [3, 0, 1, 2]], rows)
    equal(next(iter(packed))[1], rows)
    twice = pack_data(problem, packed, "val")
    equal(examples_of(twice).labels, rows)
    assert reading_of(packed).problem.named


def test_a_head_that_data_lack_is_missing():
    data = tl.from_arrays(X, {name: LABELS[name] for name in ("tags", "length")})
    names = {"tags": Labels(2), "length": Numbers(), "species": Classes(2)}
    problem = Problem(data.problem.input, names)
    rows = examples_of(pack_data(problem, data.val, "val")).labels
    assert np.isnan(rows[:, 3]).all() and not np.isnan(rows[:, 0]).any()
    with pytest.raises(ValueError, match=r"no labels for \['species'\] in `train`"):
        pack_data(problem, data.train, "train")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"species": Classes(2), "tags": Labels(2)}, "No such head: 'length'"),
        (HEADS | {"species": Classes(["bee", "ant"])}, "in another order"),
        (HEADS | {"length": Numbers(2)}, r"'length' in `train` must have shape"),
        (Classes(2), r"several heads, \['species', 'tags', 'length'\]"),
    ],
)
def test_heads_that_do_not_fit_the_model(data, outputs, message):
    problem = Problem(data.problem.input, outputs)
    with pytest.raises(ValueError, match=message):
        pack_data(problem, data.train, "train")


def test_texts_have_heads_too():
    texts = [f"text {i}" for i in range(20)]
    data = tl.from_arrays(
        texts, {"good": [0, 1] * 10, "stars": np.linspace(1, 5, 20)}, batch_size=4
    )
    x, labels = next(iter(data.val))
    assert x.dtype == "string" and set(labels) == {"good", "stars"}


def test_a_categorical_column_of_pandas_may_have_gaps():
    import pandas as pd

    kinds = pd.Categorical(["a", None, "b", "a"] * 5)
    data = tl.from_arrays(X[:20], {"kind": kinds, "size": np.arange(20.0)})
    assert data.class_names == {"kind": ("a", "b")}
