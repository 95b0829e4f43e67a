"""Factors of the learning rate: by depth, or by layers' names."""

from collections.abc import Mapping, Sequence

import keras

from tlkeras._validation import check_number, unknown_name
from tlkeras.depth import depth_of

LayerDecay = float | Mapping[str, float] | None


def rate_factors(
    model: keras.Model, backbone: keras.Model, layer_decay: LayerDecay
) -> dict[int, float]:
    """Returns the factors that are not 1, by the `id` of the variable.

    Args:
        model: The model that holds the backbone.
        backbone: The backbone.
        layer_decay: As in `phase_optimizer`.

    Raises:
        ValueError: If a factor is out of range or a name matches no layer.
    """
    if layer_decay is None:
        return {}
    if isinstance(layer_decay, Mapping):
        return _factors_by_name(model, backbone, layer_decay)
    decay = check_number("layer_decay", layer_decay, above=0)
    if decay > 1:
        raise ValueError(
            "`layer_decay` must be in (0, 1]: lower blocks learn more slowly. "
            f"Received: layer_decay={layer_decay!r}."
        )
    if decay == 1:
        return {}
    return {variable: decay**depth for variable, depth in depth_of(backbone).items()}


def _factors_by_name(
    model: keras.Model, backbone: keras.Model, groups: Mapping[str, float]
) -> dict[int, float]:
    layers = [*backbone.layers]
    layers += [layer for layer in model.layers if layer is not backbone]
    names = [layer.name for layer in layers]
    factors = {}
    # The longest name last: it says most exactly what is meant.
    for name in sorted(groups, key=len):
        factor = check_number(f"layer_decay[{name!r}]", groups[name], above=0)
        for index in _matching(names, name):
            factors.update((id(v), factor) for v in layers[index].weights)
    return factors


def _matching(names: Sequence[str], group: str) -> list[int]:
    """Returns the layers that a name stands for, as it does in freeze points."""
    numbered = list(enumerate(names))
    found = [i for i, name in numbered if name == group]
    found = found or [
        i for i, name in numbered if name.startswith((f"{group}_", f"{group}/"))
    ]
    found = found or [i for i, name in numbered if group and name.startswith(group)]
    if not found:
        prefixes = dict.fromkeys(name.split("_")[0] for name in names)
        raise unknown_name("layer", group, [*prefixes, *names])
    return found
