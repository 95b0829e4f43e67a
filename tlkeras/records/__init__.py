"""Records: how a model was built and trained, as data that its file holds."""

from tlkeras.records.record import (
    Adaptation,
    LearntClasses,
    Pretraining,
    RunRecord,
    TrainingRecord,
)

__all__ = ["Adaptation", "LearntClasses", "Pretraining", "RunRecord", "TrainingRecord"]
