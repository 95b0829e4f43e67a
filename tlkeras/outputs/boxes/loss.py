"""`DetectionLoss`: which cell answers for which box, and how far its answer is off."""

import keras
from keras import ops

from tlkeras.outputs.boxes.layout import BOX, CELL, CLASS, IGNORED, OUTPUT_COLUMNS

# Cells whose centres are as near to that of a box, in sides of a cell, answer for it.
_RADIUS = 1.5
# Longest sides of the boxes that a feature map answers for, in sides of a cell. Those
# of the next coarser one are the same in sides of its own cells.
_SMALLEST, _LARGEST = 4.0, 8.0


@keras.saving.register_keras_serializable("tlkeras")
class DetectionLoss(keras.losses.Loss):
    """Focal loss of the classes, and generalized IoU loss of the boxes.

    A box is answered for by the cells near its centre, of the feature map on which its
    longer side measures 4 to 8 cells; smaller ones by the finest map, larger ones by
    the coarsest. Of boxes that share a cell the smallest counts. Both losses are sums
    over the cells of a picture, divided by the number of those that answer for a box.

    Args:
        box_weight: How much the boxes' loss counts beside that of the classes.
        gamma: How far the focal loss turns from what is right already.
        alpha: Weight of cells that answer for a box; those that do not have
            `1 - alpha`.

    Call arguments: labels `(batch, boxes, 6)` and outputs `(batch, cells, 8 +
    classes)`, as `tlkeras.outputs.boxes.layout` says.

    Example:

    >>> loss = DetectionLoss()
    >>> label = np.array([[[0.0, 0.0, 1.0, 1.0, 0, 0]]])
    >>> wrong = np.array([[[0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 1.0, 1.0, 0.1]]])
    >>> right = np.array([[[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.9]]])
    >>> float(loss(label, wrong)) > float(loss(label, right))
    True

    Reference:
        Tian et al., FCOS: Fully Convolutional One-Stage Object Detection (2019); Lin et
        al., Focal Loss for Dense Object Detection (2017); Rezatofighi et al.,
        Generalized Intersection over Union (2019).
    """

    def __init__(
        self,
        box_weight=2.0,
        gamma=2.0,
        alpha=0.25,
        name="detection_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.box_weight, self.gamma, self.alpha = box_weight, gamma, alpha

    def call(self, y_true, y_pred):
        boxes, classes = y_true[..., BOX], y_true[..., CLASS]
        found, cells = y_pred[..., BOX], y_pred[..., CELL]
        probabilities = y_pred[..., OUTPUT_COLUMNS:]
        owner, answers, ignored = _assigned(y_true, cells)
        wanted = ops.take_along_axis(boxes, owner[..., None], axis=1)
        its_class = ops.take_along_axis(classes, owner, axis=1)
        targets = ops.one_hot(ops.cast(its_class, "int32"), probabilities.shape[-1])
        targets = ops.cast(targets, probabilities.dtype) * answers[..., None]
        of_classes = ops.sum(self._focal(targets, probabilities), axis=-1)
        of_classes = ops.sum(of_classes * (1.0 - ignored), axis=1)
        # Of cells that answer for none, a box of their own: no gradient is NaN.
        wanted = ops.where(answers[..., None] > 0, wanted, ops.stop_gradient(found))
        of_boxes = ops.sum((1.0 - giou(wanted, found)) * answers, axis=1)
        count = ops.maximum(ops.sum(answers, axis=1), 1.0)
        return (of_classes + self.box_weight * of_boxes) / count

    def _focal(self, targets, probabilities):
        p = ops.clip(probabilities, 1e-6, 1.0 - 1e-6)
        hit = -self.alpha * targets * (1.0 - p) ** self.gamma * ops.log(p)
        miss = (1.0 - targets) * p**self.gamma * ops.log(1.0 - p)
        return hit - (1.0 - self.alpha) * miss

    def get_config(self):
        own = {"box_weight": self.box_weight, "gamma": self.gamma, "alpha": self.alpha}
        # Keras' own writes no dtype, which is the policy's.
        return {"name": self.name, "reduction": self.reduction, **own}


def _assigned(y_true, cells):
    """Returns which box each cell answers for, whether it does, and what is ignored.

    Args:
        y_true: `(batch, boxes, 6)`.
        cells: `(batch, cells, 4)`.

    Returns:
        int32, float and float, each `(batch, cells)`.
    """
    boxes = y_true[..., None, :, BOX]
    is_box = y_true[..., None, :, CLASS] >= 0
    counts = is_box & (y_true[..., None, :, IGNORED] < 0.5)
    cell = cells[..., :, None, :]
    width, height = cell[..., 2] - cell[..., 0], cell[..., 3] - cell[..., 1]
    across = (boxes[..., 2] - boxes[..., 0]) / width
    down = (boxes[..., 3] - boxes[..., 1]) / height
    x = _middle(cell, 0) - _middle(boxes, 0)
    y = _middle(cell, 1) - _middle(boxes, 1)

    def near(distance, sides):
        # The cell that the centre lies in always answers, however small the box.
        return ops.abs(distance) <= ops.clip(sides / 2, 0.5, _RADIUS) + 1e-4

    longest = ops.maximum(across, down)
    finest = width <= 1.01 * ops.min(width, axis=-2, keepdims=True)
    coarsest = width >= 0.99 * ops.max(width, axis=-2, keepdims=True)
    suits = (finest | (longest >= _SMALLEST)) & (coarsest | (longest < _LARGEST))
    candidate = counts & suits & near(x / width, across) & near(y / height, down)
    area = ops.where(candidate, across * down, ops.full_like(across, 1e9))
    owner = ops.cast(ops.argmin(area, axis=-1), "int32")
    answers = ops.cast(ops.any(candidate, axis=-1), y_true.dtype)
    inside = (2 * ops.abs(x / width) < across) & (2 * ops.abs(y / height) < down)
    ignored = ops.any(is_box & ~counts & inside, axis=-1)
    return owner, answers, ops.cast(ignored, y_true.dtype) * (1.0 - answers)


def _middle(box, axis):
    return (box[..., axis] + box[..., axis + 2]) / 2


def giou(first, second):
    """Returns the generalized IoU of boxes, -1 to 1; 1 where they are the same.

    Args:
        first: x1, y1, x2, y2, `(..., 4)`.
        second: The same.

    Example:

    >>> float(giou(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])))
    1.0
    """

    def sides(low, high):
        return ops.maximum(high - low, 0.0)

    def area(box):
        return sides(box[..., 0], box[..., 2]) * sides(box[..., 1], box[..., 3])

    low, high = first[..., :2], first[..., 2:]
    low2, high2 = second[..., :2], second[..., 2:]
    common = ops.prod(sides(ops.maximum(low, low2), ops.minimum(high, high2)), axis=-1)
    hull = ops.prod(sides(ops.minimum(low, low2), ops.maximum(high, high2)), axis=-1)
    union = area(first) + area(second) - common
    tiny = 1e-9
    return (common + tiny) / (union + tiny) - (hull - union) / (hull + tiny)
