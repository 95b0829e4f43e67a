"""Training: the two phases of fine-tuning, each verified."""

from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.promises import PhaseError
from tlkeras.training.verbs import fine_tune, fit_head

__all__ = ["FineTuneHistory", "Phase", "PhaseError", "fine_tune", "fit_head"]
