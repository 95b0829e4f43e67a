"""Data: `Splits`, everything that makes one, and image files into pixels."""

from tlkeras.data.arrays import ArrayExamples, from_arrays
from tlkeras.data.decoding import load_images, resize_image
from tlkeras.data.examples import Examples, Reading, examples_of, reading_of
from tlkeras.data.folder import image_folder
from tlkeras.data.splits import Splits
from tlkeras.data.tables import from_csv, from_dataframe
from tlkeras.data.tfds import from_tfds

__all__ = [
    "ArrayExamples",
    "Examples",
    "Reading",
    "Splits",
    "examples_of",
    "from_arrays",
    "from_csv",
    "from_dataframe",
    "from_tfds",
    "image_folder",
    "load_images",
    "reading_of",
    "resize_image",
]
