"""What becomes of boxes where a picture is flipped, zoomed, shifted or cut."""

from typing import Any

from tlkeras.outputs.boxes.layout import BOX, CLASS, IGNORED, LEAST_SEEN


def moved(labels: Any, scales: Any, starts: Any) -> Any:
    """Returns labels of moved pictures, in TensorFlow.

    Boxes are cut at the edges; of which less than 0.3 is left, they are ignored, and
    where nothing is left, there is none.

    Args:
        labels: float32 `(batch, boxes, 6)`.
        scales: What places across and down are multiplied by, `(batch, 2)`; below 0
            where they are flipped.
        starts: What is added to them, as shares of the sides, `(batch, 2)`.
    """
    import tensorflow as tf

    scale, start = scales[:, None], starts[:, None]
    first = labels[..., :2] * scale + start
    second = labels[..., 2:4] * scale + start
    low, high = tf.minimum(first, second), tf.maximum(first, second)
    return _cut(labels, tf.concat([low, high], axis=-1))


def moved_by_layer(layer: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    """Returns pictures, and labels whose boxes one of Keras' layers moved with them.

    Args:
        layer: The layer; its `bounding_box_format` is `"xyxy"`.
        images: Pixels, `(batch, height, width, channels)`.
        labels: float32 `(batch, boxes, 6)`.
    """
    import tensorflow as tf

    size = tf.cast(tf.shape(images)[2:0:-1], "float32")
    sides = tf.concat([size, size], 0)
    boxes = {"boxes": labels[..., BOX] * sides, "labels": labels[..., CLASS]}
    new = layer({"images": images, "bounding_boxes": boxes}, training=True)
    return new["images"], _cut(labels, new["bounding_boxes"]["boxes"] / sides)


def _cut(labels: Any, boxes: Any) -> Any:
    """Returns labels with other boxes, which may lie outside of the picture."""
    import tensorflow as tf

    inside = tf.clip_by_value(boxes, 0.0, 1.0)
    area, seen = (
        tf.reduce_prod(tf.maximum(each[..., 2:] - each[..., :2], 0.0), axis=-1)
        for each in (boxes, inside)
    )
    there = (labels[..., CLASS] >= 0) & (seen > 0)
    hardly = there & (seen < LEAST_SEEN * area)
    classes = tf.where(there, labels[..., CLASS], -1.0)
    ignored = tf.where(hardly, 1.0, labels[..., IGNORED])
    inside = tf.where(there[..., None], inside, 0.0)
    return tf.concat([inside, classes[..., None], ignored[..., None]], axis=-1)
