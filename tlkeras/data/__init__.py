"""Data: `Splits`, and the verbs that make one of files, arrays, tables and TFDS."""

from tlkeras.data.arrays import from_arrays
from tlkeras.data.boxes import (
    boxes_from_coco,
    boxes_from_csv,
    boxes_from_tfds,
    boxes_from_voc,
    boxes_from_yolo,
)
from tlkeras.data.folder import audio_folder, image_folder
from tlkeras.data.series import from_series
from tlkeras.data.splits import Splits
from tlkeras.data.tables import from_csv, from_dataframe
from tlkeras.data.tfds import from_tfds

__all__ = [
    "Splits",
    "audio_folder",
    "boxes_from_coco",
    "boxes_from_csv",
    "boxes_from_tfds",
    "boxes_from_voc",
    "boxes_from_yolo",
    "from_arrays",
    "from_csv",
    "from_dataframe",
    "from_series",
    "from_tfds",
    "image_folder",
]
