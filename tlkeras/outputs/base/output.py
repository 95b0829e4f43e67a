"""`Output`: what every kind of answer knows of labels, training and figures."""

from tlkeras._validation import check_number
from tlkeras.heads import check_hidden
from tlkeras.outputs.base.adapting import Adapting
from tlkeras.outputs.base.answering import Answering
from tlkeras.outputs.base.extending import Extending
from tlkeras.outputs.base.labelling import Labelling
from tlkeras.outputs.base.learning import Learning
from tlkeras.outputs.base.reporting import Reporting
from tlkeras.outputs.losses import find_metric


class Output(Labelling, Learning, Answering, Reporting, Extending, Adapting):
    """One answer of a model: what its labels are, how it is learnt, measured and said.

    A subclass is one kind of answer. What other code wants to know of labels or of
    predictions it asks here; it never asks which kind this is.

    Attributes:
        hidden: Units of relu layers of this head alone: `(64,)`.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: A Keras loss, its name, or a function of labels and outputs; `None`: the
            kind's own.
        weight: How much the loss counts in the sum over all heads.
        class_weight: For training: from each class, its number or name, to its weight;
            or `"balanced"`; or `None`.
        metrics: Keras metrics or their names; `None`: the kind's own.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", check_hidden(self.hidden))
        check_number("dropout", self.dropout, minimum=0, below=1)
        check_number("weight", self.weight, minimum=0)
        # A loss is cheap to make; a metric has variables, and those of the kind's own
        # are made when a model is compiled.
        self.make_loss()
        if self.metrics is not None:
            for metric in self.make_metrics():
                find_metric(metric, self.accuracy)
        self._check_class_weight()
