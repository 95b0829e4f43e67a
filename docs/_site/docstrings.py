"""What griffe cannot see in the sources: builders made at import; examples as code."""

import inspect
import re

import griffe

import tlkeras as tl
from tlkeras.builders import BUILDERS

_EXAMPLE = re.compile(r"^Example:\n\n?((?:[^\n]+\n?|\n(?!\w+:\n))+)", re.M)
_REFERENCE = re.compile(r"^Reference:\n((?:    .*\n?)+)", re.M)


class Docstrings(griffe.Extension):
    """Adds the builders' signatures and docstrings, and has examples shown as code."""

    def on_package(self, *, pkg, **kwargs):
        """Puts functions in the place of builders, attributes to those who read."""
        if pkg.path != tl.__name__:
            return
        for name, builder in BUILDERS.items():
            made = griffe.Function(
                name,
                parameters=griffe.Parameters(*map(_parameter, _parameters(builder))),
                returns="TransferModel",
                docstring=griffe.Docstring(_shown(inspect.getdoc(builder)), lineno=1),
            )
            made.docstring.parent = made
            pkg["builders"].set_member(name, made)

    def on_object(self, *, obj, **kwargs):
        """Shows `Example` and `Reference`, which are no sections of griffe's."""
        if obj.docstring:
            obj.docstring.value = _shown(obj.docstring.value)


def _parameters(builder):
    return inspect.signature(builder).parameters.values()


def _parameter(parameter):
    names = {
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional_or_keyword",
        inspect.Parameter.KEYWORD_ONLY: "keyword_only",
    }
    left_out = parameter.default is inspect.Parameter.empty
    return griffe.Parameter(
        parameter.name,
        annotation=inspect.formatannotation(parameter.annotation),
        kind=griffe.ParameterKind[names[parameter.kind]],
        default=None if left_out else repr(parameter.default),
    )


def _shown(text):
    text = _EXAMPLE.sub(
        lambda found: f"**Example**\n\n```pycon\n{found[1].strip()}\n```\n\n", text
    )
    return _REFERENCE.sub(
        lambda found: f"**Reference:** {' '.join(found[1].split())}\n", text
    )
