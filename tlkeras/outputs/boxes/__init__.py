"""Boxes: objects that are found in a picture, with where they are and of which class.

`layout.py` says what the rows of labels and of a model's outputs hold.
"""

from tlkeras.outputs.boxes.detections import Detections
from tlkeras.outputs.boxes.output import Boxes

__all__ = ["Boxes", "Detections"]
