"""From a row for each cell to the boxes that are found: non-maximum suppression."""

from typing import Any

import numpy as np

from tlkeras.outputs.boxes.layout import BOX, OUTPUT_COLUMNS

# Boxes of a lower score are left out of figures, too.
LEAST_SCORE = 0.01


def suppressed(outputs: Any, iou_threshold: float, max_detections: int) -> Any:
    """Returns the boxes found in each picture, the surest first, in TensorFlow.

    Of boxes of one class that overlap more than `iou_threshold` the surest is kept.

    Args:
        outputs: `(batch, cells, 8 + classes)`, as a detector gives them.
        iou_threshold: From 0 to 1.
        max_detections: How many boxes of a picture are kept at most.

    Returns:
        float32 `(batch, max_detections, 6)`: box, class and score; class -1 and score 0
        where there is none.

    Reference:
        Girshick et al., Rich Feature Hierarchies for Accurate Object Detection (2014).
    """
    import tensorflow as tf

    outputs = tf.cast(outputs, "float32")
    boxes, scores = outputs[..., BOX], outputs[..., OUTPUT_COLUMNS:]
    # The operation takes the axes in another order.
    found = tf.image.combined_non_max_suppression(
        tf.gather(boxes, [1, 0, 3, 2], axis=-1)[:, :, None],
        scores,
        max_output_size_per_class=max_detections,
        max_total_size=max_detections,
        iou_threshold=iou_threshold,
        score_threshold=LEAST_SCORE,
        clip_boxes=False,
    )
    boxes = tf.clip_by_value(found.nmsed_boxes, 0.0, 1.0)
    numbers = tf.range(max_detections)[None] < found.valid_detections[:, None]
    classes = tf.where(numbers, found.nmsed_classes, -1.0)
    boxes = tf.gather(boxes, [1, 0, 3, 2], axis=-1)
    return tf.concat([boxes, classes[..., None], found.nmsed_scores[..., None]], -1)


def suppressed_rows(
    outputs: np.ndarray, iou_threshold: float, max_detections: int
) -> np.ndarray:
    """Returns what `suppressed` does, as an array, of any number of pictures.

    Args:
        outputs: As above, an array.
        iou_threshold: As above.
        max_detections: As above.
    """
    if not len(outputs):
        return np.zeros((0, max_detections, 6), "float32")
    return np.asarray(suppressed(outputs, iou_threshold, max_detections))
