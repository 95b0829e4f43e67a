"""Records: how a model was built and trained, as data that its file holds."""

from tlkeras.records.record import LearntClasses, RunRecord, TrainingRecord

__all__ = ["LearntClasses", "RunRecord", "TrainingRecord"]
