"""What is left out of data, in words."""

import warnings
from collections.abc import Sequence

# How many skipped files are listed; all of them are in `Splits.skipped`.
_SKIPPED_SHOWN = 20

# How many of them a message names.
_SKIPPED_IN_MESSAGE = 5


def skipped_notes(
    skipped: Sequence[tuple[str, str]], noun: str = "file"
) -> tuple[str, ...]:
    """Returns one line per skipped file, or row, the first of many."""
    if not skipped:
        return ()
    shown = [f"  {path} {reason}" for path, reason in skipped[:_SKIPPED_SHOWN]]
    more = len(skipped) - len(shown)
    count = f"{len(skipped)} {noun}{'s' * (len(skipped) != 1)} skipped:"
    return count, *shown, *([f"  and {more} more"] if more else [])


def first_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Returns the first of what is skipped, for a message."""
    shown = [f"{place} {reason}" for place, reason in skipped[:_SKIPPED_IN_MESSAGE]]
    more = len(skipped) - len(shown)
    return f"{'; '.join(shown)}{f'; and {more} more' if more else ''}"


def warn_of_skipped(
    skipped: Sequence[tuple[str, str]], used: int, noun: str, stacklevel: int = 3
) -> None:
    """Warns the caller of the caller, where something is skipped.

    Args:
        skipped: Where each is, and why.
        used: How many others there are.
        noun: What they are called.
        stacklevel: As in `warnings.warn`.
    """
    if skipped:
        warnings.warn(
            f"Skipped {len(skipped)} of {len(skipped) + used} {noun}: "
            f"{first_skipped(skipped)}. All of them are in `.skipped`.",
            UserWarning,
            stacklevel=stacklevel,
        )
