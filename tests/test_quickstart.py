"""The quickstart: its recipe, what it writes, and its command line."""

import json

import numpy as np
import pytest
from helpers import solid_colours

import tlkeras as tl
from tlkeras import quickstart


def run(folder, *arguments):
    return quickstart.run_command(["--out", str(folder), *arguments])


def test_digits_are_split_as_described():
    one, other = (quickstart.read_digits(5, 16, seed) for seed in (0, 1))
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


def test_the_main_job(tmp_path, capsys):
    """One seed of the real thing: the order of the three ways is what it shows."""
    assert run(tmp_path, "--seeds", "1") == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())["test_accuracy"]
    assert list(results) == ["from scratch", "frozen backbone", "fine-tuned"]
    scratch, frozen, tuned = (values[0] for values in results.values())
    assert tuned >= 0.9 and frozen > scratch and tuned > scratch
    for way, values in results.items():
        assert f"{way:<16} {values[0]:.3f}" in printed
    assert str(tmp_path.resolve()) in printed
    for name in ("report.html", "comparison.png", "history.png"):
        assert (tmp_path / name).stat().st_size > 1000
    model = tl.load(tmp_path / "model.keras")
    data = quickstart.read_digits(5, 16, 0)
    assert tl.evaluate(model, data.test, verbose=0).accuracy == pytest.approx(tuned)


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
    content = json.loads((out / "results.json").read_text())
    assert content["recipe"]["unfreeze_from"] == "block4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--labels-per-class", "1000"], "labels_per_class=1000"),
        (["--unfreeze-from", "blok9", "--skip-scratch"], "No such freeze point"),
    ],
)
def test_what_will_not_do_is_said(tmp_path, capsys, arguments, message):
    short = ["--seeds", "1", "--head-epochs", "1"]
    assert run(tmp_path, *short, *arguments) == 2
    assert message in capsys.readouterr().err


def test_an_output_folder_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "out") == 2
    assert "file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"), [("15", 15), ("0.3", 0.3), ("block5", "block5"), ("-4", -4)]
)
def test_freeze_points_on_the_command_line(text, value):
    point = quickstart.freeze_point(text)
    assert point == value and type(point) is type(value)


def test_digits_are_for_glyphnet(capsys):
    with pytest.raises(SystemExit):
        quickstart.parse(["--backbone", "vgg16"])
    assert "for --backbone glyphnet" in capsys.readouterr().err
