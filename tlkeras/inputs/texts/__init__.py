"""Texts, single or in pairs: how they are read, tokenized, shown and explained."""

from tlkeras.inputs.texts.input import Texts

__all__ = ["Texts"]
