"""Which candidate to take, by scores that need no target labels."""

from collections.abc import Mapping

from tlkeras.adapting.judging import Scores

# What the model is called that was not adapted.
SOURCE_ONLY = "source only"
# What a candidate may lose on the source, weighed or not, and has to gain in what its
# answers on the target tell apart; and by how much these may get more one-sided.
_MOST_LOST, _LEAST_GAINED, _MOST_UNEVEN = 0.02, 0.05, 0.01


def choose(tried: Mapping[str, Scores]) -> str:
    """Returns the name of the candidate to take, or `SOURCE_ONLY`.

    A candidate has to be as good on the source as the model was, also where the source
    is like the target, and its answers on the target have to tell clearly more apart,
    without favouring some classes more than before: methods that make answers certain
    may end in too few classes. Of those that do the one is taken whose answers tell
    most.

    Args:
        tried: The scores of each candidate, `SOURCE_ONLY` among them.
    """
    before = tried[SOURCE_ONLY]
    allowed = {
        name: found.information
        for name, found in tried.items()
        if found.source >= before.source - _MOST_LOST
        and found.weighted >= before.weighted - _MOST_LOST
        and found.information >= before.information + _LEAST_GAINED
        and found.unevenness <= before.unevenness + _MOST_UNEVEN
    }
    return max(allowed, key=allowed.get, default=SOURCE_ONLY)
