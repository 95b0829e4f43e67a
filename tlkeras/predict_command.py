"""`python -m tlkeras predict`: a saved model's answers to its arguments, as lines."""

import argparse
import functools
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.builders import TransferModel
from tlkeras.problem import Problem
from tlkeras.saving import load


@dataclass(frozen=True)
class Answer:
    """What the model says of one input, or why it says nothing.

    Attributes:
        given: The argument: a path, a text, whatever the model reads.
        said: What `model.classify` says; `None` where there is an error.
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
        takes nothing that a command line can give.
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        check_int("--batch-size", args.batch_size, 1)
        model = _load(args.model)
    # Keras raises `TypeError` where a layer's class is not known here.
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"tlkeras: {error}", file=sys.stderr)
        return 2
    failed = False
    # One character that cannot be read or shown must not lose all other answers.
    _tolerate(sys.stdin, "surrogateescape")
    _tolerate(sys.stdout, "backslashreplace")
    _tolerate(sys.stderr, "backslashreplace")
    try:
        if _forecasts(model):
            return int(_show_forecasts(model, args.inputs, args.json, args.batch_size))
        for answer in answers(model, _given(model, args.inputs), args.batch_size):
            failed |= answer.error is not None
            _show(model.problem, answer, args.json)
    except BrokenPipeError:
        # Whoever reads has enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(failed)


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tlkeras predict",
        description="Says what a saved model makes of files, texts or whatever it "
        "takes. One line each: the input, the label and its probability, with tabs "
        "between them; several labels with commas between them. A forecaster takes "
        "CSV files of series and writes CSV: a line for each series and step ahead. "
        "Exit code 0: all went "
        "well; 1: some inputs could not be read: standard error says which, or with "
        "--json the `error` in their lines; 2: wrong usage, or the model cannot be "
        "loaded or takes nothing that a command line can give.",
    )
    add = parser.add_argument
    add("model", help="a file that model.save wrote")
    add(
        "inputs",
        nargs="+",
        help="picture or sound files, texts (pairs with a tab between them), CSV files "
        "or rows as JSON, as the model takes them; or -: one on each line of stdin, of "
        "a forecaster the CSV file itself",
    )
    add("--json", action="store_true", help="lines of JSON, with all probabilities")
    add("--batch-size", type=int, default=32, help="inputs at a time (32)")
    return parser


def answers(
    model: TransferModel, given: Iterable[str], batch_size: int
) -> Iterator[Answer]:
    """Yields an answer for each input, in order, as soon as its batch is done.

    Args:
        model: A `TransferModel`.
        given: Arguments, as the model's input reads them.
        batch_size: Inputs at a time.
    """
    rest = iter(given)
    while batch := list(itertools.islice(rest, batch_size)):
        rows, errors = model.problem.input.read_each(batch)
        readable = [item for i, item in enumerate(batch) if i not in errors]
        said = iter(_said(model, rows, readable, batch_size) if len(rows) else ())
        for i, item in enumerate(batch):
            if i in errors:
                yield Answer(item, error=errors[i])
            else:
                yield Answer(item, next(said))


def _said(
    model: TransferModel, rows: Any, given: list[str], batch_size: int
) -> list[Any]:
    """Returns what the model says of inputs that were read from arguments."""
    ready, owners = model.problem.input.read_windows(rows)
    frames = functools.partial(model.problem.input.frames, given)
    return model.answers(ready, owners, frames, batch_size)


def _load(path: str) -> TransferModel:
    """Loads a model that reads arguments, or raises `ValueError`."""
    keras.utils.disable_interactive_logging()
    model = load(path)
    if not isinstance(model, TransferModel):
        raise ValueError(
            f"{path!r} is a Keras model that knows neither its classes nor how its "
            "inputs are read; tl.image_classifier and its like build those that do."
        )
    if not _forecasts(model):
        # Raises where it can read nothing, before standard input is waited for.
        model.problem.input.read_each([])
    return model


def _forecasts(model: TransferModel) -> bool:
    return not model.problem.named and model.problem.output.forecasts


def _show_forecasts(
    model: TransferModel, inputs: Sequence[str], as_json: bool, batch_size: int
) -> bool:
    """Writes what follows the series of files, and returns whether one failed."""
    failed = False
    header = True
    for item in inputs:
        try:
            frame = _table_of_stdin() if item == "-" else item
            table = model.forecast(frame, batch_size=batch_size)
        except (ValueError, OSError) as error:
            failed = True
            if as_json:
                print(_json({"input": item, "error": str(error)}), flush=True)
            else:
                print(f"tlkeras: {_one_line(item)}: {error}", file=sys.stderr)
            continue
        if as_json or len(inputs) > 1:
            table.insert(0, "file" if "input" in table else "input", item)
        if as_json:
            text = table.to_json(orient="records", lines=True, date_format="iso")
        else:
            text = table.to_csv(index=False, header=header)
        print(text, end="", flush=True)
        header = False
    return failed


def _table_of_stdin() -> Any:
    import pandas as pd

    return pd.read_csv(sys.stdin)


def _tolerate(stream: Any, errors: str) -> None:
    """Says what becomes of characters that a standard stream has no bytes for."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _json(record: dict[str, Any]) -> str:
    """Returns a line of JSON, in ASCII where standard output shows no more."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(record)
    return line


def _given(model: TransferModel, inputs: list[str]) -> Iterator[str]:
    """Yields the inputs; for `-` the lines of standard input, as they come."""
    for item in inputs:
        if item == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin)
        else:
            yield from model.problem.input.given_rows(item)


def _show(problem: Problem, answer: Answer, as_json: bool) -> None:
    if as_json:
        print(_json(_record(problem, answer)), flush=True)
    elif answer.error is not None:
        print(f"tlkeras: {_one_line(answer.given)}: {answer.error}", file=sys.stderr)
    else:
        fields = [answer.given, *_fields(problem, answer.said)]
        print("\t".join(map(_one_line, fields)), flush=True)


def _record(problem: Problem, answer: Answer) -> dict[str, Any]:
    """Returns an answer as what JSON knows."""
    if answer.error is not None:
        return {"input": answer.given, "error": answer.error}
    by_head = problem.by_head(answer.said)
    records = problem.face(
        {n: problem.outputs[n].record(v) for n, v in by_head.items()}
    )
    if problem.named:
        return {"input": answer.given, "heads": records}
    return {"input": answer.given, **records}


def _fields(problem: Problem, said: Any) -> list[str]:
    """Returns an answer as columns; those of heads with names start with these."""
    by_head = problem.by_head(said)
    fields = {name: problem.outputs[name].fields(v) for name, v in by_head.items()}
    if problem.named:
        return [f"{name}={'/'.join(each)}" for name, each in fields.items()]
    return problem.face(fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())
