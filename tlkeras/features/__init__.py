"""Features: a model split at its freeze point, and what its frozen prefix computes."""

from tlkeras.cache import CacheInfo, cache_info, clear_cache
from tlkeras.features.extraction import extract_features
from tlkeras.features.splitting import SplitModel, join, split_model
from tlkeras.inputs.feature_set import FeatureSet

__all__ = [
    "CacheInfo",
    "FeatureSet",
    "SplitModel",
    "cache_info",
    "clear_cache",
    "extract_features",
    "join",
    "split_model",
]
