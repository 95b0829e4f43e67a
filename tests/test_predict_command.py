"""`python -m tlkeras predict`: its lines, its errors, its exit codes."""

import functools
import io
import itertools
import json
import os
import subprocess
import sys

import keras
import pytest
from helpers import tiny_backbone
from images import encode, picture
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras import __main__, predict_command
from tlkeras.inputs import Input, Texts
from tlkeras.predict_command import answers, run_predict
from tlkeras.problem import Problem


@keras.saving.register_keras_serializable("tlkeras_tests")
class Sounds(Input):
    """An input that cannot be read from a command line."""

    nouns = "sounds"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of models, of three pictures and of one damaged file."""
    folder = tmp_path_factory.mktemp("predict")
    small = {"blocks": 1}
    tl.image_classifier(tiny_backbone(**small), ["ant", "bee"]).save(
        folder / "pictures.keras"
    )
    backbone, tokenizer = tiny_bert(num_layers=1)
    tl.text_classifier(
        backbone, ["bad", "good"], tokenizer=tokenizer, sequence_length=8
    ).save(folder / "texts.keras")
    for i in range(3):
        (folder / f"{i}.png").write_bytes(encode(picture(seed=i), "PNG"))
    (folder / "damaged.png").write_bytes(b"no picture")
    return folder


loaded = functools.cache(tl.load)


@pytest.fixture
def predict(folder, capsys, monkeypatch):
    """Runs the command in that folder; returns exit code, lines and error lines."""

    # A model is loaded once, whichever test asks first.
    monkeypatch.setattr(predict_command, "load", loaded)

    def run(*arguments):
        monkeypatch.chdir(folder)
        code = run_predict([str(each) for each in arguments])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    yield run
    keras.utils.enable_interactive_logging()


def test_one_line_for_each_file_given_or_listed_and_an_error_for_a_bad_one(
    predict, folder, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("0.png\ndamaged.png\r\n1.png\r\n"))
    code, lines, errors = predict(
        "pictures.keras", "-", "absent.png", "2.png", "--batch-size", 2
    )
    assert code == 1
    model = tl.load(folder / "pictures.keras")
    said = model.classify([folder / f"{i}.png" for i in range(3)])
    assert lines == [
        f"{i}.png\t{each.label}\t{each.probability:.4f}" for i, each in enumerate(said)
    ]
    assert [error.split(": ")[1] for error in errors] == ["damaged.png", "absent.png"]


def test_lines_of_json(predict, folder):
    code, lines, errors = predict(
        "pictures.keras", "0.png", "damaged.png", "1.png", "--json"
    )
    records = [json.loads(line) for line in lines]
    assert code == 1 and not errors
    assert [r["input"] for r in records] == ["0.png", "damaged.png", "1.png"]
    assert "damaged.png" in records[1]["error"] and "label" not in records[1]
    assert list(records[2]) == ["input", "label", "probability", "probabilities"]
    said = tl.load(folder / "pictures.keras").classify(folder / "1.png")[0]
    assert records[2]["label"] == said.label
    assert records[2]["probabilities"] == pytest.approx(said.probabilities)


def test_texts_are_utf8_whatever_the_terminal_is_set_to():
    given = "caf\u00e9 good".encode().decode("ascii", "surrogateescape")
    texts, errors = Texts().read_each([given, "bad\udce9"])
    assert texts == ["caf\u00e9 good"] and [*errors] == [1]


@pytest.mark.parametrize(
    ("encoding", "as_json"), [("ascii", False), ("ascii", True), ("utf-8", False)]
)
def test_what_cannot_be_read_or_shown_loses_no_other_line(
    predict, monkeypatch, as_json, encoding
):
    given = "caf\u00e9 good\n".encode() + b"caf\xe9 bad\n" + b"good\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.stdout", shown)
    code, _, errors = predict("texts.keras", "-", *["--json"] * as_json)
    lines = shown.buffer.getvalue().decode(encoding).splitlines()
    assert code == 1
    if as_json:
        records = [json.loads(line) for line in lines]
        assert [r["input"] for r in records] == [
            "caf\u00e9 good",
            "caf\udce9 bad",
            "good",
        ]
        assert "not UTF-8" in records[1]["error"] and "label" in records[2]
    else:
        cafe = "caf\\xe9" if encoding == "ascii" else "caf\u00e9"
        assert [line.split("\t")[0] for line in lines] == [f"{cafe} good", "good"]
        assert "not UTF-8" in errors[0]


def test_answers_come_before_the_last_input_is_read(folder):
    endless = itertools.cycle([str(folder / "0.png")])
    model = tl.load(folder / "pictures.keras")
    assert len(list(itertools.islice(answers(model, endless, 2), 5))) == 5


@pytest.mark.slow
def test_texts(predict, folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(SENTENCES) + "\n"))
    given = ["a good\tfilm\nindeed", "-"]
    code, lines, errors = predict("texts.keras", "--json", *given)
    records = [json.loads(line) for line in lines]
    assert code == 0 and not errors
    assert [r["input"] for r in records] == [given[0], *SENTENCES]
    said = tl.load(folder / "texts.keras").classify([given[0], *SENTENCES])
    assert [r["label"] for r in records] == [each.label for each in said]
    _, lines, _ = predict("texts.keras", given[0])
    assert lines[0].startswith("a good film indeed\t")


@pytest.mark.slow
def test_pairs_of_texts_have_a_tab_between_them(predict, folder):
    model = tl.load(folder / "texts.keras")
    model.problem = model.problem.but(input=Texts(model.preprocessor, pairs=True))
    model.save(folder / "pairs.keras")
    code, lines, errors = predict("pairs.keras", "a film\twas good", "alone", "--json")
    first, second = map(json.loads, lines)
    assert code == 1 and not errors
    assert first["label"] == model.classify([["a film", "was good"]])[0].label
    assert second == {
        "input": "alone",
        "error": "The model takes pairs: two texts with a tab between them.",
    }


def test_several_heads_and_regressors(predict, folder):
    heads = {
        "species": tl.Classes(["ant", "bee"]),
        "tags": tl.Labels(["red", "flying"]),
        "length": tl.Numbers(),
    }
    tl.image_classifier(tiny_backbone(blocks=1), heads).save(folder / "heads.keras")
    code, lines, _ = predict("heads.keras", "0.png")
    assert code == 0
    columns = [column.split("=")[0] for column in lines[0].split("\t")]
    assert columns == ["0.png", "species", "tags", "length"]
    _, lines, _ = predict("heads.keras", "0.png", "--json")
    found = json.loads(lines[0])["heads"]
    assert set(found["tags"]["probabilities"]) == {"red", "flying"}
    model = tl.image_regressor(tiny_backbone(blocks=1))
    model.save(folder / "value.keras")
    pixels = tl.load_images(folder / "0.png", image_size=16)
    value = float(model(pixels)[0, 0])
    _, lines, _ = predict("value.keras", "0.png", "damaged.png", "--json")
    assert json.loads(lines[0])["value"] == pytest.approx(value, abs=1e-5)
    assert "error" in json.loads(lines[1])
    _, lines, _ = predict("value.keras", "0.png")
    assert float(lines[0].split("\t")[1]) == pytest.approx(value, abs=1e-3)


@pytest.fixture(scope="module")
def unusable(folder):
    """The folder, with models that the command cannot run."""
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(folder / "plain.keras")
    pictures = keras.Input((None, None, 3))
    backbone = keras.Model(pictures, keras.layers.Conv2D(2, 1)(pictures), name="any")
    tl.image_classifier(backbone, 2, preprocessing=None).save(folder / "sizeless.keras")
    model = tl.load(folder / "pictures.keras")
    model.problem = Problem(Sounds(), model.problem.output)
    model.save(folder / "arrays.keras")


@pytest.mark.usefixtures("unusable")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.keras", "0.png"], "There is no file"),
        (["damaged.png", "0.png"], "damaged or no Keras model"),
        (["sizeless.keras", "0.png"], "pictures of any size"),
        (
            ["arrays.keras", "0.png"],
            "`python -m tlkeras predict` is not offered for sounds",
        ),
        (["plain.keras", "0.png"], "knows neither its classes"),
        (["pictures.keras", "0.png", "--batch-size", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_run_ends_with_2(arguments, message, predict):
    code, lines, errors = predict(*arguments)
    assert code == 2 and not lines
    assert len(errors) == 1 and message in errors[0]


def test_a_layer_that_is_not_known_ends_with_2(predict, folder):
    class Own(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    inputs = keras.Input((2,))
    keras.Model(inputs, Own()(inputs)).save(folder / "own.keras")
    code, lines, errors = predict("own.keras", "0.png")
    assert code == 2 and not lines
    assert errors[0].startswith("tlkeras: ") and "Own" in " ".join(errors)


def test_wrong_usage_ends_with_2(predict):
    with pytest.raises(SystemExit) as ended:
        predict("pictures.keras")
    assert ended.value.code == 2


def test_the_main_command_knows_predict(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["tlkeras", "predict", "pictures.keras", "0.png"])
    assert __main__.main() == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("0.png\t") and not printed.err
    keras.utils.enable_interactive_logging()


@pytest.mark.slow
def test_the_process_ends_quietly_when_nobody_reads_on(folder):
    command = [sys.executable, "-m", "tlkeras", "predict", "pictures.keras", "-"]
    process = subprocess.Popen(
        [*command, "--batch-size", "1"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    process.stdin.write("0.png\n" * 50)
    process.stdin.flush()
    assert process.stdout.readline().startswith("0.png\t")
    process.stdout.close()
    process.stdin.close()
    assert process.wait(60) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
