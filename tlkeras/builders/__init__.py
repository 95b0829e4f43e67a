"""Builders: backbone, preprocessing and heads as one model that saves whole."""

from tlkeras.builders.building import BUILDERS, build_for, make_builders
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.inputs import Pictures, Texts

image_classifier, image_regressor = make_builders(Pictures)
text_classifier, text_regressor = make_builders(Texts)

__all__ = [
    "BUILDERS",
    "TransferModel",
    "build_for",
    "image_classifier",
    "image_regressor",
    "make_builders",
    "text_classifier",
    "text_regressor",
]
