"""`Problem`: what data and models are for, and how that is told of a Keras model."""

from tlkeras.problem.inference import (
    adopt_reading,
    gives_logits,
    input_of,
    is_of_classes,
    own_problem,
    problem_of,
    problem_to_learn,
)
from tlkeras.problem.names import adopt_names, check_names, names_of_data
from tlkeras.problem.packing import pack_data
from tlkeras.problem.problem import PREDICTIONS, Problem

__all__ = [
    "PREDICTIONS",
    "Problem",
    "adopt_names",
    "adopt_reading",
    "check_names",
    "gives_logits",
    "input_of",
    "is_of_classes",
    "names_of_data",
    "own_problem",
    "pack_data",
    "problem_of",
    "problem_to_learn",
]
