"""Plans: recipes and builders' settings, made of facts about the data, with reasons."""

import html
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import keras

from tlkeras._validation import unknown_name
from tlkeras.builders import (
    TransferModel,
    image_classifier,
    image_regressor,
    text_classifier,
    text_regressor,
)
from tlkeras.data import Splits
from tlkeras.training.plan_facts import PlanFacts
from tlkeras.training.recipe import SETTINGS, Recipe

# Below the first number of training examples a data set is small, from the second on
# large: the 1,000 of VTAB-1k (Zhai et al., 2019), the 20,000 up to which BiT-HyperRule
# calls a task small (Kolesnikov et al., 2020).
_SMALL, _LARGE = 1_000, 20_000
# From the first separability on (`PlanFacts.separability`) the data are near to what
# the backbone was pretrained on, below the second far. The notes that the rules follow
# name no numbers. Photographs of ants and bees with MobileNetV2 have 0.96, sentences
# of film reviews with MiniLM 0.46.
_NEAR, _FAR = 0.8, 0.4
# Pictures: share of the backbone's layers to train, and its learning rate, by size and
# distance. The quadrant is that of the CS231n notes on transfer learning,
# https://cs231n.github.io/transfer-learning/; 1e-5 is the rate of the Keras guide,
# https://keras.io/guides/transfer_learning/. In 5 folds of 243 photographs of ants and
# bees, which are near, the top 30 % of MobileNetV2 reached 0.971 at 1e-5, 0.967 at 3e-5
# and 0.955 at 1e-4, from a head of 0.971.
_PICTURES = {
    ("small", "near"): (0.3, 1e-5),
    ("small", "middling"): (0.4, 3e-5),
    ("small", "far"): (0.6, 1e-4),
    ("medium", "near"): (0.3, 1e-4),
    ("medium", "middling"): (0.6, 1e-4),
    ("medium", "far"): (1.0, 2e-4),
    ("large", "near"): (0.6, 3e-5),
    ("large", "middling"): (1.0, 1e-4),
    ("large", "far"): (1.0, 2e-4),
}
# Pictures: the head's learning rate, on small data. In 5 folds, 8 times, of the
# photographs it reached 0.963 at 1e-3, 0.966 at 3e-3 and 0.963 at 1e-2, whose loss is
# higher; on sentences 1e-3 was best.
_SMALL_HEAD_RATE = 3e-3
# Texts: share of the transformer layers to train. On 2,000 sentences of SST-2, all six
# layers of MiniLM at 1e-4 took the accuracy from 0.79 to 0.83.
_TEXTS = {
    ("small", "near"): 0.34,
    ("small", "middling"): 0.5,
    ("small", "far"): 1.0,
}
# Texts: the learning rate, up to so many parameters. BERT (Devlin et al., 2019) was
# fine-tuned at 2e-5 to 5e-5; smaller backbones take more.
_TEXT_RATES = ((50e6, 1e-4), (200e6, 5e-5), (math.inf, 2e-5))
# Adapters start at zero and take a larger rate (Hu et al., 2021).
_ADAPTER_FACTOR = 10
# Why the freeze point is where it is, for pictures and texts.
_QUADRANT = {
    ("small", "near"): "few examples, near: the upper layers fit already, and few "
    "examples would spoil more than they teach",
    ("small", "middling"): "few examples, not quite near: the top is adapted, the rest "
    "is kept",
    ("small", "far"): "few examples, far: the upper layers do not fit; what is kept "
    "are the lower ones, which are general",
    ("medium", "near"): "near: the top is adapted, the rest fits",
    ("medium", "middling"): "enough examples to adapt the upper half",
    ("medium", "far"): "far, and enough examples to adapt every layer",
    ("large", "near"): "many examples, but near: the lower layers fit",
    ("large", "middling"): "many examples: all layers can be adapted",
    ("large", "far"): "many examples, and far: all layers should be adapted",
}
# By size: dropout and weight decay of the head, label smoothing. On the photographs
# dropout of 0.2 with augmentation had the least loss; smoothing took 1.3 points of
# accuracy. Decay towards the pretrained weights is a share of the learning rate here,
# and at these rates none.
_REGULARISATION = {
    "small": (0.2, 1e-4, 0.0),
    "medium": (0.2, 0.0, 0.1),
    "large": (0.0, 0.0, 0.0),
}
# Optimizer steps that a phase should have (500 is BiT-HyperRule's for small tasks; a
# head has what it can learn after 300), and the fewest and most epochs for them. Texts:
# 3 epochs as in BERT, more where these would be very few steps (Mosbach et al., 2021).
_HEAD_STEPS, _HEAD_EPOCHS = 300, (10, 150)
_STEPS, _EPOCHS = 500, (5, 20)
_TEXT_STEPS, _TEXT_EPOCHS = 150, (3, 10)
# Classes whose sizes differ more than this are weighed.
_IMBALANCED = 3.0
# Examples below which batches are small, so that an epoch has some steps.
_FEW = 500
_SCHEDULE = "cosine"
_BUILDER_SETTINGS = ("dropout", "label_smoothing", "weight_decay")
_WHY_WIDTH = 66


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
        return size_of(self.facts)

    @property
    def distance(self) -> str:
        """`"near"`, `"middling"` or `"far"`."""
        return distance_of(self.facts)

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
        rows = "".join(
            f"<tr><td>{html.escape(r.setting)}</td><td><code>"
            f"{html.escape(_shown(r.value))}</code></td>"
            f'<td style="text-align: left">{html.escape(r.why)}</td></tr>'
            for r in self.reasons
        )
        heading = "".join(f"<p>{html.escape(line)}</p>" for line in self._heading())
        return (
            f"{heading}<table><thead><tr><th>setting</th><th>value</th><th>why</th>"
            f"</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _heading(self) -> tuple[str, str]:
        facts = self.facts
        goal = "outputs" if facts.task == "regression" else "classes"
        about = (
            f"Plan for {facts.examples:,} {facts.inputs_kind} ({self.size}) with "
            f"{facts.classes} {goal} on {facts.backbone}, {facts.parameters:,} "
            f"parameters; {facts.devices}."
        )
        if facts.separability is None:
            return about, "Distance: not known, of too few examples; taken as middling."
        return about, (
            f"Distance: {self.distance}. A linear model on the frozen backbone's "
            f"features of {facts.sampled:,} training examples reaches "
            f"{facts.separability:.2f}, where 0 is chance and 1 is perfect (near from "
            f"{_NEAR} on, far below {_FAR})."
        )


def make_plan(facts: PlanFacts) -> Plan:
    """Turns facts into settings, by the rules at the top of this module."""
    found: list[Reason] = []

    def say(setting: str, value: Any, why: str) -> Any:
        found.append(Reason(setting, value, why))
        return value

    batch_size = _plan_batches(facts, say)
    _plan_lengths(facts, say, math.ceil(facts.examples / batch_size))
    _plan_freeze_point(facts, say)
    _plan_rates(facts, say)
    _plan_regularisation(facts, say)
    _plan_pictures(facts, say)
    _plan_balance(facts, say)
    settings = {reason.setting: reason.value for reason in found}
    builder = {name: settings.pop(name) for name in _BUILDER_SETTINGS}
    return Plan(**settings, builder=builder, facts=facts, reasons=tuple(found))


def size_of(facts: PlanFacts) -> str:
    """Returns `"small"`, `"medium"` or `"large"`."""
    if facts.examples < _SMALL:
        return "small"
    return "medium" if facts.examples < _LARGE else "large"


def distance_of(facts: PlanFacts) -> str:
    """Returns `"near"`, `"middling"` or `"far"`; middling where it is not known."""
    if facts.separability is None:
        return "middling"
    if facts.separability >= _NEAR:
        return "near"
    return "middling" if facts.separability >= _FAR else "far"


_Say = Callable[[str, Any, str], Any]


def _plan_batches(facts: PlanFacts, say: _Say) -> int:
    """Says the batch size; returns one to count steps with."""
    if facts.examples < _FEW:
        why = "few examples: a larger batch would leave an epoch few steps"
        return say("batch_size", 16, why)
    if facts.is_accelerated and size_of(facts) == "large":
        say("batch_size", "auto", f"the largest that {facts.devices} takes, by trying")
        return 128
    return say("batch_size", 32, "the usual size; a noisier step than a larger one")


def _plan_lengths(facts: PlanFacts, say: _Say, steps: int) -> None:
    head = _epochs_for(_HEAD_STEPS, steps, _HEAD_EPOCHS)
    say(
        "head_epochs",
        head,
        f"{head * steps:,} steps; cheap, as the frozen part runs once",
    )
    wanted, bounds = (_TEXT_STEPS, _TEXT_EPOCHS) if facts.is_text else (_STEPS, _EPOCHS)
    epochs = _epochs_for(wanted, steps, bounds)
    say("epochs", epochs, f"{epochs * steps:,} steps at {steps:,} per epoch")
    if facts.has_validation:
        patience = max(2, epochs // 3)
        say("patience", patience, "ends a phase that no longer gets better")
    else:
        say("patience", None, "there is no validation data to stop by")


def _epochs_for(wanted: int, steps: int, bounds: tuple[int, int]) -> int:
    fewest, most = bounds
    return min(most, max(fewest, math.ceil(wanted / steps)))


def _plan_freeze_point(facts: PlanFacts, say: _Say) -> None:
    where = size_of(facts), distance_of(facts)
    why = _QUADRANT[where]
    if not facts.is_text:
        share = _PICTURES[where][0]
        say("unfreeze_from", share, f"the top {share:.0%} of the layers: {why}")
        return
    share = _TEXTS.get(where, 1.0)
    if where not in _TEXTS:
        why = "enough examples to adapt every layer"
    if not facts.blocks:
        say("unfreeze_from", share, f"the top {share:.0%} of the layers: {why}")
        return
    count = math.ceil(share * len(facts.blocks))
    point = facts.blocks[-count]
    layers = f"the top {count} of {len(facts.blocks)} transformer layers"
    say("unfreeze_from", point, f"{layers}: {why}")


def _plan_rates(facts: PlanFacts, say: _Say) -> None:
    if size_of(facts) == "small" and not facts.is_text:
        why = "the head starts from nothing, and has few steps"
        say("learning_rate", _SMALL_HEAD_RATE, why)
    else:
        say("learning_rate", 1e-3, "the head starts from nothing: Adam's own rate")
    if facts.is_text:
        rate = next(rate for most, rate in _TEXT_RATES if facts.parameters <= most)
        why = f"for a transformer of {facts.parameters / 1e6:.0f} M parameters"
    else:
        rate = _PICTURES[size_of(facts), distance_of(facts)][1]
        why = "small, so as not to lose what the backbone knows"
        if distance_of(facts) == "far":
            why = "larger, as much has to change"
    if facts.has_adapters:
        rate, why = rate * _ADAPTER_FACTOR, "adapters start without effect: 10 times"
    say("fine_tune_learning_rate", rate, why)
    if facts.is_text:
        say("optimizer", "adamw", "the optimizer that transformers are trained with")
    say("schedule", _SCHEDULE, "warm-up keeps first steps small, cosine the last ones")
    deep = facts.is_text or facts.has_adapters or distance_of(facts) == "far"
    if not deep and size_of(facts) != "small":
        say("layer_decay", 0.8, "near: the lower a layer, the less it has to change")


def _plan_regularisation(facts: PlanFacts, say: _Say) -> None:
    size = size_of(facts)
    dropout, decay, smoothing = _REGULARISATION[size]
    if facts.is_text:
        dropout = max(dropout, 0.1)
    much = {"small": "much", "medium": "some", "large": "little"}[size]
    why = f"{much}, with {facts.examples:,} examples"
    say("dropout", dropout, f"of the head: {why}")
    say("weight_decay", decay, f"of the head: {why}")
    if facts.task == "regression":
        say("label_smoothing", 0.0, "targets are not classes")
    elif smoothing:
        say("label_smoothing", smoothing, why)
    else:
        say("label_smoothing", 0.0, "where it was tried, it took accuracy")


def _plan_pictures(facts: PlanFacts, say: _Say) -> None:
    if facts.is_text:
        return
    if not facts.is_colour:
        why = "grey pictures may be print or scans, which must not be flipped"
        say("augment", None, why)
        return
    size = size_of(facts)
    if size == "large" and not facts.is_accelerated:
        why = "many examples; without a GPU the cached features are worth more"
        say("augment", None, why)
        return
    why = (
        "colour pictures, taken for photographs; it flips them from left to right: "
        "but(augment=None) where that changes what they show"
    )
    say("augment", "medium" if size == "small" else "light", why)
    if not facts.is_accelerated:
        views = 4
        why = f"views of each picture, so that the frozen part runs {views} times only"
        say("cached_views", views, why)


def _plan_balance(facts: PlanFacts, say: _Say) -> None:
    if facts.task == "regression":
        return
    absent = sum(size == 0 for size in facts.class_sizes)
    if facts.imbalance >= _IMBALANCED or absent:
        present = [size for size in facts.class_sizes if size]
        why = f"the largest class has {max(present):,}, the smallest {min(present):,}"
        why += f"; {absent} have none, and cannot be learnt" if absent else ""
        say("class_weight", "balanced", why)
    else:
        say("class_weight", None, "classes are of like size")


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
    is_image = data.inputs_kind == "images"
    shape = {"input_shape": data.image_size} if is_image else {}
    if data.task == "regression":
        build = image_regressor if is_image else text_regressor
        labels = data.train.element_spec[1].shape
        return build(backbone, labels[1] if len(labels) > 1 else 1, **shape)
    build = image_classifier if is_image else text_classifier
    multi_label = data.task == "multi_label"
    return build(backbone, data.class_names, multi_label=multi_label, **shape)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
