"""Depth: a backbone's blocks from input to output, and each variable's distance."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from tlkeras import _keras
from tlkeras._validation import check_int

# Up to this many blocks where the names tell none.
MOST_BLOCKS = 12

# "conv5_block3_1_conv", "block7a_se", "block_16_expand", "transformer_layer_4",
# "convnext_tiny_stage_3_block_1_gelu", "stack0_block0_add", "expanded_conv_10_add".
_NUMBERED = re.compile(
    r"(?i)(.*(?:block|layer|stage|stack|expanded_conv)_?\d+(?:[a-z](?![a-z]))?)"
    r"(?![0-9])"
)
# MobileNet: "conv_dw_12" and "conv_pw_12" are one block.
_SEPARABLE = re.compile(r"conv_(?:pad|dw|pw)_(\d+)(?:_|$)")
_FIRST_EXPANDED = re.compile(r"expanded_conv_[a-z]")


@dataclass(frozen=True)
class Block:
    """Layers of a backbone that belong together.

    Attributes:
        name: A freeze point: `tl.freeze(model, unfreeze_from=name)` trains this block
            and all above it.
        index: Position in `backbone.layers` of the block's first layer.
        layers: The block's layers, in order.
    """

    name: str
    index: int
    layers: tuple[keras.layers.Layer, ...]


def blocks(backbone: keras.Model) -> list[Block]:
    """Groups the layers of a backbone into blocks, from input to output.

    Layers' names say where blocks start, as in ResNet's `conv5_block3_1_conv` or
    BERT's `transformer_layer_4`. Where they say nothing (InceptionV3, NASNet, models
    of one's own) a block starts where the graph narrows to a single tensor; where it
    hardly does, blocks are equal shares of the layers with weights. What comes before
    the first block (stem, embeddings) is the lowest block; what follows a block
    (final norm, pooler) belongs to it.

    Args:
        backbone: A functional `keras.Model`.

    Returns:
        At least one `Block`. Together they hold every layer with weights, and each
        holds at least one; layers before the first weight (input, rescaling) are in
        none.
    """
    layers = list(backbone.layers)
    starts = _named_starts(layers) or _graph_starts(backbone)
    keys = dict(starts)
    first = next((i for i, layer in enumerate(layers) if layer.weights), 0)
    bounds = [first, *sorted(i for i in keys if i > first)]
    bounds = _with_weights(layers, bounds)
    names = [layer.name for layer in layers]
    return [
        Block(
            _freeze_name(names, start, keys.get(start)), start, tuple(layers[start:end])
        )
        for start, end in zip(bounds, [*bounds[1:], len(layers)], strict=True)
    ]


def gradual_points(backbone: keras.Model, stages: int = 3) -> list[str]:
    """Returns freeze points for gradual unfreezing, the top of the backbone first.

    The last one trains half of the blocks, those before it evenly less: with three
    stages a sixth, a third and a half of them, and at least 1, 2 and 3 (VGG16: block5,
    block4, block3).

    Args:
        backbone: A functional `keras.Model`.
        stages: How many, at least 1. A backbone of fewer blocks has fewer points.

    Returns:
        Names for `tl.freeze(model, unfreeze_from=name)`, each lower than the one
        before.

    Raises:
        ValueError: If `stages` is not a whole number of at least 1.

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification
        (2018), unfreeze one layer per epoch, the last first.
    """
    stages = check_int("stages", stages, 1)
    names = [block.name for block in blocks(backbone)]
    stages = min(stages, len(names))
    counts = [
        max(stage, len(names) * stage // (2 * stages)) for stage in range(1, stages + 1)
    ]
    return [names[-count] for count in counts]


def depth_of(backbone: keras.Model) -> dict[int, int]:
    """Returns how far below the head each variable of a backbone lies.

    Args:
        backbone: A functional `keras.Model`.

    Returns:
        From `id(variable)` to the number of its block counted from the top: 1 for the
        block next to the head. Variables are told apart by identity, for their paths
        repeat between models.
    """
    ordered = blocks(backbone)
    return {
        id(variable): len(ordered) - number
        for number, block in enumerate(ordered)
        for layer in block.layers
        for variable in layer.weights
    }


def _weighted(layer: keras.layers.Layer) -> bool:
    """Whether the layer has weights that fine-tuning trains."""
    norm = isinstance(layer, keras.layers.BatchNormalization)
    return bool(layer.weights) and not norm


def _named_starts(layers: Sequence[keras.layers.Layer]) -> list[tuple[int, str]]:
    """Returns where the names say that blocks start, and the blocks' names."""
    keys = [_key(layer.name) for layer in layers]
    starts: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key is not None:
            starts.setdefault(key, index)
    if len(starts) < 2:
        return []
    first = min(starts.values())
    last = max(index for index, key in enumerate(keys) if key is not None)
    inside = [i for i in range(first, last + 1) if _weighted(layers[i])]
    named = [i for i in inside if keys[i] is not None]
    # InceptionResNetV2 names few of its convolutions.
    if 2 * len(named) < len(inside):
        return []
    return [(index, key) for key, index in starts.items()]


def _key(name: str) -> str | None:
    separable = _SEPARABLE.match(name)
    if separable:
        return f"conv_{separable[1]}"
    if _FIRST_EXPANDED.match(name):
        return "expanded_conv"
    numbered = _NUMBERED.match(name)
    return numbered[1] if numbered else None


def _graph_starts(backbone: keras.Model) -> list[tuple[int, str]]:
    """Returns where blocks start by the graph, with layers' own names."""
    layers = list(backbone.layers)
    weighted = [i for i, layer in enumerate(layers) if _weighted(layer)]
    if not weighted:
        return []
    cuts = _single_tensor_cuts(backbone)
    ends = [*cuts[1:], len(layers)][: len(cuts)]
    sizes = [
        sum(start <= i < end for i in weighted)
        for start, end in zip(cuts, ends, strict=True)
    ]
    narrow = bool(sizes) and 3 * max(sizes) <= max(len(weighted), 3)
    starts = _thinned(cuts if narrow else weighted, weighted)
    return [(index, layers[index].name) for index in starts]


def _single_tensor_cuts(backbone: keras.Model) -> list[int]:
    """Returns the layers before which a single tensor carries all there is."""
    position = {id(layer): i for i, layer in enumerate(backbone.layers)}
    nodes = _keras.graph_nodes(backbone)
    last_use: dict[int, int] = {}
    for number, node in enumerate(nodes):
        last_use.update((id(tensor), number) for tensor in node.input_tensors)
    outputs = _keras.as_graph(backbone).outputs
    last_use.update((id(tensor), len(nodes)) for tensor in outputs)
    alive = {id(tensor) for tensor in _keras.as_graph(backbone).inputs}
    highest, cuts = -1, []
    for number, node in enumerate(nodes):
        alive = {tensor for tensor in alive if last_use.get(tensor, -1) >= number}
        index = position.get(id(node.operation), -1)
        if len(alive) == 1 and index > highest:
            cuts.append(index)
        highest = max(highest, index)
        alive.update(id(tensor) for tensor in node.outputs)
    return cuts


def _thinned(starts: Sequence[int], weighted: Sequence[int]) -> list[int]:
    """Keeps at most `MOST_BLOCKS` starts, about equally many weighted layers apart."""
    count = min(MOST_BLOCKS, len(weighted))
    kept, seen = [], set()
    for start in starts:
        share = count * sum(i < start for i in weighted) // len(weighted)
        if share < count and share not in seen:
            seen.add(share)
            kept.append(start)
    return kept


def _with_weights(
    layers: Sequence[keras.layers.Layer], bounds: Sequence[int]
) -> list[int]:
    """Drops starts so that each block has weights that fine-tuning trains."""
    kept: list[int] = []
    for start, end in zip(bounds, [*bounds[1:], len(layers)], strict=True):
        if kept and not any(map(_weighted, layers[start:end])):
            continue
        if kept and not any(map(_weighted, layers[kept[-1] : start])):
            continue
        kept.append(start)
    return kept


def _freeze_name(names: Sequence[str], index: int, key: str | None) -> str:
    """Returns the block's name, or its first layer's where that freezes otherwise."""
    if key is None or key in names:
        return names[index]
    at_boundary = [
        i for i, n in enumerate(names) if n.startswith((f"{key}_", f"{key}/"))
    ]
    prefixed = [i for i, n in enumerate(names) if n.startswith(key)]
    found = at_boundary or prefixed
    return key if found and found[0] == index else names[index]
