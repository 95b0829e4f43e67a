"""Folders of Hugging Face, with weights named as KerasHub before 0.30 reads them."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tlkeras._validation import optional_import
from tlkeras.backbones.hub import keras_hub

_WEIGHTS = "model.safetensors"
# The version that knows the names of sentence-transformers.
_KNOWN_FROM = (0, 30)


@contextlib.contextmanager
def readable_preset(preset: str) -> Iterator[str]:
    """Gives what KerasHub reads in place of `preset`.

    Sentence-transformers write a BERT, such as MiniLM, without the prefix of the model
    and with later names of layer norms. Older versions of KerasHub do not know them,
    and are given a copy of the folder for as long as the context lasts.

    Args:
        preset: What KerasHub takes for a preset.
    """
    folder = Path(preset).expanduser()
    if _version() >= _KNOWN_FROM or not _is_plain_bert(folder):
        yield preset
        return
    numpy_files = optional_import(
        "safetensors.numpy", "A folder of Hugging Face", "safetensors"
    )
    with tempfile.TemporaryDirectory() as copy:
        tensors = numpy_files.load_file(folder / _WEIGHTS)
        renamed = {_older_name(name): tensor for name, tensor in tensors.items()}
        numpy_files.save_file(renamed, Path(copy, _WEIGHTS))
        for path in folder.iterdir():
            if path.is_file() and path.name != _WEIGHTS:
                shutil.copy(path, copy)
        yield copy


def _version() -> tuple[int, ...]:
    return tuple(map(int, keras_hub().__version__.split(".")[:2]))


def _is_plain_bert(folder: Path) -> bool:
    """Whether a folder holds a BERT of Hugging Face's whose weights have no prefix."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with open(folder / _WEIGHTS, "rb") as file:
            # The format's header: its length, then names and places of tensors.
            names = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError, MemoryError):
        return False
    return config.get("model_type") == "bert" and "embeddings.LayerNorm.weight" in names


def _older_name(name: str) -> str:
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return "bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")
