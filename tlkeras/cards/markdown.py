"""Markdown and YAML: tables, escapes, the header of a card."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What starts or ends a mark-up within a line.
_MARKS = re.compile(r"([\\`*_\[\]<>|~])")

# What YAML takes for a text without quotes.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ]*(?:[._/-][A-Za-z0-9]+)*")
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


def escaped(text: Any) -> str:
    """Returns text on one line that Markdown shows as it is.

    Example:

    >>> print(escaped("a|b_c"))
    a\\|b\\_c
    """
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table; the first column to the left, all others to the right.

    Args:
        header: Titles of the columns.
        rows: Cells, escaped already where they need it.

    Example:

    >>> print(table(("class", "examples"), [("cat", 3)]))
    | class | examples |
    | :--- | ---: |
    | cat | 3 |
    """
    rule = [":---", *["---:"] * (len(header) - 1)]
    lines = [header, rule, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Returns a list with a point for each line."""
    return "\n".join(f"- {line}" for line in lines)


def yaml(values: Mapping[str, Any]) -> str:
    """Returns a mapping as YAML that model hubs read.

    Args:
        values: Texts, numbers, lists and mappings of these.

    Example:

    >>> print(yaml({"license": "mit", "tags": ["keras", "a: b"]}))
    license: mit
    tags:
    - keras
    - "a: b"
    """
    return "\n".join(_lines(values, ""))


def _lines(value: Any, indent: str) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if isinstance(part, (Mapping, list, tuple)) and len(part):
                yield f"{indent}{key}:"
                deeper = indent + "  " * isinstance(part, Mapping)
                yield from _lines(part, deeper)
            else:
                yield f"{indent}{key}: {_scalar(part)}"
        return
    for part in value:
        if isinstance(part, (Mapping, list, tuple)) and len(part):
            first, *rest = _lines(part, indent + "  ")
            yield f"{indent}- {first.strip()}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(part)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if is_plain else _quoted(value)
    # Of the numbers and empty lists of JSON, YAML has the same notation.
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Returns JSON's form of a text; YAML has all of it but some control characters."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
