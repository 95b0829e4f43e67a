"""Explanations: where a model looks, which words it reads, whether to trust that."""

from tlkeras.explain._explain import explain
from tlkeras.explain._sanity import SanityCheck, sanity_check
from tlkeras.explain.results import Explanations, ImageExplanation, TextExplanation

__all__ = [
    "Explanations",
    "ImageExplanation",
    "SanityCheck",
    "TextExplanation",
    "explain",
    "sanity_check",
]
