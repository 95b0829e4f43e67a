"""`Forecast`: the output of a forecaster."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.metrics import forecasting
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.table import number
from tlkeras.outputs.base import Output
from tlkeras.outputs.forecasts.intervals import (
    COVERAGES,
    LEVELS,
    Intervals,
    bounds_of,
    error_quantiles,
    usual_errors,
)
from tlkeras.outputs.forecasts.loss import FARTHEST, ForecastLoss
from tlkeras.outputs.shown import Plot, Table
from tlkeras.outputs.weighing import Weighing

# Rows of the table by step of a report at most.
_STEPS_SHOWN = 12


class Forecasted(NamedTuple):
    """What a forecaster says of one window.

    Attributes:
        values: Of each step and target, in the units of the series, float64 `(horizon,
            targets)`.
        low: Lower ends of the 90% intervals; `None` where `tl.calibrate` found none.
        high: Their upper ends.
    """

    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Unpacked(NamedTuple):
    """Rows of labels, taken apart.

    Attributes:
        true: What came, in deviations from the window's mean, `(n, horizon, targets)`,
            NaN where unknown.
        naive: What the seasonal naive forecast was, in the same units.
        mean: Of each window, `(n, 1, targets)`, in the units of the series.
        deviation: The same.
        naive_error: `(n, targets)`, as in `tlkeras.metrics.forecasting.mase`.
    """

    true: np.ndarray
    naive: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    naive_error: np.ndarray

    def own(self, values: np.ndarray) -> np.ndarray:
        """Returns values in the units of the series."""
        return values * self.deviation + self.mean


@dataclass(frozen=True)
class Forecast(Output):
    """What comes next in a series: a value for each step of a horizon and each target.

    Outputs are in deviations from the window's mean, which the head then learns by
    least squares; `model.forecast` gives values in the units of the series.

    Attributes:
        horizon: How many steps ahead.
        targets: How many channels of the windows, the first ones, are forecast.
        errors: Quantiles of errors that intervals are made of, as `tl.calibrate` found
            them, `(9, horizon * targets)`; `None` for no intervals.
        around: Whether these steps are hidden in the middle of the window, which is
            seen on both sides of them, and not what comes next.
        hidden: Units of relu layers of this head alone: `(64,)`; `()` for none.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: `None`: the mean squared error, in deviations. Or a Keras loss, its name,
            or a function of targets and outputs.
        weight: Not used beside a single head.
        class_weight: Not for forecasts.
        metrics: Keras metrics of labels and outputs, or `None` for none.

    `tl.series_forecaster` makes models with this output, `tl.from_series` data for it.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Forecast(24, targets=2).units
    48
    """

    horizon: int
    targets: int = 1
    errors: Sequence[Sequence[float]] | None = None
    around: bool = False

    task: ClassVar[str] = "forecast"
    title: ClassVar[str] = "forecast"
    noun: ClassVar[str] = "forecast"
    nouns: ClassVar[str] = "forecasts"
    output_name: ClassVar[str] = "scaled"
    has_rows: ClassVar[bool] = True
    has_gaps: ClassVar[bool] = True
    goal: ClassVar[str] = "forecaster"
    hub_task: ClassVar[str | None] = "time-series-forecasting"
    first_figures: ClassVar[tuple[str, ...]] = (
        *("mae", "rmse", "mase", "naive_mase", "smape"),
        *("coverage_90", "crps", "loss"),
    )
    headline_figures: ClassVar[tuple[str, ...]] = ("mae", "mase", "naive_mase")

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", check_int("horizon", self.horizon, 1))
        object.__setattr__(self, "targets", check_int("targets", self.targets, 1))
        check_choice("around", self.around, (True, False))
        if self.errors is not None:
            rows = np.asarray(self.errors, "float64")
            if rows.shape != (len(LEVELS), self.units):
                raise ValueError(
                    "`errors` must be those that `tl.calibrate` finds, of shape "
                    f"{(len(LEVELS), self.units)}. Received: shape {rows.shape}."
                )
            kept = tuple(tuple(row) for row in rows.tolist())
            object.__setattr__(self, "errors", kept)
        super().__post_init__()

    @property
    def units(self) -> int:
        return self.horizon * self.targets

    @property
    def columns(self) -> int:
        return 2 * self.units + 3 * self.targets

    @property
    def unit_names(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "horizon": self.horizon,
            "targets": self.targets,
            "errors": self.errors and [list(row) for row in self.errors],
            "around": self.around,
        }

    def takes(self, other: Output) -> bool:
        same = [(one.units, one.around) for one in (self, other)]
        return super().takes(other) and same[0] == same[1]

    # Labels.

    def rows_of(
        self,
        true: np.ndarray,
        naive: np.ndarray,
        mean: np.ndarray,
        deviation: np.ndarray,
        naive_error: np.ndarray,
    ) -> np.ndarray:
        """Returns labels as data hold them, float32 `(n, columns)`.

        Args:
            true: What came, in the units of the series, `(n, horizon, targets)`.
            naive: The seasonal naive forecast, the same.
            mean: Of each window, `(n, targets)`.
            deviation: The same.
            naive_error: The same, as in `tlkeras.metrics.forecasting.mase`.
        """
        parts = [
            (values - mean[:, None]) / deviation[:, None] for values in (true, naive)
        ]
        parts += [mean, deviation, naive_error]
        flat = [part.reshape(len(true), math.prod(part.shape[1:])) for part in parts]
        return np.concatenate(flat, axis=1).astype("float32")

    def taken_apart(self, labels: np.ndarray) -> Unpacked:
        """Returns what rows of labels hold.

        Args:
            labels: `(n, columns)`.
        """
        ends = np.cumsum([self.units, self.units, *[self.targets] * 3])[:-1]
        true, naive, *rest = np.split(np.asarray(labels, "float64"), ends, axis=1)
        mean, deviation, naive_error = rest
        each = self._steps(true), self._steps(naive)
        return Unpacked(*each, mean[:, None], deviation[:, None], naive_error)

    def _steps(self, flat: np.ndarray) -> np.ndarray:
        return np.asarray(flat, "float64").reshape(-1, self.horizon, self.targets)

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Forecast", np.ndarray]:
        raise ValueError("Data for forecasts are made by tl.from_series.")

    def check(self, labels: np.ndarray, part: str) -> None:
        if labels.ndim != 2 or labels.shape[1] != self.columns:
            raise ValueError(
                f"Labels in `{part}` have shape {labels.shape}; a forecaster of "
                f"{self.horizon} steps and {self.targets} target(s) takes (n, "
                f"{self.columns}), as tl.from_series makes them. Build it of the data: "
                "tl.series_forecaster(backbone, data)."
            )

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return np.isfinite(known), "finite, NaN where missing"

    def label_text(self, label: Any) -> str:
        one = self.taken_apart(np.asarray(label)[None])
        first, last = one.own(one.true)[0, [0, -1], 0]
        return f"{number(first)} to {number(last)} in {self.horizon} steps"

    @property
    def amount(self) -> str:
        return f"{self.horizon} steps"

    def planned_weights(self, sizes: Sequence[int]) -> None:
        return None

    # Data.

    def check_train(self, labels: np.ndarray) -> None:
        if not len(labels) or np.isnan(labels[:, : self.units]).all():
            raise ValueError(
                "No training window has a known value in its horizon: nothing could "
                "be learnt."
            )

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        header = ("part", "windows", "mean", "deviation", "missing", "naive MASE")
        rows = []
        for part, each in labels.items():
            if not len(each):
                continue
            one = self.taken_apart(each)
            values = one.own(one.true)
            naive = forecasting.mase(values, one.own(one.naive), one.naive_error)
            figures = np.nanmean(values), np.nanstd(values)
            cells = [f"{value:.4g}" for value in figures]
            cells += [f"{np.isnan(values).mean():.1%}"]
            cells += [number(forecasting.mean_of_known(naive))]
            rows.append((part, str(len(each)), *cells))
        return header, tuple(rows)

    # Training.

    def make_loss(self) -> Any:
        return ForecastLoss("mean_squared_error" if self.loss is None else self.loss)

    def default_metrics(self) -> list[Any]:
        return []

    def solved(self, labels: np.ndarray) -> np.ndarray:
        return np.clip(labels[:, : self.units], -FARTHEST, FARTHEST)

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        if class_weight is None:
            return None
        raise ValueError(
            "`class_weight` is for classes; forecasts have none. Received: "
            f"class_weight={class_weight!r}."
        )

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise ValueError("`sampling` is for classes and numbers; forecasts have none.")

    def _check_class_weight(self) -> None:
        self.weighing(self.class_weight, None)

    # Predictions.

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        labels = np.asarray(labels, "float64")
        self.check(labels, "data")
        if outputs.shape[1] != self.units:
            raise ValueError(
                f"Outputs must have {self.units} columns. Received: {outputs.shape}."
            )
        return labels, outputs.astype("float64")

    def answers(self, outputs: np.ndarray) -> list[Forecasted]:
        return [Forecasted(*each) for each in zip(*self._bands(outputs), strict=True)]

    def _bands(
        self, outputs: np.ndarray, coverage: float = 0.9
    ) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Returns forecasts and their intervals, in deviations."""
        flat = np.asarray(outputs, "float64").reshape(-1, self.units)
        if self.errors is None:
            nothing = [None] * len(flat)
            return self._steps(flat), nothing, nothing
        low, high = (flat + self.errors[row] for row in bounds_of(coverage))
        return self._steps(flat), self._steps(low), self._steps(high)

    def placed(self, answers: list[Any], frames: Callable[[], Any]) -> list[Any]:
        scale = frames() if answers else None
        return [
            Forecasted(
                *(
                    part
                    if part is None
                    else part * scale.deviation[i, : self.targets]
                    + scale.mean[i, : self.targets]
                    for part in one
                )
            )
            for i, one in enumerate(answers)
        ]

    def forecast_columns(
        self,
        outputs: np.ndarray,
        scale: Any,
        names: Sequence[str],
        coverage: float | None,
    ) -> dict[str, np.ndarray]:
        if coverage is None:
            coverage = 0.9
        elif self.errors is None:
            raise ValueError(
                "The model has no intervals: `tl.calibrate(model, data.val)` finds "
                f"them. Received: coverage={coverage!r}."
            )
        bounds_of(coverage)
        named = dict(
            zip(("", "_low", "_high"), self._bands(outputs, coverage), strict=True)
        )
        of = slice(None), None, slice(self.targets)
        found = {}
        for i, name in enumerate(names[: self.targets]):
            for ending, part in named.items():
                if self.errors is None and ending:
                    continue
                if f"{name}{ending}" in found:
                    raise ValueError(
                        f"A target and the bound of another are both called "
                        f"'{name}{ending}': give the target another name."
                    )
                own = part * scale.deviation[of] + scale.mean[of]
                found[f"{name}{ending}"] = own[..., i]
        return found

    def expected(
        self, outputs: np.ndarray, scale: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what steps are expected to be, and how far off is usual.

        Args:
            outputs: Float32 `(n, units)`, as the model gives them.
            scale: Mean and deviation of each channel of the windows, `(n, channels)`.

        Returns:
            Values, and deviations from them, each float64 `(n, horizon, targets)`, in
            the units of the series.
        """
        middle, deviation = map(self._steps, usual_errors(self.errors))
        mean, unit = (
            part[:, None, : self.targets] for part in (scale.mean, scale.deviation)
        )
        return (self._steps(outputs) + middle) * unit + mean, deviation * unit

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        return {self.output_name: outputs}

    # Calibration.

    def as_trained(self) -> "Forecast":
        return self.but(errors=None)

    def calibrated(
        self, y_true: np.ndarray, outputs: np.ndarray
    ) -> tuple["Forecast", Intervals]:
        errors = y_true[:, : self.units] - outputs
        # Seven digits are more than errors tell, and keep a file small.
        kept = np.array(
            [[float(f"{x:.5g}") for x in row] for row in error_quantiles(errors)]
        )
        output = self.but(errors=kept)
        width, coverage = {}, {}
        for asked in COVERAGES:
            low, high = (kept[row] for row in bounds_of(asked))
            inside = np.where(
                np.isnan(errors), np.nan, (errors >= low) & (errors <= high)
            )
            coverage[asked] = float(forecasting.mean_of_known(inside))
            width[asked] = float(np.mean(high - low))
        return output, Intervals(len(errors), coverage, width)

    # The report.

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        one, pred = self.taken_apart(y_true), self._steps(outputs)
        true, own, naive = one.own(one.true), one.own(pred), one.own(one.naive)
        mean = forecasting.mean_of_known
        by_window = forecasting.mase(true, own, one.naive_error)
        of_naive = forecasting.mase(true, naive, one.naive_error)
        weights = np.ones(len(true)) if sample_weight is None else sample_weight
        found = {
            "mae": float(mean(np.abs(true - own))),
            "rmse": float(np.sqrt(mean((true - own) ** 2))),
            "mase": float(mean(by_window)),
            "smape": forecasting.smape(true, own),
            "naive_mae": float(mean(np.abs(true - naive))),
            "naive_mase": float(mean(of_naive)),
            "naive_smape": forecasting.smape(true, naive),
            "loss": float(np.average(self.losses(y_true, outputs), weights=weights)),
        }
        if self.errors is not None:
            quantiles = one.own(pred[None] + self._all_errors()[:, None])
            found["crps"] = forecasting.crps(true, quantiles, LEVELS)
            for coverage in COVERAGES:
                low, high = (quantiles[row] for row in bounds_of(coverage))
                inside = np.where(
                    np.isnan(true), np.nan, (true >= low) & (true <= high)
                )
                found[f"coverage_{coverage * 100:.0f}"] = float(mean(inside))
        return found

    def _all_errors(self) -> np.ndarray:
        return np.stack([self._steps(np.array(row))[0] for row in self.errors])

    def main_values(self, y_true: np.ndarray, y_pred: np.ndarray) -> PerExample:
        one = self.taken_apart(y_true)
        true, own = one.own(one.true), one.own(self._steps(y_pred))
        return PerExample("mase", forecasting.mase(true, own, one.naive_error), False)

    def losses(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns the mean squared error of each window, in deviations."""
        errors = np.nan_to_num(self.solved(y_true) - outputs)
        return (errors**2).mean(axis=1)

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        one = self.taken_apart(np.asarray(true)[None])
        own = one.own(self._steps(predicted))
        error = forecasting.mase(one.own(one.true), own, one.naive_error)
        return f"{self.label_text(true)}: MASE {number(float(error[0]))}"

    def warnings(self, report: Any) -> Iterator[str]:
        mase, naive = report.metrics["mase"], report.metrics["naive_mase"]
        if mase > naive:
            yield (
                f"No better than to repeat the last season: MASE {number(mase)}, of "
                f"the seasonal naive forecast {number(naive)}."
            )

    def sentences(self, report: Any) -> Iterator[str]:
        text = (
            "`naive_` figures are of the seasonal naive forecast, the last season "
            "repeated. Windows that overlap are no independent examples: the interval "
            "is too narrow for them."
        )
        if self.errors is not None:
            within = ", ".join(
                f"{coverage:.0%} intervals hold "
                f"{report.metrics[f'coverage_{coverage * 100:.0f}']:.1%}"
                for coverage in COVERAGES
            )
            text += f" Of these values {within}."
        yield text

    def tables(self, report: Any) -> Iterator[Table]:
        by_step = self.by_step(report)
        shown = np.unique(
            np.linspace(0, self.horizon - 1, min(self.horizon, _STEPS_SHOWN)).round()
        ).astype(int)
        rows = [
            (
                str(step + 1),
                *(number(float(values[step])) for values in by_step.values()),
            )
            for step in shown
        ]
        yield Table("Mean absolute error by step", ("step", *by_step), rows)

    def by_step(self, report: Any) -> dict[str, np.ndarray]:
        """Returns mean absolute errors of each step, in the units of the series.

        Args:
            report: A report of this output.
        """
        one = self.taken_apart(report.y_true)
        true = one.own(one.true)
        return {
            name: forecasting.mean_of_known(np.abs(true - one.own(values)), axis=(0, 2))
            for name, values in (
                ("model", self._steps(report.outputs)),
                ("seasonal naive", one.naive),
            )
        }

    def plots(self, report: Any) -> Iterator[Plot]:
        from tlkeras.plots.series import plot_by_step, plot_forecast

        by_step = self.by_step(report)
        first, last = (number(float(by_step["model"][at])) for at in (0, -1))
        yield Plot(
            "by_step",
            "Error by step of the horizon",
            f"Mean absolute error, {first} at the first step and {last} at the last, "
            "beside that of the seasonal naive forecast.",
            (5.2, 3.4),
            lambda ax=None: plot_by_step(by_step, ax),
        )
        position = self._usual_window(report)
        one = self.taken_apart(report.y_true[[position]])
        bands = self._bands(report.outputs[[position]])
        own = [None if part[0] is None else one.own(part)[0, :, 0] for part in bands]
        true, naive = (one.own(x)[0, :, 0] for x in (one.true, one.naive))
        yield Plot(
            "forecast",
            "A window whose error is the median",
            "True values, the forecast and, where there is one, its 90% interval.",
            (5.2, 3.4),
            lambda ax=None: plot_forecast(true, *own, naive=naive, ax=ax),
        )

    @staticmethod
    def _usual_window(report: Any) -> int:
        return int(np.argsort(report.losses, kind="stable")[len(report.losses) // 2])

    # The command line.

    def record(self, answer: Forecasted) -> dict[str, Any]:
        return {
            name: part.tolist()
            for name, part in answer._asdict().items()
            if part is not None
        }

    def fields(self, answer: Forecasted) -> list[str]:
        return [",".join(f"{value:.6g}" for value in answer.values.ravel())]

    # The card.

    def does(self, noun: str, names: str) -> str:
        if self.around:
            return f"fills in {self.horizon} hidden steps within each {noun}"
        return f"forecasts the next {self.horizon} steps of each {noun}"

    def limits(self, noun: str) -> Iterator[str]:
        if self.around:
            yield "It sees what comes before and after: it does not forecast."
            return
        yield (
            f"It forecasts {self.horizon} steps ahead, by what it has seen in one "
            "window: what happens less often than that, such as holidays, it cannot "
            "know unless a column tells it ahead."
        )

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        if self.errors is None:
            yield "It gives values without intervals: `tl.calibrate` finds some."
        else:
            yield (
                "Intervals are conformal: quantiles of errors on validation data, of "
                "each step by itself. They hold as long as errors stay as they were."
            )
