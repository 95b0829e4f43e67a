"""Any Keras optimizer, with a learning rate factor and a decay for each variable.

`keras.optimizers.MultiOptimizer` (Keras 3.15) gives groups of variables optimizers of
their own. It does not do here: it has no `learning_rate`, so that code and callbacks
that read or set it fail, all of them under a `LossScaleOptimizer`; each group clips by
its own "global" norm; and groups are told apart by paths, which nested models share.
`tests/test_optimizers.py` fails when Keras mends one of these.
"""

import functools
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import keras
from keras import ops

from tlkeras import _keras


@dataclass(frozen=True)
class Rule:
    """How one variable is trained.

    Attributes:
        factor: Of the learning rate.
        decayed: Whether the optimizer's weight decay pulls it towards zero.
        anchored: Whether L2-SP pulls it towards the value it started from.
        unit: What a step counts in: a number, or one for each output of a layer, by
            which steps are multiplied but not the decays, which are shares of the
            value.
    """

    factor: float = 1.0
    decayed: bool = False
    anchored: bool = False
    unit: float | tuple[float, ...] = 1.0


@keras.saving.register_keras_serializable("tlkeras")
class PerVariable:
    """Mixin in front of an optimizer's class; `per_variable` puts them together.

    Its config holds the rules in the order of the variables that it is built with,
    which is that of `model.trainable_variables`. The anchors are optimizer variables:
    they are saved, loaded and resumed with the rest of the state.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the state; anchors are the variables' values at this moment."""
        if self.built:
            return
        if len(variables) != len(self.rules):
            raise ValueError(
                f"This optimizer has learning rates for {len(self.rules)} variables. "
                f"Received: {len(variables)} variables. Compile the model with "
                "another optimizer after changing what trains; `optimizer.plain()` "
                "is like this one without rules for single variables."
            )
        super().build(variables)
        anchors = [
            self.add_variable_from_reference(
                variable, name="anchor", initializer=_value_of(variable)
            )
            if rule.anchored
            else None
            for variable, rule in zip(variables, self.rules, strict=True)
        ]
        self.anchors = anchors

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decays the variable and takes the optimizer's own step, at its own rate."""
        index = self._get_variable_index(variable)
        rule = self.rules[index]
        rate = ops.cast(learning_rate, variable.dtype) * rule.factor
        if rule.decayed:
            # In the order of Keras' own decay, for the same rounding.
            self.assign_sub(variable, variable * self.weight_decay * rate)
        if rule.anchored:
            distance = ops.subtract(variable, self.anchors[index])
            self.assign_sub(variable, distance * self.l2_sp * rate)
        if rule.unit != 1.0:
            rate = rate * ops.cast(rule.unit, variable.dtype)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Does nothing: Keras' decay knows no factors, `update_step` decays."""

    def plain(self) -> keras.optimizers.Optimizer:
        """Returns a fresh optimizer with these settings and no rules."""
        base = type(self).__bases__[1]
        plain = base.from_config(super().get_config())
        _keras.copy_decay_exclusions(self, plain)
        return plain

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer": keras.saving.serialize_keras_object(self.plain()),
            "rules": [list(astuple(rule)) for rule in self.rules],
            "l2_sp": self.l2_sp,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> keras.optimizers.Optimizer:
        optimizer = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        rules = [_rule(*rule) for rule in config["rules"]]
        return per_variable(optimizer, rules, config["l2_sp"])


def per_variable(
    optimizer: keras.optimizers.Optimizer, rules: Sequence[Rule], l2_sp: float
) -> keras.optimizers.Optimizer:
    """Returns a fresh optimizer of the same kind that follows a rule per variable.

    Args:
        optimizer: Gives the kind and all settings; an instance of its class returns.
        rules: One for each variable that the result will be built with, in order.
        l2_sp: Decay of anchored variables, as a share per step of learning rate 1.
    """
    made = _class_on(type(optimizer))._of(optimizer.get_config())
    _keras.copy_decay_exclusions(optimizer, made)
    made.rules = tuple(rules)
    made.l2_sp = l2_sp
    return made


def _rule(
    factor: float, decayed: bool, anchored: bool, unit: float | Sequence[float] = 1.0
) -> Rule:
    """Returns a rule of what JSON, which knows no tuples, has kept of it."""
    unit = tuple(unit) if isinstance(unit, list | tuple) else unit
    return Rule(factor, decayed, anchored, unit)


@functools.cache
def _class_on(base: type) -> type:
    def _of(cls: type, config: dict[str, Any]) -> Any:
        return super(PerVariable, cls).from_config(config)

    made = type(
        f"PerVariable{base.__name__}",
        (PerVariable, base),
        {"_of": classmethod(_of), "__doc__": base.__doc__},
    )
    # All share one name in files: the config says which optimizer is meant, so that a
    # process that has never made this class can load it.
    return keras.saving.register_keras_serializable("tlkeras", "PerVariable")(made)


def _value_of(variable: keras.Variable) -> Any:
    """Returns an initializer: unlike an assignment, it cannot become part of a step."""
    return lambda shape, dtype=None: ops.cast(variable, dtype)
