"""`Output`, of parts: what it is, its labels, learning, answers and reports."""

from tlkeras.outputs.base.answering import Prediction, scaling
from tlkeras.outputs.base.kind import OUTPUTS
from tlkeras.outputs.base.output import Output

__all__ = ["OUTPUTS", "Output", "Prediction", "scaling"]
