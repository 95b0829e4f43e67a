"""Inputs: all that depends on what a model takes, a folder for each kind."""

from tlkeras.inputs.base import (
    Assembled,
    Cells,
    Input,
    PlainRows,
    Prepared,
    ReadExamples,
    Signature,
    Trial,
    Usage,
    input_kinds,
    read_arrays,
    register_input,
)
from tlkeras.inputs.examples import Examples, Reading, examples_of, reading_of
from tlkeras.inputs.pictures import Pictures
from tlkeras.inputs.series import Series
from tlkeras.inputs.sounds import Sounds
from tlkeras.inputs.tables import Columns, Tables
from tlkeras.inputs.texts import Texts

# The table: whoever adds a kind of input adds its line here.
register_input(Pictures)
register_input(Texts)
register_input(Sounds)
register_input(Tables)
register_input(Series)

__all__ = [
    "Assembled",
    "Cells",
    "Columns",
    "Examples",
    "Input",
    "Pictures",
    "PlainRows",
    "Prepared",
    "ReadExamples",
    "Reading",
    "Series",
    "Signature",
    "Sounds",
    "Tables",
    "Texts",
    "Trial",
    "Usage",
    "examples_of",
    "input_kinds",
    "read_arrays",
    "reading_of",
    "register_input",
]
