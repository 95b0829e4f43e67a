"""LiteRT files with equal vectors stored once: smaller, and read as the same."""

import numpy as np
import pytest
from helpers import tiny_backbone

import tlkeras as tl
from tlkeras.export import litert
from tlkeras.export.interface import Interface
from tlkeras.export.samples import samples
from tlkeras.export.sharing import share_vectors

X = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3)).astype("float32")


def converted(mode, monkeypatch):
    """Returns a LiteRT file as TensorFlow's converter gives it."""
    model = tl.image_classifier(tiny_backbone(blocks=2), ["ant", "bee"])
    monkeypatch.setattr(litert, "share_vectors", lambda content: content)
    interface = Interface(model)
    with litert.graph_of(interface) as graph:
        return litert._convert(graph, mode, samples(interface, X, 8))


def parsed(content):
    from tensorflow.lite.python.schema_py_generated import ModelT

    return ModelT.InitFromPackedBuf(content)


def opened(content):
    import tensorflow as tf

    with litert._quiet():
        interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


@pytest.mark.parametrize("mode", [None, "dynamic", "int8"])
def test_readers_cannot_tell(mode, monkeypatch):
    content = converted(mode, monkeypatch)
    shared = share_vectors(content)
    assert len(shared) < len(content) or mode != "int8"
    interpreters = [opened(each) for each in (content, shared)]
    runners = [each.get_signature_runner() for each in interpreters]
    (name,) = runners[0].get_input_details()
    first, second = [runner(**{name: X[:1]}) for runner in runners]
    for output, values in first.items():
        np.testing.assert_array_equal(second[output], values)
    details = [each.get_tensor_details() for each in interpreters]
    for one, other in zip(*details, strict=True):
        assert one["name"] == other["name"]
        for part, values in one["quantization_parameters"].items():
            np.testing.assert_array_equal(
                other["quantization_parameters"][part], values
            )


def test_equal_vectors_are_written_once(monkeypatch):
    zeros = [
        tensor.quantization.zeroPoint
        for tensor in parsed(share_vectors(converted("int8", monkeypatch)))
        .subgraphs[0]
        .tensors
        if tensor.quantization is not None and tensor.quantization.zeroPoint is not None
    ]
    # Arrays of the file's own bytes: an address tells where each of them lies.
    places = {each.ctypes.data for each in zeros}
    assert len(places) == len({each.tobytes() for each in zeros}) < len(zeros)


def test_weights_stay_aligned(monkeypatch):
    shared = share_vectors(converted("int8", monkeypatch))
    whole = np.frombuffer(shared, np.uint8)
    places = [
        buffer.data.ctypes.data - whole.ctypes.data
        for buffer in parsed(whole).buffers
        if buffer.data is not None and len(buffer.data)
    ]
    assert len(places) > 5 and not any(place % 16 for place in places)


def test_what_would_not_be_smaller_stays_as_it_is(monkeypatch):
    shared = share_vectors(converted("int8", monkeypatch))
    assert len(share_vectors(shared)) == len(shared)
