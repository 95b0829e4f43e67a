"""What a model's last layers read: one vector for each example and head."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras import _keras

# What a Dense layer's outputs may pass on their way to be the model's, and what changes
# nothing in inference.
_BEHIND = (keras.layers.Activation, keras.layers.Softmax)
_IDLE = keras.layers.Dropout


class LastLayer(NamedTuple):
    """The layer that gives a head's outputs.

    Attributes:
        layer: It.
        tensor: What it reads, `(batch, width)`, before dropout.
    """

    layer: keras.layers.Dense
    tensor: keras.KerasTensor

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns what it makes of features, without its activation.

        Args:
            features: `(n, width)`.
        """
        kernel = keras.ops.convert_to_numpy(self.layer.kernel)
        bias = self.layer.bias
        found = features.astype("float32") @ kernel
        return found if bias is None else found + keras.ops.convert_to_numpy(bias)


def last_layers(
    model: keras.Model, outputs: Mapping[str, Any]
) -> dict[str, LastLayer | None]:
    """Returns the last layer of each head; `None` where that is no Dense on a vector.

    Args:
        model: A functional model.
        outputs: Its output tensors by head.
    """
    made_by = {id(t): n for n in _keras.graph_nodes(model) for t in n.outputs}

    def below(tensor: Any, passing: Any) -> Any:
        node = made_by.get(id(tensor))
        while node is not None and isinstance(node.operation, passing):
            tensor = node.input_tensors[0]
            node = made_by.get(id(tensor))
        return tensor, node

    found: dict[str, LastLayer | None] = {}
    for head, tensor in outputs.items():
        _, node = below(tensor, _BEHIND)
        is_dense = node is not None and type(node.operation) is keras.layers.Dense
        reads = below(node.input_tensors[0], _IDLE)[0] if is_dense else None
        is_vector = is_dense and len(reads.shape) == 2
        found[head] = LastLayer(node.operation, reads) if is_vector else None
    return found


def fingerprint_below(
    model: keras.Model, heads: Mapping[str, LastLayer | None]
) -> bytes:
    """Returns 16 bytes that change with any weight but those of last layers.

    Args:
        model: A model.
        heads: What `last_layers` returned for it.
    """
    last = {id(v) for head in heads.values() if head for v in head.layer.weights}
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.weights:
        if id(variable) not in last:
            value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(value)
    return digest.digest()
