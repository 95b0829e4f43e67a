"""Exports: what each runtime gives, what is left where one fails."""

import functools
import json
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import solid_colours, tiny_backbone
from images import encode, picture
from text_models import SENTENCES, tiny_bert, tiny_gpt2

import tlkeras as tl
from tlkeras.export import ExportError, export, exporting, litert, saved_model
from tlkeras.export.copies import in_float32, precision_of
from tlkeras.export.interface import Interface
from tlkeras.export.parity import same_labels
from tlkeras.export.replacing import replacing
from tlkeras.export.samples import samples
from tlkeras.export.scoring import scores
from tlkeras.inputs import Input, Pictures
from tlkeras.inputs.pictures.exporting import decode
from tlkeras.problem import Problem

SUFFIXES = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}
X, _ = solid_colours(6, 2)


def classifier(**arguments):
    return tl.image_classifier(
        tiny_backbone(blocks=1), ["ant", "bee"], head="flatten", **arguments
    )


def texts(make=tiny_bert, **arguments):
    backbone, tokenizer = make(num_layers=1)
    return tl.text_classifier(
        backbone, ["bad", "good"], tokenizer=tokenizer, sequence_length=16, **arguments
    )


# For those who only look at it.
shared_texts = functools.cache(texts)


def several():
    heads = {
        "species": tl.Classes(["ant", "bee", "wasp"]),
        "tags": tl.Labels(["red", "flying"]),
        "length": tl.Numbers(),
    }
    return tl.image_classifier(tiny_backbone(blocks=1), heads)


def exported(model, folder, format, **arguments):
    if format == "onnx":
        for package in ("onnx", "tf2onnx", "onnxruntime"):
            pytest.importorskip(package)
    path = folder / f"model{SUFFIXES[format]}"
    report = export(model, path, **arguments)
    assert [each.name for each in folder.iterdir()] == [path.name]
    return report


def serve(path, signature="serving_default", **inputs):
    with tf.device("cpu"):
        found = tf.saved_model.load(str(path)).signatures[signature]
        outputs = found(**{name: tf.constant(x) for name, x in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def labels_of(predictions):
    return [prediction.label.encode() for prediction in predictions]


def spoil(monkeypatch, module, name, change):
    """Lets a function of the package return something slightly else."""
    plain = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: change(plain(*args)))


def dense():
    """Returns the smallest model there is, for what does not look inside."""
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier that pads its pictures, and its export as a SavedModel."""
    model = classifier()
    model.problem = model.problem.but(input=Pictures((16, 16), fit="pad"))
    return model, exported(
        model, tmp_path_factory.mktemp("saved"), "saved_model", data=X
    )


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_format_agrees_with_the_model(format, tmp_path, saved):
    report = saved[1]
    if format != "saved_model":
        report = exported(saved[0], tmp_path, format, data=X)
    assert report.difference <= 1e-5 and report.tolerance == 1e-4
    assert report.examples == 6 and report.agreement == 1.0
    assert report.precision == "float32" and report.precision_difference == 0
    assert report.outputs == ("probabilities",)
    assert report.class_names == ("ant", "bee")
    assert report.size > 1000
    for text in (format, "image: float32", "probabilities", "on 6 inputs"):
        assert text in str(report)
    if format == "litert":
        with zipfile.ZipFile(report.path) as archive:
            assert archive.read("labels.txt") == b"ant\nbee\n"
            metadata = json.loads(archive.read("metadata.json"))
        assert metadata["task"] == "classification"
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(report.path))
        metadata = session.get_modelmeta().custom_metadata_map
        assert json.loads(metadata["class_names"]) == ["ant", "bee"]


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_models_of_several_heads_and_mixed_precision_are_exported_in_float32(
    format, tmp_path
):
    keras.config.set_dtype_policy("mixed_float16")
    model = several()
    report = exported(model, tmp_path, format, data=X)
    assert precision_of(model) == "float16"
    assert model.dtype_policy.name == keras.config.dtype_policy().name
    assert model.dtype_policy.name == "mixed_float16"
    assert report.precision == "float32" and report.tolerance == 1e-4
    assert 0 < report.precision_difference < 0.01
    assert "by its precision" in str(report)
    assert set(report.outputs) == {"species", "tags", "length"}
    assert report.difference < 1e-4 and report.agreement == 1.0
    if format == "litert":
        with zipfile.ZipFile(report.path) as archive:
            assert archive.read("labels_tags.txt") == b"red\nflying\n"


def test_regressors_give_values_in_the_precision_of_the_model(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = tl.image_regressor(tiny_backbone(blocks=0), outputs=2)
    report = exported(model, tmp_path, "saved_model")
    assert report.precision == precision_of(model) == "bfloat16"
    assert report.precision_difference == 0
    assert report.agreement is None and report.class_names is None
    found = serve(report.path, image=X.astype("float32"))
    np.testing.assert_allclose(found["value"], model.predict(X, verbose=0), rtol=1e-4)


def test_the_float32_copy_keeps_adapters_and_tokenizer():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = texts(lora_rank=2)
    for weight in model.weights:
        if "lora" in weight.name:
            weight.assign(np.full(weight.shape, 0.1))
    keras.config.set_dtype_policy("float32")
    copy = in_float32(model)
    assert copy is not model and precision_of(copy) == "float32"
    assert copy.preprocessor is model.preprocessor
    tokens = model.ready(SENTENCES)
    wanted = model(tokens, training=False)
    np.testing.assert_allclose(copy(tokens, training=False), wanted, atol=0.05)
    assert in_float32(copy) is copy


@pytest.mark.contract
def test_a_saved_model_gives_labels_to_pixels_and_to_files(tmp_path, saved):
    model, report = saved
    pixels = X.astype("float32")
    found = serve(report.path, image=pixels)
    said = model.classify(pixels)
    assert found["label"].tolist() == labels_of(said)
    np.testing.assert_allclose(
        found["probability"], [p.probability for p in said], atol=1e-6
    )
    np.testing.assert_allclose(
        found["probabilities"], model.predict(pixels, verbose=0), atol=1e-6
    )
    layer = keras.layers.TFSMLayer(report.path, call_endpoint="serve")
    np.testing.assert_allclose(
        layer(pixels)["probabilities"], found["probabilities"], atol=1e-6
    )
    extra = report.path / "assets.extra"
    assert (extra / "labels.txt").read_text() == "ant\nbee\n"
    metadata = json.loads((extra / "metadata.json").read_text())
    assert metadata["class_names"] == ["ant", "bee"] and metadata["fit"] == "pad"
    files = [encode(picture(50, 70, seed=seed), "PNG") for seed in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, contents in zip(paths, files, strict=True):
        path.write_bytes(contents)
    found = serve(report.path, "encoded", image_bytes=files)
    padded, cropped = (
        model.predict(tl.load_images(paths, 16, fit=fit), verbose=0)
        for fit in ("pad", "crop")
    )
    np.testing.assert_allclose(found["probabilities"], padded, atol=1e-6)
    assert abs(padded - cropped).max() > 1e-4
    said = [prediction.probability for prediction in model.classify(paths)]
    np.testing.assert_allclose(found["probability"], said, atol=1e-6)
    assert "encoded" in str(report)
    signatures = tf.saved_model.load(str(report.path)).signatures
    for name, given in (
        ("encoded", {"image_bytes": tf.constant([], "string")}),
        ("serve", {"image": tf.zeros((0, 16, 16, 3))}),
    ):
        found = signatures[name](**given)
        assert next(iter(found.values())).shape[0] == 0


@pytest.mark.slow
def test_files_are_decoded_as_they_are_read_in_training(tmp_path):
    paths = []
    for kind in ("JPEG", "PNG", "GIF", "BMP"):
        for size in ((16, 16), (40, 60), (140, 300)):
            paths.append(tmp_path / f"{len(paths)}.{kind.lower()}")
            paths[-1].write_bytes(encode(picture(*size, seed=1), kind))
    for channels, mode, fit in (
        (3, "rgb", "crop"),
        (1, "grayscale", "pad"),
        (3, "rgb", "stretch"),
    ):
        # How a picture fits does not depend on the format of its file.
        some = paths if fit == "crop" else paths[3:6]
        wanted = tl.load_images(some, (16, 20), color_mode=mode, fit=fit)
        # In a graph, as in an export.
        read = tf.function(functools.partial(decode, shape=(16, 20, channels), fit=fit))
        for path, pixels in zip(some, wanted, strict=True):
            got = read(tf.constant(path.read_bytes()))
            np.testing.assert_array_equal(got, pixels, err_msg=f"{path.name}, {fit}")


# The byte-pair tokenizer's graph takes seconds to trace.
@pytest.mark.parametrize(
    "make", [tiny_bert, pytest.param(tiny_gpt2, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_a_saved_model_takes_texts(make, tmp_path):
    model = texts(make)
    report = exported(model, tmp_path, "saved_model")
    assert report.inputs == {"text": "string (None,)"}
    assert "tensorflow_text" in report.notes[0]
    found = serve(report.path, text=SENTENCES)
    wanted = model.predict(SENTENCES, verbose=0)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-6)
    tokens = {
        k: np.asarray(v, "int32") for k, v in model.preprocessor(SENTENCES).items()
    }
    by_token = serve(report.path, "tokens", **tokens)
    np.testing.assert_allclose(by_token["probabilities"], wanted, atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_takes_pairs_where_the_data_are_pairs(tmp_path):
    model = texts()
    pairs = [["the film", "was good"], ["a bad play", "we hated it"]]
    report = exported(model, tmp_path, "saved_model", data=pairs)
    assert report.inputs == {"text": "string (None, 2)"}
    found = serve(report.path, text=pairs)
    wanted = model.predict(np.asarray(pairs, dtype=object), verbose=0)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_formats_without_tokenizer_take_tokens_and_say_so(format, tmp_path):
    report = exported(shared_texts(), tmp_path, format)
    assert "token_ids" in report.inputs and "padding_mask" in report.inputs
    assert "takes token ids" in str(report)
    assert report.difference < 1e-5 and report.examples > 5


@pytest.mark.slow
def test_the_heads_of_a_saved_model_have_names(tmp_path):
    model = several()
    report = exported(model, tmp_path, "saved_model")
    pixels = X.astype("float32")
    found = serve(report.path, image=pixels)
    assert set(found) == {
        *(f"species_{each}" for each in ("label", "probability", "probabilities")),
        *("tags_label", "tags_probabilities", "length_value"),
    }
    said = model.classify(pixels)
    assert found["species_label"].tolist() == labels_of(p["species"] for p in said)
    tags = [tuple(t.decode() for t in row if t) for row in found["tags_label"]]
    assert tags == [p["tags"].label for p in said]
    np.testing.assert_allclose(found["length_value"][:, 0], [p["length"] for p in said])


# GELU is exact: ONNX has no operation for it, and gets a substitute.
@pytest.mark.parametrize(
    ("format", "activation", "rows"), [("litert", None, 1), ("onnx", "gelu", None)]
)
def test_models_of_the_users_own(format, activation, rows, tmp_path):
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    both = keras.layers.Concatenate()([left, right])
    outputs = keras.layers.Dense(2, activation)(both)
    report = exported(keras.Model([left, right], outputs), tmp_path, format)
    assert report.inputs == {
        "left": f"float32 ({rows}, 3)",
        "right": f"float32 ({rows}, 2)",
    }
    assert report.outputs == ("output",) and report.agreement is None


def test_two_outputs_of_nobody_knows_what(tmp_path):
    inputs = keras.Input((3,), name="x")
    outputs = [keras.layers.Dense(units)(inputs) for units in (1, 2)]
    model = keras.Model(inputs, outputs)
    report = exported(model, tmp_path, "saved_model")
    assert report.outputs == ("output_0", "output_1")
    run = {"model": lambda inputs: {"output_0": X[:2], "output_1": X[:2]}}
    with pytest.raises(ValueError, match="does not say what they are for"):
        scores(Interface(model), run, (np.zeros((2, 3)), np.zeros(2)))


@pytest.mark.parametrize("format", ["litert", "saved_model"])
def test_a_new_kind_of_input_exports_without_a_line_of_its_own(format, tmp_path):
    model = tl.image_classifier(tiny_backbone(blocks=0), ["ant", "bee"])
    model.problem = Problem(Input(), model.problem.output)
    report = exported(model, tmp_path, format)
    assert "image" in report.inputs and not report.notes
    if format == "saved_model":
        found = serve(report.path, image=X.astype("float32"))
        assert found["label"].tolist() == labels_of(model.classify(X))
        signatures = tf.saved_model.load(str(report.path)).signatures
        assert set(signatures) == {"serving_default", "serve"}


def off(outputs):
    return {name: value + 0.001 for name, value in outputs.items()}


def not_finite(outputs):
    return {name: value * np.nan for name, value in outputs.items()}


def test_what_differs_is_not_exported_as_litert_and_the_earlier_one_stays(
    tmp_path, monkeypatch
):
    path, model = tmp_path / "model.tflite", dense()
    with monkeypatch.context() as spoilt:
        spoil(spoilt, litert.Interpreter, "all", not_finite)
        with pytest.raises(ExportError, match="inf"):
            export(model, path)
    assert not list(tmp_path.iterdir())
    path.write_bytes(b"earlier")
    spoil(monkeypatch, litert.Interpreter, "all", off)
    with pytest.raises(ExportError, match="differs from the model by 0.001"):
        export(model, path)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]
    assert export(model, path, tolerance=0.01)


def test_a_saved_model_that_differs_is_not_exported_and_the_earlier_one_stays(
    tmp_path, monkeypatch
):
    # A name that ends in a slash is a folder, also where it looks like a suffix.
    model, name = dense(), f"{tmp_path}/v1.2/"
    report = export(model, name)
    assert report.format == "saved_model" and report.path == tmp_path / "v1.2"
    assert (tmp_path / "v1.2" / "saved_model.pb").exists()
    files = [path for path in report.path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    spoil(
        monkeypatch,
        saved_model,
        "run",
        lambda runs: [(runs[0][0], off(runs[0][1])), *runs[1:]],
    )
    with pytest.raises(ExportError, match="differs from the model by 0.001"):
        export(model, name)
    assert {path: path.read_bytes() for path in files} == before
    assert list(tmp_path.iterdir()) == [report.path]


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_operations_that_a_format_does_not_have(format, tmp_path):
    inputs = keras.Input((8, 8))
    spectrum = keras.layers.Lambda(lambda x: keras.ops.fft2((x, x))[0])(inputs)
    with pytest.raises(
        ExportError, match=r"Complex.*SavedModel takes every model"
    ) as caught:
        exported(keras.Model(inputs, spectrum), tmp_path, format)
    assert len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pb", r"'.tflite' is LiteRT, '.onnx' is ONNX, a folder"),
        ("model.keras", "`model.save` writes '.keras' files"),
        ("no/model.onnx", "there is no folder"),
        ("photos", "is no earlier export"),
        ("folder.tflite", "there is a folder of that name"),
    ],
)
def test_paths_and_formats_that_do_not_do(name, message, tmp_path, saved):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"dear")
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(ValueError, match=message):
        export(saved[0], tmp_path / name)
    assert (tmp_path / "photos" / "1.jpg").read_bytes() == b"dear"


@pytest.mark.parametrize(
    "name", ["1.jpg", "assets.extra/tf_serving_warmup_requests", "variables/notes.md"]
)
def test_what_lies_in_an_earlier_export_is_not_deleted(name, tmp_path):
    ours = ["saved_model.pb", "fingerprint.pb", "assets/tokenizer/vocabulary.txt"]
    ours += ["variables/variables.index", "variables/variables.data-00000-of-00001"]
    ours += [f"assets.extra/{x}" for x in ("labels.txt", "labels_a.txt")]
    for each in [*ours, "assets.extra/metadata.json"]:
        (tmp_path / "model" / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / each).write_bytes(b"")
    (tmp_path / "model" / name).write_bytes(b"dear")
    with pytest.raises(ValueError, match=f"and '{name}' would be deleted"):
        with replacing(tmp_path / "model", ""):
            pass
    assert (tmp_path / "model" / name).read_bytes() == b"dear"
    (tmp_path / "model" / name).unlink()
    with replacing(tmp_path / "model", "") as unfinished:
        unfinished.mkdir()
    assert not list((tmp_path / "model").iterdir())


@pytest.mark.slow
def test_a_saved_model_of_texts_may_be_replaced(tmp_path):
    report = exported(texts(), tmp_path, "saved_model")
    with replacing(report.path, "") as unfinished:
        unfinished.mkdir()
    assert not list(report.path.iterdir())


def test_scores_and_labels_are_those_of_the_models_thresholds():
    model = tl.image_classifier(
        tiny_backbone(blocks=1), ["red", "flying"], multi_label=True
    )
    model.thresholds = [0.2, 0.8]
    chances = np.array([[0.3, 0.7], [0.1, 0.9]], "float32")
    labels = np.array([[1, 0], [0, 1]])

    def run(inputs):
        return {"probabilities": chances}

    found = scores(Interface(model), {"model": run}, (X[:2], labels))
    assert found["model"]["accuracy"] == 1.0
    other = {"probabilities": np.array([[0.6, 0.4], [0.1, 0.7]], "float32")}
    assert same_labels(Interface(model), other, run(None)) == 0.75


def test_scores_of_a_model_of_the_users_own_know_logits():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(tiny_backbone(blocks=1)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    logits = np.array([[0.2], [0.4]], "float32")

    def run(inputs):
        return {"output": logits}

    found = scores(Interface(model), {"model": run}, (X[:2], np.array([1, 1])))
    assert found["model"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 8, 8, 3)), "does not fit the model"),
        (np.zeros((0, 16, 16, 3)), "is empty"),
        ("pictures", "must be a batched dataset"),
        ((X, np.zeros(6), np.zeros(6)), None),
    ],
)
def test_data_to_check_on(data, message, saved):
    if message is None:
        assert len(samples(Interface(saved[0]), data, 4)) == 4
        return
    with pytest.raises(ValueError, match=message):
        samples(Interface(saved[0]), data, 4)


def test_a_part_of_splits_is_data_and_splits_are_not(saved):
    data = tl.from_arrays(
        X, np.arange(6) % 2, batch_size=4, validation_split=0, test_split=0
    )
    assert len(samples(Interface(saved[0]), data.train, 16)) == 6
    with pytest.raises(ValueError, match="one part"):
        samples(Interface(saved[0]), data, 16)


def test_texts_of_a_dataset_are_data():
    data = tf.data.Dataset.from_tensor_slices(SENTENCES).batch(2)
    found = samples(Interface(shared_texts()), data, 3)
    assert found.given.tolist() == SENTENCES[:3]
    assert found.arrays["token_ids"].shape == (3, 16)


def test_pictures_of_any_size_are_not_for_litert(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ValueError, match="inputs of one size"):
        exported(model, tmp_path, "litert")
    assert exported(model, tmp_path, "saved_model").difference < 1e-5


def test_what_is_no_functional_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="functional `keras.Model`"):
        export(keras.Model(), tmp_path / "m.tflite")


@pytest.mark.parametrize("package", ["onnx", "tf2onnx", "onnxruntime"])
def test_a_package_that_is_absent_is_named(package, tmp_path, monkeypatch, saved):
    monkeypatch.setitem(sys.modules, package, None)
    if package != "onnx":
        monkeypatch.setitem(sys.modules, "onnx", object())
    if package == "tf2onnx":
        monkeypatch.setitem(sys.modules, "onnxruntime", object())
    with pytest.raises(ImportError, match=r"pip install onnx tf2onnx onnxruntime"):
        export(saved[0], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_float32_copy_must_agree_with_the_model(tmp_path, monkeypatch):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = classifier()

    def other(copy):
        copy.set_weights([weight * 3 for weight in copy.get_weights()])
        return copy

    spoil(monkeypatch, exporting, "in_float32", other)
    with pytest.raises(ExportError, match="in float32 differs"):
        exported(model, tmp_path, "litert", data=X)


def test_a_name_of_two_lines_is_one_line_of_the_file():
    model = tl.image_classifier(tiny_backbone(blocks=1), ["ant\nsmall", "bee"])
    assert Interface(model).label_files()["labels.txt"] == "ant small\nbee\n"
