"""Features: a model split at its freeze point, and what its frozen prefix computes."""

from tlkeras.features.cache import CacheInfo, cache_info, clear_cache
from tlkeras.features.extraction import extract_features
from tlkeras.features.feature_set import FeatureSet
from tlkeras.features.splitting import Frozen, Split, join, split

__all__ = [
    "CacheInfo",
    "FeatureSet",
    "Frozen",
    "Split",
    "cache_info",
    "clear_cache",
    "extract_features",
    "join",
    "split",
]
