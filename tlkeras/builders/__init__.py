"""Builders: backbone, preprocessing and head as one compiled model that saves whole."""

from tlkeras.builders.images import image_classifier, image_regressor
from tlkeras.builders.texts import text_classifier, text_regressor
from tlkeras.builders.transfer_model import Prediction, TransferModel

__all__ = [
    "Prediction",
    "TransferModel",
    "image_classifier",
    "image_regressor",
    "text_classifier",
    "text_regressor",
]
