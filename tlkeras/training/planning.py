"""Plans: recipes and builders' settings, made of facts about the data, with reasons."""

import html
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import keras

from tlkeras._validation import unknown_name
from tlkeras.builders import TransferModel, build_for
from tlkeras.data import Splits
from tlkeras.description import html_table
from tlkeras.metrics.two_samples import TwoSamples
from tlkeras.outputs.planning import Proposal
from tlkeras.training.plan_facts import FAR, NEAR, PlanFacts
from tlkeras.training.recipe import SETTINGS, Recipe

# Adapters start at zero and take a larger rate (Hu et al., 2021).
_ADAPTER_FACTOR = 10
# By size: dropout of the head. On 243 photographs of ants and bees 0.2 with
# augmentation had the least loss. Label smoothing took 1.3 points of accuracy there,
# and makes probabilities wrong; the head's penalty is found by cross-validation.
_DROPOUT = {"small": 0.2, "medium": 0.2, "large": 0.0}
_HOW_MUCH = {"small": "much", "medium": "some", "large": "little"}
_WHY_COSINE = "warm-up keeps first steps small, cosine the last ones"
# Of a detector on MobileNetV2's feature maps: 1.4 against 4.7 s of processor time.
_WHY_NO_AUGMENT = (
    "an epoch on cached feature maps takes a third of one on new pictures; presets "
    "move boxes along where there is time"
)
_WHY_HEAD = (
    "one Dense layer on cached features is solved, in seconds and calibrated; any "
    "other head trains by gradient"
)
_WHY_KEEP = "the best weights by the validation data stay, of both phases"
_BUILDER_SETTINGS = ("dropout",)
_WHY_WIDTH = 66
# Nobody asked whether validation examples are like the training ones: that they are not
# is said by chance in one plan of a hundred.
_LEVEL = 0.01


class Reason(NamedTuple):
    """One setting of a plan, and why it is so."""

    setting: str
    value: Any
    why: str


@dataclass(frozen=True, repr=False)
class Plan(Recipe):
    """A recipe for a data set and a backbone, with its reasons; prints as a table.

    Besides the settings of `tl.Recipe` it has these.

    Attributes:
        builder: The arguments for the builder, such as `tl.image_classifier`.
        facts: What the settings were made of.
        reasons: One `(setting, value, why)` for each setting.
    """

    builder: Mapping[str, float] = field(kw_only=True)
    facts: PlanFacts = field(kw_only=True)
    reasons: tuple[Reason, ...] = field(kw_only=True)

    @property
    def size(self) -> str:
        """`"small"`, `"medium"` or `"large"`."""
        return self.facts.size

    @property
    def distance(self) -> str:
        """`"near"`, `"middling"` or `"far"`."""
        return self.facts.distance

    def but(self, **changes: Any) -> Self:
        """Returns the plan with some settings changed.

        Args:
            **changes: Settings of `tl.Recipe` or of the builder, by name.

        Raises:
            ValueError: If there is no such setting.
        """
        for name in changes:
            if name not in SETTINGS and name not in self.builder:
                raise unknown_name("setting", name, [*SETTINGS, *self.builder])
        known = {reason.setting: reason for reason in self.reasons}
        known.update((n, Reason(n, v, "as you asked")) for n, v in changes.items())
        of_builder = {n: changes.pop(n) for n in self.builder if n in changes}
        return replace(
            self,
            **changes,
            builder={**self.builder, **of_builder},
            reasons=tuple(known.values()),
        )

    def __str__(self) -> str:
        cells = [(reason.setting, _shown(reason.value)) for reason in self.reasons]
        first, second = (max(map(len, column)) for column in zip(*cells, strict=True))
        indent = " " * (first + second + 4)
        lines = [textwrap.fill(line, 88) for line in self._heading()]
        for (setting, value), reason in zip(cells, self.reasons, strict=True):
            why = textwrap.wrap(reason.why, _WHY_WIDTH)
            lines.append(f"{setting:<{first}}  {value:<{second}}  {why[0]}")
            lines += [indent + line for line in why[1:]]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(r.setting, _shown(r.value), r.why) for r in self.reasons]
        heading = "".join(f"<p>{html.escape(line)}</p>" for line in self._heading())
        header = ("setting", "value", "why")
        return heading + html_table(header, rows, sentences=True)

    def _heading(self) -> tuple[str, ...]:
        return (*self._about(), *_warnings(self.facts.shift))

    def _about(self) -> tuple[str, str]:
        facts, problem = self.facts, self.facts.problem
        about = (
            f"Plan for {facts.examples:,} {problem.input.kind} ({self.size}) with "
            f"{problem.output.amount} on {facts.backbone}, {facts.parameters:,} "
            f"parameters; {facts.devices}."
        )
        if facts.separability is None:
            return about, "Distance: not known, of too few examples; taken as middling."
        return about, (
            f"Distance: {self.distance}. A linear model on the frozen backbone's "
            f"features of {facts.sampled:,} training examples reaches "
            f"{facts.separability:.2f}, where 0 is chance and 1 is perfect (near from "
            f"{NEAR} on, far below {FAR})."
        )


def _warnings(shift: TwoSamples | None) -> list[str]:
    """Says that validation examples are unlike the training ones, where they are."""
    if shift is None or shift.p >= _LEVEL:
        return []
    return [
        "Validation examples differ from the training ones: by features they are told "
        f"apart with an accuracy of {shift.accuracy:.2f}, where 0.5 is chance (p = "
        f"{shift.p:.3f}). What is best by validation need not be best for data like "
        "those of training; which of the two is like the data to come? `tl.domain_gap` "
        "says which examples are foreign."
    ]


def make_plan(facts: PlanFacts, built: bool = False) -> Plan:
    """Turns facts into settings, by rules of which each gives its reason.

    Args:
        facts: What was measured.
        built: Whether there is a model that stays as it was built, so that a plan does
            not speak of how to build one.
    """
    rules, output = facts.problem.input.plan_rules, facts.problem.output
    moves = (rules.augment(facts), rules.cached_views(facts))
    augment, cached_views = (
        ((None, _WHY_NO_AUGMENT), None) if output.has_rows else moves
    )
    proposals = {
        **_lengths(facts),
        "unfreeze_from": rules.unfreeze_from(facts),
        "head": ("auto", _WHY_HEAD),
        "fine_tune_learning_rate": _fine_tune_learning_rate(facts),
        "optimizer": rules.optimizer(facts),
        "schedule": ("cosine", _WHY_COSINE),
        **({} if built else {"dropout": _dropout(facts)}),
        "augment": augment,
        "cached_views": cached_views,
        "class_weight": output.planned_weights(facts.class_sizes),
    }
    reasons = tuple(Reason(name, *x) for name, x in proposals.items() if x is not None)
    settings = {reason.setting: reason.value for reason in reasons}
    builder = {n: settings.pop(n) for n in _BUILDER_SETTINGS if n in settings}
    return Plan(**settings, builder=builder, facts=facts, reasons=reasons)


def _lengths(facts: PlanFacts) -> dict[str, Proposal]:
    """Proposes the batch size, and how long both phases are in such batches."""
    batch_size, why = _batch_size(facts)
    # Of a size that is not known yet, one to count with.
    steps = math.ceil(facts.examples / (128 if batch_size == "auto" else batch_size))
    rules = facts.problem.input.plan_rules
    epochs = _epochs_for(rules.steps, steps, rules.epochs)
    of_phase_two = f"{epochs * steps:,} steps at {steps:,} per epoch"
    return {
        "batch_size": (batch_size, why),
        "epochs": (epochs, of_phase_two),
        **({"keep": ("best", _WHY_KEEP)} if facts.has_validation else {}),
    }


def _batch_size(facts: PlanFacts) -> Proposal:
    if facts.size == "small":
        return 16, "few examples: a larger batch would leave an epoch few steps"
    if facts.is_accelerated and facts.size == "large":
        return "auto", f"the largest that {facts.devices} takes, by trying"
    return 32, "the usual size; a noisier step than a larger one"


def _epochs_for(wanted: int, steps: int, bounds: tuple[int, int]) -> int:
    fewest, most = bounds
    return min(most, max(fewest, math.ceil(wanted / steps)))


def _fine_tune_learning_rate(facts: PlanFacts) -> Proposal:
    rate, why = facts.problem.input.plan_rules.fine_tune_learning_rate(facts)
    if facts.has_adapters:
        return rate * _ADAPTER_FACTOR, "adapters start without effect: 10 times"
    return rate, why


def _dropout(facts: PlanFacts) -> Proposal:
    """Proposes what keeps the head from learning the examples by heart."""
    rate = max(_DROPOUT[facts.size], facts.problem.input.default_dropout)
    how_much = f"{_HOW_MUCH[facts.size]}, with {facts.examples:,} examples"
    return rate, f"of the head: {how_much}"


def model_for(backbone: Any, data: Any) -> keras.Model:
    """Returns a model with a head; of a backbone, the one that a builder makes.

    Raises:
        ValueError: If a backbone alone came, and the data do not tell its head.
    """
    if isinstance(backbone, TransferModel):
        return backbone
    if isinstance(backbone, keras.Model) and backbone.compiled:
        return backbone
    if not isinstance(data, Splits) or data.train is None:
        raise ValueError(
            "A plan for a backbone needs `Splits` with training examples, as "
            "`tl.image_folder` and its siblings make it: they tell the head. Pass one, "
            f"or a compiled model. Received: {data!r}."
        )
    return build_for(data.problem, backbone)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
