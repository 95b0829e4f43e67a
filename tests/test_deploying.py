"""docs/deploying.md: its code runs, its requests get the answers it describes."""

import base64
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
import types
import urllib.request
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_backbone
from images import encode, picture
from PIL import Image, ImageOps
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.predict_command import run_predict

PAGE = Path(__file__).resolve().parents[1] / "docs" / "deploying.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with some pictures, the two models of the page, and their exports."""
    folder = tmp_path_factory.mktemp("deploying")
    for seed, name in enumerate(("daisy", "rose")):
        (folder / "flowers" / name).mkdir(parents=True)
        for i in (1, 2):
            contents = encode(picture(40, 60, seed=10 * seed + i), "JPEG")
            (folder / "flowers" / name / f"{i}.jpg").write_bytes(contents)
    tl.image_classifier(tiny_backbone(blocks=1), ["daisy", "rose"]).save(
        folder / "flowers.keras"
    )
    backbone, tokenizer = tiny_bert(num_layers=1)
    tl.text_classifier(
        backbone, ["bad", "good"], tokenizer=tokenizer, sequence_length=8
    ).save(folder / "reviews.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(blocks("python")[0], {})
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    return Server(folder)


@pytest.fixture(scope="module")
def models(folder):
    return {name: tl.load(folder / f"{name}.keras") for name in ("flowers", "reviews")}


@pytest.mark.parametrize(
    ("size", "given"), [(24, (200, 131)), (96, (40, 60)), (96, (97, 300))]
)
def test_pillow_reads_the_pixels_of_the_training(tmp_path, size, given):
    (tmp_path / "a.jpg").write_bytes(encode(picture(*given, seed=3), "JPEG"))
    recipes = [text for text in blocks("python") if "image.transform(" in text]
    assert len(recipes) == 2
    wanted = tl.load_images(tmp_path / "a.jpg", image_size=size)
    for recipe in recipes:
        code = recipe[recipe.index("def read(") :].partition("\n\n\n")[0]
        scope = {"np": np, "Image": Image, "ImageOps": ImageOps}
        exec(code, scope | {"width": size, "height": size}, found := {})
        found["read"].__globals__.update(width=size, height=size)
        assert np.abs(found["read"](tmp_path / "a.jpg") - wanted).max() < 1.01


class Server:
    """Answers requests as TensorFlow's description of the REST API says.

    It parses the JSON, takes the tensors that the signature declares, calls the
    exported SavedModel, and writes what it gives as JSON.
    """

    def __init__(self, folder):
        with tf.device("cpu"):
            self.models = {
                name: tf.saved_model.load(str(folder / "models" / name / "1"))
                for name in ("flowers", "reviews")
            }

    def urlopen(self, request, timeout=None):
        assert request.get_header("Content-type") == "application/json"
        return io.BytesIO(self.answer(request.full_url, request.data))

    def answer(self, url, body):
        name = re.fullmatch(r"(?:http://)?localhost:8501/v1/models/(\w+):predict", url)[
            1
        ]
        asked = json.loads(body)
        signature = self.models[name].signatures[
            asked.get("signature_name", "serving_default")
        ]
        specs = signature.structured_input_signature[1]
        with tf.device("cpu"):
            outputs = signature(**tensors(asked["instances"], specs))
        return json.dumps({"predictions": rows(outputs)}).encode()


def tensors(instances, specs):
    """Returns a signature's inputs; of a single one an instance may leave the name."""
    named = [
        row if isinstance(row, dict) and row.keys() == specs.keys() else None
        for row in instances
    ]
    if None in named:
        (name,) = specs
        named = [{name: row} for row in instances]
    return {
        name: tf.constant([plain(row[name]) for row in named], spec.dtype)
        for name, spec in specs.items()
    }


def plain(value):
    """Returns bytes for `{"b64": ...}`, everything else as it is."""
    if isinstance(value, dict):
        assert value.keys() == {"b64"}
        return base64.b64decode(value["b64"], validate=True)
    return value


def rows(outputs):
    """Returns one object per example; of a single output its bare values."""
    lists = {name: text(value.numpy()) for name, value in outputs.items()}
    if len(lists) == 1:
        return next(iter(lists.values()))
    each = zip(*lists.values(), strict=True)
    return [dict(zip(lists, values, strict=True)) for values in each]


def text(values):
    """Returns an array as lists, bytes as strings."""
    return (
        np.char.decode(values.astype("S")).tolist()
        if values.dtype == object
        else (values.tolist())
    )


def test_the_page_has_no_code_that_is_not_tested():
    assert {kind for kind, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))} == {
        "bash",
        "json",
        "python",
        "text",
    }
    assert [len(blocks(kind)) for kind in ("bash", "json", "python")] == [4, 1, 6]


@pytest.mark.slow
def test_the_commands_of_the_shell(here, capsys):
    lines = blocks("bash")[0].splitlines()
    for line in lines:
        command = shlex.split(line)
        assert command[:4] == ["python", "-m", "tlkeras", "predict"]
        assert run_predict(command[4:]) == 0
    printed = capsys.readouterr().out.splitlines()
    keras.utils.enable_interactive_logging()
    assert [line.split("\t")[0] for line in printed[:2]] == [
        "flowers/rose/1.jpg",
        "flowers/rose/2.jpg",
    ]
    assert json.loads(printed[2])["input"] == "A fine film."


@pytest.mark.slow
def test_the_export_makes_the_folders_that_the_page_shows(here):
    tree = blocks("text")[0]
    for name in ("saved_model.pb", "variables", "assets.extra/labels.txt"):
        assert name in tree and (here / "models" / "flowers" / "1" / name).exists()
    for name in re.findall(r"^ {2}(\w+)/$", tree, re.M):
        assert (here / "models" / name / "1" / "saved_model.pb").exists()


def asked_with_curl(block):
    """Returns the URL and the body of a `curl` command, made by a shell.

    In place of `curl`, the shell calls a function that prints what it is given.
    """
    function = 'curl() { echo "$1"; [ "$3" = @- ] && cat || echo "$3"; }\n'
    done = subprocess.run(
        ["bash", "-c", function + block], capture_output=True, text=True, check=True
    )
    url, _, body = done.stdout.partition("\n")
    return url, body


@pytest.mark.slow
def test_curl_gets_what_the_page_says(here, server, models):
    model = models["flowers"]
    answered = json.loads(server.answer(*asked_with_curl(blocks("bash")[2])))
    shown = json.loads(blocks("json")[0])
    assert answered.keys() == shown.keys()
    assert [row.keys() for row in answered["predictions"]] == [
        row.keys() for row in shown["predictions"]
    ]
    said = model.classify(["flowers/rose/1.jpg"])[0]
    assert answered["predictions"][0]["label"] == said.label
    np.testing.assert_allclose(
        answered["predictions"][0]["probabilities"],
        [said.probabilities[name] for name in model.class_names],
        atol=1e-5,
    )
    labels = (here / "models/flowers/1/assets.extra/labels.txt").read_text().split()
    assert tuple(labels) == model.class_names

    url, body = asked_with_curl(blocks("bash")[3])
    answered = json.loads(server.answer(url, body))["predictions"]
    texts = json.loads(body)["instances"]
    said = models["reviews"].classify(texts)
    assert [row["label"] for row in answered] == [each.label for each in said]
    assert len(answered) == 2


@pytest.mark.slow
def test_the_client_in_python(here, server, models, capsys, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", server.urlopen)
    exec(blocks("python")[1], {})
    paths = ["flowers/rose/1.jpg", "flowers/daisy/1.jpg"]
    wanted = [
        f"{path} {said.label} {said.probability:.2f}"
        for path, said in zip(paths, models["flowers"].classify(paths), strict=True)
    ]
    said = models["reviews"].classify(["A fine film.", "Two lost hours."])
    wanted += [f"{each.label} {each.probability:.2f}" for each in said]
    assert capsys.readouterr().out.splitlines() == wanted


@pytest.mark.slow
def test_the_signatures_are_those_of_the_table(server):
    table = re.findall(
        r"^\| `(\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.M
    )
    of_pictures = {name for name, kind in table if kind in ("pictures", "both")}
    of_texts = {name for name, kind in table if kind in ("texts", "both")}
    assert set(server.models["flowers"].signatures) == of_pictures
    assert set(server.models["reviews"].signatures) == of_texts

    def takes(model, signature):
        specs = server.models[model].signatures[signature].structured_input_signature
        return {name: (spec.dtype, len(spec.shape)) for name, spec in specs[1].items()}

    assert takes("flowers", "encoded") == {"image_bytes": (tf.string, 1)}
    assert takes("flowers", "serving_default") == {"image": (tf.float32, 4)}
    assert takes("reviews", "serving_default") == {"text": (tf.string, 1)}
    assert takes("reviews", "tokens").keys() >= {"token_ids", "padding_mask"}


@pytest.mark.slow
def test_pixels_and_tokens_go_in_as_lists(here, server, models):
    pixels = tl.load_images(["flowers/rose/1.jpg"], image_size=16)
    body = json.dumps({"instances": pixels.tolist()})
    url = "localhost:8501/v1/models/flowers:predict"
    answered = json.loads(server.answer(url, body))["predictions"]
    said = models["flowers"].classify(pixels)
    assert answered[0]["label"] == said[0].label

    reviews = models["reviews"]
    tokens = {
        name: np.asarray(value)[0].tolist()
        for name, value in reviews.preprocessor(["A fine film."]).items()
    }
    body = json.dumps({"signature_name": "tokens", "instances": [tokens]})
    answered = server.answer("localhost:8501/v1/models/reviews:predict", body)
    said = reviews.classify(["A fine film."])[0]
    assert json.loads(answered)["predictions"][0]["label"] == said.label


@pytest.mark.slow
def test_litert(here, models, capsys, monkeypatch):
    namespace = {"tl": tl}
    exec(blocks("python")[2], namespace)
    if importlib.util.find_spec("ai_edge_litert") is None:
        # TensorFlow's copy of the same class, which warns that it will go there.
        module = types.ModuleType("ai_edge_litert.interpreter")
        module.Interpreter = tf.lite.Interpreter
        monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("litert"))
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is depr")
        exec(blocks("python")[3], namespace)
    check_last_answer(capsys, models)


@pytest.mark.slow
def test_onnx(here, models, capsys):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    exec(blocks("python")[4], {"tl": tl, "model": models["flowers"]})
    exec(blocks("python")[5], {})
    check_last_answer(capsys, models)


@pytest.mark.slow
def test_what_the_readme_says_of_deploying(here, models, capsys):
    """Here, on a tiny model: on the README's own it would take minutes."""
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = [text for _, text in BLOCK.findall(readme) if "tl.export(model" in text]
    data = tl.image_folder("flowers", image_size=16, validation_split=0, test_split=0.5)
    exec(block, {"tl": tl, "model": models["flowers"], "data": data})
    said = capsys.readouterr().out
    assert "flowers_model" in said and "flowers.tflite" in said


def check_last_answer(capsys, models):
    """Compares label and probability that a block printed with the model's."""
    said = models["flowers"].classify("flowers/rose/1.jpg")[0]
    label, probability = capsys.readouterr().out.splitlines()[-1].split()
    assert label == said.label
    assert float(probability) == pytest.approx(said.probability, abs=0.05)
