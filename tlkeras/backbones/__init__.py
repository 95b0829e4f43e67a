"""Backbones: the table of them, loading, and the preprocessing that belongs to each."""

from tlkeras.backbones.loading import (
    LoadedBackbone,
    list_backbones,
    load_backbone,
    resolve_backbone,
)
from tlkeras.backbones.preprocessing import BGRRescaling

__all__ = [
    "BGRRescaling",
    "LoadedBackbone",
    "list_backbones",
    "load_backbone",
    "resolve_backbone",
]
