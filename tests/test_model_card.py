"""Model cards: what they say is so, the header is YAML, the code runs."""

import re

import keras
import numpy as np
import pytest
from helpers import needs_shared, solid_colours, tiny_backbone
from images import encode, picture
from text_models import SENTENCES, tiny_bert, write_preset

import tlkeras as tl
from tlkeras.cards.markdown import escaped, yaml
from tlkeras.inputs import Input, Pictures, Texts
from tlkeras.problem import Problem

CODE = re.compile(r"^```python\n(import tlkeras.*?)^```$", re.M | re.S)
NASTY = ["a|b", "<b>x</b>", "*star*\n# no title"]


def parsed(card):
    """Returns the header of a card, read by a YAML parser."""
    parser = pytest.importorskip("yaml")
    first, header, _ = re.split(r"^---$", str(card), maxsplit=2, flags=re.M)
    assert first == ""
    return parser.safe_load(header)


def section(card, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", str(card), re.M | re.S)[1]


def trained(names=("a", "b"), backbone="glyphnet", **arguments):
    model = tl.image_classifier(backbone, list(names), dropout=0.2, **arguments)
    x = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 1), "uint8")
    data = tl.from_arrays(
        x,
        (np.arange(24) % 6 == 0).astype(int),
        class_names=names,
        validation_split=0.2,
        test_split=0.2,
    )
    tl.fine_tune(
        model, data, head_epochs=2, epochs=1, unfreeze_from="block1", verbose=0
    )
    return model, data


def test_a_card_says_what_is_so():
    model, data = trained()
    report = tl.evaluate(
        model, data.test, slices={"place": lambda x, y: np.array(["here"] * len(y))}
    )
    tl.calibrate(model, data.val, verbose=0)
    card = tl.model_card(
        model,
        report,
        name="Two letters: a test",
        description="Made for a **test**.",
        intended_use="Tests.",
        out_of_scope="Mail.",
        dataset="Noise, by a generator.",
        license="apache-2.0",
        citation="@misc{x}",
        header={"language": "en", "datasets": ["noise"]},
    )
    header = parsed(card)
    assert header["license"] == "apache-2.0" and header["datasets"] == ["noise"]
    assert header["library_name"] == "keras" and "tlkeras" in header["tags"]
    assert header["pipeline_tag"] == "image-classification"
    assert header["metrics"][:2] == ["accuracy", "f1"]
    (index,) = header["model-index"]
    assert index["name"] == "Two letters: a test"
    (result,) = index["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["metrics"][0] == {
        "type": "accuracy",
        "value": round(report.accuracy, 4),
        "name": "Accuracy",
    }
    (run,) = model.record.runs
    for title, parts in {
        "What it is": ["Made for a **test**.", "2 classes (a, b)", "`glyphnet`"],
        "Intended use": ["Tests."],
        "Out of scope": ["Mail.", "out of scope"],
        "Training data": [
            "Noise, by a generator.",
            run.train["fingerprint"][:16],
            "| a | 12 | 4 |",
            "| b | 2 | 1 |",
        ],
        "Backbone": ["Apache-2.0", "printed letters"],
        "Training": [
            str(model.record.seed),
            "| head | backbone frozen | 0.001 | 2 |",
            "| fine-tune | trained from `block1` | 1e-05 | 1 |",
            f"keras {keras.__version__}",
            "All of it is in the file.",
            "tl.rerun",
        ],
        "Results": [f"{report.accuracy:.4f}", "(Wilson)", "By place", "| true | a | b"],
        "Calibration": ["expected calibration error"],
        "Limitations": [
            "trained on 14 examples",
            "tested on 5 examples",
            "12 of a, 2 of b",
            "examined by place alone",
            "cannot say that it does not know",
        ],
        "Licence": ["apache-2.0"],
        "Citation": ["```bibtex\n@misc{x}\n```"],
    }.items():
        for part in parts:
            assert part in section(card, title), (title, part)
    assert "not said" not in str(card)


def test_a_card_makes_nothing_up():
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    card = tl.model_card(model)
    assert "license" not in parsed(card) and "model-index" not in parsed(card)
    for title in ("Intended use", "Out of scope", "Citation"):
        assert "has not said" in section(card, title)
    assert "No licence was chosen" in section(card, "Licence")
    assert "not known to tlkeras" in section(card, "Backbone")
    assert "Not recorded" in section(card, "Training data")
    assert "_Not measured._" in section(card, "Results")
    assert "How good it is was not measured" in section(card, "Limitations")
    model.keep_record(None)
    assert "an earlier version" in section(tl.model_card(model), "Training")


@pytest.mark.slow
def test_random_and_file_weights_claim_no_pretraining(tmp_path):
    random = tl.image_classifier("mobilenet_v2", 2, weights=None, input_shape=32)
    said = section(tl.model_card(random), "Backbone")
    assert "not pretrained" in said and "ImageNet" not in said
    random.backbone.save(tmp_path / "mine.keras")
    own = tl.image_classifier(
        "mobilenet_v2", 2, weights=tmp_path / "mine.keras", input_shape=32
    )
    said = section(tl.model_card(own), "Backbone")
    assert "`mine.keras`" in said and str(tmp_path) not in str(tl.model_card(own))
    assert "not known to tlkeras" in said and "ImageNet" not in said


def test_only_published_weights_are_said_to_be_published(tmp_path, monkeypatch):
    folder = write_preset(tmp_path / "tiny_bert", *tiny_bert())
    monkeypatch.setattr("tlkeras.inputs.texts.backbones.minilm_folder", lambda: folder)

    def card(weights):
        model = tl.text_classifier("minilm", 2, weights=weights, sequence_length=8)
        return tl.model_card(model)

    published = card("pretrained")
    assert parsed(published)["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "a billion pairs" in section(published, "Backbone")
    assert "under Apache-2.0" in section(published, "Backbone")
    own = card(folder / "model.weights.h5")
    assert "Weights: `model.weights.h5`" in section(own, "Backbone")
    assert "not known to tlkeras" in section(own, "Backbone")
    for other in (own, card(None)):
        assert "base_model" not in parsed(other)
        for made_up in ("a billion pairs", "Apache-2.0"):
            assert made_up not in section(other, "Backbone")


def test_own_weights_of_glyphnet_are_not_said_to_know_letters(tmp_path):
    path = tmp_path / "mine.weights.h5"
    tl.image_classifier("glyphnet", 2, weights=None).backbone.save_weights(path)
    own = tl.model_card(tl.image_classifier("glyphnet", 2, weights=path))
    given = tl.image_classifier(tl.load_backbone("glyphnet"), 2, weights=path)
    assert given.record.backbone["licence"] is None
    for made_up in ("printed letters", "Apache-2.0"):
        assert made_up not in section(own, "Backbone")


@pytest.mark.slow
def test_a_card_says_where_something_else_changed_the_model():
    x, y = solid_colours(12, 2)
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    assert "have changed" not in section(tl.model_card(model), "Training")
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 2)
    tl.fit_head(model, (x, y), epochs=1, verbose=0)
    said = section(tl.model_card(model), "Training")
    assert "All of it" not in said and "Before this run something other" in said
    student = tl.image_classifier(tiny_backbone(blocks=1), 2)
    tl.distill(model, student, (x, y), head_epochs=1, epochs=0, verbose=0)
    said = section(tl.model_card(student), "Training")
    assert "learnt from a teacher" in said and "`tl.distill`" in said
    assert "tl.rerun(" not in said


def test_a_card_of_a_pruned_model_counts_what_is_left():
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    backbone = keras.Model(inputs, layers.Conv2D(4, 3)(x), name="two")
    model = tl.image_classifier(backbone, 2, preprocessing=None)
    data = solid_colours(12, 2, size=16)
    tl.fit_head(model, data, epochs=1, verbose=0)
    small = tl.prune(model, data, method="channels", epochs=0, verbose=0).model
    count = small.backbone.count_params()
    assert count < model.backbone.count_params()
    card = tl.model_card(small)
    assert f"`two`, {count:,} parameters" in section(card, "Backbone")
    said = section(card, "Training")
    assert "All of it" not in said and "`tl.prune`" in said


def test_names_break_neither_tables_nor_the_header():
    report = tl.Report(
        [0, 1, 2],
        np.eye(3)[[0, 1, 1]],
        class_names=NASTY,
        slices={"a|b: c": ["x|y", "<i>", "<i>"]},
    )
    model = tl.image_classifier("glyphnet", NASTY)
    card = tl.model_card(model, report, name='Say "hi": #1\n---\nx')
    assert parsed(card)["model-index"][0]["name"] == 'Say "hi": #1\n---\nx'
    assert "\n# no title" not in str(card) and "<b>" not in str(card)
    rows = [x for x in section(card, "Results").splitlines() if x.startswith("| ")]
    per_class = [row for row in rows if row.startswith(r"| a\|b")][0]
    assert len(re.findall(r"(?<!\\)\|", per_class)) == 6


@pytest.mark.parametrize(
    "text", ["yes", "1.0", "a: b", "- x", "", "é ü", "\x7f\u2028", "'", '"\\', "null"]
)
def test_any_text_survives_the_header(text):
    parser = pytest.importorskip("yaml")
    values = {"a": text, "b": [text, {"c": text, "d": [1, 2.5, True]}], "e": []}
    assert parser.safe_load(yaml(values)) == values
    assert "\n" not in escaped(text)


def run_code(card, folder, monkeypatch, capsys):
    """Runs the code of a card in the folder of its model; returns what it printed."""
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(CODE.search(str(card))[1], {})
    return capsys.readouterr().out


def save_beside_a_picture(model, card, folder, grey=False):
    model.save(folder / card.facts.file)
    (folder / "picture.jpg").write_bytes(encode(picture(seed=1), "JPEG"))


def test_the_code_of_a_classifier_runs(tmp_path, monkeypatch, capsys):
    model = tl.image_classifier("glyphnet", ["ant", "bee"])
    card = tl.model_card(model, name="Ants & bees")
    save_beside_a_picture(model, card, tmp_path)
    said = run_code(card, tmp_path, monkeypatch, capsys)
    assert re.fullmatch(r"Prediction\(label='(ant|bee)', probability=.*\)\n", said)
    assert "python -m tlkeras predict ants_bees.keras picture.jpg" in str(card)


def test_the_code_of_a_regressor_runs(tmp_path, monkeypatch, capsys):
    model = tl.image_regressor(tiny_backbone(blocks=1), 2)
    card = tl.model_card(model, tl.Report([[0.5, 2.0]] * 3, [[0.1, 1.0]] * 3))
    assert "pipeline_tag" not in parsed(card) and parsed(card)["metrics"][0] == "mae"
    save_beside_a_picture(model, card, tmp_path)
    said = run_code(card, tmp_path, monkeypatch, capsys)
    assert re.fullmatch(r"\([-\d.e]+, [-\d.e]+\)\n", said)
    assert "numbers, not probabilities" in section(card, "Calibration")


def test_a_card_without_training_or_test_says_what_each_kind_of_model_is():
    heads = {"tags": tl.Labels(["red", "tall"], thresholds=[0.25, 0.5])}
    card = tl.model_card(tl.image_classifier(tiny_backbone(blocks=1), heads))
    assert "pipeline_tag" not in parsed(card)
    assert "Head `tags`: The logits were not scaled" in section(card, "Calibration")
    assert "0.25 (red), 0.5 (tall)" in section(card, "Calibration")
    assert "cannot say that it does not know" not in str(card)
    bert, tokenizer = tiny_bert()
    model = tl.text_regressor(bert, tokenizer=tokenizer, sequence_length=16)
    card = tl.model_card(model)
    assert "gives each text a number" in section(card, "What it is")
    assert "first 16 tokens" in section(card, "Limitations")
    model.problem = model.problem.but(input=Texts(model.preprocessor, pairs=True))
    assert '[["a text", "another"]]' in str(tl.model_card(model))


def test_a_card_of_a_new_kind_of_input_needs_no_line_of_its_own():
    model = tl.image_classifier(tiny_backbone(blocks=1), ["ant", "bee"])
    model.problem = Problem(Input(), model.problem.output)
    card = tl.model_card(model)
    assert parsed(card)["pipeline_tag"] == "array-classification"
    assert "gives each array one of 2 classes (ant, bee)" in str(card)
    assert "command line" not in section(card, "How to use it")


@pytest.mark.parametrize(
    ("fit", "lost"),
    [("pad", "lose more of it"), ("stretch", "distorted"), (None, "the edges")],
)
def test_a_card_says_what_becomes_of_pictures_of_another_shape(fit, lost):
    model = tl.image_classifier(tiny_backbone(blocks=1), 2)
    model.problem = model.problem.but(input=Pictures((16, 16), fit=fit))
    assert lost in section(tl.model_card(model), "Limitations")


@pytest.mark.slow
def test_a_text_model_has_a_card(tmp_path, monkeypatch, capsys):
    bert, tokenizer = tiny_bert()
    model = tl.text_classifier(
        bert, ["no", "yes"], tokenizer=tokenizer, sequence_length=16
    )
    data = np.array(SENTENCES), np.arange(len(SENTENCES)) % 2
    tl.fit_head(model, data, epochs=1, verbose=0)
    card = tl.model_card(model, tl.evaluate(model, data, verbose=0))
    assert parsed(card)["pipeline_tag"] == "text-classification"
    assert "first 16 tokens" in section(card, "Limitations")
    assert "backbone=..., tokenizer=..." in section(card, "Training")
    model.save(tmp_path / card.facts.file)
    said = run_code(card, tmp_path, monkeypatch, capsys)
    assert len(said.splitlines()) == 2


@pytest.mark.slow
def test_several_heads_have_a_card(tmp_path, monkeypatch, capsys):
    heads = {
        "kind": tl.Classes(["a", "b"]),
        "tags": tl.Labels(["red", "tall"]),
        "size": tl.Numbers(),
    }
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    x, kind = solid_colours(12, 2)
    labels = {"kind": kind, "tags": np.stack([kind, kind], 1), "size": kind * 1.0}
    tl.fit_head(model, (x, labels), epochs=1, verbose=0)
    model.thresholds = {"tags": [0.25, 0.5]}
    card = tl.model_card(model, tl.evaluate(model, (x, labels), verbose=0))
    tasks = [each["task"] for each in parsed(card)["model-index"][0]["results"]]
    assert [task["type"] for task in tasks] == [
        "image-classification",
        "image-classification",
        "image-regression",
    ]
    assert "- `kind` gives each picture one of 2 classes (a, b)" in str(card)
    for part in ("### Head `kind`", "### Head `tags`", "### Head `size`"):
        assert part in section(card, "Results")
    assert "0.25 (red), 0.5 (tall)" in section(card, "Calibration")
    save_beside_a_picture(model, card, tmp_path)
    assert "'kind': Prediction" in run_code(card, tmp_path, monkeypatch, capsys)
    card.save(tmp_path / "card", pictures=True)
    names = {path.name for path in (tmp_path / "card").iterdir()}
    assert {"README.md", "kind_confusion.png", "size_residuals.png"} <= names


@pytest.mark.slow
def test_saving_with_pictures_shows_files_that_are_there(tmp_path):
    model, data = trained()
    report = tl.evaluate(model, data.test, verbose=0)
    card = tl.model_card(model, report)
    folder = tmp_path / "card"
    card.save(folder / "plain.md")
    assert (folder / "plain.md").read_text() == str(card)
    assert [path.name for path in folder.iterdir()] == ["plain.md"]
    card.save(folder, pictures=True)
    text = (folder / "README.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\(([\w.]+)\)", text)
    assert "confusion.png" in shown
    assert all((folder / name).stat().st_size > 1000 for name in shown)
    assert not any("top_losses" in path.name for path in folder.iterdir())
    assert card._repr_markdown_().lstrip().startswith("# ")


def test_bad_input_is_refused(tmp_path):
    model = tl.image_classifier("glyphnet", 2)
    for licence in "Apache 2.0", "mine":
        with pytest.raises(ValueError, match="`license` must be an identifier"):
            tl.model_card(model, license=licence)
    with pytest.raises(ValueError, match="TransferModel"):
        tl.model_card(tiny_backbone(blocks=1))
    with pytest.raises(ValueError, match="'regression'"):
        tl.model_card(model, tl.Report([0.5, 2.0], [0.5, 1.0]))
    with pytest.raises(ValueError, match="Expected"):
        tl.model_card(model, {"kind": tl.Report([0, 1], np.eye(2))})
    with pytest.raises(ValueError, match="end in '.md'"):
        tl.model_card(model).save(tmp_path / "card.html")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        tl.model_card(model).save(tmp_path / "file" / "card.md")


@pytest.mark.parametrize(
    ("name", "licence", "expected"),
    [
        ("minilm", "Apache-2.0", "under Apache-2.0"),
        ("xlm_roberta_base_multi", None, "facebookresearch/fairseq"),
        ("bert_base_en_uncased", None, "not known to tlkeras"),
    ],
)
def test_licences_of_backbones_are_known_or_said_not_to_be(name, licence, expected):
    from tlkeras.cards.backbone_facts import licence_sentence

    known = {"name": name, "licence": licence}
    assert expected in licence_sentence(known, True, name)
    if licence is None:
        own = licence_sentence(known, True, None)
        assert "not known to tlkeras" in own and "KerasHub" not in own


@pytest.mark.real
def test_ants_and_bees_have_a_card_and_a_rerun(tmp_path, monkeypatch):
    folder = needs_shared("data", "ants_bees")
    monkeypatch.setenv("KERAS_HOME", str(needs_shared("keras_home")))
    data = tl.image_folder(folder, image_size=224, batch_size=32, seed=0)
    model = tl.image_classifier("mobilenet_v2", data.class_names, dropout=0.2)
    tl.fine_tune(
        model, data, head_epochs=20, epochs=1, unfreeze_from="block_16", verbose=0
    )
    report = tl.evaluate(model, data.test, slices="folder", verbose=0)
    model.save(tmp_path / "ants_or_bees.keras")
    card = tl.model_card(model, report, name="Ants or bees")
    text = str(card)
    for part in ("ImageNet-1k", "under Apache-2.0", "| ants | 104 | 18 |", "153 exam"):
        assert part in text
    again = tl.rerun(tmp_path / "ants_or_bees.keras", data, verbose=0)
    pairs = zip(model.get_weights(), again.get_weights(), strict=True)
    differences = [np.abs(mine - its).max() for mine, its in pairs]
    print(f"largest difference of a rerun: {max(differences):.3g}")
    assert max(differences) == 0
