"""KerasHub: what is a preset, and loading from one, for any kind of input."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tlkeras._validation import optional_import, unknown_name
from tlkeras.backbones.weights import brief

_HUB_PATIENCE = 5.0

_Loaded = TypeVar("_Loaded")


def keras_hub() -> ModuleType:
    """Imports KerasHub, which takes seconds, or says how to install it."""
    return optional_import("keras_hub", "A KerasHub backbone", "keras-hub")


def is_preset(name: str) -> bool:
    """Whether `name` is a preset folder, a handle (`hf://...`) or a preset name."""
    if "://" in name or Path(name).expanduser().is_dir():
        return True
    return name in keras_hub().models.Backbone.presets


def unknown_backbone(kind: str, name: str, known: Collection[str]) -> ValueError:
    """Makes the error for what is neither a backbone nor a preset.

    Args:
        kind: As in `unknown_name`.
        name: What came.
        known: The names that there are.
    """
    error = unknown_name(kind, name, known)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return error
    return ValueError(
        f"{error} A model of the Hugging Face hub is 'hf://{name}'; there is no folder "
        "of this name."
    )


def preset_name(preset: str) -> str:
    """Returns the last part of a path or handle that is no version number."""
    return next(part for part in reversed(Path(preset).parts) if not part.isdigit())


def fetch(
    preset: str, load: Callable[[str], _Loaded], companion: str, files: str
) -> _Loaded:
    """Loads from a preset, and says what to do where that fails.

    Args:
        preset: A preset name, a handle or a local preset folder.
        load: Loads from what KerasHub takes for a preset.
        companion: The class that the preset holds besides the backbone, for the
            message.
        files: What a folder must hold, for the message.

    Returns:
        What `load` returns.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded.
        ValueError: If it is a folder that cannot be loaded.
    """
    is_folder = "://" not in preset and Path(preset).expanduser().is_dir()
    try:
        if is_folder:
            return load(str(Path(preset).expanduser()))
        if preset.startswith("hf://"):
            _check_hugging_face(preset)
        return load(preset)
    except Exception as error:
        cause = f"({brief(error)})"
        if is_folder:
            raise ValueError(
                f"The folder {preset!r} could not be loaded as a KerasHub preset "
                f"{cause}. It must hold {files}."
            ) from error
        raise FileNotFoundError(
            f"The KerasHub preset {preset!r} could not be downloaded {cause}. Without "
            "a network, pass a local preset folder: where there is one, run "
            f"`keras_hub.models.Backbone.from_preset({preset!r})"
            ".save_to_preset('folder')`, the same for "
            f"`{companion}`, and copy the folder."
        ) from error


def _check_hugging_face(preset: str) -> None:
    """Fails at once where the Hugging Face client would retry for half a minute."""
    huggingface_hub = optional_import(
        "huggingface_hub", "A preset of Hugging Face", "huggingface_hub"
    )
    handle = preset.removeprefix("hf://")
    if huggingface_hub.try_to_load_from_cache(handle, "config.json"):
        return
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(host, timeout=_HUB_PATIENCE).close()
    except urllib.error.HTTPError:
        return
