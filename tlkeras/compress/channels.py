"""Which channels of a graph of layers can be removed, and what hangs on each."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import keras

from tlkeras import _keras

# Layers whose output channels are filters of their own.
PRODUCERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
)
_DEPTHWISE = keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D
# Layers that do the same with each channel, whatever the others hold.
_CHANNELWISE = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)
_ACROSS_CHANNELS = ("softmax", "log_softmax", "sparsemax", "glu")


@dataclass(frozen=True)
class Group:
    """Channels of one layer that nothing but the layers named here sees.

    Attributes:
        producer: The layer whose filters or units they are.
        between: Layers they pass through, each channel by itself.
        consumers: The layers that mix them into others.
        tensors: What each of these reads.
    """

    producer: keras.layers.Layer
    between: tuple[keras.layers.Layer, ...]
    consumers: tuple[keras.layers.Layer, ...]
    tensors: tuple[keras.KerasTensor, ...]

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """All layers of the group."""
        return (self.producer, *self.between, *self.consumers)

    @property
    def width(self) -> int:
        """The number of channels."""
        return self.producer.output.shape[-1]


def find_groups(model: keras.Model, backbone: keras.Model) -> list[Group]:
    """Returns the groups of channels that can be removed, of backbone and head.

    Args:
        model: A functional model.
        backbone: The functional model nested in it.
    """
    calls = Counter(
        id(node.operation)
        for graph in (model, backbone)
        for node in _keras.graph_nodes(graph)
    )
    return [*_groups_of(backbone, calls), *_groups_of(model, calls)]


def _groups_of(model: keras.Model, calls: Counter) -> list[Group]:
    nodes, users = _keras.graph_nodes(model), defaultdict(list)
    for node in nodes:
        for tensor in node.input_tensors:
            users[id(tensor)].append(node)
    ends = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
    found = []
    for node in nodes:
        if _is_producer(node.operation) and calls[id(node.operation)] == 1:
            group = _follow(node, users, ends, calls)
            if group is not None:
                found.append(group)
    return found


def _follow(
    start: object, users: dict, ends: Iterable[int], calls: Counter
) -> Group | None:
    """Follows channels until all are mixed; `None` where they go anywhere else."""
    between, consumers, read, tensors = [], [], [], list(start.outputs)
    while tensors:
        tensor = tensors.pop()
        if id(tensor) in ends or not users[id(tensor)]:
            return None
        for node in users[id(tensor)]:
            layer = node.operation
            if calls[id(layer)] != 1:
                return None
            if _is_consumer(layer):
                consumers.append(layer)
                read.append(tensor)
            elif _is_channelwise(layer, tensor):
                between.append(layer)
                tensors += node.outputs
            else:
                return None
    return Group(start.operation, tuple(between), tuple(consumers), tuple(read))


def _is_producer(layer: object) -> bool:
    return _is_consumer(layer) and _is_elementwise(layer.activation)


def _is_consumer(layer: object) -> bool:
    if not isinstance(layer, PRODUCERS) or getattr(layer, "lora_enabled", False):
        return False
    if isinstance(layer, keras.layers.Dense):
        return True
    plain = getattr(layer, "groups", 1) == 1 and layer.data_format == "channels_last"
    return plain and getattr(layer, "depth_multiplier", 1) == 1


def _is_channelwise(layer: object, tensor: keras.KerasTensor) -> bool:
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.axis in (-1, len(tensor.shape) - 1)
    if isinstance(layer, keras.layers.Activation):
        return _is_elementwise(layer.activation)
    if isinstance(layer, _DEPTHWISE):
        plain = layer.depth_multiplier == 1 and layer.data_format == "channels_last"
        return plain and _is_elementwise(layer.activation)
    if not isinstance(layer, _CHANNELWISE):
        return False
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _is_elementwise(activation: object) -> bool:
    """Whether an activation is known to Keras and looks at one value at a time."""
    name = getattr(activation, "__name__", "")
    known = getattr(keras.activations, name, None) is activation
    return known and name not in _ACROSS_CHANNELS
