"""What a search varies: ranges and choices of settings, and which are worth it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkeras._validation import check_number, unknown_name
from tlkeras.training.recipe import SETTINGS, Recipe, is_auto

# Rates of fine-tuning that pretrained backbones were seen to need.
_RATES = 3e-6, 1e-3
_SHARES = 0.15, 0.3, 0.6
_LAYER_DECAYS = None, 0.9, 0.75
_L2_SP = 0.0, 0.03
_DROPOUTS = 0.0, 0.2, 0.5
# Views are computed once and serve all trials.
_VIEWS = 2
# What a study's file holds as it is.
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Between:
    """A range of numbers to search, for `tl.tune(space=...)`.

    Args:
        low: The smallest.
        high: The largest, above `low`.
        log: Whether factors count, not differences: for rates and penalties, which are
            then above 0.
        whole: Whether the numbers are whole ones.

    Raises:
        ValueError: If `low` and `high` are not as described.

    Example:

    >>> space = {"fine_tune_learning_rate": tl.Between(1e-5, 1e-3, log=True)}
    >>> tl.Between(1e-3, 1e-5)
    Traceback (most recent call last):
        ...
    ValueError: `high` must be a number above 0.001. Received: high=1e-05.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self):
        check_number("low", self.low, above=0 if self.log else None)
        check_number("high", self.high, above=self.low)
        if self.whole and (self.low % 1 or self.high % 1):
            raise ValueError(
                "`low` and `high` of a range of whole numbers must be whole. Received: "
                f"{self!r}."
            )

    def __contains__(self, value: Any) -> bool:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def distribution(self) -> Any:
        """Returns it as Optuna knows it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        kind = IntDistribution if self.whole else FloatDistribution
        return kind(self.low, self.high, log=self.log)


class Space:
    """The settings that a search varies.

    Args:
        ranges: From a setting's name to a `Between` or a list of choices.

    Raises:
        ValueError: If one is neither, or there are none.
    """

    def __init__(self, ranges: Mapping[str, Any]):
        self.ranges: dict[str, Any] = {}
        if not isinstance(ranges, Mapping) or not ranges:
            raise ValueError(
                "`space` must be a dictionary from settings to lists of choices or "
                f"`tl.Between(low, high)`. Received: space={ranges!r}."
            )
        for name, given in ranges.items():
            if isinstance(given, Between):
                self.ranges[name] = given
            elif isinstance(given, (list, np.ndarray)) and len(given):
                self.ranges[name] = _Choices(given)
            else:
                raise ValueError(
                    f"The space of `{name}` must be a list of choices that is not "
                    "empty, or `tl.Between(low, high)`. What is not searched belongs "
                    f"into `recipe=`. Received: {given!r}."
                )

    def distributions(self) -> dict[str, Any]:
        """Returns the ranges as Optuna knows them."""
        return {name: each.distribution() for name, each in self.ranges.items()}

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns settings that Optuna's parameters stand for."""
        found = {}
        for name, value in parameters.items():
            choices = self.ranges[name]
            is_label = isinstance(choices, _Choices)
            found[name] = choices.by_label[value] if is_label else value
        return found

    def parameters(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns what stands for settings; `None` where one is outside.

        Args:
            settings: A value for each name of the space.
        """
        found = {}
        for name, each in self.ranges.items():
            value = settings[name]
            if isinstance(each, _Choices):
                value = _label(value)
            if value not in each:
                return None
            found[name] = value
        return found

    def described(self) -> dict[str, str]:
        """Returns what two spaces are compared by."""
        return {name: repr(each) for name, each in self.ranges.items()}


class _Choices:
    """Choices, each by a label that a study's file can hold."""

    def __init__(self, choices: Sequence[Any]):
        self.by_label = {_label(choice): choice for choice in choices}

    def __contains__(self, label: Any) -> bool:
        return label in self.by_label

    def __repr__(self) -> str:
        return repr(list(self.by_label))

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(self.by_label))


def _label(choice: Any) -> Any:
    if isinstance(choice, np.generic):
        choice = choice.item()
    return choice if isinstance(choice, _PLAIN) else repr(choice)


def default_settings(
    recipe: Recipe, usual: Mapping[str, Any], builder: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what every setting is where nothing is searched.

    Args:
        recipe: What the search starts from.
        usual: What `"auto"` stands for, by the kind of input.
        builder: The builder's arguments that a search can vary, by their defaults.
    """
    found = {name: getattr(recipe, name) for name in SETTINGS}
    found |= {n: value for n, value in usual.items() if is_auto(found[n])}
    return {**builder, **found}


def default_space(
    defaults: Mapping[str, Any], blocks: Sequence[str], augmentable: bool
) -> dict[str, Any]:
    """Returns what is worth a search: what the defaults are, and what is around them.

    Args:
        defaults: Of `default_settings`.
        blocks: Names of the backbone's numbered blocks, the lowest first.
        augmentable: Whether examples can be changed at random.
    """
    rate = defaults["fine_tune_learning_rate"]
    points = _SHARES
    if blocks:
        # The upper quarter, half and three quarters.
        points = tuple(blocks[len(blocks) * part // 4] for part in (3, 2, 1))
    schedules = "constant", "cosine"
    space = {
        "unfreeze_from": _with(defaults["unfreeze_from"], points),
        "schedule": _with(defaults["schedule"], schedules),
        "layer_decay": _with(defaults["layer_decay"], _LAYER_DECAYS),
        "l2_sp": _with(defaults["l2_sp"], _L2_SP),
    }
    if isinstance(rate, float):
        low, high = min(_RATES[0], rate), max(_RATES[1], rate)
        space["fine_tune_learning_rate"] = Between(low, high, log=True)
    if augmentable:
        space["augment"] = _with(defaults["augment"], (None, "light"))
    if "dropout" in defaults:
        space["dropout"] = _with(defaults["dropout"], _DROPOUTS)
    return space


def _with(first: Any, others: Sequence[Any]) -> list[Any]:
    labels = {_label(first): first, **{_label(one): one for one in others}}
    return list(labels.values())


def with_views(recipe: Recipe) -> Recipe:
    """Returns a recipe whose views go with its augmentation.

    Args:
        recipe: Of one trial: its augmentation may be another than that of the recipe
            that the search starts from.
    """
    if recipe.augment is None:
        return recipe.but(cached_views=None)
    return recipe if recipe.cached_views else recipe.but(cached_views=_VIEWS)


def builder_arguments(
    builder: Callable[..., Any], without: Sequence[str]
) -> dict[str, Any]:
    """Returns the arguments of a builder that have a default, by name.

    Args:
        builder: The function.
        without: Names to leave out.
    """
    parameters = inspect.signature(builder).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.default is not one.empty and one.name not in (*without, *SETTINGS)
    }


def check_defaults(builder: Callable[..., Any]) -> None:
    """Raises `ValueError` where an argument of a function has no default."""
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    for one in inspect.signature(builder).parameters.values():
        if one.kind not in named or one.default is one.empty:
            raise ValueError(
                "A function that builds the model needs a name and a default for each "
                f"argument, which the search starts from. Received: {one} of "
                f"{getattr(builder, '__name__', builder)!r}."
            )


def check_names(space: Mapping[str, Any], builder: Mapping[str, Any] | None) -> None:
    """Raises `ValueError` for a setting that does not exist.

    Args:
        space: By name.
        builder: The builder's arguments; `None` where the model stays as it was built.
    """
    known = [*SETTINGS, *(builder or ())]
    for name in space:
        if name in known:
            continue
        error = unknown_name("setting", name, known)
        if builder is None:
            raise ValueError(
                f"{error} A model that is built already keeps its head: for settings "
                "of a builder pass the backbone's name, or a function that builds the "
                "model, such as `lambda dropout=0.1: tl.image_classifier(..., "
                "dropout=dropout)`."
            )
        raise error
