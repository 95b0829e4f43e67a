"""Data: `Splits`, and the verbs that make one of files, arrays, tables and TFDS."""

from tlkeras.data.arrays import from_arrays
from tlkeras.data.folder import audio_folder, image_folder
from tlkeras.data.splits import Splits
from tlkeras.data.tables import from_csv, from_dataframe
from tlkeras.data.tfds import from_tfds

__all__ = [
    "Splits",
    "audio_folder",
    "from_arrays",
    "from_csv",
    "from_dataframe",
    "from_tfds",
    "image_folder",
]
