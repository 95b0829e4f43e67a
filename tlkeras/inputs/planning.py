"""`PlanRules`: what `tl.plan` proposes by what goes in, here for inputs of any kind."""

from typing import Any, ClassVar

from tlkeras.outputs.planning import Proposal

# Below the first number of training examples a data set is small, from the second on
# large. From 500 on the top 60 % of MobileNetV2 at 3e-4 were better than its head on
# pictures that are far, and no worse on others; 20,000 is up to where BiT-HyperRule
# calls a task small (Kolesnikov et al., 2020).
SMALL, LARGE = 500, 20_000
# Share of the backbone's layers to train, and its learning rate, by size and distance.
# The quadrant is that of the CS231n notes on transfer learning,
# https://cs231n.github.io/transfer-learning/; 1e-5 is the rate of the Keras guide,
# https://keras.io/guides/transfer_learning/. In 5 folds of 243 photographs of ants and
# bees, which are near, the top 30 % of MobileNetV2 reached 0.971 at 1e-5, 0.967 at 3e-5
# and 0.955 at 1e-4, from a head of 0.971.
QUADRANT = {
    ("small", "near"): (0.3, 1e-5),
    ("small", "middling"): (0.4, 3e-5),
    ("small", "far"): (0.6, 1e-4),
    ("medium", "near"): (0.6, 1e-4),
    ("medium", "middling"): (0.6, 3e-4),
    ("medium", "far"): (0.6, 3e-4),
    ("large", "near"): (0.6, 3e-5),
    ("large", "middling"): (1.0, 1e-4),
    ("large", "far"): (1.0, 2e-4),
}
# Why the freeze point is where it is.
_WHY = {
    ("small", "near"): "few examples, near: the upper layers fit already, and few "
    "examples would spoil more than they teach",
    ("small", "middling"): "few examples, not quite near: the top is adapted, the rest "
    "is kept",
    ("small", "far"): "few examples, far: the upper layers do not fit; what is kept "
    "are the lower ones, which are general",
    ("medium", "near"): "near, and enough examples to adapt the upper half a little",
    ("medium", "middling"): "enough examples to adapt the upper half",
    ("medium", "far"): "far: enough examples to adapt the upper half much",
    ("large", "near"): "many examples, but near: the lower layers fit",
    ("large", "middling"): "many examples: all layers can be adapted",
    ("large", "far"): "many examples, and far: all layers should be adapted",
}


class PlanRules:
    """What a plan's settings are by what goes in, and why.

    Each method is one setting of `tl.Recipe`. It is given the `PlanFacts` of a plan,
    and returns a value and why it is so; `None`: the plan does not speak of it. A kind
    of input overrides what is otherwise for it, in its `plan_rules`.

    Attributes:
        steps: Optimizer steps that phase two should have.
        epochs: The fewest and the most epochs for them.
    """

    # 500 is BiT-HyperRule's for small tasks (Kolesnikov et al., 2020).
    steps: ClassVar[int] = 500
    epochs: ClassVar[tuple[int, int]] = (5, 20)

    def details(self, dataset: Any) -> dict[str, Any]:
        """Returns what else the rules have to know of examples: `PlanFacts.details`.

        Args:
            dataset: A sample of the examples, a `tf.data.Dataset` of batches.
        """
        return {}

    def share(self, facts: Any) -> Proposal:
        """Returns the share of the backbone's layers to train, and why."""
        where = facts.size, facts.distance
        return QUADRANT[where][0], _WHY[where]

    def unfreeze_from(self, facts: Any) -> Proposal:
        """Returns the freeze point."""
        share, why = self.share(facts)
        return share, f"the top {share:.0%} of the layers: {why}"

    def fine_tune_learning_rate(self, facts: Any) -> Proposal:
        """Returns the backbone's learning rate, where all of its weights train."""
        rate = QUADRANT[facts.size, facts.distance][1]
        if facts.distance == "far":
            return rate, "larger, as much has to change"
        return rate, "small, so as not to lose what the backbone knows"

    def optimizer(self, facts: Any) -> Proposal | None:
        """Returns the optimizer."""
        return None

    def augment(self, facts: Any) -> Proposal | None:
        """Returns how examples are changed at random."""
        return None

    def cached_views(self, facts: Any) -> Proposal | None:
        """Returns how many augmented views of each example are kept."""
        return None
