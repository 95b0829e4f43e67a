"""What a text must be, and the texts of `from_arrays` as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras._validation import is_blank, is_missing, shown

# How many bad texts an error message names.
_SHOWN = 5

NOT_UTF8 = "has characters that are not UTF-8"

# How many rows tell whether a column is of texts.
_LOOKED_AT = 1000

_ONE_OR_TWO = "`x` must hold for every example one text, or for every example two"


def text_problem(text: Any) -> str | None:
    """Returns why `text` is no text, as half a sentence, or `None` where it is one."""
    if is_missing(text):
        return "has no text"
    if not isinstance(text, str | bytes):
        return f"has {shown(text)} ({type(text).__name__}) in place of a text"
    if not text.strip():
        return "has an empty text"
    try:
        text.decode() if isinstance(text, bytes) else text.encode()
    except UnicodeError:
        return NOT_UTF8
    return None


def as_utf8(text: str) -> str:
    """Returns a text of a terminal that is not set to UTF-8, read as UTF-8.

    Python keeps bytes that the terminal's encoding has not as lone surrogates. Where
    they are no UTF-8 either, the text stays as it is.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def are_mostly_texts(cells: Sequence[Any], is_parsed: bool) -> bool:
    """Tells whether most cells of a column are strings that are no numbers.

    Args:
        cells: The cells.
        is_parsed: Whether they have types. Otherwise all are strings.
    """
    present = [cell for cell in cells[:_LOOKED_AT] if not is_blank(cell)]
    texts = [
        c for c in present if isinstance(c, str) and (is_parsed or not _is_number(c))
    ]
    return 2 * len(texts) > len(present)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def holds_texts(x: Any) -> bool:
    """Tells whether `x` is meant as texts or pairs of them, good or bad ones."""
    if isinstance(x, list | tuple):
        return any(_is_text(row) or _has_text(row) for row in x)
    return _has_text(np.asarray(x))


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _has_text(row: Any) -> bool:
    if isinstance(row, list | tuple):
        return any(map(_is_text, row))
    kind = getattr(getattr(row, "dtype", None), "kind", "")
    if kind == "O":
        return any(map(_is_text, np.asarray(row).flat))
    return kind in ("U", "S", "T")


def text_array(texts: Any) -> np.ndarray:
    """Returns what verbs take as texts as one object array, `(n,)` or `(n, 2)`.

    Args:
        texts: Strings, or pairs of them, in a list, an array or a column of pandas or
            PyArrow; or a tuple of two columns of texts.

    Raises:
        ValueError: If something else is among them, or characters that no UTF-8 has.
    """
    array = _columns(texts) if _is_two_columns(texts) else np.array(texts, object)
    if array.ndim == 0:
        raise ValueError(f"Texts must be a list of strings. Received: texts={texts!r}.")
    for place, text in np.ndenumerate(array):
        if not _is_text(text):
            raise ValueError(
                "Every text must be a string, and every pair two strings. "
                f"Received: texts{list(place)}={shown(text)}."
            )
        if text_problem(text) == NOT_UTF8:
            raise ValueError(
                f"texts{list(place)} {NOT_UTF8}. Received: {shown(text)}. Mend it, "
                "such as by `text.encode(errors='replace').decode()`."
            )
    return array


def read_texts(x: Any) -> np.ndarray:
    """Returns texts as an object array `(n,)`, pairs of texts as `(n, 2)`.

    Args:
        x: Strings; rows of two strings; or a tuple of two sequences of strings.

    Raises:
        ValueError: If `x` has another shape, or something in it is no text.
    """
    texts = _columns(x) if _is_two_columns(x) else _objects(x)
    if texts.ndim > 2 or (texts.ndim == 2 and texts.shape[1] != 2):
        raise ValueError(
            "Texts in `x` must have shape (n,), or (n, 2) for pairs. "
            f"Received: shape {texts.shape}. Pass two columns of texts as a tuple "
            "`(a, b)`."
        )
    _check_texts(texts)
    return texts


def _is_two_columns(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and not any(map(_is_text, x))


def _columns(x: tuple[Sequence, Sequence]) -> np.ndarray:
    first, second = map(_objects, x)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            "`(a, b)` must be two equally long sequences of texts. Received: "
            f"shapes {first.shape} and {second.shape}."
        )
    return np.stack([first, second], axis=1)


def _objects(x: Any) -> np.ndarray:
    # As objects, or NumPy would make strings of the numbers among strings.
    try:
        objects = np.array(x, dtype=object)
    except ValueError as error:
        raise ValueError(f"{_ONE_OR_TWO}: {error}.") from error
    if objects.ndim == 1:
        _check_same_lengths(objects)
    return objects


def _check_same_lengths(objects: np.ndarray) -> None:
    """Checks that there are no rows in place of texts, as where lengths differ."""
    lengths = [_length(value) for value in objects]
    firsts = [lengths.index(length) for length in sorted(set(lengths))]
    if len(firsts) > 1:
        shown = [f"index {i} has {objects[i]!r}" for i in sorted(firsts)[:_SHOWN]]
        raise ValueError(f"{_ONE_OR_TWO}; {', '.join(shown)}.")


def _length(value: Any) -> int:
    is_row = isinstance(value, list | tuple | np.ndarray)
    return len(value) if is_row else -1


def _check_texts(texts: np.ndarray) -> None:
    rows = texts.reshape(len(texts), -1)
    bad = [
        (index, problem)
        for index, row in enumerate(rows)
        for problem in [next(filter(None, map(text_problem, row)), None)]
        if problem
    ]
    if bad:
        shown = [f"index {index} {problem}" for index, problem in bad[:_SHOWN]]
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ValueError(
            f"`x` must hold texts. {len(bad)} of {len(texts)} examples are none: "
            f"{'; '.join(shown)}{more}. Remove or mend these examples."
        )
