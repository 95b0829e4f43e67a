"""Records: how a model was built and trained, as data that its file holds."""

from tlkeras.records.record import Adaptation, LearntClasses, RunRecord, TrainingRecord

__all__ = ["Adaptation", "LearntClasses", "RunRecord", "TrainingRecord"]
