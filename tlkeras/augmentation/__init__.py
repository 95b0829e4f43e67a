"""Augmentation of training batches inside `tf.data`: presets, layers, functions."""

from tlkeras.augmentation.augment import Augment, resolve_augment
from tlkeras.augmentation.presets import PRESETS

__all__ = ["PRESETS", "Augment", "resolve_augment"]
