"""What `tl.plan` proposes by what labels are: settings' values, and why."""

from collections.abc import Sequence
from typing import Any

# A value for a setting, and why.
Proposal = tuple[Any, str]

# Classes whose sizes differ more than this are weighed.
_IMBALANCED = 3.0


def weighing_by_size(sizes: Sequence[int]) -> Proposal | None:
    """Proposes class weights, where there are classes.

    Args:
        sizes: Training examples of each class.
    """
    present = [size for size in sizes if size]
    if not present:
        return None
    absent = len(sizes) - len(present)
    largest, smallest = max(present), min(present)
    if largest / smallest < _IMBALANCED and not absent:
        return None, "classes are of like size"
    why = f"the largest class has {largest:,}, the smallest {smallest:,}"
    why += f"; {absent} have none, and cannot be learnt" if absent else ""
    return "balanced", why
