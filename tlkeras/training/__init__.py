"""Training: the two phases of fine-tuning, each verified."""

from tlkeras.training.averaging import WeightAveraging
from tlkeras.training.checkpoints import CheckpointError
from tlkeras.training.finder import LearningRateRange, find_learning_rate
from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.planning import Plan
from tlkeras.training.recipe import Recipe
from tlkeras.training.verbs import fine_tune, fit_head, plan
from tlkeras.training.verification import PhaseError

__all__ = [
    "CheckpointError",
    "FineTuneHistory",
    "LearningRateRange",
    "Phase",
    "PhaseError",
    "Plan",
    "Recipe",
    "WeightAveraging",
    "find_learning_rate",
    "fine_tune",
    "fit_head",
    "plan",
]
