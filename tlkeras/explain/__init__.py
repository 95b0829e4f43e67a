"""Explanations: where a model looks, which words it reads, whether to trust that."""

from tlkeras.explain.explaining import explain
from tlkeras.explain.results import Explanations
from tlkeras.explain.sanity import SanityCheck, sanity_check

__all__ = ["Explanations", "SanityCheck", "explain", "sanity_check"]
