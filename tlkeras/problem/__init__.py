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
from tlkeras.problem.packing import pack_data
from tlkeras.problem.problem import PREDICTIONS, Problem

__all__ = [
    "PREDICTIONS",
    "Problem",
    "adopt_reading",
    "gives_logits",
    "input_of",
    "is_of_classes",
    "own_problem",
    "pack_data",
    "problem_of",
    "problem_to_learn",
]
