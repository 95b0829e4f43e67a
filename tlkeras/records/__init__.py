"""Records: how a model was built and trained, as data that its file holds."""

from tlkeras.records.record import RunRecord, TrainingRecord

__all__ = ["RunRecord", "TrainingRecord"]
