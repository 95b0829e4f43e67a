"""Series: windows of values over time, to forecast, to classify, to measure."""

from tlkeras.inputs.series.input import Series

__all__ = ["Series"]
