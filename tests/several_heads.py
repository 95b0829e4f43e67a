"""Several heads of all kinds, and labels for them some of which are missing."""

import numpy as np
from helpers import solid_colours

from tlkeras.outputs import Classes, Labels, Numbers

NAN = np.nan
X, Y = solid_colours(24, 2)
HEADS = {
    "species": Classes(["ant", "bee"]),
    "tags": Labels(["red", "flying"], weight=0.5),
    "length": Numbers(loss="huber", weight=0.1),
}
LABELS = {
    "species": np.where(np.arange(24) % 5 == 0, -1, Y),
    "tags": np.stack([Y, np.where(Y == 1, NAN, 1)], axis=1),
    "length": np.where(np.arange(24) % 3 == 0, NAN, 2.0 * Y),
}
