"""What a backbone of tables learns from rows alone: to fill in masked cells."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras.inputs.tables.columns import FIRST
from tlkeras.inputs.tables.layers import WIDTH_OF_NUMBER, TableCells

# The share of cells that are masked, and the rate of AdamW.
_MASKED, _RATE = 0.3, 1e-3


@keras.saving.register_keras_serializable("tlkeras")
class MaskedCells(keras.Model):
    """Says what masked cells of rows hold, by what a backbone makes of the others.

    The loss is the mean over masked cells: of numbers the squared error of the scaled
    number, of categories the cross-entropy as a share of that of a guess among all
    names. Cells that are missing, rare or unseen are not asked for. Texts are neither
    looked at nor asked for.

    Args:
        cells: The layer that scales cells.
        backbone: From scaled cells to one vector for each row.
        **kwargs: Of every Keras model.

    Reference:
        Yoon et al., VIME: Extending the Success of Self- and Semi-supervised Learning
        to Tabular Domain (2020); Rubachev et al., Revisiting Pretraining Objectives for
        Tabular Deep Learning (2022).
    """

    def __init__(self, cells: TableCells, backbone: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.cells, self.backbone = cells, backbone
        self.hidden = keras.layers.Dense(2 * backbone.output_shape[-1], "gelu")
        numbers = len(cells.columns.scales)
        self._names = cells.widths[numbers:][: len(cells.columns.categories)]
        answers = numbers + sum(self._names)
        self.answer = keras.layers.Dense(answers, dtype="float32")
        self.random = keras.random.SeedGenerator()
        self.mean_loss = keras.metrics.Mean("loss")
        self._owner_of_cell = cells.columns.owners
        self._cell_of_place = np.repeat(np.arange(len(cells.widths)), cells.widths)

    def call(self, rows, training=None):
        cells = self.cells(rows)
        masked = self._masks(cells)
        kept = 1 - ops.take(masked, self._cell_of_place, axis=1)
        seen = self.backbone(cells * kept, training=training)
        return self._sum_of_losses(cells, self.answer(self.hidden(seen)), masked)

    def _masks(self, cells):
        """Draws which cells are masked: all of a column together."""
        columns = len(self.cells.columns)
        drawn = keras.random.uniform((ops.shape(cells)[0], columns), seed=self.random)
        return ops.take(ops.cast(drawn < _MASKED, "float32"), self._owner_of_cell, 1)

    def _sum_of_losses(self, cells, answers, masked):
        """Returns the sum of the losses of masked cells, and how many these are."""
        numbers = len(self.cells.columns.scales)
        losses, counts = [], []
        if numbers:
            first = numbers * WIDTH_OF_NUMBER
            vectors = ops.reshape(cells[:, :first], (-1, numbers, WIDTH_OF_NUMBER))
            known = masked[:, :numbers] * (1 - vectors[..., -1])
            errors = ops.square(answers[:, :numbers] - vectors[..., 0])
            losses.append(ops.sum(errors * known))
            counts.append(ops.sum(known))
        place, said = numbers * WIDTH_OF_NUMBER, numbers
        for cell, width in enumerate(self._names, numbers):
            wanted = cells[:, place + FIRST : place + width]
            known = masked[:, cell] * ops.sum(wanted, axis=1)
            logs = ops.log_softmax(answers[:, said + FIRST : said + width], axis=-1)
            guess = np.log(max(width - FIRST, 2))
            losses.append(ops.sum(-ops.sum(wanted * logs, axis=1) * known) / guess)
            counts.append(ops.sum(known))
            place, said = place + width, said + width
        return sum(losses), sum(counts)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        total, count = y_pred
        loss = total / ops.maximum(count, 1)
        self.mean_loss.update_state(loss, sample_weight=count)
        return loss

    @property
    def metrics(self):
        return [self.mean_loss]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"loss": self.mean_loss.result()}


def masked_cells(cells: TableCells, backbone: keras.Model) -> MaskedCells:
    """Returns the task, compiled.

    Args:
        cells: As in `MaskedCells`.
        backbone: As there.
    """
    task = MaskedCells(cells, backbone)
    task.compile(keras.optimizers.AdamW(_RATE, weight_decay=1e-5), jit_compile=False)
    return task
