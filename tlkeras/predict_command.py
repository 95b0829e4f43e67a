"""`python -m tlkeras predict`: a saved model's answers for files or texts, as lines."""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.builders import TransferModel
from tlkeras.inputs.pictures.decoding import load_images
from tlkeras.outputs import Prediction
from tlkeras.saving import load


@dataclass(frozen=True)
class Answer:
    """What the model says of one input, or why it says nothing.

    Attributes:
        given: The path or the text.
        said: A `Prediction`, a number or a tuple of numbers; of a model with several
            heads a dictionary of these; `None` where there is an error.
        error: Why the input could not be read.
    """

    given: str
    said: Any = None
    error: str | None = None


def run_predict(arguments: Sequence[str]) -> int:
    """Runs the command: one line of output for each input, in order.

    Args:
        arguments: The command line's, without `predict`.

    Returns:
        0; 1 where some inputs could not be read; 2 where the model cannot be loaded or
        does not fit the arguments.
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        check_int("--batch-size", args.batch_size, 1)
        model = _load(args.model, args.text)
    # Keras raises `TypeError` where a layer's class is not known here.
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"tlkeras: {error}", file=sys.stderr)
        return 2
    failed = False
    try:
        for answer in answers(model, _given(args.inputs), args.batch_size):
            failed |= answer.error is not None
            _show(answer, args.json)
    except BrokenPipeError:
        # Whoever reads has enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(failed)


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tlkeras predict",
        description="Says what a saved model makes of files or texts. One line each: "
        "the input, the label and its probability, with tabs between them; several "
        "labels with commas between them. Exit code 0: all went well; 1: some inputs "
        "could not be read: standard error says which, or with --json the "
        "`error` in their lines; 2: wrong usage, or the model cannot be loaded.",
    )
    add = parser.add_argument
    add("model", help="a file that model.save wrote")
    add("inputs", nargs="+", help="picture files, or -: one on each line of stdin")
    add("--text", action="store_true", help="the inputs are texts, not files")
    add("--json", action="store_true", help="lines of JSON, with all probabilities")
    add("--batch-size", type=int, default=32, help="inputs at a time (32)")
    return parser


def answers(
    model: TransferModel, given: Iterable[str], batch_size: int
) -> Iterator[Answer]:
    """Yields an answer for each input, in order, as soon as its batch is done.

    Args:
        model: A `TransferModel`.
        given: Paths of a model of pictures, texts of a model of texts.
        batch_size: Inputs at a time.
    """
    rest = iter(given)
    while batch := list(itertools.islice(rest, batch_size)):
        if model.preprocessor is not None:
            rows, errors = np.asarray(batch, dtype=object), {}
        else:
            rows, errors = _read(batch, model.input_shape)
        said = iter(_said(model, rows, batch_size))
        for i, item in enumerate(batch):
            if i in errors:
                yield Answer(item, error=errors[i])
            else:
                yield Answer(item, next(said))


def _read(paths: list[str], shape: tuple) -> tuple[np.ndarray, dict[int, str]]:
    """Returns the pixels of those that can be read, and why others cannot."""
    options = {
        "image_size": shape[1:3],
        "color_mode": "grayscale" if shape[3] == 1 else "rgb",
    }
    try:
        return load_images(paths, **options), {}
    except ValueError:
        pass
    parts, errors = [np.empty((0, *shape[1:]), "float32")], {}
    for i, path in enumerate(paths):
        try:
            parts.append(load_images(path, **options))
        except ValueError as error:
            errors[i] = str(error)
    return np.concatenate(parts), errors


def _said(model: TransferModel, rows: np.ndarray, batch_size: int) -> list[Any]:
    if not len(rows):
        return []
    if model.task != "regression":
        return model.classify(
            rows if model.preprocessor is None else list(rows), batch_size=batch_size
        )
    values = model.predict(rows, batch_size=batch_size, verbose=0).tolist()
    return [row[0] if len(row) == 1 else tuple(row) for row in values]


def _load(path: str, text: bool) -> TransferModel:
    """Loads a model that fits the arguments, or raises `ValueError`."""
    keras.utils.disable_interactive_logging()
    model = load(path)
    if not isinstance(model, TransferModel):
        raise ValueError(
            f"{path!r} is a Keras model that knows neither its classes nor how its "
            "inputs are read; tl.image_classifier and its like build those that do."
        )
    if text != (model.preprocessor is not None):
        raise ValueError(
            f"{path!r} is a model of pictures. Leave --text out."
            if text
            else f"{path!r} is a model of texts. Add --text."
        )
    if model.preprocessor is None and None in model.input_shape[1:]:
        raise ValueError(
            f"{path!r} takes pictures of any size, {model.input_shape[1:]}, so there "
            "is none to bring files to. Build it with `input_shape=`."
        )
    return model


def _given(inputs: list[str]) -> Iterator[str]:
    """Yields the inputs; for `-` the lines of standard input, as they come."""
    for item in inputs:
        if item == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin)
        else:
            yield item


def _show(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_record(answer), ensure_ascii=False), flush=True)
    elif answer.error is not None:
        print(f"tlkeras: {_one_line(answer.given)}: {answer.error}", file=sys.stderr)
    else:
        fields = [_one_line(answer.given), *_fields(answer.said)]
        print("\t".join(fields), flush=True)


def _record(answer: Answer) -> dict[str, Any]:
    """Returns an answer as what JSON knows."""
    if answer.error is not None:
        return {"input": answer.given, "error": answer.error}
    said = answer.said
    if isinstance(said, dict):
        return {"input": answer.given, "heads": {n: _plain(v) for n, v in said.items()}}
    return {"input": answer.given, **_plain(said)}


def _plain(said: Any) -> dict[str, Any]:
    if not isinstance(said, Prediction):
        return {"value": said}
    return {
        "label": said.label,
        "probability": said.probability,
        "probabilities": said.probabilities,
    }


def _fields(said: Any) -> list[str]:
    """Returns an answer as columns; those of several heads start with their names."""
    if isinstance(said, dict):
        return [f"{name}={'/'.join(_fields(value))}" for name, value in said.items()]
    if not isinstance(said, Prediction):
        values = said if isinstance(said, tuple) else (said,)
        return [",".join(f"{value:.6g}" for value in values)]
    several = isinstance(said.label, tuple)
    labels = said.label if several else (said.label,)
    chances = said.probability if several else (said.probability,)
    return [",".join(labels), ",".join(f"{chance:.4f}" for chance in chances)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
