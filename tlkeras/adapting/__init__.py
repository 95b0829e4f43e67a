"""Another domain: adapting a model to examples without labels."""

from tlkeras.adapting.adapting import adapt

__all__ = ["adapt"]
