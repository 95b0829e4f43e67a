"""Backbones: the table of them, loading, and the preprocessing that belongs to each."""

from tlkeras.backbones.loading import (
    LoadedBackbone,
    list_backbones,
    load_backbone,
    resolve_backbone,
)
from tlkeras.backbones.preprocessing import BGRRescaling
from tlkeras.backbones.text import LoadedTextBackbone, resolve_text_backbone
from tlkeras.backbones.text_preprocessing import TextPreprocessor

__all__ = [
    "BGRRescaling",
    "LoadedBackbone",
    "LoadedTextBackbone",
    "TextPreprocessor",
    "list_backbones",
    "load_backbone",
    "resolve_backbone",
    "resolve_text_backbone",
]
