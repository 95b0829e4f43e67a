"""Forecasts: what comes next in a series, for each step of a horizon."""

from tlkeras.outputs.forecasts.intervals import COVERAGES, LEAST_ERRORS, Intervals
from tlkeras.outputs.forecasts.output import Forecast, Forecasted

__all__ = ["COVERAGES", "LEAST_ERRORS", "Forecast", "Forecasted", "Intervals"]
