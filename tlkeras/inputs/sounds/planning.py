"""What `tl.plan` proposes for sounds: all layers, and augmentation."""

from typing import Any

from tlkeras.inputs.planning import PlanRules
from tlkeras.outputs.planning import Proposal

# Of spoken digits of a speaker who was not heard (jackson), 500 of five others to learn
# from, MobileNetV2's frozen features knew 0.34, all of its layers at this rate 0.61
# without augmentation and 0.78 with it. (`tests/benchmarks/sounds.py`)
RATE = 1e-3


class SoundPlanRules(PlanRules):
    """The rules for sounds."""

    def share(self, facts: Any) -> Proposal:
        return 1.0, "spectrograms are no photographs: lower layers have to adapt, too"

    def fine_tune_learning_rate(self, facts: Any) -> Proposal:
        return RATE, "large, as much has to change"

    def augment(self, facts: Any) -> Proposal:
        if facts.size == "large":
            return "light", "many examples: shift and gain will do"
        return "medium", "other speeds, gains and noise stand in for other recordings"
