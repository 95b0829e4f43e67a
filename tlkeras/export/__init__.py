"""Export: a trained model as an artefact of another runtime, checked once written."""

from tlkeras.export.exporting import export
from tlkeras.export.quantizing import quantize
from tlkeras.export.reports import ExportError, ExportReport, QuantizationReport

__all__ = [
    "ExportError",
    "ExportReport",
    "QuantizationReport",
    "export",
    "quantize",
]
