"""What `tl.plan` proposes for pictures: the general rules, and augmentation."""

from typing import Any

import numpy as np

from tlkeras.inputs.planning import PlanRules
from tlkeras.outputs.planning import Proposal

# Mean difference between colour channels, in pixel values, below which they are grey.
_GREY = 2.0
_VIEWS = 4


class PicturePlanRules(PlanRules):
    """The rules for pictures."""

    def details(self, dataset: Any) -> dict[str, Any]:
        pixels = next(iter(dataset))[0].numpy()
        return {"is_colour": _are_colour(pixels)}

    def augment(self, facts: Any) -> Proposal:
        if not facts.details["is_colour"]:
            return (
                None,
                "grey pictures may be print or scans, which must not be flipped",
            )
        if facts.size == "large" and not facts.is_accelerated:
            why = "many examples; without a GPU the cached features are worth more"
            return None, why
        why = (
            "colour pictures, taken for photographs; it flips them from left to right: "
            "but(augment=None) where that changes what they show"
        )
        return "medium" if facts.size == "small" else "light", why

    def cached_views(self, facts: Any) -> Proposal | None:
        augment, _ = self.augment(facts)
        if augment is None or facts.is_accelerated:
            return None
        why = f"views of each picture, so that the frozen part runs {_VIEWS} times only"
        return _VIEWS, why


def _are_colour(pixels: np.ndarray) -> bool:
    if pixels.ndim != 4 or pixels.shape[-1] != 3:
        return False
    return float(np.abs(np.diff(pixels, axis=-1)).mean()) > _GREY
