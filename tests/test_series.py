"""Series: windows split by time, scaled in the graph, forecast and classified."""

import io
import json

import keras
import numpy as np
import pandas as pd
import pytest

import tlkeras as tl
from tlkeras import predict_command
from tlkeras._validation import UnsupportedError
from tlkeras.inputs.series.networks import NETWORKS, build_patch_transformer
from tlkeras.inputs.series.reading import season_of
from tlkeras.inputs.series.scaling import WindowScaling, scale_of
from tlkeras.outputs.forecasts.intervals import LEVELS, error_quantiles
from tlkeras.predict_command import run_predict

NAN = np.nan


def made_frame(steps=400, ids=("a",), freq="h", tz=None):
    """Returns a frame of daily waves with noise, a series for each id."""
    parts = []
    for number, each in enumerate(ids):
        rng = np.random.default_rng(number)
        k = np.arange(steps)
        kwh = (
            50 * (number + 1) + 9 * np.sin(2 * np.pi * k / 24) + rng.normal(0, 1, steps)
        )
        times = pd.date_range("2024-03-01", periods=steps, freq=freq, tz=tz)
        heat = np.cos(2 * np.pi * k / 24)
        parts.append(pd.DataFrame({"at": times, "who": each, "kwh": kwh, "heat": heat}))
    return pd.concat(parts, ignore_index=True)


def small_network(steps, width):
    """Returns a backbone of two blocks for windows with marks."""
    inputs = keras.Input((steps, width))
    x = keras.layers.Conv1D(4, 3, padding="causal", name="block1_conv")(inputs)
    x = keras.layers.Conv1D(8, 3, padding="causal", name="block2_conv")(x)
    return keras.Model(inputs, x, name="small")


def read(frame, **changes):
    given = {"window": 24, "horizon": 6, "batch_size": 64, **changes}
    return tl.from_series(frame, "at", "kwh", **given)


@pytest.fixture(scope="module")
def fitted():
    """A frame, its data, and a forecaster whose head was solved and calibrated."""
    frame = made_frame()
    data = read(frame, features=["heat"])
    keras.utils.set_random_seed(0)
    model = tl.series_forecaster(
        small_network(24, 4), data.problem.output, window=24, channels=2
    )
    tl.fit_head(model, data.train, verbose=0)
    tl.calibrate(model, data.val, verbose=0)
    return frame, data, model


# Windows.


def test_the_graph_scales_windows_by_what_is_known_and_marks_gaps():
    rng = np.random.default_rng(0)
    x = rng.normal(1e4, 3, (5, 12, 3))
    x[0, :4, 0], x[1, :, 1], x[2, :, 2] = NAN, 7.0, NAN
    scaled, level = map(np.array, WindowScaling()(x.astype("float32")))
    scale = scale_of(x)
    expected = (x - scale.mean[:, None]) / scale.deviation[:, None]
    gone = np.isnan(x)
    np.testing.assert_array_equal(scaled[..., 3:], gone)
    np.testing.assert_allclose(scaled[..., :3], np.where(gone, 0, expected), atol=0.02)
    assert scale.flat.tolist() == [
        [i == 1 and j == 1 or i == j == 2 for j in range(3)] for i in range(5)
    ]
    np.testing.assert_allclose(level[:, :3], np.arcsinh(scale.mean), rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("lstm", "gru", "tcn")))
        for name in NETWORKS
    ],
)
def test_networks_see_nothing_that_comes_later(name):
    network = NETWORKS[name].build(20, 2)
    x = np.random.default_rng(0).normal(size=(2, 20, 4)).astype("float32")
    later = x.copy()
    # The last patch begins four steps before, as 20 is no multiple of 8.
    later[:, 12:] += 1
    before, after = (np.array(network(each)) for each in (x, later))
    share = before.shape[1] * 12 // 20
    np.testing.assert_allclose(before[:, :share], after[:, :share], atol=1e-5)
    assert np.abs(before[:, -1] - after[:, -1]).max() > 1e-3
    assert name in tl.list_backbones()


def test_weights_that_ship_are_those_of_any_window_and_number_of_channels():
    one, other = (
        tl.series_forecaster("patch_transformer", 3, window=window, channels=channels)
        for window, channels in ((16, 1), (40, 2))
    )
    kernels = [model.backbone.get_layer("block2_qkv").kernel for model in (one, other)]
    np.testing.assert_array_equal(*map(np.array, kernels))
    with pytest.raises(ValueError, match="'gru' has no weights.*weights=None"):
        tl.series_forecaster("gru", 3, window=16)
    with pytest.raises(ValueError, match="at most 512 steps"):
        build_patch_transformer(513)


# Data.


def test_parts_follow_time_and_no_horizon_crosses_a_border():
    frame = made_frame(ids=("a", "b"))
    # The second series begins later: borders are dates, not shares of each.
    frame = frame[(frame["who"] == "a") | (frame["at"] >= "2024-03-05")]
    data = read(frame, id="who", gap=2, stride=3)
    ends = {}
    for part in ("train", "val", "test"):
        examples = tl.inputs.examples_of(getattr(data, part))
        times = pd.to_datetime(
            [n.split(", ")[1] for n in examples.names(range(len(examples)))]
        )
        ends[part] = times.min(), times.max() + pd.Timedelta(hours=5)
        assert len({title.split(",")[0] for title in examples.titles}) == 2
    step = pd.Timedelta(hours=1)
    assert ends["val"][0] - ends["train"][1] >= 3 * step
    assert ends["test"][0] - ends["val"][1] >= 3 * step
    x, y = next(iter(data.val))
    one = data.problem.output.taken_apart(y.numpy())
    assert x.shape[1:] == (24, 1)
    # Labels are what follows, in deviations of the window.
    start = examples_start(data, "val", 0)
    series = frame[frame["who"] == "a"]["kwh"].to_numpy()
    np.testing.assert_allclose(x[0, :, 0], series[start : start + 24], rtol=1e-6)
    np.testing.assert_allclose(
        one.own(one.true)[0, :, 0], series[start + 24 : start + 30], rtol=1e-5
    )
    np.testing.assert_allclose(
        one.own(one.naive)[0, :, 0], series[start : start + 6], rtol=1e-5
    )


def examples_start(data, part, position):
    return int(tl.inputs.examples_of(getattr(data, part)).starts[position])


def test_gaps_are_missing_and_irregular_times_are_resampled():
    frame = made_frame().drop(index=range(60, 65))
    data = read(frame)
    assert data.problem.input.freq == "h"
    missing = sum(int(np.isnan(x).sum()) for x, _ in data.train)
    assert missing > 0 and np.isnan(np.concatenate([y for _, y in data.train])).any()
    model = tl.series_forecaster(small_network(24, 2), 6, window=24)
    assert np.isfinite(tl.fit_head(model, data.train, verbose=0).history["loss"]).all()
    shifted = frame.assign(at=frame["at"] + pd.to_timedelta(frame.index % 7, "min"))
    with pytest.warns(UserWarning, match="no regular steps.*'h'"):
        data = read(shifted, freq="h")
    assert data.problem.input.freq == "h"


@pytest.mark.parametrize(
    "freq, step, season",
    [
        ("D", "D", 7),
        ("W", "7D", 52),
        ("h", "h", 24),
        ("MS", "MS", 12),
        ("ME", "ME", 12),
        ("QS", "3MS", 4),
    ],
)
@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
def test_a_row_that_is_missing_changes_neither_step_nor_season(freq, step, season, tz):
    frame = made_frame(steps=120, freq=freq, tz=tz).drop(index=50)
    data = read(frame, window=12, horizon=2)
    assert data.problem.input.freq == step and season_of(step) == season
    windows = np.concatenate([x for x, _ in data.train])
    assert 0 < np.isnan(windows).mean() < 0.1


def test_periods_are_times_and_the_longest_series_tells_the_step():
    frame = made_frame(ids=("a", "b"))
    short = frame[(frame["who"] == "b") | (frame.index < 2)]
    with pytest.warns(UserWarning, match="1 of 2 series has fewer"):
        assert read(short, id="who").problem.input.freq == "h"
    frame = made_frame()
    periods = frame.assign(at=frame["at"].dt.to_period("h"))
    index = periods.set_index("at")
    for data in (
        read(periods),
        tl.from_series(index, target=pd.Index(["kwh"]), window=24, horizon=6),
    ):
        assert data.problem.input.freq == "h"
        titles = tl.inputs.examples_of(data.test).titles
        assert (titles == tl.inputs.examples_of(read(frame).test).titles).all()


def test_a_step_in_smaller_units_has_the_same_season():
    each = [season_of(freq) for freq in ("24h", "1440min", "7D", "168h", "12h")]
    assert each == [7, 7, 52, 52, 2]


def test_clocks_that_change_change_no_steps():
    frame = made_frame(steps=24 * 40, tz="Europe/Berlin")
    data = read(frame)
    assert not any(np.isnan(x).any() for x, _ in data.train)
    examples = tl.inputs.examples_of(data.test)
    assert examples.titles[-1].endswith("+02:00")
    daily = made_frame(steps=60, freq="D", tz="Europe/Berlin")
    data = read(daily, window=14, horizon=7)
    assert not any(np.isnan(x).any() for x, _ in data.train)


def test_what_is_known_ahead_is_seen_over_the_horizon_and_scaled_by_training():
    frame = made_frame().assign(off=lambda frame: frame.index % 72 < 24)
    data = read(frame, features=["heat"], known=["off"], stride=2)
    assert data.problem.input.columns == ("kwh", "heat", "off")
    x = next(iter(data.val))[0].numpy()
    assert x.shape[1:] == (30, 3)
    assert np.isnan(x[:, 24:, :2]).all() and not np.isnan(x[:, :24]).any()
    start = examples_start(data, "val", 0)
    np.testing.assert_array_equal(x[0, :, 2], frame["off"][start : start + 30])
    past = frame["off"][:240].to_numpy(float)
    np.testing.assert_allclose(data.problem.input.known, [[past.mean(), past.std()]])
    other = read(frame, features=["heat", "off"], stride=2)
    assert (
        len({tl.inputs.examples_of(one.train).fingerprint() for one in (data, other)})
        == 2
    )
    assert not list(data.check(verbose=0))
    with pytest.warns(UserWarning, match=r"never change in the training part.*'no'"):
        read(frame.assign(no=False), known=["no"])


def test_windows_are_copied_a_few_at_a_time(monkeypatch):
    frame = made_frame(ids=("a", "b")).drop(index=range(100, 104))
    whole = read(frame, id="who")
    monkeypatch.setattr("tlkeras.data.series._CHUNK", 7)
    found = read(frame, id="who")
    for one, other in zip(
        (whole.train, whole.val, whole.test),
        (found.train, found.val, found.test),
        strict=True,
    ):
        one, other = map(tl.inputs.examples_of, (one, other))
        assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"time": "when"}, "no column 'when'. Existing columns are"),
        ({"target": "who"}, "must hold numbers"),
        ({"target": None}, "`target` is missing"),
        ({"horizon": None}, "`horizon` is missing"),
        ({"time": "kwh"}, "which tell no times"),
        ({"frame": made_frame(ids=("a", "b"))}, "comes more than once.*id='house'"),
        ({"frame": made_frame(steps=20)}, r"take 24 \+ 6 steps"),
        ({"frame": made_frame(steps=40)}, "No training window"),
        ({"freq": "fortnight"}, "`freq` must be a step as pandas"),
        ({"features": ["kwh"]}, "named twice"),
        ({"features": ["heat"], "known": ["heat"]}, "named twice"),
        ({"known": "heat"}, "`known` must be a list of columns"),
        (
            {
                "frame": made_frame().assign(
                    at=lambda x: x["at"].dt.strftime("%d.%m.%Y")
                )
            },
            "must hold times.*dayfirst=True.*utc=True.*pandas says",
        ),
        ({"known": None}, "`known` must be a list of columns"),
        ({"known": ["at"]}, "must hold numbers.*'at': 'datetime64"),
        (
            {"frame": pd.concat([made_frame(), made_frame()[["kwh"]]], axis=1)},
            "several columns 'kwh'",
        ),
        ({"known": ["who"]}, "must hold numbers, or True and False.*'who': '"),
        (
            {
                "labels": [0],
                "known": ["heat"],
                "time": None,
                "target": None,
                "window": None,
                "horizon": None,
            },
            "`known` is for series to forecast",
        ),
        ({"frame": [1, 2]}, "must be a pandas DataFrame"),
        ({"labels": [0, 1]}, "`time` is for series to forecast"),
        ({"frame": made_frame().assign(kwh=np.inf)}, "must be finite"),
        ({"frame": made_frame().assign(kwh=1.0)}, "No training window.*never change"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*left out")
def test_what_is_no_series_is_refused(change, words):
    given = {"frame": made_frame(), "time": "at", "target": "kwh", "window": 24}
    with pytest.raises(ValueError, match=words):
        tl.from_series(**{**given, "horizon": 6, **change})


# Forecasts.


def test_a_forecaster_gives_values_beside_their_times(fitted, tmp_path):
    frame, data, model = fitted
    table = model.forecast(frame)
    assert [*table.columns] == ["at", "kwh", "kwh_low", "kwh_high"]
    after = pd.date_range(frame["at"].iloc[-1], periods=7, freq="h")[1:]
    assert (table["at"] == after).all()
    k = np.arange(400, 406)
    true = 50 + 9 * np.sin(2 * np.pi * k / 24)
    assert np.abs(table["kwh"] - true).max() < 2
    assert (table["kwh_low"] < table["kwh"]).all()
    narrow = model.forecast(frame, coverage=0.5)
    assert (narrow["kwh_high"] < table["kwh_high"]).all()
    window = frame[["kwh", "heat"]].to_numpy()[-24:]
    (said,) = model.classify(window)
    np.testing.assert_allclose(said.values[:, 0], table["kwh"], rtol=1e-5)
    np.testing.assert_allclose(said.low[:, 0], table["kwh_low"], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = tl.load(tmp_path / "model.keras")
    pd.testing.assert_frame_equal(again.forecast(frame), table)
    with pytest.raises(ValueError, match="no column 'heat'"):
        again.forecast(frame.drop(columns="heat"))
    with pytest.raises(ValueError, match="`coverage` must be one of"):
        again.forecast(frame, coverage=0.7)
    with pytest.warns(UserWarning, match=r"reads 24 steps.*down to 9.*1 of 1 series"):
        assert len(again.forecast(frame.iloc[-9:])) == len(table)
    with pytest.raises(ValueError, match="has no rows"):
        again.forecast(frame.iloc[:0])
    with pytest.raises(ValueError, match="Nothing is known in the 24 steps"):
        again.forecast(frame.assign(kwh=np.nan))
    # What is not forecast may be missing.
    assert np.isfinite(again.forecast(frame.assign(heat=np.nan))["kwh"]).all()
    with pytest.warns(UserWarning, match="1 of which less than half is known"):
        again.forecast(frame.iloc[::4])
    with pytest.raises(ValueError, match=r"data are for a forecaster: .*tl\.compare"):
        tl.rank_backbones(data, ["lstm"])
    with pytest.raises(TypeError, match=r"needs `window`.*\(backbone, data\)"):
        tl.series_forecaster("lstm", 4)


def test_the_command_line_forecasts_files(fitted, tmp_path, monkeypatch, capsys):
    frame, _, model = fitted
    table = model.forecast(frame)
    frame.to_csv(tmp_path / "kwh.csv", index=False)
    monkeypatch.setattr(predict_command, "load", lambda path: model)
    path = str(tmp_path / "kwh.csv")
    assert run_predict(["m.keras", path]) == 0
    said = capsys.readouterr().out
    again = pd.read_csv(io.StringIO(said), parse_dates=["at"])
    pd.testing.assert_frame_equal(again, table, check_dtype=False, rtol=1e-5)
    monkeypatch.setattr("sys.stdin", io.StringIO((tmp_path / "kwh.csv").read_text()))
    assert run_predict(["m.keras", "-"]) == 0
    assert capsys.readouterr().out == said
    assert run_predict(["m.keras", "none.csv", path, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "No such file" in lines[0]["error"] and len(lines) == 1 + len(table)
    assert lines[1]["input"] == path
    assert lines[1]["kwh"] == pytest.approx(table["kwh"][0])
    keras.utils.enable_interactive_logging()


def test_a_burst_after_a_quiet_window_does_not_decide_what_is_learnt():
    rng = np.random.default_rng(0)
    kwh = 5 + np.sin(np.arange(400) * np.pi / 12) / 10 + rng.normal(0, 0.01, 400)
    maes = []
    for size in (0, 500):
        kwh[200] = 5 + size
        data = tl.from_series(pd.DataFrame({"kwh": kwh}), target="kwh", horizon=4)
        model = tl.series_forecaster(small_network(64, 2), data)
        tl.fit_head(model, data.train, verbose=0)
        maes.append(tl.evaluate(model, data.test, verbose=0).mae)
    # Without a limit it is hundreds of times as much.
    assert maes[1] < 3 * maes[0]


def test_names_of_targets_hide_no_other_column_of_a_forecast(
    tmp_path, monkeypatch, capsys
):
    def build(*targets, time="at"):
        frame = made_frame()[["at", "kwh", "heat"]].set_axis(["at", *targets], axis=1)
        data = tl.from_series(frame, time, [*targets], window=24, horizon=2)
        return frame, data, tl.series_forecaster(small_network(24, 4), data)

    frame, _, model = build("input", "file_size")
    frame.to_csv(tmp_path / "kwh.csv", index=False)
    monkeypatch.setattr(predict_command, "load", lambda path: model)
    assert run_predict(["m.keras", *[str(tmp_path / "kwh.csv")] * 2]) == 0
    assert capsys.readouterr().out.startswith("file,at,input,file_size\n")
    keras.utils.enable_interactive_logging()
    frame, data, model = build("kwh", "kwh_low")
    tl.fit_head(model, data.train, verbose=0)
    tl.calibrate(model, data.val, verbose=0)
    with pytest.raises(ValueError, match="both called 'kwh_low'"):
        model.forecast(frame)
    frame, _, model = build("step", "heat", time=None)
    with pytest.raises(ValueError, match="column of its own called 'step'"):
        model.forecast(frame)


def test_data_say_where_what_is_known_ahead_is_missing_and_their_season():
    frame = made_frame(steps=200).assign(off=np.arange(200) % 5)
    frame.loc[40:41, "off"] = NAN
    data = read(frame, features=[], known=["off"], horizon=2, season=12)
    assert data.problem.input.season == 12
    (found,) = data.check(verbose=0).findings
    # Horizons of two steps touch two that are missing in three ways.
    assert found.kind == "known ahead" and found.count == 3


@pytest.mark.contract
def test_what_is_known_ahead_decides_forecasts(tmp_path):
    off = np.random.default_rng(0).uniform(size=400) < 0.3
    frame = made_frame().set_index("at")[["kwh", "heat"]].assign(off=off)
    frame["kwh"] -= 20 * off
    data = tl.from_series(
        frame, target="kwh", features=["heat"], known=["off"], window=24, horizon=4
    )
    model = tl.series_forecaster(small_network(24, 6), data)
    tl.fit_head(model, data.train, verbose=0)
    report = tl.evaluate(model, data.test, verbose=0)
    assert report.mase < 0.2 < 0.9 < report.naive_mase
    # Rows ahead have no targets; what else they have is left aside.
    future = frame.iloc[-6:].assign(kwh=NAN)
    table = model.forecast(pd.concat([frame.iloc[:-6], future]))
    assert [*table["time"]] == [*future.index[:4]]
    assert np.abs(table["kwh"].to_numpy() - frame["kwh"].iloc[-6:-2]).max() < 5
    (said,) = model.classify(frame.to_numpy(float)[-30:-2])
    np.testing.assert_allclose(said.values[:, 0], table["kwh"], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = tl.load(tmp_path / "model.keras")
    assert again.problem == model.problem
    pd.testing.assert_frame_equal(
        again.forecast(pd.concat([frame.iloc[:-6], future])), table
    )
    few = pd.concat([frame.iloc[:-6], future.iloc[:3]])
    with pytest.raises(
        ValueError,
        match=r"\['off'\] must be known.*: 2024-03-17 13:00:00 to .*, 1 of them\..*"
        r"DataFrame\({'off': \.\.\.}, index=\.\.\.\)",
    ):
        again.forecast(few)
    gaps = frame.astype(float)
    gaps.iloc[-9:-7, 2], gaps.iloc[-4:, 0] = NAN, NAN
    with pytest.warns(UserWarning, match=r"2 values of \['off'\] are missing"):
        again.forecast(gaps)
    with pytest.raises(ValueError, match=r"of 28 steps in all.*of 24 steps"):
        again.classify(np.zeros((2, 24, 3)))


def test_its_report_compares_with_the_seasonal_naive_forecast(fitted, tmp_path):
    frame, data, model = fitted
    report = tl.evaluate(model, data.test, verbose=0)
    rows = [model.problem.output.taken_apart(y.numpy()) for _, y in data.test]
    true, naive = (
        np.concatenate([one.own(getattr(one, name)) for one in rows])
        for name in ("true", "naive")
    )
    found = np.array(
        [one.values for x, _ in data.test for one in model.classify(x.numpy())]
    )
    assert report.mae == pytest.approx(np.abs(true - found).mean(), rel=1e-4)
    kwh = frame["kwh"].to_numpy()
    unit = np.abs(kwh[24:240] - kwh[:216]).mean()
    assert report.mase == pytest.approx(report.mae / unit, rel=1e-4)
    assert report.naive_mase == pytest.approx(
        np.abs(true - naive).mean() / unit, rel=1e-4
    )
    assert report.mase < report.naive_mase
    assert 0.7 < report.coverage_90 <= 1 and 0 < report.crps < report.mae
    report.save(tmp_path / "report.html")
    assert "seasonal naive" in (tmp_path / "report.html").read_text("utf-8")
    assert "forecasts the next 6 steps" in str(tl.model_card(model, report=report))
    assert "val" in str(data.describe()) and not list(data.check(verbose=0))


def test_intervals_are_forgotten_with_the_weights_that_they_are_of(fitted):
    frame, data, _ = fitted
    model = tl.series_forecaster(small_network(24, 4), 6, window=24, channels=2)
    with pytest.raises(ValueError, match="not trained on data of tl.from_series"):
        model.forecast(frame)
    tl.fit_head(model, data.train, verbose=0)
    with pytest.raises(ValueError, match="has no intervals"):
        model.forecast(frame, coverage=0.9)
    found = tl.calibrate(model, data.val, verbose=0)
    assert found.coverage[0.9] >= 0.9 and "90% within" in str(found)
    tl.fit_head(model, data.train, verbose=0)
    assert model.problem.output.errors is None
    classifier = tl.series_classifier(small_network(24, 4), 2, window=24, channels=2)
    with pytest.raises(UnsupportedError, match="forecast"):
        classifier.forecast(frame)


def test_conformal_quantiles_hold_for_errors_like_those():
    rng = np.random.default_rng(0)
    quantiles = error_quantiles(rng.normal(size=(99, 2)))
    beyond = rng.normal(size=(20_000, 1, 2)) > quantiles
    np.testing.assert_allclose(1 - beyond.mean(axis=(0, 2)), LEVELS, atol=0.04)
    with pytest.raises(ValueError, match="at least 39 windows"):
        error_quantiles(np.zeros((38, 1)))


def test_data_and_model_must_agree(fitted):
    _, data, _ = fitted
    model = tl.series_forecaster(small_network(20, 4), 6, window=20, channels=2)
    with pytest.raises(ValueError, match="windows of 20 steps of 2 channels: build"):
        tl.fit_head(model, data.train, verbose=0)
    model = tl.series_forecaster(small_network(24, 4), 5, window=24, channels=2)
    with pytest.raises(ValueError, match="forecast"):
        tl.fit_head(model, data.train, verbose=0)
    with pytest.raises(ValueError, match="functional model from"):
        tl.series_forecaster(small_network(24, 3), 5, window=24, channels=2)


@pytest.mark.parametrize("lags", [True, False])
def test_the_head_sees_the_window_itself_unless_told_not_to(lags):
    # What comes next was seen 24 steps ago, which this backbone cannot reach.
    kwh = np.tile(np.random.default_rng(0).normal(size=24), 8)
    kwh = kwh + np.random.default_rng(1).normal(0, 0.01, len(kwh))
    data = tl.from_series(
        pd.DataFrame({"kwh": kwh}), target="kwh", window=24, horizon=1, test_split=0.5
    )
    model = tl.series_forecaster(small_network(24, 2), data, lags=lags)
    tl.fit_head(model, data.train, verbose=0)
    assert (tl.evaluate(model, data.test, verbose=0).mae < 0.05) == lags


# Against others, and from several origins.


def test_a_backtest_trains_on_what_came_before_each_origin():
    frame = made_frame(ids=("a", "b"))
    seen = []

    def train(data):
        seen.append(data)
        model = tl.series_forecaster(small_network(24, 2), data)
        # Repeats the last value, which takes no training.
        return model

    found = tl.backtest(
        *(train, frame, "at", "kwh"),
        id="who",
        window=24,
        horizon=6,
        folds=2,
        test_split=0.5,
        verbose=0,
    )
    begins, ends = [], []
    for data in seen:
        test = tl.inputs.examples_of(data.test)
        times = pd.to_datetime([name.split(", ")[1] for name in test.titles])
        begins.append(times.min())
        ends.append(times.max() + pd.Timedelta(hours=6))
        for part in (data.train, data.val):
            titles = tl.inputs.examples_of(part).titles
            last = pd.to_datetime([name.split(", ")[1] for name in titles]).max()
            assert last + pd.Timedelta(hours=6) <= begins[-1]
    half, quarter = frame["at"].iloc[200], frame["at"].iloc[300]
    assert begins == [half, quarter]
    assert ends == [quarter, frame["at"].iloc[-1] + pd.Timedelta(hours=1)]
    assert found.origins[0] == str(half) and found.mase.shape == (2,)
    assert found.training_windows[1] - found.training_windows[0] == 200
    assert "seasonal naive" in str(found) and str(found.origins[1]) in str(found)
    with pytest.raises(ValueError, match="must return the model"):
        tl.backtest(lambda data: None, frame, "at", "kwh", id="who", horizon=6)
    with pytest.raises(ValueError, match="No such argument: 'labels'.*folds, frame"):
        tl.backtest(train, frame, "at", "kwh", labels=[1], horizon=6)


@pytest.mark.parametrize(
    "method", ["theta", pytest.param("ets", marks=pytest.mark.slow)]
)
def test_methods_of_statistics_forecast_the_same_windows(method):
    pytest.importorskip("statsmodels")
    frame = made_frame(steps=150)
    frame.loc[120:122, "kwh"] = NAN
    data = read(frame, window=72, validation_split=0, test_split=0.1, known=["heat"])
    found = tl.classical_report(data, method, verbose=0)
    labels = np.concatenate([y for _, y in data.test])
    np.testing.assert_array_equal(found.y_true, labels)
    # By its season it repeats days, and less of their noise than the last one has.
    flat = tl.classical_report(data, method, season=1, verbose=0)
    assert found.mase < found.naive_mase < flat.mase


def test_what_repeats_the_last_season_has_intervals_of_its_errors_on_validation_data():
    data = read(made_frame(steps=400), window=72, test_split=0.3)
    found = tl.classical_report(data, "naive")
    assert found.mase == found.naive_mase
    assert 0.8 < found.coverage_90 < 1 and found.crps < found.mae
    with pytest.raises(ValueError, match="test part"):
        tl.classical_report(data.train)
    with pytest.raises(ValueError, match="that of the data"):
        tl.classical_report(data, "naive", season=24)
    with pytest.raises(ValueError, match="`method` must be one of"):
        tl.classical_report(data, "arima")


@pytest.mark.slow
def test_a_forecaster_is_trained_again_by_its_record():
    data = read(made_frame(), known=["heat"])
    model = tl.series_forecaster("patch_transformer", data)
    tl.fit_head(model, data.train, verbose=0)
    again = tl.rerun(model, data.train, verbose=0)
    x = next(iter(data.test))[0]
    np.testing.assert_allclose(again(x), model(x), atol=1e-5)
    # Data of another scale do not change that of the graph.
    warm = made_frame().assign(heat=lambda frame: 10 * frame["heat"])
    tl.fit_head(again, read(warm, known=["heat"]).train, verbose=0)
    assert again.problem.input.known == model.problem.input.known


# Classes.


def made_windows(n=60, seed=0):
    """Returns waves that are told apart by their size alone, and what they are."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    waves = np.sin(np.arange(32) / 3 + rng.uniform(0, 6, (n, 1)))
    waves = (1 + 4 * labels[:, None]) * waves + rng.normal(0, 0.2, waves.shape)
    return waves, np.array(["quiet", "loud"])[labels]


def test_windows_with_labels_are_classified():
    x, y = made_windows()
    data = tl.from_series(x, labels=y, batch_size=16)
    assert data.class_names == ("loud", "quiet")
    model = tl.series_classifier(small_network(32, 2), data.class_names, window=32)
    tl.fit_head(model, data.train, verbose=0)
    assert tl.evaluate(model, data.test, verbose=0).accuracy > 0.9
    shorter = model.classify([x[0], x[1][8:]])
    assert shorter[0].label == y[0] and len(shorter) == 2
    with pytest.raises(ValueError, match="cut the last 32"):
        model.classify(np.zeros((2, 40)))
    assert data.show(4).child_axes
    ragged = tl.from_series([x[0], x[1][4:]] * 8, labels=[0, 1] * 8)
    assert np.isnan(next(iter(ragged.train))[0]).any()


def test_windows_have_no_columns_that_slices_could_name(fitted):
    _, data, model = fitted
    with pytest.raises(ValueError, match="must hold one value per example"):
        tl.evaluate(model, data.test, slices=["north", "south"], verbose=0)
    count = len(tl.inputs.examples_of(data.test))
    where = ["north", "south"] * count
    report = tl.evaluate(model, data.test, slices=where[:count], verbose=0)
    assert len(report.slices["slice"]) == 2


def test_evidence_is_found_at_each_step_of_a_window(fitted):
    frame, _, model = fitted
    window = frame[["kwh", "heat"]].to_numpy(copy=True)[-24:]
    window[3] = NAN
    (one,) = found = tl.explain(model, window, target=2)
    assert one.scores.shape == (24, 2) and one.columns == ("kwh", "heat")
    assert one.scores.sum() == pytest.approx(one.logit - one.baseline, abs=1e-3)
    assert one.output == pytest.approx(model.predict(window[None], verbose=0)[0, 2])
    # Of what is missing nothing is known either way.
    assert not one.scores[3].any() and np.abs(one.over_time).argmax() > 0
    assert len(found.plot().child_axes) == 2 and "base64" in one._repr_html_()
    with pytest.raises(ValueError, match="of which nothing is known"):
        tl.explain(model, window, target=2, baseline=0)
    with pytest.raises(ValueError, match="Grad-CAM is for pictures"):
        tl.explain(model, window, target=2, method="grad_cam")


# What takes longer.


@pytest.mark.slow
def test_pretrained_features_forecast_better_than_random_ones():
    frame = made_frame(steps=700)
    data = tl.from_series(frame, "at", "kwh", window=96, horizon=24)
    found = {}
    for weights in ("synthetic", None):
        keras.utils.set_random_seed(0)
        model = tl.series_forecaster(
            "patch_transformer", data.problem.output, window=96, weights=weights
        )
        tl.fit_head(model, data.train, verbose=0)
        found[weights] = tl.evaluate(model, data.test, verbose=0).mase
    assert found["synthetic"] < found[None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "known"])
def test_a_backbone_is_pretrained_trained_whole_and_exported(kind, tmp_path):
    data = read(made_frame(), **{kind: ["heat"]})
    keras.utils.set_random_seed(0)
    model = tl.series_forecaster(small_network(24, 4), data)
    history = tl.pretrain(model, data, epochs=3, verbose=0)
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
    tl.fine_tune(
        model,
        data.train,
        data.val,
        epochs=2,
        unfreeze_from=1.0,
        verbose=0,
    )
    assert tl.evaluate(model, data.test, verbose=0).mase < 1
    for name in ("model.tflite", "model"):
        report = tl.export(model, tmp_path / name)
        assert report.difference < 1e-4
