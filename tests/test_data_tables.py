"""`from_csv` and `from_dataframe`: every row comes out, or is named."""

import ast
import csv
import gzip
import json
import re
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from helpers import needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from images import encode, picture, write_class_folders

import tlkeras as tl
from tlkeras.data import image_folder
from tlkeras.data.table_files import read_files
from tlkeras.inputs.examples import examples_of
from tlkeras.outputs import read_labels

WHOLE = {"validation_split": 0, "test_split": 0}
TEXTS = [f"film number {i}" for i in range(20)]


def write(path, rows, header="text,label"):
    """Writes lines of text to a file."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="")
    return path


@pytest.fixture
def films(tmp_path):
    rows = [f"{text},{'good' if i % 2 else 'bad'}" for i, text in enumerate(TEXTS)]
    return write(tmp_path / "films.csv", rows)


def contents(dataset):
    """Returns the texts and labels behind a dataset, in the stored order."""
    examples = examples_of(dataset)
    texts = examples.inputs.numpy()[examples.rows]
    texts = np.vectorize(bytes.decode, otypes=[object])(texts)
    return texts.tolist(), examples.labels.tolist()


def sizes(data):
    parts = (data.train, data.val, data.test)
    return [0 if part is None else len(examples_of(part)) for part in parts]


# What is read


def test_a_csv_file(films):
    data = tl.from_csv(films, batch_size=4)
    assert sizes(data) == [14, 3, 3]
    assert data.class_names == ("bad", "good")
    assert (data.task, data.problem.input.kind) == ("classification", "texts")
    seen = []
    for part in (data.train, data.val, data.test):
        texts, labels = contents(part)
        assert [int(text.split()[-1]) % 2 for text in texts] == labels
        seen += texts
    assert sorted(seen) == sorted(TEXTS)
    x, y = next(iter(data.train))
    assert (x.dtype, x.shape, y.dtype) == ("string", (4,), "int32")


def test_rows_keep_their_order(films):
    assert contents(tl.from_csv(films, **WHOLE).train) == (TEXTS, [0, 1] * 10)


FILES = {
    "a.csv": 'text,label\r\n"one, ""two""\r\nthree",1\r\nfour,0\r\n',
    "a.tsv": "text\tlabel\none\t1\nfour\t0\n",
    "a.jsonl": '{"text": "one", "label": 1}\n{"label": 0, "text": "four"}\n\n',
    "a.ndjson": '{"text": "one", "label": 1}\r\n{"text": "four", "label": 0}',
    "a.json": '{"text": "one", "label": 1}\n{"text": "four", "label": 0}\n',
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(tmp_path, name, is_packed):
    path = tmp_path / (name + ".gz" * is_packed)
    raw = FILES[name].encode("utf-8-sig" if name == "a.csv" else "utf-8")
    path.write_bytes(gzip.compress(raw) if is_packed else raw)
    first = 'one, "two"\r\nthree' if name == "a.csv" else "one"
    data = tl.from_csv(path, **WHOLE)
    assert contents(data.train) == ([first, "four"], [1, 0])
    assert data.class_names == ("0", "1")


def test_quotes_in_a_tsv_file_are_characters(tmp_path):
    texts = ['"an open quote', 'a "b" c', "it 's", '"closed"', "u\u2028v", "w\x0cx"]
    rows = [f"{i % 2}\t{text}" for i, text in enumerate(texts)]
    path = write(tmp_path / "a.tsv", rows, "label\tsentence")
    assert contents(tl.from_csv(path, **WHOLE).train)[0] == texts


def test_words_for_nothing_are_texts(tmp_path):
    words = ["NA", "null", "None", "nan", "N/A", "-", "True", "0"]
    path = write(tmp_path / "a.csv", [f"{w},{i % 2}" for i, w in enumerate(words)])
    data = tl.from_csv(path, text="text", **WHOLE)
    assert contents(data.train)[0] == words


# No lone surrogates (not UTF-8), and no control characters (line breaks, tabs).
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    str.strip
)


NAMES = ("a.csv", "a.tsv", "a.jsonl", "b.jsonl")


@settings(max_examples=12, deadline=None)
@given(st.lists(TEXT, min_size=2, max_size=12), st.sampled_from(NAMES))
def test_any_texts_come_back_in_order(tmp_path_factory, texts, batched):
    folder = tmp_path_factory.mktemp("tables")
    frame = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(len(texts))]})
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t", quoting=csv.QUOTE_NONE)
    frame.to_json(folder / "a.jsonl", orient="records", lines=True)
    with open(folder / "b.jsonl", "w", encoding="utf-8") as file:
        for row in frame.to_dict("records"):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for name in NAMES:
        table = read_files([folder / name], "utf-8")
        assert table.columns["text"] == texts
        assert table.lines.tolist() == [
            i + (not name.endswith("l")) for i in range(1, len(texts) + 1)
        ]
    # One of them: the datasets take longer than all files.
    data = tl.from_csv(folder / batched, text="text", **WHOLE)
    assert contents(data.train) == (texts, frame["label"].tolist())


def test_a_cell_may_be_longer_than_the_csv_module_allows(tmp_path):
    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", [f"{'word ' * 40_000},1", "short,0"])
    assert len(contents(tl.from_csv(path, **WHOLE).train)[0][0]) == 200_000
    assert csv.field_size_limit() == before


def test_another_encoding(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nüble Güte,1\nok,0\n", encoding="latin-1")
    data = tl.from_csv(path, encoding="latin-1", **WHOLE)
    assert contents(data.train)[0] == ["üble Güte", "ok"]


def test_files_are_joined(tmp_path, films):
    more = write(tmp_path / "more.csv", ["good,another film"], "label,text")
    texts, labels = contents(tl.from_csv([films, more], **WHOLE).train)
    assert texts == [*TEXTS, "another film"]
    assert labels == [0, 1] * 10 + [1]


def test_parts_with_other_headers_share_their_classes(tmp_path):
    train = write(
        tmp_path / "train.tsv", ["b\tx", "a\ty", "c\tz"] * 8, "kind\tsentence"
    )
    test = write(tmp_path / "dev.tsv", ["c\tu", "a\tv", "b\tw"], "label\tcontent")
    data = tl.from_csv(
        {"test": test, "train": train},
        text={"train": "sentence", "test": "content"},
        label={"train": "kind", "test": "label"},
        validation_split=0.25,
    )
    assert sizes(data) == [18, 6, 3]
    assert data.class_names == ("a", "b", "c")
    assert contents(data.test) == (["u", "v", "w"], [2, 0, 1])


def test_a_column_names_the_part(tmp_path):
    names = ["Training", "dev", "test_set", "train "] * 2
    rows = [f"text {i},{i // 4},{name}" for i, name in enumerate(names)]
    path = write(tmp_path / "a.csv", rows, "text,label,fold")
    data = tl.from_csv(path, split="fold")
    assert sizes(data) == [4, 2, 2]
    assert contents(data.val) == (["text 1", "text 5"], [0, 1])
    write(path, [*rows, "text 8,1,extra"], "text,label,fold")
    with pytest.raises(ValueError, match=r"1 of 9 .*a\.csv:10 has 'extra' in column"):
        tl.from_csv(path, split="fold")


def test_pairs_of_texts(tmp_path):
    rows = [f"question {i},answer {i},{i % 2}" for i in range(8)]
    path = write(tmp_path / "a.csv", rows, "q,a,label")
    data = tl.from_csv(path, text=("q", "a"), batch_size=4, **WHOLE)
    texts, labels = contents(data.train)
    assert texts == [[f"question {i}", f"answer {i}"] for i in range(8)]
    assert labels == [0, 1] * 4
    assert next(iter(data.train))[0].shape == (4, 2)
    assert data.problem.input.kind == "text pairs"
    swapped = tl.from_csv(path, text=["a", "q"], **WHOLE)
    prints = {examples_of(d.train).fingerprint() for d in (data, swapped)}
    assert len(prints) == 2


def test_columns_and_files_come_in_every_form_that_has_an_order(tmp_path):
    write(tmp_path / "a.csv", ["x,1,0", "y,0,1", "z,1,1"], "text,a,b")
    frame = pd.read_csv(tmp_path / "a.csv")
    for label in (frame.columns[1:], np.array(["a", "b"]), iter("ab")):
        data = tl.from_dataframe(frame, text="text", label=label, **WHOLE)
        assert data.class_names == ("a", "b")
    for files in (tmp_path.glob("*.csv"), pd.Series([tmp_path / "a.csv"])):
        assert sizes(tl.from_csv(files, label=["a", "b"], **WHOLE)) == [3, 0, 0]
    with pytest.raises(ValueError, match="`path` is a set"):
        tl.from_csv({tmp_path / "a.csv"}, label=["a", "b"])


def test_a_frame_reads_as_its_file(films):
    frame = pd.read_csv(films)
    data, other = tl.from_csv(films), tl.from_dataframe(frame)
    for part in ("train", "val", "test"):
        assert contents(getattr(data, part)) == contents(getattr(other, part))
    mixed = tl.from_dataframe({"train": frame[:12], "valid": frame[12:]}, test_split=0)
    assert sizes(mixed) == [12, 8, 0]
    assert contents(mixed.val)[0] == TEXTS[12:]


# Labels


def frame_of(labels, **columns):
    return pd.DataFrame(
        {"text": [f"text {i}" for i in range(len(labels))], "label": labels} | columns
    )


@pytest.mark.parametrize(
    ("labels", "kwargs", "names", "ids"),
    [
        ([1, 0, 2] * 2, {}, ("0", "1", "2"), [1, 0, 2] * 2),
        ([1.0, 0.0] * 2, {}, ("0", "1"), [1, 0] * 2),
        (["b", "a"] * 2, {}, ("a", "b"), [1, 0] * 2),
        (["b", "a"] * 2, {"class_names": ["b", "a"]}, ("b", "a"), [0, 1] * 2),
        ([1, 0] * 2, {"class_names": ["no", "yes"]}, ("no", "yes"), [1, 0] * 2),
        ([5, 3] * 2, {"class_names": ["3", "5"]}, ("3", "5"), [1, 0] * 2),
        (pd.Categorical(["b", "a"] * 2), {}, ("a", "b"), [1, 0] * 2),
        (pd.array([1, 0] * 2, dtype="Int64"), {}, ("0", "1"), [1, 0] * 2),
    ],
)
@pytest.mark.parametrize("from_file", [False, True])
def test_classes(tmp_path, from_file, labels, kwargs, names, ids):
    frame = frame_of(labels)
    if from_file:
        frame.to_csv(tmp_path / "a.csv", index=False)
        data = tl.from_csv(tmp_path / "a.csv", **kwargs, **WHOLE)
    else:
        data = tl.from_dataframe(frame, **kwargs, **WHOLE)
    assert data.class_names == names
    assert contents(data.train)[1] == ids
    assert examples_of(data.train).labels.dtype == np.int32


# What a label says, and the name that it is of, whatever it comes in.
SAME_EVERYWHERE = {
    "booleans": ([True, False], None, ["True", "False"]),
    "booleans, true first": ([True, False], ["True", "False"], ["True", "False"]),
    "booleans, small": ([True, False], ["true", "false"], ["true", "false"]),
    "booleans as yes": ([True, False], ["yes", "no"], ["yes", "no"]),
    "booleans as on": ([True, False], ["on", "off"], ["on", "off"]),
    "booleans as 1": ([True, False], ["1", "0"], ["1", "0"]),
    "booleans by position": ([True, False], ["bad", "good"], ["good", "bad"]),
    "words of booleans": (["TRUE", "false"], ["True", "False"], ["True", "False"]),
    "whole floats": (["1.0", "4.0"], list("12345"), ["1", "4"]),
    "floats": ([1.0, 4.0], list("12345"), ["1", "4"]),
    "decimals": ([Decimal("1.0"), Decimal(2)], ["1", "2", "3"], ["1", "2"]),
    "signs": (["+1", "-1"], ["-1", "1"], ["1", "-1"]),
    "signed numbers": ([1, -1], ["-1", "1"], ["1", "-1"]),
    "names before positions": ([1, 2], ["1", "2", "3"], ["1", "2"]),
    "positions": ([2, 0], ["a", "b", "c"], ["c", "a"]),
    "positions in strings": (["2", "0"], ["a", "b", "c"], ["c", "a"]),
    "padded": (["02", "01"], None, ["02", "01"]),
    "padded, named without": (["02", "01"], ["1", "2"], ["2", "1"]),
}


@pytest.mark.parametrize("source", ["csv", "jsonl", "frame", "arrays", "series"])
@pytest.mark.parametrize("case", SAME_EVERYWHERE)
def test_a_label_means_the_same_from_everywhere(tmp_path, case, source):
    labels, class_names, expected = SAME_EVERYWHERE[case]
    frame = frame_of(labels * 2)
    arguments = {"class_names": class_names, **WHOLE}
    if source == "frame":
        data = tl.from_dataframe(frame, **arguments)
    elif source in ("arrays", "series"):
        y = frame["label"] if source == "series" else labels * 2
        data = tl.from_arrays(frame["text"].tolist(), y, **arguments)
    else:
        path = tmp_path / f"a.{source}"
        if source == "csv":
            frame.to_csv(path, index=False)
        else:
            rows = frame.to_dict("records")
            lines = (json.dumps(row, default=float) + "\n" for row in rows)
            path.write_text("".join(lines))
        data = tl.from_csv(path, **arguments)
    found = [data.class_names[i] for i in examples_of(data.train).labels]
    assert found == expected * 2
    if class_names:
        assert data.class_names == tuple(class_names)


def test_numbers_that_could_be_names_are_said_to_be_positions():
    frame = frame_of([0, 1, 2, 3])
    with pytest.warns(UserWarning, match="as a name '3' is not among these"):
        data = tl.from_dataframe(frame, class_names=["0", "1", "10", "2"], **WHOLE)
    assert examples_of(data.train).labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="By position 0 would be 'True'"):
        tl.from_dataframe(frame_of([0, 1]), class_names=["True", "False"], **WHOLE)


@pytest.mark.parametrize("labels", [["+1", "-1"], ["1.0", "2.0", "3.0"], [3, 5]])
def test_the_names_that_a_message_proposes_do(tmp_path, labels):
    frame_of(labels * 2).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="class_names=") as caught:
        tl.from_csv(tmp_path / "a.csv", **WHOLE)
    proposed = re.search(r"class_names=(\[.*?\])", str(caught.value)).group(1)
    data = tl.from_csv(
        tmp_path / "a.csv", class_names=ast.literal_eval(proposed), **WHOLE
    )
    numbers = sorted(float(label) for label in labels)
    assert [float(name) for name in data.class_names] == numbers


@pytest.mark.parametrize("from_file", [False, True])
def test_a_comma_in_numbers_is_said(tmp_path, from_file):
    frame = frame_of(["3,5", "4,0", "2,7"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="with a comma, such as '2,7'.*decimal=','"):
        if from_file:
            tl.from_csv(tmp_path / "a.csv", **WHOLE)
        else:
            tl.from_arrays(frame["text"].tolist(), ["3,5", "2,7"], **WHOLE)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1,000", "2,500"], r"between thousands, such as '1,000'.*thousands=','"),
        (["1,000,000", "2,500.5"], "between thousands"),
        (["1,000", "2,5"], "decimal=','"),
        (["1.000,5", "20,5"], "plain numbers"),
        (["1 000", "20 000"], "plain numbers"),
        (["$5", "$6.50"], r"such as '\$5'"),
        (["50%", "5 %"], "with a unit"),
    ],
)
def test_numbers_as_people_write_them_are_no_classes(labels, message):
    with pytest.raises(ValueError, match=message):
        read_labels(labels * 2)
    assert read_labels(labels * 2, task="classification")[0].task == "classification"
    assert len(read_labels([*labels, "a", "b", "c 1"])[0].class_names) == 5


def test_decimals_are_numbers():
    prices = [Decimal("3.50"), Decimal("2.70"), Decimal("1")]
    data = tl.from_dataframe(frame_of(prices), **WHOLE)
    assert data.task == "regression"
    other = tl.from_arrays(["a", "b", "c"], np.array(prices), **WHOLE)
    for each in (data, other):
        np.testing.assert_allclose(examples_of(each.train).labels, [3.5, 2.7, 1])


@pytest.mark.parametrize("source", ["frame", "arrays"])
@pytest.mark.parametrize("order", [["low", "mid", "high"], [3, 1, 2]])
def test_ordered_categories_keep_their_order(source, order):
    column = pd.Categorical(order * 2, [*order, "none"], ordered=True)
    frame = frame_of(column)
    if source == "frame":
        data = tl.from_dataframe(frame, **WHOLE)
    else:
        data = tl.from_arrays(frame["text"].tolist(), frame["label"], **WHOLE)
    assert data.class_names == tuple(map(str, order))
    assert examples_of(data.train).labels.tolist() == [0, 1, 2] * 2


def test_booleans_in_columns_of_a_file(tmp_path):
    path = write(tmp_path / "a.csv", ["x,True,False", "y,TRUE,true"], "text,a,b")
    data = tl.from_csv(path, text="text", label=["a", "b"], **WHOLE)
    assert contents(data.train)[1] == [[1, 0], [1, 1]]


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize(
    ("columns", "label", "task", "expected_task", "names", "expected"),
    [
        ({"a": [0.5, 2, -1]}, "a", None, "regression", None, [0.5, 2, -1]),
        ({"a": [7, 2, -1]}, "a", "regression", "regression", None, [7, 2, -1]),
        (
            {"a": [1, 0, 1], "b": [1, 0, 0]},
            ["a", "b"],
            None,
            "multi_label",
            ("a", "b"),
            [[1, 1], [0, 0], [1, 0]],
        ),
        (
            {"a": [1, 0, 1], "b": [0, 1, 0]},
            ["b", "a"],
            None,
            "classification",
            ("b", "a"),
            [1, 0, 1],
        ),
        (
            {"a": [0.5, 2, 3], "b": [1, 0, 0]},
            ["a", "b"],
            None,
            "regression",
            None,
            [[0.5, 1], [2, 0], [3, 0]],
        ),
    ],
)
def test_other_tasks(
    tmp_path, from_file, columns, label, task, expected_task, names, expected
):
    frame = pd.DataFrame({"text": ["x", "y", "z"]} | columns)
    arguments = {"label": label, "task": task, "text": "text", **WHOLE}
    if from_file:
        frame.to_csv(tmp_path / "a.csv", index=False)
        data = tl.from_csv(tmp_path / "a.csv", **arguments)
    else:
        data = tl.from_dataframe(frame, **arguments)
    assert (data.task, data.class_names) == (expected_task, names)
    assert contents(data.train)[1] == expected


@pytest.mark.parametrize("words", ["True False", "TRUE FALSE", "true false"])
def test_true_and_false_are_numbers_in_several_columns(tmp_path, words):
    true, false = words.split()
    rows = [f"x,{true},{false}", f"y,{false},{true}", f"z,{true},{true}"]
    path = write(tmp_path / "a.csv", rows, "text,a,b")
    data = tl.from_csv(path, text="text", label=["a", "b"], **WHOLE)
    assert (data.task, data.class_names) == ("multi_label", ("a", "b"))
    assert contents(data.train)[1] == [[1, 0], [0, 1], [1, 1]]
    framed = tl.from_dataframe(
        pd.read_csv(path), text="text", label=["a", "b"], **WHOLE
    )
    assert contents(framed.train) == contents(data.train)


LISTS = [["red"], ["red", "round"], "round", [], {"red"}, ("round", "red")]
ROWS = [[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    "form", ["frame", "csv", "numpy csv", "jsonl", "head", "array"]
)
def test_lists_in_cells_are_several_labels(tmp_path, form):
    frame = frame_of(LISTS)
    if form == "csv":
        frame.to_csv(tmp_path / "a.csv", index=False)
        data = tl.from_csv(tmp_path / "a.csv", **WHOLE)
    elif form == "numpy csv":
        frame.label = [str(np.array(x)) if isinstance(x, list) else x for x in LISTS]
        data = tl.from_dataframe(frame, **WHOLE)
    elif form == "jsonl":
        frame.label = [list(x) if isinstance(x, set) else x for x in LISTS]
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
        data = tl.from_csv(tmp_path / "a.jsonl", **WHOLE)
    elif form == "head":
        frame.loc[6], frame["cm"] = ["text 6", None], 0.5
        label = {"looks": "label", "cm": "cm"}
        data = tl.from_dataframe(frame, label=label, **WHOLE)
        looks = examples_of(data.train).labels[:, :2]
        assert data.class_names == {"looks": ("red", "round")}
        np.testing.assert_array_equal(looks, [*ROWS, [np.nan, np.nan]])
        return
    else:
        y = frame.label if form == "array" else LISTS
        data = tl.from_arrays(list(frame.text), y, **WHOLE)
    assert (data.task, data.class_names) == ("multi_label", ("red", "round"))
    assert contents(data.train)[1] == ROWS


@pytest.mark.parametrize("given", [None, ["b", "a"]])
def test_lists_of_one_label_each_are_classes(given):
    frame = frame_of([["a"], ["b"]] * 2)
    data = tl.from_dataframe(frame, class_names=given, **WHOLE)
    assert (data.task, data.class_names) == ("classification", tuple(given or "ab"))
    assert contents(data.train)[1] == ([1, 0] if given else [0, 1]) * 2
    several = tl.from_dataframe(frame, task="multi_label", **WHOLE)
    assert contents(several.train)[1] == [[1, 0], [0, 1]] * 2


@pytest.mark.parametrize(
    ("label", "kwargs", "message"),
    [
        ([1, 2], {}, r"has \[1, 2\], where each label must be a name"),
        (["a", None], {}, "each label must be a name"),
        ({"a": 1}, {}, r"has \{'a': 1\}, where each label must be a name"),
        (["reed"], {"class_names": ["red", "a"]}, "'reed', .*`class_names`.*'red'"),
        (["a", "b"], {"task": "classification"}, "'b'.*, which is not one label"),
        (["a", "b"], {"task": "regression"}, "must be numbers, not lists"),
    ],
)
def test_what_lists_in_cells_must_hold(label, kwargs, message):
    frame = frame_of([["a"], ["red"], label] * 2)
    with pytest.raises(ValueError, match=message):
        tl.from_dataframe(frame, **kwargs, **WHOLE)
    if kwargs.keys() <= {"class_names"} and label != [1, 2]:
        with pytest.raises(ValueError, match=f"`y` .*{message}"):
            tl.from_arrays(list(frame.text), list(frame.label), **kwargs, **WHOLE)


NOT_NAMES = [
    (["[2]", "[2,3]"], r"cell such as '\[2\]'.*label=\['a'"),
    (["[2 3]", "[2 1]"], "list no names"),
    (["[1. 0. 0.]", "[0. 1. 0.]"], "list no names"),
    ([[2], [2, 3]], r"cell such as \[2\].*str\(i\)"),
    ([[1, 0], [0, 1]], r"from_arrays\(x, rows\)"),
    ([{"a": 1}, {"b": 0}], "list no names"),
    ([range(1), range(2)], "list no names"),
    (["a", "['a', nan]"], "each label must be a name"),
    (["a", "[red, blue]"], "each label must be a name"),
    (["frozenset({'a'})", "array(['b'], dtype=object)"], None),
    ([pd.Series(["a"]), np.array(["b"], object)], None),
    ([b"a", tf.constant("b")], None),
    (["(0, 10]", "[UNK]"], ["(0, 10]", "[UNK]"]),
]


@pytest.mark.parametrize(("labels", "found"), NOT_NAMES)
def test_cells_that_spell_lists_are_no_names_of_classes(labels, found):
    frame = frame_of([labels[i % 2] for i in range(4)])
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            tl.from_dataframe(frame, **WHOLE)
        return
    data = tl.from_dataframe(frame, **WHOLE)
    assert list(data.class_names) == (found or ["a", "b"])
    # As the user wrote them.
    both = ["[0, 1]", "(a)"]
    data = tl.from_dataframe(frame_of(both * 2), class_names=both, **WHOLE)
    assert data.class_names == tuple(both)


# Rows that cannot be used


BAD_CSV = {
    "empty text": (",good", "has no text|has an empty text"),
    "blank text": ("   ,good", "has an empty text in column 'text'"),
    "empty label": ("a text,", "has no label in column 'label'"),
    "three cells": ("a text, with a comma,good", "has 3 cells, where the header has 2"),
    "one cell": ("a text", "has 1 cell, where the header has 2"),
    "quote": ('"a" text,good', "misplaced quote"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_rows_are_named_by_line_and_can_be_skipped(tmp_path, case):
    row, message = BAD_CSV[case]
    good = [f'"two\nlines {i}",{"good" if i % 2 else "bad"}' for i in range(6)]
    path = write(tmp_path / "a.csv", [*good[:2], row, *good[2:]])
    with pytest.raises(ValueError, match=rf"1 of 7 rows .*a\.csv:6 .*({message})"):
        tl.from_csv(path, text="text")
    with pytest.warns(UserWarning, match=r"Skipped 1 of 7 rows: .*a\.csv:6 ") as caught:
        data = tl.from_csv(path, text="text", errors="skip", **WHOLE)
    assert caught[0].filename == __file__
    assert [place for place, _ in data.skipped] == [f"{path}:6"]
    assert contents(data.train)[0] == [f"two\nlines {i}" for i in range(6)]
    assert "1 row skipped:" in str(data.describe())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 3, "label": 1}', r"has 3 \(int\) in place of a text"),
        ('{"text": null, "label": 1}', "has no text"),
        ('{"label": 1}', "has no text"),
        ('{"text": "a", "label": NaN}', "has no label"),
        ('{"text": "a"}', "has no label"),
        ('{"text": "\\ud800", "label": 1}', "not UTF-8"),
        ('{"text": "a", "label": 1', "not valid JSON"),
        ("[1, 2]", "is a JSON list"),
    ],
)
def test_bad_json_lines(tmp_path, line, message):
    good = [json.dumps({"text": f"t{i}", "label": i % 2}) for i in range(4)]
    path = write(tmp_path / "a.jsonl", [line, *good[1:]], good[0])
    with pytest.raises(ValueError, match=rf"1 of 5 rows .*a\.jsonl:2 .*{message}"):
        tl.from_csv(path, text="text")


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "a.csv"
    rows = [b"gut,1", b"\xfcbel,0", b"fein,1", b"fad,0"]
    path.write_bytes(b"\n".join([b"text,label", *rows]))
    with pytest.raises(ValueError, match=r"a\.csv:3 has .* not UTF-8.*pass `encoding`"):
        tl.from_csv(path)
    with pytest.warns(UserWarning, match="Skipped 1 of 4 rows"):
        data = tl.from_csv(path, errors="skip", **WHOLE)
    assert contents(data.train) == (["gut", "fein", "fad"], [1, 1, 0])
    path.write_bytes(b"text,label\na,g\xfct\nb,fad\n")
    with pytest.raises(ValueError, match=r"a\.csv:2 has .*not UTF-8.*'label'"):
        tl.from_csv(path)
    path.write_bytes(b"text,g\xfcte\na,1\nb,0\n")
    with pytest.raises(ValueError, match="the header, is not valid UTF-8"):
        tl.from_csv(path)


def test_bad_rows_of_a_frame_are_named_by_position():
    frame = frame_of(["a", "b"] * 4)
    frame["text"] = ["x", None, float("nan"), 4.5, "", "y", "z", pd.NA]
    frame.index = range(100, 108)
    with pytest.raises(ValueError, match=r"5 of 8 .*frame\.iloc\[1\] has no text") as e:
        tl.from_dataframe(frame, text="text")
    for position in (2, 3, 4, 7):
        assert f"frame.iloc[{position}]" in str(e.value)
    with pytest.warns(UserWarning, match="Skipped 5 of 8"):
        data = tl.from_dataframe(frame, text="text", errors="skip", **WHOLE)
    assert contents(data.train) == (["x", "y", "z"], [0, 1, 0])


def test_a_lost_class_does_not_hide_the_row_that_it_was_lost_with():
    frame = frame_of([0, 1, 2, 0])
    frame.loc[1, "text"] = ""
    with pytest.raises(ValueError, match=r"frame\.iloc\[1\] has an empty text"):
        tl.from_dataframe(frame, text="text")


def test_a_part_without_any_usable_row():
    frames = {"train": frame_of([0, 1] * 8), "test": frame_of([5, 6])}
    with pytest.raises(ValueError, match="No row can be used in the part 'test'"):
        tl.from_dataframe(frames, errors="skip")


def test_only_the_first_bad_rows_are_listed(tmp_path):
    path = write(tmp_path / "a.csv", ["x,1", "y,0", *[",1"] * 50])
    with pytest.raises(ValueError, match="50 of 52 rows.*and 45 more. Mend them") as e:
        tl.from_csv(path, text="text")
    assert str(e.value).count("a.csv:") == 5


@pytest.mark.parametrize(
    ("train", "test", "kwargs", "reason"),
    [
        (["a", "b"], ["a", "c"], {}, "label 'c', which is not among the classes of t"),
        (["pos", "neg"], ["pos", "nge"], {}, "'nge'.*Did you mean 'neg'"),
        ([0, 1], [0, 2], {}, "label 2; class ids in training are 0 to 1"),
        ([0, 1], [0, -1], {}, "label -1; class ids in training are 0 to 1"),
        (
            ["a", "b"],
            ["a", "c"],
            {"class_names": ["a", "b"]},
            "not among `class_names`",
        ),
        ([0, 1], [1, 7], {"class_names": ["x", "y"]}, "'x', 'y' are 0 to 1"),
        ([0, 1, 0], [1, "NA"], {}, "label 'NA'"),
        ([0.5, 1], [2, "?"], {}, "label '\\?', which is not a finite number"),
        ([0.5, 1], [2, float("inf")], {}, "label inf, which is not a finite number"),
    ],
)
def test_unknown_labels(train, test, kwargs, reason):
    frames = {"train": frame_of(train * 4), "test": frame_of(test)}
    with pytest.raises(ValueError, match=rf"frame\['test'\]\.iloc\[1\] .*{reason}"):
        tl.from_dataframe(frames, **kwargs)
    with pytest.warns(UserWarning) as caught:
        data = tl.from_dataframe(frames, errors="skip", **kwargs)
    assert "Skipped 1 of" in str(caught[0].message)
    assert len(contents(data.test)[0]) == 1


# Tables that cannot be read at all


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "\n \n", "is empty"),
        ("a.csv", "text,label\n", "no row below it"),
        ("a.csv", "text,label,text\nx,1,y\n", r"same name twice: \['text'\]"),
        ("a.csv", "text;label\nx;1\n", "one column: 'text;label'.*sep="),
        ("a.csv", 'text,label\nx,1\n"y,0\nz,1\n', "a.csv:3 opens a quote"),
        ("a.csv", "txt,label\nx,1\n", "No such column.*'text'.*Did you mean 'txt'"),
        ("a.csv", "text,class\nx,1\n", "label='label'.*columns are .'text', 'class'"),
        ("a.json", '[{"text": "x", "label": 1}]', "one JSON array"),
        ("a.xlsx", "x", "must end in .csv, .tsv"),
        (
            "a.csv.gz",
            "text,label\nx,1",
            "cannot be read: Not a gzipped file.*without '.gz'",
        ),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        tl.from_csv(tmp_path / name, text="text")


def test_blank_lines_and_blanks_around_labels_are_no_part_of_a_file(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"text {i}, c{i % 2} " for i in range(8)]
    path.write_text("\n\n".join(["text, label", *rows]))
    data = tl.from_csv(path, **WHOLE)
    assert data.class_names == ("c0", "c1")
    assert len(contents(data.train)[0]) == 8


def test_blank_lines_of_json_are_no_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": f"text {i}", "label": i % 2}) for i in range(4)]
    path.write_text("\n\n".join(["", *rows, " ", ""]))
    data = tl.from_csv(path, **WHOLE)
    assert contents(data.train)[0] == [f"text {i}" for i in range(4)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_damaged_and_misnamed_gzip(tmp_path, name):
    packed = bytearray(gzip.compress(b"text,label\n" + b"some text,1\n" * 50))
    message = "is compressed by gzip: name it .*a.csv.gz"
    if name.endswith(".gz"):
        packed[12:24] = bytes(12)
        message = "cannot be read: "
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(ValueError, match=message):
        tl.from_csv(tmp_path / name)


@pytest.mark.parametrize(
    "words", [("fine", "dull"), ("\u5f88\u597d\u7684", "\u7cdf\u7cd5")]
)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32"])
def test_wide_encodings_are_recognised(tmp_path, encoding, words):
    path = tmp_path / "a.csv"
    first, second = (20 * word for word in words)
    path.write_bytes(f"text,label\n{first},1\n{second},0\n".encode(encoding))
    with pytest.raises(ValueError, match=f"pass encoding='{encoding}'"):
        tl.from_csv(path)
    assert len(contents(tl.from_csv(path, encoding=encoding, **WHOLE).train)[0]) == 2


def test_a_zip_archive_is_no_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("a", "text,label")
    with pytest.raises(ValueError, match="is a zip archive.*read_excel"):
        tl.from_csv(tmp_path / "a.csv")


def test_utf16_is_recognised(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,1\ny,0\n", encoding="utf-16")
    with pytest.raises(ValueError, match="encoding='utf-16'"):
        tl.from_csv(path)
    data = tl.from_csv(path, encoding="utf-16", **WHOLE)
    assert contents(data.train)[0] == ["x", "y"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"text": "text", "image": "text"}, "not both"),
        ({"text": ["text"] * 3}, "one column or two"),
        ({"text": []}, "names no column"),
        ({"text": {"test": "text"}}, "must have 'train'"),
        ({"text": {"train": "text", "more": "text"}}, "No such part of the data"),
        ({"text": {1, 2}}, "`text` is a set, which has no order"),
        ({"split": "fold"}, "No such column.*split='fold'"),
        ({"split": "label"}, "No row of .*films.csv has 'train'.*'bad', 'good'"),
        ({"task": "ranking"}, "task"),
        ({"task": "multi_label"}, "one column of 0 and 1 for each label"),
        ({"task": "regression"}, "'bad', which is not a finite number"),
        ({"class_names": ["bad"]}, "'good', which is not among `class_names`"),
        ({"class_names": "bad"}, "list of names"),
        (
            {"text": "text", "label": ["label", "text"]},
            "'bad' in column 'label', which is not a fin",
        ),
        ({"errors": "ignore"}, "errors"),
        ({"encoding": "utf-9"}, "No such encoding"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"validation_split": 2}, "validation_split"),
        ({"image_size": 0}, "image_size"),
        ({"color_mode": "hsv"}, "color_mode"),
    ],
)
def test_bad_arguments(films, kwargs, message):
    with pytest.raises(ValueError, match=message):
        tl.from_csv(films, **kwargs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([[[1, 2]]], "must be a pandas DataFrame. Received: list"),
        ([pa.table({"text": ["a"]})], r"Received: Table. Pass `frame.to_pandas\(\)`"),
        ([frame_of([])], "has no rows"),
        ([pd.DataFrame([["a", 1]], columns=["x", "x"])], "same column name twice"),
        ([{"test": frame_of([0, 1])}], "must have 'train'"),
        ([{"train": frame_of([0]), "val": 3}], r"frame\['val'\]` must be a pandas"),
        ([frame_of([0, 5])], r"class_names=\['0', '5'\]"),
        ([frame_of([-1, 1])], r"class_names=\['-1', '1'\]"),
        ([frame_of([0, 1], title=["a", "b"])], r"several columns.*\['text', 'title'\]"),
        ([frame_of([0, 1])[["label"]]], "no column of texts"),
        ([frame_of([0, 0])], "at least two classes"),
        ([frame_of([0, 0, 1])], "class '1' has 1 example"),
    ],
)
def test_frames_that_do_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        tl.from_dataframe(*arguments)


def test_files_that_are_not_there(tmp_path, films):
    with pytest.raises(ValueError, match="Did you mean 'films.csv'"):
        tl.from_csv(tmp_path / "film.csv")
    for nothing in ([], None, [None], frame_of([0, 1])):
        with pytest.raises(ValueError, match="`path` must be a file"):
            tl.from_csv(nothing)
    other = write(tmp_path / "other.csv", ["x,1"], "review,label")
    with pytest.raises(ValueError, match="joined must have the same columns"):
        tl.from_csv([films, other])
    with pytest.raises(ValueError, match="parts were given separately"):
        tl.from_csv({"train": films, "test": films}, split="label")


# Images


@pytest.fixture
def pictures(tmp_path):
    """Eight pictures in folders, and a CSV file beside them that lists them."""
    root = write_class_folders(tmp_path / "pictures", {"cat": 4, "dog": 4})
    rows = [f"{p.relative_to(root)},{p.parent.name}" for p in sorted(root.glob("*/*"))]
    return write(root / "list.csv", rows, "path,label")


def test_images_are_those_of_a_folder(pictures):
    arguments = {"image_size": (12, 16), "fit": "pad", **WHOLE}
    data = tl.from_csv(pictures, image="path", **arguments)
    folder = image_folder(pictures.parent, **arguments)
    its_input = data.problem.input
    assert (its_input.kind, its_input.image_size, its_input.fit) == (
        "images",
        (12, 16),
        "pad",
    )
    assert data.class_names == folder.class_names
    for part in (data, folder):
        assert examples_of(part.train).files == sorted(pd.read_csv(pictures)["path"])
    both = (examples_of(part.train).labels for part in (data, folder))
    np.testing.assert_array_equal(*both)
    x, _ = next(iter(data.train))
    assert x.shape == (8, 12, 16, 3)
    frame = pd.read_csv(pictures)
    framed = tl.from_dataframe(
        frame, image="path", image_root=pictures.parent, **arguments
    )
    prints = {examples_of(d.train).fingerprint() for d in (data, framed, folder)}
    assert len(prints) == 1


def test_images_that_cannot_be_read_are_skipped(pictures):
    damaged = pictures.parent / "cat" / "001.jpg"
    damaged.write_bytes(b"no picture")
    (pictures.parent / "dog" / "002.jpg").unlink()
    with pytest.warns(UserWarning, match="Skipped 2 of 8 rows.*001.jpg") as caught:
        data = tl.from_csv(pictures, image="path", image_size=8, **WHOLE)
    assert caught[0].filename == __file__
    assert len(examples_of(data.train)) == 6
    assert data.skipped[0][0] == str(damaged)
    assert examples_of(data.train).labels.tolist() == [0] * 3 + [1] * 3


def test_a_class_is_not_lost_with_its_images(pictures):
    with open(pictures, "a") as file:
        file.write("owl.jpg,owl\n")
    with pytest.raises(ValueError, match=r"No readable picture.*\['owl'\].*image_root"):
        tl.from_csv(pictures, image="path", **WHOLE)


def test_image_targets_and_missing_paths(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(encode(picture(seed=i), "PNG"))
    frame = pd.DataFrame({"path": ["0.png", "1.png", None, "3.png"]})
    frame["age"] = [0.5, 1.5, 2.5, 3.5]
    arguments = {"image": "path", "label": "age", "image_root": tmp_path}
    with pytest.raises(ValueError, match=r"iloc\[2\] has no image path"):
        tl.from_dataframe(frame, **arguments)
    with pytest.warns(UserWarning, match="Skipped 1 of 4"):
        data = tl.from_dataframe(frame, **arguments, errors="skip", **WHOLE)
    labels = examples_of(data.train).labels.tolist()
    assert (data.task, labels) == ("regression", [0.5, 1.5, 3.5])


@pytest.mark.parametrize("written", ["{0}\\{1:03d}", "./{0}/{1:03d}.jpg"])
def test_paths_may_lack_their_ending(pictures, written):
    names = np.repeat(["cat", "dog"], 4)
    paths = [written.format(name, i % 4) for i, name in enumerate(names)]
    frame = pd.DataFrame({"id": paths, "label": names})
    (pictures.parent / "cat" / "000.txt").write_text("no picture")
    arguments = {"image_size": 8, **WHOLE}
    found = tl.from_dataframe(
        frame, image="id", image_root=pictures.parent, **arguments
    )
    files = examples_of(tl.from_csv(pictures, image="path", **arguments).train).files
    assert examples_of(found.train).files == files


@pytest.mark.parametrize("ids", [[1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], list("1234")])
def test_numbers_may_be_names_of_files(tmp_path, ids):
    for i in range(1, 5):
        (tmp_path / f"{i}.PNG").write_bytes(encode(picture(seed=i), "PNG"))
    frame = pd.DataFrame({"id": ids, "label": list("aabb")})
    data = tl.from_dataframe(frame, image="id", image_root=tmp_path, **WHOLE)
    assert examples_of(data.train).files == [f"{i}.PNG" for i in range(1, 5)]
    with pytest.raises(ValueError, match=r"has 0\.5 in place of an image path"):
        tl.from_dataframe(frame.assign(id=0.5), image="id", image_root=tmp_path)
    for cell in (bytes(10**6), np.zeros((90, 90))):
        frame["id"] = [cell] * 4
        with pytest.raises(ValueError, match="in place of an image path") as caught:
            tl.from_dataframe(frame, image="id", image_root=tmp_path)
        assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pictures/cat/000.jpg", r"000\.jpg' exists: pass the image_root that paths"),
        ("/cat/000.jpg", r"pictures/cat/000\.jpg' exists"),
        ("cat/00.jpg", r"Did you mean '00\d\.jpg'"),
        ("cat/x", r"its folder holds '000\.jpg', '001\.jpg'"),
        ("cats/000.jpg", "there is no folder '.*pictures/cats'"),
    ],
)
@pytest.mark.parametrize("label", ["label", "age"])
def test_files_that_are_not_found_come_with_a_hint(pictures, path, message, label):
    frame = pd.DataFrame({"path": [path] * 4, "label": list("abab"), "age": 0.5})
    arguments = {"image": "path", "label": label, "image_root": pictures.parent}
    message = f"No readable picture.*No such file.*{message}"
    with pytest.raises(ValueError, match=message):
        tl.from_dataframe(frame, **arguments, **WHOLE)


@pytest.mark.real
def test_every_line_of_sst2_is_a_row():
    train = needs_shared("data", "sst2", "train.tsv")
    data = tl.from_csv(
        {"train": train, "test": train.with_name("dev.tsv")},
        text={"train": "sentence", "test": "content"},
        validation_split=0.05,
    )
    assert sum(sizes(data)[:2]) == 67_349
    assert sizes(data)[2] == 872
    assert data.class_names == ("0", "1")
