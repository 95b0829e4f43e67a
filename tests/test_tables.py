"""Tables as an input: columns, backbones, pretraining, transfer from another table."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import assert_equal_weights, weights_of
from text_models import tiny_bert, tiny_f_net, tiny_gpt2, write_preset

import tlkeras as tl
from tlkeras.inputs import Texts
from tlkeras.inputs.tables.columns import FIRST, MISSING, OTHER
from tlkeras.inputs.tables.layers import WIDTH_OF_NUMBER, TableCells
from tlkeras.inputs.tables.texts import TextCells, TextReader, text_cells
from tlkeras.predict_command import run_predict

QUIET = {"verbose": 0}
SMALL = {"width": 8, "blocks": 2}


def sales(n=240, seed=0):
    """Returns rows whose label hangs on a number and on a category."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": np.exp(rng.normal(size=n)),
            "age": rng.integers(18, 80, n).astype(float),
            "shop": rng.choice(list("abcde"), n),
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 700, n), "D"),
            "id": [f"u{i}" for i in range(n)],
        }
    )
    frame.loc[::9, "age"] = np.nan
    frame.loc[::11, "shop"] = None
    high, near = np.log(frame["amount"]) > 0, frame["shop"].isin(["a", "b", "c"])
    frame["fraud"] = np.where(high & near, "yes", "no")
    return frame


FRAME = sales()


def read(frame=FRAME, features="all", **named):
    return tl.from_dataframe(frame, features=features, label="fraud", **named)


@pytest.fixture(scope="module")
def data():
    return read()


def build(data, backbone="ft_transformer", **named):
    arguments = {**SMALL, **named}
    return tl.table_classifier(
        backbone, data.class_names, columns=data.columns, **arguments
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model with a solved head, its file and its report."""
    path = tmp_path_factory.mktemp("tables") / "fraud.keras"
    keras.utils.set_random_seed(0)
    model = build(data)
    tl.fit_head(model, data, cache="memory", **QUIET)
    report = tl.evaluate(model, data.test, **QUIET)
    model.save(path)
    return model, path, report


def test_columns_are_what_they_look_like(data):
    kinds = {column.name: column.kind for column in data.columns}
    assert kinds == {"amount": "number", "age": "number", "shop": "category"} | {
        "day": "date"
    }
    assert data.columns.left_out == (("id", "has 240 different texts in 240 rows"),)
    said = f"{data.describe()}\n{data.columns}\n{data.show(2)}"
    for part in (
        "240 rows of 4 columns: 2 numbers (amount, age)",
        "Left out: id",
        "shop",
    ):
        assert part in said
    # Skewed, and with days alone.
    amount, day = data.columns.columns[0], data.columns.columns[3]
    assert amount.scales[0].log and "day sine" not in day.parts
    assert "week sine" in day.parts and len(day.scales) == len(day.parts)


def test_files_are_read_as_frames_are(tmp_path, data):
    FRAME.to_csv(tmp_path / "sales.csv", index=False)
    found = tl.from_csv(tmp_path / "sales.csv", features="all", label="fraud")
    mine, its = (next(iter(each.val))[0].numpy() for each in (found, data))
    np.testing.assert_allclose(mine, its, rtol=1e-5)
    again = tl.from_csv(
        tmp_path / "sales.csv", features=data.columns, label="fraud", test_split=0
    )
    assert again.columns == data.columns


def test_tables_of_categories_alone_know_the_training_part_alone():
    frames = {"train": FRAME[:100], "test": FRAME[100:].assign(shop="new")}
    data = read(frames, ["shop"], test_split=0, validation_split=0)
    (shop,) = data.columns
    assert {*shop.names} == {*"abcde"} and shop.missing > 0
    assert sum(shop.shares) + shop.missing == pytest.approx(1)
    # What training never had says nothing.
    (x, _) = next(iter(data.test))
    layer = build(data).get_layer("cells")
    assert not np.array(layer(x)).any()


def test_columns_know_the_training_part_alone():
    frames = {"train": FRAME[:100], "test": FRAME[100:].assign(shop="new", amount=1e6)}
    columns = read(frames, test_split=0, validation_split=0).columns
    amount, _, shop, _ = columns
    largest = FRAME["amount"][:100].max()
    assert amount.scales[0].edges[-1] == pytest.approx(largest)
    assert "new" not in shop.names and shop.rare == 0
    # Of one frame, too, once it is split.
    half = read(FRAME, test_split=0.5)
    (number, *_), rows = half.columns, half.train.unbatch().batch(1_000)
    seen = next(iter(rows))[0].numpy()[:, 0]
    assert number.scales[0].centre == pytest.approx(np.median(seen))


def test_kinds_can_be_said():
    kinds = {"age": "category", "id": "category", "amount": "auto"}
    columns = read(features=kinds).columns
    assert [column.kind for column in columns] == ["category", "category", "number"]
    # All of its names are rare.
    assert columns.columns[1].names == () and columns.columns[1].rare == 1


def rows_of(frame):
    cells = frame[["amount", "age", "shop", "day"]]
    yield cells.to_dict("list")
    yield cells.to_dict("records")
    yield cells.to_numpy(object).tolist()
    yield cells[["day", "shop", "age", "amount"]].astype({"day": str})


def test_rows_come_in_all_forms(trained, data):
    model, few = trained[0], FRAME.iloc[:12]
    wanted = model.predict(few, **QUIET)
    for rows in rows_of(few):
        answers = [list(a.probabilities.values()) for a in model.classify(rows)]
        np.testing.assert_allclose(answers, wanted, atol=1e-6)
    one, several = model.classify(few.iloc[2]), model.classify([*few.iloc[:3].iloc])
    answers = [answer.probabilities["yes"] for answer in (*one, several[2])]
    np.testing.assert_allclose(answers, wanted[2, 1], atol=1e-6)
    assert model.classify(few.iloc[:0]) == model.classify([]) == []
    found = model.predict(few.to_dict("records"), **QUIET)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    # Encoded, and as verbs take them.
    encoded = model.problem.input.read(few)
    np.testing.assert_allclose(model.predict(encoded, **QUIET), wanted, atol=1e-6)
    labels = (few["fraud"] == "yes").to_numpy().astype(int)
    report = tl.evaluate(model, (few, labels), **QUIET)
    assert report.accuracy == np.mean(wanted.argmax(1) == labels)


def test_what_is_missing_or_unseen_is_answered(trained):
    model = trained[0]
    row = {"amount": 3.0, "age": None, "shop": "z", "day": ""}
    with pytest.warns(UserWarning, match="no column 'day'"):
        answers = (
            model.classify({**row, "day": None} | {}),
            model.classify({name: row[name] for name in ("amount", "age", "shop")}),
        )
    assert answers[0][0].probability == pytest.approx(answers[1][0].probability)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"amont": 1, "age": 2, "shop": "a", "day": None}, "Did you mean 'amont'"),
        ({"price": 1}, "no column 'amount'"),
        (
            {"amount": ["x"], "age": [1], "shop": ["a"], "day": [None]},
            "column 'amount'",
        ),
        ({"amount": 1, "age": 2, "shop": "a", "day": "May"}, "is a date"),
        ({"amount": [1, 2], "age": [1], "shop": ["a"], "day": [None]}, "as many cells"),
        ([(1, 2, "a")], "each of the 4 columns"),
        ("rows.csv", "takes rows"),
    ],
)
def test_wrong_rows_are_refused_by_name(trained, rows, said):
    with pytest.raises(ValueError, match=said):
        trained[0].classify(rows)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"features": ["amount", "fraud"]}, "must not name the columns of labels"),
        ({"features": ["amount", "id"]}, "240 different texts"),
        (
            {"frame": FRAME.assign(age=[*map(str, range(239)), "oops"])}
            | {"features": ["amount", "age"]},
            r"numbers but for 1 cell, such as 'oops'.*'age': 'number'}, with errors=",
        ),
        ({"features": {"amount": "float"}}, "must be one of 'auto', 'number'"),
        ({"features": {"shop": "number"}}, "'a', which is no number.*column 'shop'"),
        ({"features": ["amont"]}, "Did you mean 'amount'"),
        ({"features": {"shop": "text"}}, "'shop' is to be read as text.*text_backbone"),
        ({"features": None, "text_backbone": "minilm"}, "free text among `features`"),
        ({"features": "all", "text": "shop"}, "`text` or `features`"),
        ({"time": "dya"}, "Did you mean 'day'"),
        ({"time": "shop"}, "'a', neither a date nor a number, in column 'shop'"),
        ({"time": "age"}, "has no time in column 'age'"),
        ({"time": "day", "groups": "shop"}, "not both"),
    ],
)
def test_wrong_features_are_refused(named, said):
    with pytest.raises(ValueError, match=said):
        read(**named)


def test_frames_are_arrays_too(data):
    x, y = FRAME.drop(columns="fraud"), FRAME["fraud"]
    found = tl.from_arrays(x, y)
    assert found.columns == data.columns and found.class_names == ("no", "yes")
    later = x.iloc[:40].assign(shop="new")[["day", "shop", "age", "amount"]]
    parts = tl.from_arrays({"train": x, "test": later}, {"train": y, "test": y[:40]})
    rows = np.concatenate([x.numpy() for x, _ in parts.test])
    np.testing.assert_allclose(rows[:, 0], later["amount"], rtol=1e-6)
    assert rows[:, -1].tolist() == [OTHER] * 40
    texts = tl.from_arrays(x[["id", "shop"]].fillna("none"), y)
    assert texts.columns is None


def test_cells_of_another_kind_are_skipped_with_their_rows():
    bad = FRAME.astype({"amount": object})
    bad.loc[3, "amount"] = "much"
    skip = {"errors": "skip"}
    with pytest.warns(UserWarning, match="'much', which is no number"):
        found = read(bad, {"amount": "number", "shop": "category"}, **skip)
    assert found.skipped[0][0] == "frame.iloc[3]" and len(found.skipped) == 1
    # What training tells of columns holds for all parts.
    parts = {"train": FRAME, "test": bad[:40]}
    with pytest.raises(ValueError, match=r"1 of 280 rows.*test'\].iloc\[3\]"):
        read(parts)
    with pytest.warns(UserWarning, match="1 of 280 rows"):
        assert len(read(parts, **skip).skipped) == 1


def test_parts_follow_time(tmp_path):
    found = read(time="day")
    assert found.columns.names == ("amount", "age", "shop")
    days = read(FRAME, {"day": "date", "amount": "number"}, time="day")
    ends = []
    for part in (days.train, days.val, days.test):
        rows = np.concatenate([x.numpy() for x, _ in part])
        ends += [rows[:, 0].min(), rows[:, 0].max()]
    assert ends == sorted(ends) and len(set(ends)) == 6
    FRAME.to_csv(tmp_path / "sales.csv", index=False)
    filed = {"features": "all", "label": "fraud", "time": "day"}
    again = tl.from_csv(tmp_path / "sales.csv", **filed)
    mine, its = (next(iter(each.test))[0].numpy() for each in (again, found))
    np.testing.assert_allclose(mine, its, rtol=1e-5)
    late = FRAME.assign(n=np.arange(240), fraud=np.where(FRAME.index > 200, "a", "b"))
    with pytest.warns(UserWarning, match="training part has no example of 'a'"):
        read(late, ["amount"], time="n", validation_split=0, test_split=0.5)
    years = FRAME.assign(year=2020 + (np.arange(240) > 20) * 1 + (np.arange(240) > 200))
    with pytest.warns(UserWarning, match="there are 3 different times: train has 9%"):
        read(years, ["amount"], time="year")


def test_data_that_are_read_otherwise_are_refused(trained, data):
    other = read(FRAME.assign(more=1.5 * FRAME["age"]))
    with pytest.raises(ValueError, match="also has 'more'.*features=model.problem"):
        tl.evaluate(trained[0], other.test, **QUIET)
    with pytest.raises(ValueError, match="`columns` must say"):
        tl.table_classifier("ft_transformer", 2, columns=None)
    with pytest.raises(ValueError, match="A backbone of tables must be"):
        build(data, "vgg16")


def test_cells_are_scaled_and_unknown_ones_are_zeros(data):
    layer = TableCells(data.columns)
    rows = np.zeros((3, len(data.columns.cell_names)), "float32")
    rows[0, :2], rows[1, :2], rows[2, :2] = (1e9, np.nan), (-1e9, 18), (1, 30)
    rows[:, -1] = MISSING, OTHER, FIRST
    cells = np.array(layer(rows))
    numbers = cells[:, : 2 * WIDTH_OF_NUMBER].reshape(3, 2, -1)
    assert numbers[0, 0, 1:-1].tolist() == [1] * 8 and not numbers[1, 0, 1:-1].any()
    assert np.abs(numbers).max() <= 8
    # Missing in training too: it has a place of its own.
    assert numbers[0, 1].tolist() == [0] * 9 + [1]
    shop = cells[:, -layer.widths[-1] :]
    assert shop[0].argmax() == MISSING and not shop[1].any()
    assert shop[2].argmax() == FIRST and shop.sum() == 2


def test_it_learns_is_kept_and_told_of(trained, data):
    model, path, report = trained
    assert report.accuracy > 0.9
    loaded = tl.load(path)
    wanted = model.predict(FRAME, **QUIET)
    np.testing.assert_allclose(loaded.predict(FRAME, **QUIET), wanted, atol=1e-6)
    assert loaded.problem.input == model.problem.input
    card = str(tl.model_card(model, report))
    assert "each row one of 2 classes" in card and "168 rows" in card
    assert model.record.runs[0].train["kind"] == "rows"
    assert [b.name for b in model.backbone.layers if "block" in b.name] == [
        "block_1",
        "block_2",
    ]
    tl.freeze(model, unfreeze_from="block_2")
    assert not model.backbone.get_layer("block_1").trainable


@pytest.mark.slow
def test_columns_are_explained(trained):
    found = tl.explain(trained[0], FRAME.iloc[:2], target="yes")
    for one in found:
        assert one.columns == ("amount", "age", "shop", "day")
        assert one.scores.sum() == pytest.approx(one.logit - one.baseline, abs=0.05)
    assert {name for name, _ in found[0].top(2)} == {"amount", "shop"}
    assert len(found.plot().patches) == 8 and "amount" in found._repr_html_()


def test_parts_of_a_table_are_named_by_its_columns(trained, data):
    by_name = tl.evaluate(
        trained[0], data.test, slices=["shop", "amount", "day"], verbose=0
    ).slices
    rows = np.concatenate([x.numpy() for x, _ in data.test])
    cells = data.columns.decode(rows)
    by_value = tl.evaluate(
        trained[0], data.test, slices={"shop": np.array(cells["shop"])}, verbose=0
    ).slices
    assert by_name["shop"] == by_value["shop"] and len(by_name["amount"]) == 4
    assert "2024-" in by_name["day"][0]["slice"]
    # Numbers with gaps are cut at their quartiles, too.
    ages = tl.evaluate(trained[0], data.test, slices="age", verbose=0).slices["age"]
    assert "" in cells["age"] and len(ages) == 5
    one = tl.evaluate(trained[0], data.test, slices="shop", verbose=0)
    assert one.slices["shop"] == by_name["shop"]
    with pytest.raises(ValueError, match="No such column of the model: 'shops'.*frame"):
        tl.evaluate(trained[0], data.test, slices=["shops"], verbose=0)
    with pytest.raises(ValueError, match="must hold one value per example"):
        tl.evaluate(trained[0], data.test, slices=["north", "south"] * 3, verbose=0)


def test_columns_are_shuffled_one_by_one(trained, data):
    found = tl.permutation_importance(trained[0], data.test, repeats=3, **QUIET)
    assert found.columns == data.columns.names and found.rises.shape == (4, 3)
    assert {name for name, score in found.top(2)} == {"amount", "shop"}
    assert found.loss == pytest.approx(trained[2].loss, abs=1e-5)
    assert found.examples == 36
    # By hand: the cells of one column in another order, all else as it is.
    rows = np.concatenate([x.numpy() for x, _ in data.test])
    name, mixed = next(data.problem.input.shuffled(rows, 3, seed=0))
    assert name == "amount" and not np.array_equal(mixed[:36, 0], rows[:, 0])
    np.testing.assert_array_equal(np.sort(mixed[:36, 0]), np.sort(rows[:, 0]))
    np.testing.assert_array_equal(mixed[:, 1:], np.tile(rows[:, 1:], (3, 1)))
    y = np.concatenate([y.numpy() for _, y in data.test])
    said = trained[0].predict(mixed, **QUIET)
    loss = -np.log(said[np.arange(108), np.tile(y, 3)]).mean()
    assert found.scores[0] == pytest.approx(loss - found.loss, abs=1e-5)
    assert len(found.plot().patches) == 4 and repr(found).count("+") == 4
    with pytest.raises(tl.UnsupportedError, match="permutation_importance.* for: rows"):
        Texts().shuffled(rows, repeats=1, seed=0)


def test_the_command_line_reads_files_of_rows(trained, tmp_path, capsys):
    FRAME.drop(columns="fraud").iloc[:3].to_csv(tmp_path / "new.csv", index=False)
    bad = '{"amount": "x", "age": 1, "shop": "a", "day": ""}'
    arguments = [str(trained[1]), str(tmp_path / "new.csv"), bad, "--json"]
    assert run_predict(arguments) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = [answer.label for answer in trained[0].classify(FRAME.iloc[:3])]
    assert [line.get("label") for line in lines[:3]] == wanted
    assert "column 'amount'" in lines[3]["error"]


@pytest.mark.slow
def test_pretraining_moves_the_backbone_alone(data, tmp_path):
    model = build(data, blocks=1)
    tl.freeze(model, unfreeze_from="norm")
    flags = [layer.trainable for layer in model.backbone.layers]
    head, backbone = weights_of(model.layers[-1]), weights_of(model.backbone)
    history = tl.pretrain(model, data, epochs=4, learning_rate=0.01, **QUIET)
    assert min(history.history["val_loss"]) < 1
    assert [layer.trainable for layer in model.backbone.layers] == flags
    assert_equal_weights(head, weights_of(model.layers[-1]))
    for path, value in weights_of(model.backbone).items():
        assert not np.array_equal(value, backbone[path]), path
    (done,) = model.record.pretrained
    assert done.examples == {"train": 168, "val": 36} and done.after < done.before
    assert model.record.last_weights == done.weights
    tl.fine_tune(model, data, epochs=2, cache="memory", **QUIET)
    assert tl.evaluate(model, data.test, **QUIET).accuracy > 0.9
    model.save(tmp_path / "pretrained.keras")
    assert tl.load(tmp_path / "pretrained.keras").record.pretrained == (done,)
    assert "Pretrained by `tl.pretrain`" in str(tl.model_card(model))


@pytest.mark.slow
def test_pretraining_that_fails_leaves_the_backbone(data):
    model = build(data, blocks=1)
    before = weights_of(model.backbone)
    with pytest.raises(tl.PhaseError, match="not finite|No epoch lowered"):
        tl.pretrain(model, FRAME, epochs=1, learning_rate=1e30, **QUIET)
    assert_equal_weights(before, weights_of(model.backbone))


def test_pretraining_is_refused_where_there_is_no_task():
    model = tl.image_classifier("glyphnet", 2)
    with pytest.raises(tl.UnsupportedError, match="tl.pretrain.* for: rows"):
        tl.pretrain(model, np.zeros((20, 32, 32, 1), "uint8"), **QUIET)
    with pytest.raises(ValueError, match="at least 16 examples"):
        tl.pretrain(build(read()), FRAME.iloc[:8], **QUIET)


def test_a_related_table_hands_on_what_it_knows(trained):
    source = trained[0]
    related = FRAME.drop(columns="age").assign(
        shop=FRAME["shop"].replace("e", "new"), size=FRAME["amount"] % 1
    )
    data = read(related)
    model = build(data, source)
    mine, its = model.backbone, source.backbone
    for name in ("block_1", "block_2", "norm"):
        for new, old in zip(
            mine.get_layer(name).get_weights(),
            its.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(new, old)
    mine, its = mine.get_layer("tokens"), its.get_layer("tokens")
    places = [
        [columns.cell_names.index(name) for name in ("amount", "shop")]
        for columns in (data.columns, source.problem.input.columns)
    ]
    for new, old in zip(*places, strict=True):
        np.testing.assert_array_equal(mine.bias[1 + new], its.bias[1 + old])
    np.testing.assert_array_equal(mine.kernel[places[0][0]], its.kernel[places[1][0]])
    names = [
        next(c for c in columns if c.name == "shop").names
        for columns in (data.columns, source.problem.input.columns)
    ]
    for name in "abcd":
        codes = [FIRST + each.index(name) for each in names]
        np.testing.assert_array_equal(
            mine.embeddings[0][codes[0]], its.embeddings[0][codes[1]]
        )
    amount = model.problem.input.columns.columns[0]
    assert amount.scales == source.problem.input.columns.columns[0].scales
    with pytest.raises(ValueError, match="no column in common"):
        build(read(FRAME[["id", "fraud"]].assign(x=FRAME["age"])), source)


def test_leaks_are_found():
    leaky = FRAME.assign(
        code=np.where(FRAME["fraud"] == "yes", 7.0, 3.0), half=np.nan, more=FRAME["age"]
    )
    leaky.loc[:90, "half"] = FRAME["age"]
    found = {each.kind: each for each in read(leaky).check()}
    assert found["columns that give the label away"].count == 1
    assert "code" in found["columns that give the label away"].examples[0]
    assert "half" in found["columns mostly missing"].examples[0]
    target = pd.DataFrame({"x": np.arange(2e3) ** 2, "y": np.arange(2e3) / 7})
    data = tl.from_dataframe(target, features=["x"], label="y", task="regression")
    assert any("away" in each.kind for each in data.check())


@pytest.mark.slow
def test_boosting_is_compared_on_the_same_rows(trained, data):
    boosting = tl.boosting_report(data)
    found = tl.compare(trained[2], boosting, names=("network", "boosting"))
    assert found.examples == 36 and boosting.accuracy > 0.9
    target = tl.from_dataframe(FRAME, features=["shop", "fraud"], label="amount")
    assert tl.boosting_report(target).mae < FRAME["amount"].std()
    pictures = tl.from_arrays(np.zeros((20, 8, 8), "uint8"), np.arange(20) % 2)
    with pytest.raises(tl.UnsupportedError, match="boosting_report.* for: rows"):
        tl.boosting_report(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fraud", "fraud.tflite", "fraud.onnx"])
def test_it_is_exported(trained, data, tmp_path, name):
    import tensorflow as tf

    if name.endswith(".onnx"):
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    report = tl.export(trained[0], tmp_path / name, data=data.test)
    assert report.difference < 1e-4
    if name != "fraud":
        return
    served = tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
    seconds = (FRAME["day"] - pd.Timestamp("1970-01-01")).dt.total_seconds()
    found = served(
        amount=tf.constant(FRAME["amount"], "float32"),
        age=tf.constant(FRAME["age"], "float32"),
        shop=tf.constant(FRAME["shop"].fillna("").to_list()),
        day=tf.constant(seconds, "float64"),
    )
    wanted = trained[0].predict(FRAME, **QUIET)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-4)


@pytest.mark.slow
def test_a_fresh_process_answers_the_same(trained):
    script = (
        "import json, tlkeras as tl\n"
        f"model = tl.load({str(trained[1])!r})\n"
        "row = {'amount': 3.5, 'age': 30, 'shop': 'a', 'day': '2024-05-05'}\n"
        "print(json.dumps(model.classify(row)[0].probability))\n"
    )
    root = str(Path(tl.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path.insert(0, {root!r})\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    row = {"amount": 3.5, "age": 30, "shop": "a", "day": "2024-05-05"}
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert said == pytest.approx(trained[0].classify(row)[0].probability, rel=1e-4)


def commented():
    """Returns rows whose label hangs on a number and on a word of a text."""
    rng = np.random.default_rng(0)
    words = ["the", "a", "film", "story", "play", "was"]
    good, amount = rng.random(240) < 0.5, rng.normal(size=240)
    texts = [
        " ".join([*rng.choice(words, 5), "good" if each else "bad"]) for each in good
    ]
    frame = pd.DataFrame({"amount": amount, "comment": texts, "note": texts[::-1]})
    frame.loc[::8, "note"] = None
    frame["id"] = [f"u{i}" for i in range(240)]
    frame["fraud"] = np.where(good & (amount > -1), "yes", "no")
    return frame


COMMENTS = commented()


@pytest.fixture(scope="module")
def reads(tmp_path_factory):
    """Arguments for a tiny text backbone."""
    keras.utils.set_random_seed(1)
    folder = write_preset(tmp_path_factory.mktemp("tiny"), *tiny_bert(num_layers=1))
    return {"text_backbone": folder, "text_length": 12}


@pytest.fixture(scope="module")
def with_texts(reads, tmp_path_factory):
    """Data with texts, a model with a solved head, and the same from its file."""
    data = read(COMMENTS, **reads)
    keras.utils.set_random_seed(0)
    model = build(data, blocks=1)
    tl.fit_head(model, data, cache="memory", **QUIET)
    path = tmp_path_factory.mktemp("texts") / "comments.keras"
    model.save(path)
    return data, model, tl.load(path)


def test_texts_are_read_where_that_is_asked_for(with_texts):
    left_out = dict(read(COMMENTS).columns.left_out)
    assert "which `text_backbone=` would read" in left_out["comment"]
    assert "text_backbone" not in left_out["id"]
    data = with_texts[0]
    columns = data.columns
    kinds = {column.name: column.kind for column in columns}
    assert kinds == {"amount": "number", "comment": "text", "note": "text"}
    assert "2 texts (comment, note)" in str(data.describe())
    # Six words between [CLS] and [SEP].
    assert "the first 12 tokens (median 8, 0.0% full), read by tiny" in str(columns)
    assert columns.columns[2].missing == pytest.approx(1 / 8, abs=0.05)
    texts = {"comment": ["A good film", "", 7.0], "note": [None] * 3}
    rows = columns.encode({"amount": [1, 2, 3], **texts})
    assert rows.shape == (3, 1 + 2 * 12)
    # Of a missing text there is no token; [CLS] and [SEP] are two.
    assert (rows[:, 1:13] >= 0).sum(axis=1).tolist() == [5, 0, 3]
    assert not (rows[:, 13:] >= 0).any()
    assert columns.decode(rows)["comment"] == ["a good film", "", "[UNK]"]
    assert not any("away" in each.kind for each in data.check())


def test_tables_of_texts_alone_are_fitted_too(reads):
    data = read(COMMENTS, ["comment", "note"], **reads)
    _, note = data.columns
    assert note.missing == pytest.approx(1 / 8, abs=0.05) and note.tokens == 8
    with pytest.raises(ValueError, match="has texts alone"):
        data.problem.input.pretext(None)


def test_a_text_that_cannot_be_written_is_named(with_texts):
    rows = [{"comment": None}, {"comment": "good"}, {"comment": "\ud800"}]
    with pytest.raises(ValueError, match="Row 2 has characters.*column 'comment'"):
        with_texts[1].classify([{"amount": 1, "note": None, **row} for row in rows])


def test_tables_with_texts_are_learnt_and_kept(with_texts):
    _, model, loaded = with_texts
    row = {"amount": 2.0, "comment": "the play was bad", "note": None}
    rows = [row, {**row, "comment": "the play was good"}, {**row, "comment": "  "}]
    answers = [a.probabilities["yes"] for a in loaded.classify(rows)]
    assert answers[0] < 0.2 < 0.8 < answers[1]
    assert_equal_weights(weights_of(model), weights_of(loaded))
    assert loaded.problem.input == model.problem.input
    texts = loaded.get_layer("texts")
    assert not texts.trainable_weights and len(texts.weights) > 9
    card = str(tl.model_card(loaded))
    assert "first 12 tokens" in card and "frozen by hand" not in card
    assert "read by the frozen backbone" in card


def test_what_reads_texts_is_taken_over(with_texts):
    source = with_texts[2]
    data = read(COMMENTS, source.problem.input.columns)
    # Of a file the model knows what its columns do not.
    with pytest.raises(ValueError, match="known to their model alone.*'comment'"):
        build(data)
    model = build(data, source)
    assert_equal_weights(
        *(weights_of(each.get_layer("texts")) for each in (model, source))
    )
    mine, its = (each.backbone.get_layer("tokens") for each in (model, source))
    for new, old in zip(mine.embeddings, its.embeddings, strict=True):
        np.testing.assert_array_equal(new, old)
    other = read(COMMENTS.drop(columns="note"), features=["amount"])
    with pytest.raises(ValueError, match="it lacks 'comment', 'note'"):
        tl.evaluate(source, other.test, **QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("tiny", [tiny_bert, tiny_f_net, tiny_gpt2])
def test_texts_are_read_as_text_models_read_them(tiny, tmp_path):
    reader = TextReader.of(write_preset(tmp_path, *tiny()), length=12)
    texts = ["a good film", "bad", "the film was " * 9]
    layer = text_cells(reader, columns=2)
    rows = np.hstack([np.zeros((3, 1)), *[reader.encode(texts), reader.encode(texts)]])
    found = np.array(layer(rows)).reshape(3, 2, 9)
    model = tl.text_classifier(tmp_path, 2, sequence_length=12)
    pooled = keras.Model(model.input, model.get_layer("pooling").output)
    wanted = np.array(pooled(reader.preprocessor(texts)))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, 0, 1:], wanted, atol=1e-5)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert not found[..., 0].any()
    nothing = np.array(layer(np.hstack([[[0]], reader.encode([""]).repeat(2, axis=1)])))
    np.testing.assert_array_equal(nothing.reshape(2, 9), np.eye(9)[[0, 0]])


@pytest.mark.slow
def test_texts_are_read_once(with_texts, monkeypatch):
    seen = keras.Variable(0, dtype="int64", trainable=False)
    call = TextCells.call

    def counted(self, rows):
        if not isinstance(rows, keras.KerasTensor):
            seen.assign_add(keras.ops.cast(keras.ops.shape(rows)[0], "int64"))
        return call(self, rows)

    monkeypatch.setattr(TextCells, "call", counted)
    data = with_texts[0]
    model = build(data, blocks=1)
    tl.fine_tune(model, data, epochs=3, cache="memory", **QUIET)
    # Rows of training and of validation.
    assert np.array(seen) == 168 + 36


@pytest.mark.slow
def test_tables_with_texts_take_all_verbs(with_texts):
    data, model, _ = with_texts
    row = {"amount": 2.0, "comment": "the play was bad", "note": None}
    (one,) = tl.explain(model, row, target="no")
    assert one.columns == ("amount", "comment", "note") and len(one.scores) == 3
    assert "comment = the play was bad" in repr(one)
    boosting = tl.boosting_report(data)
    assert "TF-IDF" in boosting.about["model"] and boosting.accuracy > 0.9
    found = tl.permutation_importance(model, data.test, repeats=3, **QUIET)
    assert {name for name, _ in found.top(2)} == {"amount", "comment"}
    again = tl.rerun(model.record, data, columns=data.columns, **QUIET)
    assert again.record.runs[0].weights == model.record.runs[0].weights
    before = weights_of(again.get_layer("texts"))
    tl.pretrain(again, data, epochs=4, learning_rate=0.01, **QUIET)
    assert_equal_weights(before, weights_of(again.get_layer("texts")))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["comments", "comments.tflite", "comments.onnx"])
def test_tables_with_texts_are_exported(with_texts, tmp_path, name):
    import tensorflow as tf

    if name.endswith(".onnx"):
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    data, model, _ = with_texts
    assert tl.export(model, tmp_path / name, data=data.test).difference < 1e-4
    if name != "comments":
        return
    served = tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
    found = served(
        amount=tf.constant(COMMENTS["amount"], "float32"),
        comment=tf.constant(COMMENTS["comment"].to_list()),
        note=tf.constant(COMMENTS["note"].fillna("").to_list()),
    )
    wanted = model.predict(COMMENTS, **QUIET)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-4)
