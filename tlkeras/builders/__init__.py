"""Builders: backbone, preprocessing and head as one compiled model that saves whole."""

from tlkeras.builders.images import image_classifier, image_regressor
from tlkeras.builders.multi_task import Head, image_multi_task, text_multi_task
from tlkeras.builders.targets import Targets
from tlkeras.builders.texts import text_classifier, text_regressor
from tlkeras.builders.transfer_model import Prediction, TransferModel

__all__ = [
    "Head",
    "Prediction",
    "Targets",
    "TransferModel",
    "image_classifier",
    "image_multi_task",
    "image_regressor",
    "text_classifier",
    "text_multi_task",
    "text_regressor",
]
