"""Pictures with boxes: one module for each way in which files say where they are."""

from tlkeras.data.boxes.coco import boxes_from_coco
from tlkeras.data.boxes.table import boxes_from_csv
from tlkeras.data.boxes.tfds import boxes_from_tfds
from tlkeras.data.boxes.voc import boxes_from_voc
from tlkeras.data.boxes.yolo import boxes_from_yolo

__all__ = [
    "boxes_from_coco",
    "boxes_from_csv",
    "boxes_from_tfds",
    "boxes_from_voc",
    "boxes_from_yolo",
]
