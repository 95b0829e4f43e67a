"""What can be ranked: names, folders, backbones, models, and what makes one."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from tlkeras._validation import as_list, did_you_mean
from tlkeras.backbone_loading import kind_of_backbone
from tlkeras.inputs import Input
from tlkeras.problem import Problem
from tlkeras.training.planning import model_for

# A backbone's name or folder, a backbone, a whole compiled model, or a function without
# arguments that makes one of these when its turn comes.
Candidate = str | os.PathLike | keras.Model | Callable[[], Any]

SMALL, ALL = "small", "all"


def named_candidates(backbones: Any, problem: Problem) -> dict[str, Candidate]:
    """Returns candidates by the names that a table shows.

    Args:
        backbones: As in `tl.rank_backbones`.
        problem: Of the data.

    Raises:
        ValueError: If there are none, a name is not known, or a name is that of a
            backbone for other inputs.
    """
    kind = type(problem.input)
    if backbones is None or (isinstance(backbones, str) and backbones == SMALL):
        backbones = kind.small_backbones
    elif isinstance(backbones, str) and backbones == ALL:
        backbones = [name for each in _kinds(kind) for name in each.backbone_names()]
    elif isinstance(backbones, (str, os.PathLike, keras.Model)) or callable(backbones):
        raise ValueError(
            "`backbones` must be a list of candidates, a dictionary from names to "
            f"candidates, {SMALL!r} or {ALL!r}; one candidate goes into a list. "
            f"Received: backbones={backbones!r}."
            + did_you_mean(str(backbones), (SMALL, ALL))
        )
    found = dict(backbones) if isinstance(backbones, Mapping) else _named(backbones)
    if not found:
        raise ValueError(
            "There is no backbone to rank. Pass `backbones=` a list of some for "
            f"{kind.nouns}."
        )
    for name, candidate in found.items():
        _check(name, candidate, problem)
    return found


def _kinds(kind: type[Input]) -> list[type[Input]]:
    """Returns the kinds of input whose backbones serve a kind."""
    return [kind] if kind.lender is None else [kind, kind.lender]


def _named(backbones: Iterable[Candidate]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for candidate in as_list("backbones", backbones):
        name = _name_of(candidate)
        number, unique = 2, name
        while unique in found:
            unique, number = f"{name} ({number})", number + 1
        found[unique] = candidate
    return found


def _name_of(candidate: Any) -> str:
    if isinstance(candidate, str | os.PathLike):
        return os.fspath(candidate)
    name = getattr(candidate, "name", None) or getattr(candidate, "__name__", None)
    return str(name or type(candidate).__name__)


def _check(name: Any, candidate: Any, problem: Problem) -> None:
    if isinstance(candidate, str | os.PathLike):
        kind = kind_of_backbone(candidate)
        if not any(issubclass(each, kind) for each in _kinds(type(problem.input))):
            raise ValueError(
                f"The backbone {os.fspath(candidate)!r} is for {kind.nouns}; the data "
                f"are {problem.input.nouns}. Leave it out."
            )
    elif not isinstance(candidate, keras.Model) and not callable(candidate):
        raise ValueError(
            "A candidate must be the name or the folder of a backbone, a `keras.Model`,"
            " or a function without arguments that makes one. Received for "
            f"{name!r}: {candidate!r}."
        )


def built(candidate: Candidate, data: Any) -> keras.Model:
    """Returns the model that a candidate stands for, with a head for the data.

    Args:
        candidate: One of `named_candidates`.
        data: `Splits`.
    """
    if callable(candidate) and not isinstance(candidate, keras.Model):
        candidate = candidate()
    return model_for(candidate, data)
