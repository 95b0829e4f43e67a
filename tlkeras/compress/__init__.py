"""Compression: trained models made smaller, by pruning and by distillation."""

from tlkeras.compress.distilling import distill
from tlkeras.compress.pruning import prune
from tlkeras.compress.reports import DistillationReport, Figures, PruningReport

__all__ = ["DistillationReport", "Figures", "PruningReport", "distill", "prune"]
