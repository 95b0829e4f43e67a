"""Tables: rows of numbers, categories, dates and texts."""

from tlkeras.inputs.tables.columns import Columns
from tlkeras.inputs.tables.input import Tables

__all__ = ["Columns", "Tables"]
