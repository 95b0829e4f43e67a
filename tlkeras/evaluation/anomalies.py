"""`series_anomalies`: how far each step of a series lies from what was expected."""

import dataclasses
import math
import statistics
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras._validation import check_int, check_number
from tlkeras.description import Described, Description
from tlkeras.evaluation.expecting import (
    Windows,
    asked_of,
    bands_of,
    errors_of,
    predicted,
    scores_of,
    windows_of,
    windows_of_reference,
)
from tlkeras.inputs.series.along import Along
from tlkeras.metrics.anomalies import anomaly_figures, run_numbers
from tlkeras.metrics.ranking import Curve, precision_recall_curve
from tlkeras.metrics.table import number
from tlkeras.plots import plot_precision_recall
from tlkeras.plots.series import plot_anomalies
from tlkeras.problem import Problem, problem_to_learn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Runs of flagged steps that are printed at most.
_SHOWN = 12


@dataclass(frozen=True)
class AnomalyFigures(Described):
    """How well anomalies were found, as `Anomalies.evaluate` says; prints itself.

    Steps without a score are left out of all figures.

    Attributes:
        steps: How many steps have a score.
        anomalous: How many of them are anomalous.
        average_precision: Of the scores, over steps; by chance it is the share of
            anomalous steps.
        roc_auc: The area under the ROC curve, over steps; 0.5 by chance.
        precision_at_k: Share of anomalous steps among as many highest scores as there
            are anomalous steps.
        precision: Share of the flagged steps that are anomalous.
        recall: Share of the anomalous steps that are flagged.
        f1: The harmonic mean of these two.
        false_alarms: Share of the other steps that are flagged.
        events: How many runs of anomalous steps there are.
        events_found: How many of them have a flagged step.
        alarms: How many runs of flagged steps there are.
        false_alarm_runs: How many of them touch no event.
        point_adjusted_f1: F1 by step where all steps of an event count as flagged if
            one is. It flatters: random flags do well by it, too (Kim et al. 2022).
        random_point_adjusted_f1: The same of as many flags at random, mean of 20
            draws.
        curve: Precision over recall, by step.
    """

    steps: int
    anomalous: int
    average_precision: float
    roc_auc: float
    precision_at_k: float
    precision: float
    recall: float
    f1: float
    false_alarms: float
    events: int
    events_found: int
    alarms: int
    false_alarm_runs: int
    point_adjusted_f1: float
    random_point_adjusted_f1: float
    curve: Curve = dataclasses.field(repr=False)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws precision over recall, by step.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.
        """
        return plot_precision_recall({"steps": self.curve}, ax)

    def _described(self) -> Description:
        rows = [
            ("average precision", number(self.average_precision)),
            ("ROC AUC", number(self.roc_auc)),
            (f"precision at {self.anomalous}", number(self.precision_at_k)),
            ("precision of the flagged", number(self.precision)),
            ("recall of the flagged", number(self.recall)),
            ("F1 of the flagged", number(self.f1)),
            ("ordinary steps flagged", f"{self.false_alarms:.2%}"),
            ("events found", f"{self.events_found} of {self.events}"),
            ("alarms at no event", f"{self.false_alarm_runs} of {self.alarms}"),
            ("point-adjusted F1", number(self.point_adjusted_f1)),
            ("  of random flags", number(self.random_point_adjusted_f1)),
        ]
        share = self.anomalous / self.steps
        notes = (
            f"By step; random scores have an average precision of {number(share)}. "
            "Point-adjusted: flattering, a random score does well by it (Kim et al. "
            "2022).",
        )
        title = f"{self.anomalous} of {self.steps} steps are anomalous"
        return Description(title, ("figure", "value"), tuple(rows), notes)


@dataclass(frozen=True, eq=False, repr=False)
class Anomalies(Described):
    """How far steps of series lie from what a model expected; prints what is flagged.

    Attributes:
        table: A `pandas.DataFrame` with a row for each series and step: the series'
            `id` where there are several, the time; for each target its value, and
            `"<target>_expected"`, `"<target>_low"` and `"<target>_high"`, beyond which
            it would be flagged, of several targets `"<target>_score"`; `score` and
            `flagged`. NaN where nothing is known.
        scores: Of each row, float64 `(steps,)`: how many deviations of usual errors a
            step lies from what was expected, of several targets the largest; NaN
            before the first window and where a value is missing.
        flagged: Which rows are flagged, bool `(steps,)`.
        threshold: The score beyond which a step is flagged.
        targets: The columns that were looked at.
        rule: In words, which steps are flagged.
        series: The series, as they were read.
    """

    table: Any
    scores: np.ndarray
    flagged: np.ndarray
    threshold: float
    targets: tuple[str, ...]
    rule: str
    series: Along

    @property
    def events(self) -> Any:
        """Runs of flagged steps, the highest score first.

        A `pandas.DataFrame`: the series' `id` where there are several, the times of
        the `first` and the `last` step, how many `steps`, and the highest `score`.
        """
        import pandas as pd

        along = self.series
        runs = run_numbers(self.flagged, along.begins)
        rows = []
        for each in range(1, int(runs.max(initial=0)) + 1):
            places = np.flatnonzero(runs == each)
            owner = along.own[places[0]]
            steps = along.steps(owner)[places[[0, -1]] - along.begins[owner]]
            peak = self.scores[places].max()
            rows.append((along.series[owner].id, *steps, len(places), peak))
        first = "series" if along.id is None else along.id
        found = pd.DataFrame(rows, columns=[first, "first", "last", "steps", "score"])
        found = found if along.id is not None else found.drop(columns=first)
        found = found.sort_values("score", ascending=False, kind="stable")
        return found.reset_index(drop=True)

    def evaluate(self, labels: Any) -> AnomalyFigures:
        """Says how well known anomalies were found.

        Args:
            labels: A column of the frame, by name, or a bool for each of its rows:
                whether a step is anomalous. Or intervals `[(first, last)]` of times,
                of which a date is its midnight, or of steps' numbers where there are
                no times, both ends anomalous; of several series a dictionary of
                intervals by `id`.

        Raises:
            ValueError: If labels are none of these, or no step with a score is
                anomalous, or all are.
        """
        truth = self.series.labels(labels)
        known = ~np.isnan(self.scores)
        count, of = int(truth[known].sum()), int(known.sum())
        if not 0 < count < of:
            raise ValueError(
                f"{count} of {of} steps with a score are anomalous: figures need some "
                "of either kind. Steps before the first window have no score."
            )
        begins = self.series.begins
        found = anomaly_figures(truth, self.scores, self.flagged, begins)
        curve = precision_recall_curve(truth[known], self.scores[known])
        return AnomalyFigures(**found, curve=curve)

    def plot(
        self, id: Any = None, target: str | None = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draws a series, what was expected of it, and what is flagged.

        Args:
            id: The series, where there are several; `None`: that of the highest score.
            target: The column; `None`: the first target.
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If there is no such series or target.
        """
        name = self.targets[0] if target is None else target
        if name not in self.targets:
            raise ValueError(
                f"`target` must be one of {[*self.targets]}. Received: {target!r}."
            )
        along = self.series
        if id is None:
            one = int(along.own[np.nan_to_num(self.scores).argmax()])
        else:
            one = along.number(id)
        rows = self.table[along.own == one]
        value, expected, low, high = (
            rows[f"{name}{ending}"].to_numpy()
            for ending in ("", "_expected", "_low", "_high")
        )
        flagged = rows["flagged"].to_numpy()
        ax = plot_anomalies(along.steps(one), value, expected, low, high, flagged, ax)
        about = name if along.id is None else f"{name}, {along.series[one].id}"
        ax.set_ylabel(about)
        return ax

    def _described(self) -> Description:
        events = self.events
        header = tuple(map(str, events.columns))
        rows = tuple(
            (*map(str, row[:-1]), f"{row[-1]:.2f}")
            for row in events.head(_SHOWN).itertuples(index=False)
        )
        known = int((~np.isnan(self.scores)).sum())
        title = (
            f"{int(self.flagged.sum())} of {known} steps flagged in {len(events)} "
            f"runs: {self.rule}"
        )
        more = len(events) - len(rows)
        notes = (f"and {more} runs more, `.events`",) if more else ()
        return Description(title, header, rows, notes)


def series_anomalies(
    model: keras.Model,
    frame: Any,
    reference: Any = None,
    *,
    false_alarms: float = 0.01,
    count: int | None = None,
    batch_size: int = 256,
) -> Anomalies:
    """Says for each step of series how far it lies from what a forecaster expected.

    A step is forecast by each window that ends up to `horizon` steps before it. How far
    off a forecast is is counted in its usual errors: deviations, of the same step of
    the horizon, on data without anomalies. A step's score is the largest over its
    windows: one that ended just before tells a spike, one that ended long before tells
    what later ones have got used to, such as a shift of the level. A model of data with
    `around=True` fills each step in from both sides instead.

    A step is flagged where its score is beyond the conformal quantile of the
    `reference`'s scores: of steps like those, about the share `false_alarms` is flagged
    on average. That holds as long as ordinary steps are as they were
    (exchangeable with the reference's): look at it again when seasons change.

    Args:
        model: A trained `tl.series_forecaster`.
        frame: Series as `tl.from_series` read them, with the same columns: a
            `pandas.DataFrame` or the path of a CSV file. It may hold what the model
            was trained on; what a score says there is too good.
        reference: What ordinary errors are taken from: data that the model was not
            trained on, `data.val`, or a frame. `None`: errors are those that
            `tl.calibrate(model, data.val)` kept, and the threshold is that of normal
            ones, of which real ones mostly have more that are large.
        false_alarms: Share of ordinary steps that may be flagged.
        count: Flags so many steps at most, those of the highest scores, whatever
            `false_alarms` says.
        batch_size: Windows per step of the model.

    Returns:
        `Anomalies`.

    Raises:
        UnsupportedError: If the model does not forecast.
        ValueError: If an argument is not as described, the frame lacks a column or is
            shorter than a window, the model is not calibrated and there is no
            `reference`, or that is too short for `false_alarms`.

    Example:
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> kwh = np.sin(np.arange(600) * 0.2618) + rng.normal(0, 0.1, 600)
    >>> frame = pd.DataFrame({"kwh": kwh})
    >>> data = tl.from_series(frame, target="kwh", window=48, horizon=6)
    >>> model = tl.series_forecaster("patch_transformer", data)
    >>> history = tl.fit_head(model, data.train, verbose=0)
    >>> frame.loc[550:553, "kwh"] += 2
    >>> found = tl.series_anomalies(model, frame, data.val)
    >>> found.flagged[550:554].tolist()
    [True, True, True, True]
    >>> found.evaluate([(550, 553)]).events_found
    1

    Reference:
        Laptev et al., Generic and Scalable Framework for Automated Time-series Anomaly
        Detection (2015); Laxhammar and Falkman, Conformal Prediction for Distribution-
        Independent Anomaly Detection in Streaming Vessel Data (2010).
    """
    check_number("false_alarms", false_alarms, above=0, below=1)
    if count is not None:
        check_int("count", count, 1)
    check_int("batch_size", batch_size, 1)
    problem = problem_to_learn(model)
    if not problem.output.forecasts:
        raise problem.output.unsupported("tl.series_anomalies", "forecast_columns")
    seen = problem.input.along(frame)
    windows = windows_of(seen, problem)
    output, usual = problem.output, None
    if reference is not None:
        like = windows_of_reference(reference, problem)
        like = predicted(model, problem, like, batch_size)
        output, _ = output.calibrated(errors_of(output, like), np.zeros(()))
        usual = scores_of(output, like)
    elif output.errors is None:
        raise ValueError(
            "Which errors are usual is not known: pass `reference=data.val`, or "
            "calibrate the model first, `tl.calibrate(model, data.val)`."
        )
    found = predicted(model, problem, windows, batch_size)
    by_target = scores_of(output, found)
    if count is None:
        threshold, rule = _level(usual, false_alarms, output.units)
    else:
        threshold, rule = _of_the_highest(_joined(by_target), count)
    bands = bands_of(output, found, threshold)
    _say_what_is_left_out(seen, windows, output.horizon, bands["expected"])
    return _found(seen, problem, by_target, bands, threshold, rule)


def _joined(scores: np.ndarray) -> np.ndarray:
    """Returns scores of steps: the largest of the targets that are known."""
    return np.fmax.reduce(scores, axis=1)


def _say_what_is_left_out(
    seen: Along, windows: Windows, horizon: int, expected: np.ndarray
) -> None:
    """Warns of series and of steps that have no score."""
    count = len(seen.series)
    short = count - len(np.unique(windows.own[windows.starts]))
    if short:
        warnings.warn(
            f"{short} of {count} series are shorter than a window and a step: their "
            "steps have no score.",
            UserWarning,
            stacklevel=3,
        )
    places, inside = asked_of(windows, horizon)
    asked = np.unique(places[inside])
    still = int(np.isnan(expected[asked]).all(axis=1).sum())
    if still:
        warnings.warn(
            f"{still} steps have no score: in all windows around them the values of "
            "the targets never change, or are missing.",
            UserWarning,
            stacklevel=3,
        )


def _level(
    usual: np.ndarray | None, false_alarms: float, units: int
) -> tuple[float, str]:
    """Returns the score beyond which steps are flagged, and why in words.

    Args:
        usual: Scores of the reference by target, or `None`.
        false_alarms: As in `series_anomalies`.
        units: Of how many errors a score is the largest at most.
    """
    if usual is None:
        # Šidák's inequality: no more, however these errors hang together.
        each = 1 - (1 - false_alarms) ** (1 / units)
        threshold = statistics.NormalDist().inv_cdf(1 - each / 2)
        return threshold, (
            f"scores beyond {threshold:.2f}, at most {false_alarms:.2%} of ordinary "
            "steps if errors are normal; `reference=` would count them"
        )
    usual = _joined(usual)
    usual = np.sort(usual[~np.isnan(usual)])
    rank = math.ceil((len(usual) + 1) * (1 - false_alarms) - 1e-9)
    if rank > len(usual):
        least = math.ceil(1 / false_alarms - 1 - 1e-9)
        raise ValueError(
            f"A share of {false_alarms:.2%} false alarms takes a `reference` of at "
            f"least {least} steps with a score. Received: {len(usual)}. Take a longer "
            "one, more `false_alarms=`, or `count=`."
        )
    threshold = float(usual[rank - 1])
    return threshold, (
        f"scores beyond {threshold:.2f}, as {false_alarms:.2%} of {len(usual)} steps "
        "of the reference"
    )


def _of_the_highest(scores: np.ndarray, count: int) -> tuple[float, str]:
    """Returns the score beyond which so many steps lie, and why in words."""
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    if count >= len(known):
        raise ValueError(
            f"`count` must be less than the {len(known)} steps that have a score. "
            f"Received: count={count}."
        )
    # Of equals none, or all: a rank among them would mean nothing.
    threshold = float(known[count])
    return threshold, f"the {count} highest scores"


def _found(
    seen: Along,
    problem: Problem,
    by_target: np.ndarray,
    bands: dict[str, np.ndarray],
    threshold: float,
    rule: str,
) -> Anomalies:
    """Returns what was found, as a table."""
    targets = problem.input.columns[: problem.output.targets]
    scores = _joined(by_target)
    flagged = scores > threshold
    columns, values = [], seen.values
    for i, name in enumerate(targets):
        columns.append((name, values[:, i]))
        columns += [(f"{name}_{ending}", each[:, i]) for ending, each in bands.items()]
        if len(targets) > 1:
            columns.append((f"{name}_score", by_target[:, i]))
    table = seen.table([*columns, ("score", scores), ("flagged", flagged)])
    return Anomalies(table, scores, flagged, threshold, targets, rule, seen)
