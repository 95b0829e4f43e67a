"""Another domain: how different two sets of examples are, and adapting to one."""

from tlkeras.adapting.adapting import adapt
from tlkeras.adapting.gap import DomainGap, domain_gap

__all__ = ["DomainGap", "adapt", "domain_gap"]
