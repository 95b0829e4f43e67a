"""LiteRT files in which equal vectors are stored once: smaller, and nothing else."""

import flatbuffers
import numpy as np

# LiteRT's schema asks for this alignment of weights; the Python builder does not know.
_ALIGNMENT = 16
# A FlatBuffer ends at 2 GiB; larger models keep their weights outside of it.
_LARGEST = 2**31 - 1


def share_vectors(content: bytes) -> bytes:
    """Stores each vector of a LiteRT file once, however many tables refer to it.

    Weights quantized by channel have a zero point of 8 bytes for each channel, their
    biases another one, and all are 0: in a MobileNetV2 this is a tenth of the file.
    FlatBuffers lets tables refer to the same bytes, and readers cannot tell.

    Args:
        content: A LiteRT file, as the converter gives it.

    Returns:
        The file anew, or `content` as it is where that is not smaller.

    Reference:
        FlatBuffers' internals, https://flatbuffers.dev/internals: offsets to vectors.
    """
    if len(content) > _LARGEST:
        return content
    # The schema's Python classes, as TensorFlow 2.21 brings them.
    from tensorflow.lite.python.schema_py_generated import ModelT

    builder = _SharingBuilder(len(content))
    builder.Finish(ModelT.InitFromPackedBuf(content).Pack(builder), b"TFL3")
    packed = bytes(builder.Output())
    return min(packed, content, key=len)


class _SharingBuilder(flatbuffers.Builder):
    """Writes a FlatBuffer, and a vector that it has written before not again."""

    def __init__(self, size: int):
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        if elemSize == 1:
            alignment = _ALIGNMENT
        return super().StartVector(elemSize, numElems, alignment)
