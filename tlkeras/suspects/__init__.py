"""Suspects: labels that are likely wrong, and examples that are there twice."""

from tlkeras.suspects.find import Duplicate, LabelSuspect, Suspects, find_suspects

__all__ = ["Duplicate", "LabelSuspect", "Suspects", "find_suspects"]
