"""Features: a model split at its freeze point, and what its frozen prefix computes."""

from tlkeras.features.cache import CacheInfo, cache_info, clear_cache
from tlkeras.features.extraction import extract_features
from tlkeras.features.feature_set import FeatureSet
from tlkeras.features.splitting import Frozen, SplitModel, join, split_model

__all__ = [
    "CacheInfo",
    "FeatureSet",
    "Frozen",
    "SplitModel",
    "cache_info",
    "clear_cache",
    "extract_features",
    "join",
    "split_model",
]
