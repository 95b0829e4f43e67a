"""A kind of input that is written in one folder goes everywhere; tests/hums is one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hums import hum_classifier, hum_regressor, make_hums, small_backbone

import tlkeras as tl

PITCHES = (150.0, 400.0, 800.0)
NAMES = ("low", "middle", "high")
WAVES, IDS = make_hums(60, PITCHES)


def hums():
    return tl.from_arrays(WAVES, [NAMES[i] for i in IDS], class_names=NAMES, seed=0)


def test_data_are_split_described_checked_and_shown():
    data = hums()
    assert data.problem.input.samples == 2_000
    assert "60 hums" in str(data.describe())
    assert data.class_names == NAMES
    assert len(data.train.element_spec[0].shape) == 2
    assert not [x for x in data.check() if x.severity == "error"]
    assert len(data.show(4)) == 4
    twice = np.concatenate([WAVES, WAVES[:3]])
    doubled = tl.from_arrays(twice, np.concatenate([IDS, IDS[:3]]))
    assert any("duplicates" in x.kind for x in doubled.check())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier of hums after both phases, its file, data, history and report."""
    folder = tmp_path_factory.mktemp("hums")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKERAS_CACHE", str(folder / "cache"))
        data = hums()
        model = hum_classifier(small_backbone(), data.class_names)
        history = tl.fine_tune(
            model,
            data.train,
            data.val,
            head_epochs=10,
            epochs=5,
            unfreeze_from="block2",
            learning_rate=0.05,
            fine_tune_learning_rate=0.01,
            verbose=0,
        )
        assert tl.cache_info().entries
        report = tl.evaluate(model, data.test, verbose=0)
    model.save(folder / "hums.keras")
    return model, folder, data, history, report


def test_it_learns_with_cached_features(trained):
    _, _, _, history, report = trained
    assert [phase.name for phase in history.phases] == ["head", "fine-tune"]
    assert report.accuracy > 0.8 and report.class_names == NAMES


@pytest.mark.slow
def test_cached_training_equals_uncached():
    import keras

    data, losses = hums(), []
    for cache in ("memory", False):
        keras.utils.set_random_seed(0)
        model = hum_classifier(small_backbone(), data.class_names)
        found = tl.fit_head(model, data, epochs=2, cache=cache, verbose=0)
        losses.append(found.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.slow
def test_a_fresh_process_knows_it_from_its_file_and_its_folder(trained):
    model, folder, *_ = trained
    np.save(folder / "waves.npy", WAVES[:4])
    script = (
        "import json, numpy as np, hums, tlkeras as tl\n"
        "model = tl.load('hums.keras')\n"
        "answers = model.classify(np.load('waves.npy'))\n"
        "print(json.dumps([[a.label, a.probability] for a in answers]))\n"
    )
    paths = [str(Path(__file__).parent), str(Path(tl.__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {paths!r}\n{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.strip().splitlines()[-1])
    for (label, probability), answer in zip(
        said, model.classify(WAVES[:4]), strict=True
    ):
        assert label == answer.label
        assert probability == pytest.approx(answer.probability, rel=1e-5)


def test_it_is_exported(trained):
    import tensorflow as tf

    model, folder, *_ = trained
    loaded = tl.load(folder / "hums.keras")
    tl.export(loaded, folder / "served", data=WAVES[:8])
    served = tf.saved_model.load(str(folder / "served"))
    found = served.signatures["serving_default"](wave=tf.constant(WAVES[:4]))
    answers = model.classify(WAVES[:4])
    assert [x.decode() for x in found["label"].numpy()] == [a.label for a in answers]


def test_its_record_and_its_card_say_what_it_is(trained):
    model, _, _, _, report = trained
    (run,) = model.record.runs
    assert model.record.builder == "hum_classifier"
    assert run.train["kind"] == "hums" and run.train["samples"] == 2_000
    assert run.train["counts"] == dict.fromkeys(NAMES, 14)
    card = str(tl.model_card(model, report))
    assert "each hum one of 3 classes" in card and "42 hums" in card
    assert "text" not in card.split("## ")[1] and "picture" not in card


def test_what_it_lacks_is_refused_by_one_error(trained):
    model, *_ = trained
    with pytest.raises(tl.UnsupportedError, match="`tl.explain` is not .* for hums"):
        tl.explain(model, WAVES[:2])
    with pytest.raises(tl.UnsupportedError, match="for: pictures, texts"):
        tl.explain(model, WAVES[:2])


@pytest.mark.slow
def test_several_heads_of_hums():
    labels = {"pitch": IDS, "loudness": np.abs(WAVES).max(axis=1)}
    heads = {"pitch": tl.Classes(NAMES), "loudness": tl.Numbers(1, weight=0.1)}
    model = hum_regressor(small_backbone(), heads)
    history = tl.fit_head(model, (WAVES, labels), epochs=1, verbose=0)
    assert {f"{name}_loss" for name in heads} <= history.history.keys()
