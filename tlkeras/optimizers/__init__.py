"""Optimizers: learning rates by depth, decay towards the start, schedules."""

from tlkeras.optimizers.phase import named_optimizer, phase_optimizer
from tlkeras.optimizers.schedules import (
    Constant,
    Cosine,
    OneCycle,
    check_rate_callbacks,
    resolve_schedule,
)

__all__ = [
    "Constant",
    "Cosine",
    "OneCycle",
    "check_rate_callbacks",
    "named_optimizer",
    "phase_optimizer",
    "resolve_schedule",
]
