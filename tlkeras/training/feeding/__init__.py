"""What each phase trains on: cached features where they fit, the examples otherwise."""

from tlkeras.training.feeding.feed import Feed, plan_steps
from tlkeras.training.feeding.feeder import Feeder

__all__ = ["Feed", "Feeder", "plan_steps"]
