"""Weights files: where the published ones lie, how they come, how they are loaded."""

import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from tlkeras.backbones.table import TableEntry

# `None` for random weights, `"pretrained"`, `"imagenet"`, a file or a folder.
Weights = str | os.PathLike | None

_SUFFIXES = (".h5", ".hdf5", ".keras")

# Keras waits for a silent server for ever; this is the longest silence, in seconds.
_PATIENCE = 10.0


def keras_models_folder() -> Path:
    """Returns the folder in which Keras keeps the weights that it has downloaded."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home).expanduser() / "models"


def find_weights(
    entry: TableEntry,
    weights: str | os.PathLike,
    input_shape: tuple[int, int, int],
) -> Path:
    """Finds the weights file of a backbone, downloading it where that is needed.

    Args:
        entry: The backbone.
        weights: `"pretrained"`, `"imagenet"`, a file, or a folder that holds the
            published file.
        input_shape: `(height, width, channels)`. MobileNets have weights for each size.

    Returns:
        The path of a file that exists.

    Raises:
        FileNotFoundError: If there is no such file and it could not be downloaded.
        ValueError: If `weights` names pretrained weights that do not exist.
    """
    if weights not in ("pretrained", "imagenet"):
        return find_weights_file(weights, entry.weights_file(input_shape))
    if entry.family == "glyphnet":
        return _glyphnet_weights(weights)
    return _cached(entry, input_shape) or _download(entry, input_shape)


def find_weights_file(weights: str | os.PathLike, expected: str = "") -> Path:
    """Returns the path of a user's weights file.

    Args:
        weights: A file, or a folder that holds `expected`.
        expected: Name of the published file. Defaults to none, and to files only.

    Returns:
        The path of a file that exists.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If its name has no ending of a weights file.
    """
    path = Path(weights).expanduser()
    if path.is_dir() and expected:
        path = _in_folder(path, expected)
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights` must be 'pretrained', None, or the path of a weights file"
            f"{f' or of a folder that holds {expected!r}' if expected else ''}. "
            f"Received: weights={str(weights)!r}, and there is no such file."
        )
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"A weights file ends in {', '.join(_SUFFIXES)}. "
            f"Received: weights={str(weights)!r}."
        )
    return path


def load_weights_file(model: keras.Model, path: Path, name: str) -> None:
    """Loads a weights file into `model`.

    Args:
        model: `keras.Model`, built.
        path: A file in one of Keras' formats.
        name: What to call the model in an error.

    Raises:
        ValueError: If the file cannot be read or was not written for this model.
    """
    cause: Exception | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.load_weights(path)
        except Exception as error:
            cause = error
    # Where a whole group is missing from the file, Keras only warns.
    skipped = [w.message for w in caught if issubclass(w.category, UserWarning)]
    cause = cause or next(iter(skipped), None)
    if cause is not None:
        raise ValueError(
            f"The file {str(path)!r} does not hold weights for {name!r} with input "
            f"shape {tuple(model.inputs[0].shape[1:])} and without its classifier "
            f"({brief(cause)}). Pass a file that was saved from this backbone; delete "
            "one that was cut off in a download."
        ) from cause


def brief(error: Exception) -> str:
    """Returns the kind of `error` and the beginning of its message, on one line."""
    first_line = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first_line[:200]}"


def _in_folder(folder: Path, expected: str) -> Path:
    path = folder / expected
    if path.is_file():
        return path
    held = sorted(p.name for p in folder.iterdir() if p.suffix in _SUFFIXES)
    raise FileNotFoundError(
        f"The folder {str(folder)!r} does not hold {expected!r}. "
        f"Weights files there: {', '.join(held) or 'none'}."
    )


def _glyphnet_weights(weights: str) -> Path:
    from tlkeras.backbones.glyphnet import glyphnet_weights_path

    if weights == "imagenet":
        raise ValueError(
            "'glyphnet' was pretrained on printed letters, not on ImageNet. "
            "Received: weights='imagenet'; pass weights='pretrained'."
        )
    return glyphnet_weights_path()


def _cached(entry: TableEntry, input_shape: tuple[int, int, int]) -> Path | None:
    # The second is where Keras turns to when its own folder cannot be written to.
    folders = (keras_models_folder(), Path(tempfile.gettempdir(), ".keras", "models"))
    paths = [folder / entry.weights_file(input_shape) for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def _download(entry: TableEntry, input_shape: tuple[int, int, int]) -> Path:
    """Has Keras download the file and check its hash, which its constructors do."""
    constructor = getattr(keras.applications, entry.constructor)
    cause: Exception | None = None
    try:
        with _network_timeout(_PATIENCE), warnings.catch_warnings():
            # MobileNets warn that weights of another size are used.
            warnings.simplefilter("ignore", UserWarning)
            constructor(include_top=False, weights="imagenet", input_shape=input_shape)
    except Exception as error:
        cause = error
    path = _cached(entry, input_shape)
    if path is not None and cause is None:
        return path
    reason = brief(cause) if cause else "it is not where Keras keeps its files"
    raise FileNotFoundError(
        f"The pretrained weights of {entry.name!r}, the file "
        f"{entry.weights_file(input_shape)!r}, are not in "
        f"{str(keras_models_folder())!r} and could not be downloaded ({reason}). "
        "Put the file there, or pass its path or its folder as `weights`, or "
        "weights=None for random weights."
    ) from cause


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
