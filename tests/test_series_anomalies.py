"""Anomalies in series: scores, flags, figures, and what is refused."""

import math

import keras
import numpy as np
import pandas as pd
import pytest

import tlkeras as tl
from tlkeras._validation import UnsupportedError
from tlkeras.metrics.anomalies import anomaly_figures, run_numbers

WINDOW, HORIZON = 24, 4


def made_frame(steps=700, ids=("a",), seed=0):
    """Returns daily waves with noise, a series for each id, and no anomaly."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-03-01", periods=steps, freq="h")
    wave = 9 * np.sin(2 * np.pi * np.arange(steps) / 24)
    parts = [
        pd.DataFrame(
            {
                "at": times,
                "who": each,
                "kwh": 50 + wave + rng.normal(0, 1, steps),
                "heat": -wave + rng.normal(0, 1, steps),
            }
        )
        for each in ids
    ]
    return pd.concat(parts, ignore_index=True)


def read(frame, target="kwh", **changes):
    given = {"id": "who", "window": WINDOW, "horizon": HORIZON, **changes}
    return tl.from_series(frame, "at", target, **given)


def forecaster(data):
    """Returns a solved forecaster that sees the window alone."""
    inputs = keras.Input((WINDOW, 2 * data.problem.input.channels))
    x = keras.layers.Conv1D(2, 3, padding="causal", name="block1_conv")(inputs)
    keras.utils.set_random_seed(0)
    model = tl.series_forecaster(keras.Model(inputs, x, name="small"), data)
    tl.fit_head(model, data.train, verbose=0)
    return model


@pytest.fixture(scope="module")
def fitted():
    """A frame of two series, data, a forecaster, and the frame with anomalies."""
    frame = made_frame(ids=("a", "b"))
    data = read(frame)
    broken = frame.assign(odd=False)
    rows = [*range(600, 606), 700 + 650]
    broken.loc[rows, "kwh"] += 12
    broken.loc[rows, "odd"] = True
    return frame, data, forecaster(data), broken


def test_steps_that_nothing_foretold_are_flagged(fitted):
    _, data, model, broken = fitted
    found = tl.series_anomalies(model, broken, data.val)
    table = found.table
    assert [*table.columns] == [
        *("who", "at", "kwh", "kwh_expected", "kwh_low", "kwh_high"),
        *("score", "flagged"),
    ]
    assert len(table) == len(broken) and found.flagged[broken["odd"]].all()
    # Before the first window of each series nothing is expected.
    first = np.arange(1400) % 700 < WINDOW
    np.testing.assert_array_equal(np.isnan(found.scores), first)
    outside = (table["kwh"] < table["kwh_low"]) | (table["kwh"] > table["kwh_high"])
    np.testing.assert_array_equal(found.flagged, outside)
    usual = table[~first & ~broken["odd"]]
    assert np.abs(usual["kwh"] - usual["kwh_expected"]).mean() < 2
    events = found.events
    assert {*zip(events["who"][:2], events["first"][:2], strict=True)} == {
        ("a", pd.Timestamp("2024-03-26")),
        ("b", pd.Timestamp("2024-03-28 02:00")),
    }
    assert "steps of the reference" in str(found)
    ax = found.plot("b")
    assert ax.get_ylabel() == "kwh, b" and len(ax.lines[0].get_xdata()) == 700


def test_as_many_ordinary_steps_are_flagged_as_asked_for(fitted):
    _, data, model, _ = fitted
    fresh = made_frame(1500, seed=1)
    found = tl.series_anomalies(model, fresh, data.val, false_alarms=0.05)
    assert 0.03 < found.flagged.mean() < 0.08
    # Frames say what is usual as well as data do.
    again = tl.series_anomalies(model, fresh, fresh, false_alarms=0.05)
    known = 1500 - WINDOW
    assert again.flagged.sum() == known - math.ceil(0.95 * (known + 1))
    assert tl.series_anomalies(model, fresh, data.val, count=7).flagged.sum() == 7
    with pytest.raises(ValueError, match="at least 999 steps.*Received: 28"):
        tl.series_anomalies(model, fresh, data.val, false_alarms=0.001)
    with pytest.raises(ValueError, match="`count` must be less"):
        tl.series_anomalies(model, fresh, data.val, count=5000)


def test_a_calibrated_model_needs_no_reference(fitted):
    _, data, model, broken = fitted
    before = model.problem
    with pytest.raises(ValueError, match=r"`reference=data.val`.*tl\.calibrate"):
        tl.series_anomalies(model, broken)
    tl.calibrate(model, data.val, verbose=0)
    found = tl.series_anomalies(model, broken)
    assert found.flagged[broken["odd"]].all() and "if errors are normal" in str(found)
    # The units are the same, the threshold is not.
    other = tl.series_anomalies(model, broken, data.val)
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-3)
    model.problem = before


def test_of_several_targets_the_largest_score_counts(fitted):
    frame, *_ = fitted
    data = read(frame[:700], ["kwh", "heat"], id=None)
    broken = frame[:700].copy()
    broken.loc[600, "heat"] += 20
    broken.loc[500, "kwh"] = np.nan
    broken.loc[300:339, "heat"] = 1.0
    broken = broken.drop(index=510)
    found = tl.series_anomalies(forecaster(data), broken, data.val)
    table = found.table
    assert len(table) == 700 and found.flagged[600]
    both = table[["kwh_score", "heat_score"]].max(axis=1)
    np.testing.assert_array_equal(both, table["score"])
    assert table["heat_score"][600] > 3 > table["kwh_score"][600]
    # What is missing is no anomaly; another target still has its score.
    assert np.isnan(table["kwh_score"][500]) and not np.isnan(found.scores[500])
    assert np.isnan(found.scores[510]) and not found.flagged[510]
    # One that is stuck does not hide the other.
    assert np.isnan(table["heat_score"][335]) and not np.isnan(found.scores[335])
    assert found.plot(target="heat").get_ylabel() == "heat"
    with pytest.raises(ValueError, match=r"Rename \['score'\]"):
        found.series.table([("score", table["kwh"]), ("score", table["heat"])])
    with pytest.raises(ValueError, match=r"`target` must be one of \['kwh', 'heat'\]"):
        found.plot(target="odd")


def test_labels_are_columns_bools_or_intervals(fitted):
    _, data, model, broken = fitted
    found = tl.series_anomalies(model, broken, data.val)
    figures = found.evaluate("odd")
    assert (figures.anomalous, figures.events, figures.events_found) == (7, 2, 2)
    assert figures.recall == 1 and figures.roc_auc > 0.99
    assert figures.false_alarms < 0.04 and figures.average_precision > 0.9
    assert "random flags" in str(figures) and "Kim et al." in str(figures)
    assert figures.plot().get_xlabel() == "Recall"
    spans = {
        "a": [("2024-03-26 00:00", "2024-03-26 05:00")],
        "b": [("2024-03-28 02:00", "2024-03-28 02:00")],
    }
    for labels in (broken["odd"], broken["odd"].to_numpy(int), spans):
        assert str(found.evaluate(labels)) == str(figures)
    # Rows in another order say the same.
    mixed = broken.sample(frac=1, random_state=0)
    again = tl.series_anomalies(model, mixed, data.val)
    assert again.evaluate("odd").recall == 1 == again.evaluate(mixed["odd"]).recall
    for labels, words in (
        (broken["odd"][:-1], "a bool for each of its 1400 rows"),
        ("strange", "No such column: 'strange'"),
        ("kwh", "must be bools"),
        ([("2024-03-26", "2024-03-27")], "given by `id`"),
        ({"c": []}, "no series 'c'"),
        ({"a": [("2025-01-01", "2025-01-02")]}, "No step lies from"),
        ({"a": ("2024-03-26", "2024-03-27")}, "pairs of their ends.*'2024-03-26'"),
        ({"a": broken["odd"][:700].to_numpy()}, "pairs of their ends"),
        ({"a": [(pd.Timestamp("2024-03-26", tz="UTC"),) * 2]}, "no time zone"),
        (mixed["odd"], "in another order"),
        (broken["odd"] & False, "0 of 1352 steps with a score"),
    ):
        with pytest.raises(ValueError, match=words):
            found.evaluate(labels)


def test_one_series_without_times_takes_numbers_of_steps(fitted):
    frame = fitted[0][:700][["kwh"]]
    data = tl.from_series(frame, target="kwh", window=WINDOW, horizon=HORIZON)
    found = tl.series_anomalies(forecaster(data), frame, data.val)
    assert found.evaluate([(600, 605)]).anomalous == 6
    for labels, words in (
        ([("2024-03-26", "2024-03-27")], "numbers of steps"),
        ([(600, 603, 605)], "pairs of their ends"),
        ({"a": [(600, 605)]}, "one series, without an `id`"),
    ):
        with pytest.raises(ValueError, match=words):
            found.evaluate(labels)


def test_figures_are_by_step_and_by_event():
    # Two events; the second series begins within what would else be one.
    truth = np.array([0, 1, 1, 1, 0, 0, 1, 1, 0, 0], bool)
    scores = np.array([np.nan, 1, 9, 2, 3, 0, 0, 0, 8, 1.0])
    begins = np.array([0, 7])
    assert run_numbers(truth, begins).tolist() == [0, 1, 1, 1, 0, 0, 2, 3, 0, 0]
    found = anomaly_figures(truth, scores, scores > 2.5, begins)
    assert found["steps"] == 9 and found["anomalous"] == 5
    assert (found["events"], found["events_found"]) == (3, 1)
    assert (found["alarms"], found["false_alarm_runs"]) == (3, 2)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == 0.2 and found["false_alarms"] == 0.5
    assert found["point_adjusted_f1"] == pytest.approx(2 * 3 / (5 + 5))
    assert 0 < found["random_point_adjusted_f1"] < 1


def test_what_cannot_be_looked_at_is_said(fitted):
    frame, data, model, _ = fitted
    short = pd.concat([frame[:700], frame[700:710]])
    with pytest.warns(UserWarning, match="1 of 2 series are shorter than a window"):
        found = tl.series_anomalies(model, short, data.val)
    assert np.isnan(found.scores[700:]).all()
    # One step after the window is enough, of a series alone, too.
    tiny = tl.series_anomalies(model, frame[: WINDOW + 2], data.val)
    long = tl.series_anomalies(model, frame[:700], data.val)
    np.testing.assert_allclose(tiny.scores, long.scores[: WINDOW + 2], rtol=1e-4)
    with pytest.raises(ValueError, match="at least 25 steps. Received: 10"):
        tl.series_anomalies(model, frame[:10], data.val)
    still = frame[:700].copy()
    still.loc[300:399, "kwh"] = 1.0
    with pytest.warns(UserWarning, match="steps have no score.*never change"):
        found = tl.series_anomalies(model, still, data.val)
    assert np.isnan(found.scores[340:400]).all() and not np.isnan(found.scores[401])
    with pytest.raises(ValueError, match="no column 'kwh'"):
        tl.series_anomalies(model, frame[["at", "who"]], data.val)
    with pytest.raises(ValueError, match="another form than the model's.*'forecast'"):
        tl.series_anomalies(model, frame, read(frame, around=True).val)
    with pytest.raises(ValueError, match="`reference`, `data.val` or a frame"):
        tl.series_anomalies(model, frame, data)
    with pytest.raises(ValueError, match="`false_alarms` must be"):
        tl.series_anomalies(model, frame, data.val, false_alarms=2)
    plain = keras.Sequential([keras.Input((WINDOW, 1)), keras.layers.Dense(1)])
    with pytest.raises(UnsupportedError, match="series_anomalies"):
        tl.series_anomalies(plain, frame, data.val)


# Windows that are seen on both sides of what is asked for.


@pytest.fixture(scope="module")
def filled():
    """A frame, data whose windows hide their middle, and a model of them."""
    frame = made_frame(400)[["at", "kwh", "heat"]]
    data = read(frame, id=None, features=["heat"], around=True)
    return frame, data, forecaster(data)


def test_the_middle_of_windows_is_hidden_and_asked_for(filled):
    frame, data, _ = filled
    series = frame["kwh"].to_numpy("float32")
    borders = [240, 320, 400]
    for part, begin, end in zip(
        ("train", "val", "test"), [0, *borders], borders, strict=False
    ):
        examples = tl.inputs.examples_of(getattr(data, part))
        # No window of a part reaches into a later one, what is asked for into none.
        assert examples.starts[-1] + WINDOW == end
        assert examples.starts[0] + 10 == max(begin, 10)
    x, y = next(iter(data.val))
    gone = np.isnan(x.numpy())
    assert gone[:, 10:14, 0].all() and gone.sum() == 4 * len(x)
    start = int(tl.inputs.examples_of(data.val).starts[0])
    one = data.problem.output.taken_apart(y.numpy())
    asked = series[start + 10 : start + 14]
    np.testing.assert_allclose(one.own(one.true)[0, :, 0], asked, rtol=1e-5)
    seen = np.delete(series[start : start + WINDOW], slice(10, 14))
    assert one.mean[0, 0, 0] == pytest.approx(seen.mean(), rel=1e-5)


def test_a_model_that_fills_in_sees_both_sides(filled, tmp_path):
    frame, data, model = filled
    broken = frame.copy()
    broken.loc[350:352, "kwh"] += 12
    found = tl.series_anomalies(model, broken, data.val, false_alarms=0.05)
    assert found.flagged[350:353].all()
    known = ~np.isnan(found.scores)
    assert known[10:390].all() and not known[:10].any() and not known[390:].any()
    # Nothing of what is hidden gets in.
    window = frame[["kwh", "heat"]].to_numpy()[:WINDOW]
    other = window.copy()
    other[10:14, 0] = 1e3
    (said,), (same,) = model.classify(window), model.classify(other)
    np.testing.assert_array_equal(said.values, same.values)
    assert np.abs(said.values[:, 0] - window[10:14, 0]).max() < 4
    model.save(tmp_path / "model.keras")
    again = tl.load(tmp_path / "model.keras")
    tl.calibrate(again, data.val, verbose=0)
    scores = tl.series_anomalies(again, broken).scores
    np.testing.assert_allclose(scores, found.scores, rtol=1e-3)
    with pytest.raises(ValueError, match="it does not forecast"):
        again.forecast(frame)
    with pytest.raises(ValueError, match="Classical methods forecast"):
        tl.classical_report(data)
    with pytest.raises(ValueError, match="`data` were read for 'forecast'|forecast"):
        tl.evaluate(model, read(frame, id=None, features=["heat"]).test, verbose=0)
    assert "hidden steps within" in str(tl.model_card(model))
    with pytest.raises(ValueError, match="at least 2 steps longer"):
        read(frame, id=None, around=True, horizon=23)
    with pytest.raises(ValueError, match="as `features`"):
        read(frame, id=None, around=True, known=["heat"])


def test_steps_are_scored_with_what_is_known_ahead():
    frame = made_frame(300)[["at", "kwh"]].assign(sale=np.arange(300) % 9 < 2)
    frame["kwh"] += 15 * frame["sale"]
    data = read(frame, id=None, known=["sale"])
    # Where nothing is sold although there is a sale.
    frame.loc[270, "kwh"] -= 15
    found = tl.series_anomalies(forecaster(data), frame, data.val, false_alarms=0.05)
    assert (~np.isnan(found.scores)).sum() == 300 - WINDOW
    assert frame["sale"][270] and np.nanargmax(found.scores) == 270
