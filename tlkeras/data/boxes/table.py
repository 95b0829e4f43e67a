"""Boxes from a table with one row for each of them."""

import os
from collections.abc import Sequence

import numpy as np

from tlkeras._validation import check_path, unknown_name
from tlkeras.data.boxes.annotated import Annotated, Settings, check_format, splits_of
from tlkeras.data.splits import Splits
from tlkeras.data.splitting import parts_of
from tlkeras.inputs.paths import Files
from tlkeras.inputs.pictures.decoding import ENDINGS


def boxes_from_csv(
    path: str | os.PathLike,
    *,
    image: str = "image",
    label: str = "label",
    box: Sequence[str] = ("xmin", "ymin", "xmax", "ymax"),
    format: str = "xyxy",
    split: str | None = None,
    image_root: str | os.PathLike | None = None,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "pad",
    class_names: Sequence[str] | None = None,
) -> Splits:
    """Makes `Splits` of pictures with boxes from a table with a row for each box.

    A row with a picture and without a label is a picture without boxes. What cannot be
    is left out and reported, as by `tl.boxes_from_coco`.

    Args:
        path: The CSV file, with a header.
        image: The column with the pictures' paths.
        label: The column with the boxes' classes.
        box: The four columns with the boxes' numbers, in the order of `format`.
        format: What these are, as `keras.utils.bounding_boxes.convert_format` calls it:
            `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`, `"center_yxhw"` in pixels,
            or `"rel_xyxy"`, `"rel_yxyx"`, `"rel_xywh"`, `"rel_center_xywh"` as shares
            of the sides.
        split: The column that says to which part a picture belongs, `"train"`,
            `"val"` or `"test"`; `None` where there is none.
        image_root: The folder that paths are relative to. Defaults to that of the file.
        image_size: Side, or `(height, width)`, in pixels.
        batch_size: Pictures per batch.
        validation_split: Fraction for validation where there is no such part; 0 for
            none.
        test_split: Fraction for testing where there is no such part; 0 for none.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"pad"` keeps all and fills
            up with black, `"stretch"` keeps all and distorts, `"crop"` keeps the
            largest window in the middle.
        class_names: Which classes to read, in the order of their numbers. By default
            all of them, sorted by name.

    Returns:
        The `Splits`. Labels are float32 `(batch, boxes, 6)`: x1, y1, x2, y2 as shares
        of the sides of the picture as it is read, the class number (-1: no box) and 1
        where the box is ignored.

    Raises:
        ValueError: If a column is missing, no picture can be read, or no training
            picture has a box.

    Example:
    >>> data = tl.boxes_from_csv("signs/boxes.csv")
    >>> data.class_names
    ('stop', 'yield')
    """
    import pandas as pd

    settings = Settings(
        image_size, batch_size, validation_split, test_split, seed, color_mode, fit
    )
    check_format(format)
    file = os.path.abspath(check_path("path", path))
    columns = list(box) if not isinstance(box, str) else [box]
    if len(columns) != 4:
        raise ValueError(f"`box` must name four columns. Received: box={box!r}.")
    try:
        table = pd.read_csv(file, dtype={image: str, label: str})
    except OSError as error:
        raise ValueError(f"Cannot read {file!r}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{file!r} is no CSV file: {error}.") from error
    for column in (image, label, *columns, *([split] if split else [])):
        if column not in table:
            raise unknown_name("column", column, list(table))
    root = os.path.dirname(file) if image_root is None else os.path.abspath(image_root)
    skipped: list[tuple[str, str]] = []
    pictures, part_of = _pictures(
        table, image, label, columns, split, root, file, skipped
    )
    named = {name for one in pictures.values() for name in one.names}
    return splits_of(
        _by_part(pictures, part_of, split),
        root=root,
        format=format,
        names=sorted(named),
        class_names=class_names,
        skipped=skipped,
        settings=settings,
    )


def _pictures(
    table,
    image: str,
    label: str,
    columns: Sequence[str],
    split: str | None,
    root: str,
    file: str,
    skipped: list[tuple[str, str]],
) -> tuple[dict[str, Annotated], dict[str, str]]:
    """Returns the pictures of a table by path, and what it calls each one's part."""
    import pandas as pd

    files, found, part_of = Files(ENDINGS), {}, {}
    boxes = table[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy()
    for row, (path, name) in enumerate(zip(table[image], table[label], strict=True)):
        if not isinstance(path, str):
            skipped.append((f"{file}:{row + 2}", "has no image path"))
            continue
        full = files.meant(root, path)
        one = found.setdefault(full, Annotated(full))
        if split is not None:
            part = str(table[split].iloc[row])
            if part_of.setdefault(full, part) != part:
                raise ValueError(
                    f"The picture {path!r} is in two parts of the data, "
                    f"{part_of[full]!r} and {part!r}, in {file!r}."
                )
        if isinstance(name, str):
            one.add(boxes[row].tolist(), name)
        elif np.isfinite(boxes[row]).any():
            skipped.append((f"{file}:{row + 2}", "has a box without a class"))
    return found, part_of


def _by_part(
    pictures: dict[str, Annotated], part_of: dict[str, str], split: str | None
) -> dict[str, list[Annotated]]:
    if split is None:
        return {"train": list(pictures.values())}
    words = list(dict.fromkeys(part_of.values()))
    known = parts_of(words)
    strange = [word for word in words if word not in known]
    if strange or "train" not in known.values():
        raise ValueError(
            f"The column {split!r} must hold 'train', and may hold 'val' and 'test'. "
            f"Received: {words[:10]}."
        )
    parts: dict[str, list[Annotated]] = {}
    for path, one in pictures.items():
        parts.setdefault(known[part_of[path]], []).append(one)
    return parts
