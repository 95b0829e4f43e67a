"""What each phase trains on: cached features where they fit, the examples otherwise."""

from tlkeras.training.feeding.feed import Feed, plan_steps
from tlkeras.training.feeding.feeder import Feeder
from tlkeras.training.feeding.source import Source, with_augment

__all__ = ["Feed", "Feeder", "Source", "plan_steps", "with_augment"]
