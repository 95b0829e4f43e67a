"""`tune`: what it searches, keeps, stops, resumes and refuses."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import assert_equal_weights, solid_colours, weights_of

import tlkeras as tl
from tlkeras.choosing import searching, studies
from tlkeras.choosing.space import default_settings, default_space
from tlkeras.inputs import Pictures
from tlkeras.training.recipe import SETTINGS

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def data():
    pictures = solid_colours(48, 3, size=8)
    return tl.from_arrays(*pictures, validation_split=0.25, batch_size=12)


def small(dropout=0.0):
    """Returns a small model whose builder takes a dropout."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    start = keras.initializers.GlorotUniform(0)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=start, name="block1")(x)
    backbone = keras.Model(inputs, x, name="small")
    return tl.image_classifier(backbone, 3, dropout=dropout)


RATES = {"fine_tune_learning_rate": tl.Between(1e-6, 1e-1, log=True)}
# A head that has hardly begun, so that the rate of fine-tuning matters.
QUICK = {
    "recipe": tl.Recipe(head_epochs=1, epochs=2, unfreeze_from="block1"),
    "cache": "memory",
}


@pytest.fixture(scope="module")
def tuned(data, tmp_path_factory):
    """Returns a search of three trials, its file, the model and what it was before."""
    file = tmp_path_factory.mktemp("study") / "tuning.log"
    model = small()
    before = weights_of(model)
    found = tl.tune(model, data, space=RATES, trials=3, study=file, verbose=0, **QUICK)
    return found, file, model, before


@pytest.mark.slow
def test_the_best_trial_gives_recipe_and_model(tuned, data):
    found, _, model, before = tuned
    table = found.table
    best = table[table.state == "complete"].val_loss.min()
    assert len(table) == 3 and found.best_value == best
    rate = found.settings["fine_tune_learning_rate"]
    assert found.recipe == QUICK["recipe"].but(fine_tune_learning_rate=rate)
    row = table[table.val_loss == best].iloc[0]
    assert row.fine_tune_learning_rate == rate and row.seconds > 0
    # The first is what the search starts from.
    assert table.val_loss[1] == found.default_value >= best
    usual = Pictures((8, 8)).usual(24, ())["fine_tune_learning_rate"]
    assert table.fine_tune_learning_rate[1] == usual
    loss = found.model.evaluate(data.val, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(best, rel=1e-3)
    assert_equal_weights(before, weights_of(model))
    assert found.history.phases and "callbacks" not in found.model.record.not_kept
    assert f"Best val_loss {best:.4g} of 3 trial(s)" in str(found)


@pytest.mark.slow
def test_its_history_and_importances_are_drawn(tuned):
    found = tuned[0]
    assert found.plot().get_ylabel() == "val_loss"
    best = found.plot().lines[-1].get_ydata()
    assert np.all(np.diff(best) <= 0) and best[-1] == found.best_value
    if (found.table.state == "complete").sum() > 1:
        assert list(found.importances) == ["fine_tune_learning_rate"]
        assert len(found.plot_importances().patches) == 1


@pytest.mark.slow
def test_the_same_call_goes_on_and_another_is_refused(tuned, data, capsys):
    found, file, model, _ = tuned
    same = {"space": RATES, "study": file, **QUICK}
    # A process that died left a trial behind.
    opened = optuna.load_study(
        study_name="tlkeras", storage=studies._storage(optuna, file)
    )
    left = opened.ask(found.study.best_trial.distributions)
    again = tl.tune(model, data, trials=5, **same)
    assert "trial 5: " in capsys.readouterr().out
    assert list(again.table.state)[3] == "failed"
    assert again.table.error[4] == "interrupted"
    assert again.study.trials[4].params == left.params
    assert list(again.table.val_loss)[:3] == list(found.table.val_loss)
    complete = tl.tune(model, data, trials=5, verbose=0, **same)
    assert complete.history is None and complete.best_value == again.best_value
    kept = weights_of(complete.model)
    assert_equal_weights(kept, weights_of(again.model))
    with pytest.raises(ValueError, match="of something else: seed differ"):
        tl.tune(model, data, trials=6, seed=1, verbose=0, **same)
    other = file.with_name("other.log")
    other.with_suffix(".keras").write_text("of something else")
    with pytest.raises(ValueError, match="would replace .*other.keras"):
        tl.tune(model, data, verbose=0, **{**same, "study": other})
    assert other.with_suffix(".keras").read_text() == "of something else"
    with pytest.raises(ValueError, match="Another process has the study"):
        with studies._held(file):
            tl.tune(model, data, trials=6, verbose=0, **same)


@pytest.mark.slow
def test_what_fails_is_recorded_and_an_interrupt_keeps_what_is_done(
    data, monkeypatch, capsys
):
    honest, calls = searching.fine_tune, []

    def unruly(model, *arguments, **given):
        calls.append(given["recipe"])
        if len(calls) == 2:
            raise MemoryError("too\n large")
        if len(calls) == 4:
            raise KeyboardInterrupt
        return honest(model, *arguments, **given)

    monkeypatch.setattr(searching, "fine_tune", unruly)
    space = {"dropout": [0.0, 0.5], "augment": [None]}
    found = tl.tune(small, data, space=space, trials=9, **QUICK)
    table = found.table
    assert list(table.state[:2]) == ["complete", "failed"] and len(table) == 3
    assert table.error[2] == "MemoryError: too large"
    assert set(found.builder) == {"dropout"} and "dropout" not in SETTINGS
    said = capsys.readouterr().out
    assert "trial 2: failed, MemoryError: too large; best" in said
    assert "Interrupted: this is the best so far." in said

    def broken(*arguments, **given):
        calls.append("broken")
        raise MemoryError("too large")

    monkeypatch.setattr(searching, "fine_tune", broken)
    calls.clear()
    with pytest.raises(ValueError, match="No trial succeeded.\nMemoryError: too large"):
        tl.tune(small, data, space=space, trials=9, verbose=0, **QUICK)
    assert len(calls) == 3


def test_a_trial_is_stopped_where_others_were_better_or_the_time_is_over():
    class Trial:
        reported = []
        prune = False

        def report(self, value, step):
            self.reported.append((step, value))

        def should_prune(self):
            return self.prune

    class Clock:
        seconds = 1.0

        def left(self):
            return self.seconds

    trial, clock = Trial(), Clock()
    watch = searching.TrialWatch(trial, "val_loss", tl.Recipe(), clock, True)
    watch.on_train_begin()
    watch.on_epoch_end(0, {"val_loss": 9.0})
    watch.on_train_begin()
    watch.on_epoch_end(1, {"val_loss": 2.0})
    assert trial.reported == [(0, 2.0)]
    trial.prune = True
    with pytest.raises(searching._Stopped, match="worse than the median"):
        watch.on_epoch_end(2, {"val_loss": 3.0})
    trial.prune, clock.seconds = False, 0.0
    with pytest.raises(searching._Stopped, match="the time was over"):
        watch.on_epoch_end(3, {"val_loss": 3.0})
    first = searching.TrialWatch(trial, "val_loss", tl.Recipe(), clock, False)
    first.set_model(SimpleNamespace(stop_training=False))
    first.on_train_begin()
    first.on_epoch_end(0, {"val_loss": 3.0})
    assert first.model.stop_training


def test_the_default_space_holds_the_defaults():
    for blocks in ((), tuple(f"layer_{n}" for n in range(8))):
        usual = Pictures((8, 8)).usual(100, blocks)
        defaults = default_settings(tl.Recipe(), usual, {"dropout": 0.1})
        space = searching.Space(default_space(defaults, blocks, augmentable=True))
        assert set(space.ranges) <= {*SETTINGS, "dropout"}
        found = space.parameters(defaults)
        assert space.values(found) == {n: defaults[n] for n in space.ranges}
        assert set(space.distributions()) == set(space.ranges)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"trials": 0}, "`trials` must be a whole number"),
        ({"seconds": -1}, "`seconds` must be a number above 0"),
        ({"recipe": "auto"}, "`recipe` must be a `tl.Recipe`"),
        ({"metric": "val_luck"}, "No such metric: 'val_luck'.*val_loss"),
        ({"space": {"rate": [1]}}, "No such setting: 'rate'.*pass the backbone's name"),
        ({"space": {"epochs": 3}}, "The space of `epochs` must be a list"),
        ({"space": {}}, "`space` must be a dictionary"),
        ({"study": "folder/tuning"}, "`study` must name a file"),
        ({"validation_data": None}, "A search compares trials by validation data"),
        ({"model": lambda units: None}, "needs a name and a default"),
    ],
)
def test_bad_input_is_said_before_the_first_trial(
    data, monkeypatch, arguments, message
):
    monkeypatch.setattr(searching, "fine_tune", lambda *a, **k: pytest.fail("trained"))
    given = {"model": small(), "space": RATES, "verbose": 0, **arguments}
    val = given.pop("validation_data", data.val)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        tl.tune(given.pop("model"), data.train, val, **given)


def test_without_optuna_it_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "tlkeras\[tune\]"'):
        tl.tune("glyphnet", data)
