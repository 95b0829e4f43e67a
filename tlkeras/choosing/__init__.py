"""What is chosen for data, not learnt: a backbone, settings, or both in one line."""

from tlkeras.choosing.deciding import AutoResult, auto
from tlkeras.choosing.ranking import Ranking, rank_backbones
from tlkeras.choosing.searching import tune
from tlkeras.choosing.space import Between
from tlkeras.choosing.tuning import Tuning

__all__ = [
    "AutoResult",
    "Between",
    "Ranking",
    "Tuning",
    "auto",
    "rank_backbones",
    "tune",
]
