"""The optimizer of one phase."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tlkeras import _keras
from tlkeras._validation import check_number, unknown_name
from tlkeras.freezing import find_backbone
from tlkeras.optimizers.factors import LayerDecay, rate_factors
from tlkeras.optimizers.per_variable import (
    Rule,
    per_variable,
)

# Layer norms may span several axes, and attention keeps a bias per head and unit.
_NEVER_DECAYED = {"bias", "beta", "gamma"}


def phase_optimizer(
    model: keras.Model,
    backbone: keras.Model | str | None = None,
    *,
    optimizer: str | keras.optimizers.Optimizer | None = None,
    learning_rate: Any = None,
    layer_decay: LayerDecay = None,
    l2_sp: float = 0.0,
    units: Mapping[int, tuple[float, ...]] | None = None,
) -> keras.optimizers.Optimizer:
    """Returns a fresh optimizer for what trains in `model` at this moment.

    It is of the kind asked for, with all of its settings, and has one `learning_rate`
    that callbacks may read and set: each variable's own rate is a share of it.
    Clipping by the global norm sees all gradients.

    Weight decay, where the optimizer has any, spares biases and the weights of
    normalization layers, and what `exclude_from_weight_decay` names. Embeddings are
    decayed, as in BERT.

    Args:
        model: Functional `keras.Model` with a nested backbone. What trains, and in
            which precision, is read from it.
        backbone: The nested backbone or its name, where there are several.
        optimizer: A Keras optimizer, or a name as in `named_optimizer`. `None`: like
            the model's, Adam where the model is not compiled.
        learning_rate: A number or a Keras schedule; `None` leaves the optimizer's own.
        layer_decay: A number in (0, 1]: the rate of the backbone's top block is this
            share of the head's, that of the block below this share of that one's, and
            so on. Or a mapping from layers' names, or prefixes of them as in freeze
            points, to factors of the rate; layers that it does not name have 1.
        l2_sp: Decay of the backbone's trained variables towards the values they have
            when the optimizer is built. They are not decayed towards zero besides; the
            head is, where the optimizer has a weight decay. Both decays are decoupled:
            each step takes the share `learning_rate * l2_sp` of the distance.
        units: From the `id` of variables of layers that give numbers to the unit that
            each number is learnt in. Optimizers whose steps do not depend on the size
            of the gradient, such as Adam, take steps of so many units; those of SGD
            have the size of what is learnt already.

    Returns:
        A Keras optimizer, an instance of the class asked for; in a
        `LossScaleOptimizer` where a layer computes in float16. Build it with
        `model.trainable_variables`.

    Raises:
        ValueError: If an argument is out of range, or a name unknown.

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification
        (2018), and Bao et al., BEiT (2022), for the decay of rates by depth. Li et
        al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks
        (2018), for L2-SP. Loshchilov and Hutter, Decoupled Weight Decay Regularization
        (2019).
    """
    backbone = find_backbone(model, backbone)
    l2_sp = check_number("l2_sp", l2_sp, minimum=0)
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None) or "adam"
    fresh = _fresh(optimizer, learning_rate)
    factors = rate_factors(model, backbone, layer_decay)
    units = {} if isinstance(fresh, keras.optimizers.SGD) else units or {}
    rules = _rules(model.trainable_variables, backbone, fresh, factors, l2_sp, units)
    if any(rule != Rule() for rule in rules):
        fresh = per_variable(fresh, rules, l2_sp)
    # `compile` goes by the outermost policy, which a loaded model has lost.
    if any(layer.compute_dtype == "float16" for layer in _keras.sublayers(model)):
        return keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def named_optimizer(name: str) -> keras.optimizers.Optimizer:
    """Returns the optimizer that a name stands for, with settings for fine-tuning.

    Args:
        name: `"adam"`; `"adamw"`, with BERT's weight decay of 0.01; `"sgd"`, with
            Nesterov momentum 0.9; or any other of Keras', as Keras sets it up.

    Raises:
        ValueError: If Keras has no such optimizer.

    Example:

    >>> from tlkeras.optimizers import named_optimizer
    >>> named_optimizer("adamw").weight_decay
    0.01

    Reference:
        Devlin et al., BERT (2019), for the weight decay. Sutskever et al., On the
        Importance of Initialization and Momentum in Deep Learning (2013).
    """
    settings = {
        "adamw": {"weight_decay": 0.01},
        "sgd": {"momentum": 0.9, "nesterov": True},
    }
    classes = _optimizer_classes()
    key = name.lower()
    if key not in classes:
        raise unknown_name("optimizer", name, classes)
    return classes[key](**settings.get(key, {}))


def _optimizer_classes() -> dict[str, type]:
    base = keras.optimizers.Optimizer
    # Keras 3.13 has no `MultiOptimizer`.
    names = ("LossScaleOptimizer", "MultiOptimizer")
    found = (getattr(keras.optimizers, name, None) for name in names)
    wrappers = tuple(filter(None, found))
    return {
        name.lower(): thing
        for name, thing in vars(keras.optimizers).items()
        if isinstance(thing, type)
        and issubclass(thing, base)
        and thing is not base
        and not issubclass(thing, wrappers)
    }


def _fresh(optimizer: Any, learning_rate: Any) -> keras.optimizers.Optimizer:
    """Returns an optimizer like this one, that has not seen a step and has no rules."""
    if isinstance(optimizer, str):
        optimizer = named_optimizer(optimizer)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "`optimizer` must be a Keras optimizer or the name of one. "
            f"Received: optimizer={optimizer!r}."
        )
    if hasattr(optimizer, "optimizers"):
        raise ValueError(
            "A MultiOptimizer has no learning rate that a phase could set. Pass a "
            "single optimizer, and `layer_decay` with a factor for each group. "
            f"Received: optimizer={type(optimizer).__name__}."
        )
    if learning_rate is not None and not callable(learning_rate):
        learning_rate = check_number("learning_rate", learning_rate, minimum=0)
    return _keras.unused_optimizer(optimizer, learning_rate)


def _rules(
    variables: Sequence[keras.Variable],
    backbone: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    factors: dict[int, float],
    l2_sp: float,
    units: Mapping[int, tuple[float, ...]],
) -> list[Rule]:
    of_backbone = {id(variable) for variable in backbone.variables}
    rules = []
    for variable in variables:
        anchored = l2_sp > 0 and id(variable) in of_backbone
        decayed = (
            bool(optimizer.weight_decay)
            and not anchored
            and len(variable.shape) >= 2
            and variable.name not in _NEVER_DECAYED
            and _keras.uses_weight_decay(optimizer, variable)
        )
        factor, unit = factors.get(id(variable), 1.0), units.get(id(variable), 1.0)
        rules.append(Rule(factor, decayed, anchored, unit))
    return rules
