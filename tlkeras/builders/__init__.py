"""Builders: backbone, preprocessing and heads as one model that saves whole."""

from tlkeras.builders.building import (
    BUILDERS,
    build_for,
    make_builders,
    make_detector,
    make_forecaster,
)
from tlkeras.builders.transfer_model import Heard, TransferModel
from tlkeras.inputs import Pictures, Series, Sounds, Tables, Texts

image_classifier, image_regressor = make_builders(Pictures)
image_detector = make_detector(Pictures)
text_classifier, text_regressor = make_builders(Texts)
audio_classifier, audio_regressor = make_builders(Sounds)
table_classifier, table_regressor = make_builders(Tables)
series_classifier, series_regressor = make_builders(Series)
series_forecaster = make_forecaster(Series)

__all__ = [
    "BUILDERS",
    "Heard",
    "TransferModel",
    "audio_classifier",
    "audio_regressor",
    "build_for",
    "image_classifier",
    "image_detector",
    "image_regressor",
    "make_builders",
    "make_detector",
    "make_forecaster",
    "series_classifier",
    "series_forecaster",
    "series_regressor",
    "table_classifier",
    "table_regressor",
    "text_classifier",
    "text_regressor",
]
