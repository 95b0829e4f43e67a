"""Pictures: image files and pixels, how they are read, shown, prepared, explained."""

from tlkeras.inputs.pictures.input import Pictures

__all__ = ["Pictures"]
