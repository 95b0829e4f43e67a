"""Records and `rerun`: what a model keeps of its making, and whether that suffices."""

import json
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.records.encoding import decode, encode, missing, readable

OTHER_PROCESS = """
import sys
import numpy as np
import tlkeras as tl
x = np.load(sys.argv[2])["x"]
model = tl.rerun(sys.argv[1], (x, np.arange(len(x)) % 2), (x[:8], np.arange(8) % 2))
np.savez(sys.argv[3], *map(np.array, model.variables))
"""


def letters(n=24):
    x = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 1), "uint8")
    return x, np.arange(n) % 2


def same(first, second):
    values = zip(first.variables, second.variables, strict=True)
    return all(np.array_equal(np.array(a), np.array(b)) for a, b in values)


def trained(backbone="glyphnet", data=None, **arguments):
    model = tl.image_classifier(backbone, ["a", "b"], dropout=0.3, **arguments)
    tl.fit_head(model, data or letters(), epochs=2, verbose=0)
    return model


@pytest.mark.slow
def test_another_process_comes_to_the_same_weights(tmp_path):
    x, y = letters()
    model = tl.image_classifier("glyphnet", ["a", "b"], dropout=0.3, hidden=(8,))
    tl.fine_tune(
        model,
        (x, y),
        (x[:8], y[:8]),
        head_epochs=2,
        epochs=(1, 1),
        unfreeze_from=("block3", "block2"),
        recipe=tl.Recipe(
            augment=["light", keras.layers.RandomContrast(0.2)],
            optimizer=keras.optimizers.AdamW(weight_decay=0.01, clipnorm=1.0),
            schedule=tl.Cosine(warmup=0.2),
            layer_decay={"block3": 0.5},
            class_weight={0: 1.0, 1: 3.0},
            patience=5,
        ),
        verbose=0,
    )
    val = x[:8], y[:8]
    tl.fit_head(
        model, (x, y), val, epochs=1, recipe=tl.Recipe(batch_size="auto"), verbose=0
    )
    # What a file holds is checked by the tests that follow.
    model.record.save(tmp_path / "model.json")
    np.savez(tmp_path / "data.npz", x=x)
    paths = [tmp_path / "model.json", tmp_path / "data.npz", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "The weights are bit for bit those of the record." in done.stdout
    with np.load(tmp_path / "out.npz") as arrays:
        again = [arrays[name] for name in arrays.files]
    assert len(again) == len(model.variables)
    for value, variable in zip(again, model.variables, strict=True):
        np.testing.assert_array_equal(value, np.array(variable))


@pytest.mark.slow
def test_a_file_keeps_the_record_and_the_next_run_is_added(tmp_path):
    model = trained()
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    assert loaded.record == model.record
    for kind in (model, loaded):
        tl.fit_head(kind, letters(), epochs=1, verbose=0)
    assert [run.weights for run in loaded.record.runs] == [
        run.weights for run in model.record.runs
    ]
    assert len(loaded.record.runs) == 2 and not loaded.record.runs[1].notes
    assert same(tl.rerun(loaded, letters(), verbose=0), model)
    text = str(loaded.record)
    for part in ("image_classifier(backbone='glyphnet'", "run 2 of 2", "dropout=0.3"):
        assert part in text


def test_a_file_without_a_record_loads(tmp_path):
    model = tl.image_classifier("glyphnet", 2)
    model.keep_record(None)
    model.save(tmp_path / "old.keras")
    loaded = tl.load(tmp_path / "old.keras")
    assert loaded.record is None
    tl.fit_head(loaded, letters(), epochs=1, verbose=0)
    with pytest.raises(ValueError, match="earlier versions"):
        tl.rerun(loaded, letters())


def test_a_file_of_a_later_version_loads_without_its_record():
    config = tl.image_classifier(tiny_backbone(blocks=1), 2).get_config()
    config["tlkeras"]["record"]["layout"] = 99
    assert tl.TransferModel.from_config(config).record is None


def test_what_is_recorded_of_a_run(tmp_path):
    x, labels = solid_colours(20, 2)
    data = tl.from_arrays(x, labels, class_names=["a", "b"], batch_size=4, seed=3)
    model = tl.image_classifier(tiny_backbone(blocks=1), data.class_names)
    history = tl.fine_tune(
        model, data, head_epochs=2, epochs=1, cache=tmp_path, verbose=0
    )
    (run,) = model.record.runs
    assert run.cache == "disk" and str(tmp_path) not in str(model.record.to_dict())
    assert run.train["counts"] == {"a": 7, "b": 7}
    assert run.train["split"] == {"val": 0.15, "test": 0.15}
    assert "split: val 0.15, test 0.15" in str(model.record)
    assert run.train["examples"], run.val["examples"] == (14, 3)
    assert run.train["fingerprint"] != run.val["fingerprint"]
    assert (run.train["batch_size"], run.train["seed"]) == (4, 3)
    assert run.settings["unfreeze_from"] == 0.3 and run.settings["epochs"] == 1
    assert run.settings["fine_tune_learning_rate"] == 1e-5
    assert [phase["epochs"] for phase in run.phases] == [2, 1] and run.epochs == 3
    assert run.metrics["val_loss"] == history.history["val_loss"][-1]
    assert run.surroundings.versions["keras"] == keras.__version__
    assert run.surroundings.replicas == 1


def test_a_seed_set_by_the_user_still_repeats_a_model():
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        models.append(tl.image_classifier("glyphnet", 2, dropout=0.2, hidden=(4,)))
        after = random.random()
    assert same(*models)
    assert models[0].record.seed == models[1].record.seed
    # One number is drawn, whatever is built.
    keras.utils.set_random_seed(5)
    tl.image_classifier("glyphnet", 3)
    assert random.random() == after
    other = tl.image_classifier("glyphnet", 2, dropout=0.2, hidden=(4,))
    assert other.record.seed != models[0].record.seed and not same(other, models[0])


@pytest.mark.slow
def test_a_backbone_of_the_users_own_has_to_be_given():
    data, first = solid_colours(16, 2), tiny_backbone()
    start = first.get_weights()
    model = tl.image_classifier(first, 2, dropout=0.2)
    tl.fine_tune(
        model, data, head_epochs=1, epochs=1, unfreeze_from="block2", verbose=0
    )
    assert model.record.not_kept == {"backbone": "keras.Model 'tiny'"}
    with pytest.raises(ValueError, match=r"backbone= \(keras.Model 'tiny'\)"):
        tl.rerun(model, data)
    # Its dropout has other seeds, which the record knows.
    second = tiny_backbone()
    second.set_weights(start)
    again = tl.rerun(model, data, backbone=second, verbose=0)
    assert same(again, model)
    assert again.record.weights == model.record.weights


@pytest.mark.slow
def test_texts_with_adapters_are_repeated():
    labels = np.arange(len(SENTENCES)) % 2
    bert, tokenizer = tiny_bert()
    start = bert.get_weights()
    model = tl.text_classifier(
        bert, 2, tokenizer=tokenizer, sequence_length=16, lora_rank=2
    )
    data = np.array(SENTENCES), labels
    tl.fine_tune(model, data, head_epochs=2, epochs=2, unfreeze_from=0.5, verbose=0)
    assert set(model.record.not_kept) == {"backbone", "tokenizer"}
    fresh, _ = tiny_bert()
    fresh.set_weights(start)
    given = {"backbone": fresh, "tokenizer": tokenizer}
    assert same(tl.rerun(model, data, **given, verbose=0), model)


@pytest.mark.slow
def test_several_heads_are_repeated(tmp_path):
    heads = {
        "kind": tl.Classes(["a", "b"], hidden=(4,), dropout=0.2),
        "size": tl.Numbers(1, loss="huber", weight=0.5),
    }
    x, y = letters()
    data = x, {"kind": y, "size": y * 0.5}
    model = tl.image_classifier("glyphnet", heads)
    tl.fine_tune(
        model, data, head_epochs=1, epochs=1, unfreeze_from="block3", verbose=0
    )
    assert model.record.runs[0].train["counts"] == {"kind": {"a": 12, "b": 12}}
    model.save(tmp_path / "model.keras")
    assert same(tl.rerun(tmp_path / "model.keras", data, verbose=0), model)


@pytest.mark.slow
def test_another_compilation_is_repeated():
    model = tl.image_classifier("glyphnet", 2)
    model.compile(
        keras.optimizers.SGD(momentum=0.5),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
        jit_compile=False,
    )
    tl.fit_head(model, letters(), epochs=2, verbose=0)
    again = tl.rerun(model, letters(), verbose=0)
    assert same(again, model)
    assert type(again.optimizer) is keras.optimizers.SGD

    def odd_loss(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    model.compile("sgd", odd_loss, jit_compile=False)
    tl.fit_head(model, letters(), epochs=1, verbose=0)
    with pytest.raises(ValueError, match="run 2 .* function odd_loss"):
        tl.rerun(model, letters(), verbose=0)


@pytest.fixture(scope="module")
def half_precision():
    """A model in half precision, and data whose validation part it did not see."""
    x, y = letters()
    data = tl.from_arrays(x, y, validation_split=0.25, test_split=0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = trained(data=data.train)
    keras.config.set_dtype_policy("float32")
    return model, data


def test_precision_and_what_was_left_out_are_repeated(half_precision):
    model, data = half_precision
    again = tl.rerun(model, data, verbose=0)
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert again.record.runs[0].val is None
    assert same(again, model)


@pytest.mark.slow
def test_functions_and_callbacks_have_to_be_given():
    def halve(images):
        return images / 2

    class Odd(keras.callbacks.Callback):
        pass

    model = tl.image_classifier("glyphnet", 2)
    tl.fit_head(
        model,
        letters(),
        epochs=1,
        recipe=tl.Recipe(augment=halve),
        callbacks=[Odd(), keras.callbacks.CSVLogger("log.csv")][:1],
        verbose=0,
    )
    assert model.record.not_kept == {"augment": "function halve", "callbacks": "Odd"}
    with pytest.raises(ValueError, match=r"augment= \(function halve\)"):
        tl.rerun(model, letters(), callbacks=[])
    with pytest.raises(ValueError, match=r"callbacks= \(Odd\)"):
        tl.rerun(model, letters(), augment=halve)
    again = tl.rerun(model, letters(), augment=halve, callbacks=[Odd()], verbose=0)
    assert same(again, model)


@pytest.mark.slow
def test_differences_are_said(capsys):
    model = trained()
    capsys.readouterr()
    x, y = letters()
    tl.rerun(model, (255 - x, y), verbose=2)
    assert "The training data are not those of the record" in capsys.readouterr().out
    tl.rerun(model, letters(), seed=1, learning_rate=1e-2, verbose=2)
    said = capsys.readouterr().out
    assert "The weights are not those of the record." in said
    assert "The model started from other weights." in said
    assert "learning_rate was 0.001 and is 0.01." in said
    tl.rerun(model, letters(), verbose=2)
    assert "The weights are bit for bit" in capsys.readouterr().out


@pytest.mark.slow
def test_weights_changed_by_hand_are_noted(capsys):
    model = trained()
    model.fit(*letters(), verbose=0)
    tl.fit_head(model, letters(), epochs=1, verbose=0)
    assert "something other than a fit verb" in model.record.runs[1].notes[0]
    tl.rerun(model, letters(), verbose=2)
    assert "something other than a fit verb" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_repeated_as_it_began(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def start(callback):
        model = tl.image_classifier("glyphnet", 2, dropout=0.3)
        seed = model.record.seed
        tl.fine_tune(
            model,
            letters(),
            head_epochs=1,
            epochs=3,
            unfreeze_from="block3",
            callbacks=[callback],
            checkpoint_dir=tmp_path,
            verbose=0,
        )
        return model, seed

    keras.utils.set_random_seed(1)
    with pytest.raises(KeyboardInterrupt):
        start(Stop())
    keras.utils.set_random_seed(1)
    first = tl.image_classifier("glyphnet", 2, dropout=0.3).record.seed

    Quiet = type("Stop", (keras.callbacks.Callback,), {})
    model, seed = start(Quiet())
    assert seed != first and model.record.seed == first
    assert not model.record.runs[0].notes
    assert same(tl.rerun(model, letters(), callbacks=[], verbose=0), model)


@pytest.mark.slow
def test_runs_may_have_data_of_their_own():
    x, y = letters()
    model = trained(data=(x[:12], y[:12]))
    tl.fit_head(model, (x[12:], y[12:]), epochs=1, verbose=0)
    parts = [(x[:12], y[:12]), (x[12:], y[12:])]
    assert same(tl.rerun(model, parts, verbose=0), model)
    with pytest.raises(ValueError, match=r"2 run\(s\)"):
        tl.rerun(model, parts[:1])


def test_bad_input_is_refused(tmp_path, half_precision):
    model, _ = half_precision
    with pytest.raises(ValueError, match="Did you mean 'dropout'"):
        tl.rerun(model, letters(), dropot=0.1)
    untrained = tl.image_classifier("glyphnet", 2)
    with pytest.raises(ValueError, match="no run"):
        tl.rerun(untrained, letters())
    with pytest.raises(ValueError, match="Received: int"):
        tl.rerun(3, letters())
    with pytest.raises(ValueError, match="end in '.json'"):
        model.record.save(tmp_path / "recipe.txt")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="no training record"):
        tl.rerun(tmp_path / "other.json", letters())
    later = {**model.record.to_dict(), "layout": 99}
    (tmp_path / "later.json").write_text(json.dumps(later))
    with pytest.raises(ValueError, match="later version"):
        tl.TrainingRecord.load(tmp_path / "later.json")


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.5,
        "adam",
        (1, (2, 3)),
        {0: 1.0, "a": (1,)},
        tl.Cosine(warmup=0.1),
        tl.Classes(("a", "b"), class_weight={0: 2.0}),
    ],
)
def test_what_can_be_kept_comes_back(value):
    kept = json.loads(json.dumps(encode(value)))
    classes = {"Cosine": tl.Cosine, "Classes": tl.Classes}
    assert decode(kept, classes) == value
    assert not list(missing(kept)) and readable(kept)


def test_objects_of_keras_come_back():
    kept = json.loads(
        json.dumps(encode([keras.losses.CategoricalFocalCrossentropy(gamma=3.0)]))
    )
    assert (
        decode(kept)[0].get_config()
        == keras.losses.CategoricalFocalCrossentropy(gamma=3.0).get_config()
    )
    assert "CategoricalFocalCrossentropy(" in readable(
        kept
    ) and "gamma=3.0" in readable(kept)


def test_a_huber_loss_keeps_its_delta(tmp_path):
    kept = json.loads(json.dumps(encode(keras.losses.Huber(delta=3.0))))
    assert "delta=3.0" in readable(kept) and decode(kept).delta == 3.0
    loss = keras.losses.Huber(delta=3.0, name="mine")
    heads = {"a": tl.Numbers(loss=loss), "b": tl.Numbers(loss="huber")}
    model = tl.image_regressor(tiny_backbone(blocks=1), heads)
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    x, y = np.zeros((2, 1)), np.full((2, 1), 10.0)
    for name, delta in (("a", 3.0), ("b", 1.0)):
        found = float(loaded.loss[name](x, y))
        assert found == pytest.approx(delta * (10 - delta / 2))
    # What the user compiles with is kept, too.
    model.compile("sgd", {"a": loss, "b": "mse"})
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    assert float(loaded.loss["a"](x, y)) == pytest.approx(3 * (10 - 3 / 2))


def test_keeping_draws_no_random_numbers():
    random.seed(0)
    first = random.random()
    layer = keras.layers.RandomFlip()
    random.seed(0)
    assert not list(missing(encode(layer)))
    assert random.random() == first
    assert list(missing(encode({"a": [lambda x: x]}))) == ["function <lambda>"]
