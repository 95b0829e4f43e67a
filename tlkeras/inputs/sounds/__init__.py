"""Sounds: how they are read, shown, compared, explained; what their backbones take."""

from tlkeras.inputs.sounds.input import Sounds

__all__ = ["Sounds"]
