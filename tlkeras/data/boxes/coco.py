"""Boxes from COCO's JSON files."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlkeras._validation import check_path
from tlkeras.data.boxes.annotated import Annotated, Settings, four_numbers, splits_of
from tlkeras.data.splits import Splits
from tlkeras.data.splitting import PARTS
from tlkeras.inputs.paths import Files
from tlkeras.inputs.pictures.decoding import ENDINGS


def boxes_from_coco(
    annotations: str | os.PathLike | Mapping[str, str | os.PathLike],
    images: str | os.PathLike | Mapping[str, str | os.PathLike],
    *,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "pad",
    class_names: Sequence[str] | None = None,
) -> Splits:
    """Makes `Splits` of pictures with boxes from COCO's JSON files.

    Boxes of crowds (`iscrowd`) are ignored: they count neither as right nor as missed.
    Pictures without boxes are kept: they teach where there is nothing. What cannot be
    is left out, and reported once, in a warning and in `Splits.skipped`: files that
    are missing or damaged, pictures of another size than their annotation says, boxes
    without area or outside of their picture, unknown classes. Boxes of which less than
    0.3 is left after `fit="crop"` are ignored.

    Args:
        annotations: The JSON file; or, where there is one for each part, a dictionary
            from `"train"`, `"val"` and `"test"` to them.
        images: The folder that `file_name` of the pictures is relative to; or a
            dictionary of them by part.
        image_size: Side, or `(height, width)`, in pixels. Larger ones show more of
            small objects.
        batch_size: Pictures per batch.
        validation_split: Fraction for validation where there is no part of that name; 0
            for none. Of each class as many pictures as can be go to each part.
        test_split: Fraction for testing where there is no part of that name; 0 for
            none.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"pad"` keeps all and fills
            up with black, `"stretch"` keeps all and distorts, `"crop"` keeps the
            largest window in the middle.
        class_names: Which classes to read, in the order of their numbers. By default
            all of them, in the order of the categories' ids.

    Returns:
        The `Splits`. Labels are float32 `(batch, boxes, 6)`: x1, y1, x2, y2 as shares
        of the sides of the picture as it is read, the class number (-1: no box) and 1
        where the box is ignored.

    Raises:
        ValueError: If a file is not as described, two of its pictures or classes have
            one id, its boxes are shares of the sides in place of pixels, no picture can
            be read, or no training picture has a box.

    Example:
    >>> data = tl.boxes_from_coco("signs/coco.json", "signs/images")
    >>> data.class_names
    ('stop', 'yield')

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context (2014);
        https://cocodataset.org/#format-data.
    """
    settings = Settings(
        image_size, batch_size, validation_split, test_split, seed, color_mode, fit
    )
    files = annotations if isinstance(annotations, Mapping) else {"train": annotations}
    if "train" not in files or not set(files) <= set(PARTS):
        raise ValueError(
            "`annotations` by part must have 'train', and may have 'val' and 'test'. "
            f"Received: {list(files)}."
        )
    folders = images if isinstance(images, Mapping) else dict.fromkeys(files, images)
    parts: dict[str, list[Annotated]] = {}
    names: dict[str, int] = {}
    skipped: list[tuple[str, str]] = []
    for part, file in files.items():
        if part not in folders:
            raise ValueError(f"`images` has no folder for {part!r}: {list(folders)}.")
        folder = os.path.abspath(check_path("images", folders[part]))
        file = check_path("annotations", file)
        parts[part] = _read(file, folder, names, skipped)
    roots = [os.path.abspath(folders[part]) for part in files]
    return splits_of(
        parts,
        root=os.path.commonpath(roots),
        format="xywh",
        names=sorted(names, key=names.get),
        class_names=class_names,
        skipped=skipped,
        settings=settings,
    )


def _read(
    file: str, folder: str, names: dict[str, int], skipped: list[tuple[str, str]]
) -> list[Annotated]:
    """Returns the pictures that a file tells of.

    Args:
        file: The JSON file.
        folder: Where its pictures are.
        names: From names of classes to their ids; those of the file are added.
        skipped: What is left out is added to it.
    """
    content = _loaded(file)
    try:
        categories = _by_id(file, "categories", content, lambda one: str(one["name"]))
        paths = _by_id(file, "images", content, lambda one: one["file_name"])
        meant = Files(ENDINGS).meant
        by_path = {
            one["file_name"]: Annotated(meant(folder, one["file_name"]), _size(one))
            for one in content["images"]
        }
        # Files that were merged may tell of a picture twice, each time of other boxes.
        pictures = {number: by_path[path] for number, path in paths.items()}
        for one in content["annotations"]:
            where = f"annotation {one.get('id', '')}".strip()
            name = categories.get(one["category_id"])
            picture = pictures.get(one["image_id"])
            if picture is None:
                why = f"is of an unknown picture, id {one['image_id']!r}"
                skipped.append((f"{file}: {where}", why))
            elif name is None:
                why = f"is of an unknown class, id {one['category_id']!r}"
                skipped.append((f"{file}: {where}", why))
            elif (box := four_numbers(one.get("bbox"))) is None:
                skipped.append((f"{file}: {where}", "has no `bbox` of four numbers"))
            else:
                picture.add(box, name, bool(one.get("iscrowd", 0)))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file!r} is not COCO's JSON: it must have 'images' (with 'id' and "
            "'file_name'), 'annotations' (with 'image_id', 'category_id' and 'bbox') "
            f"and 'categories' (with 'id' and 'name'). Missing or wrong: {error}."
        ) from error
    for number, name in categories.items():
        names.setdefault(name, number)
    return list(by_path.values())


def _by_id(file: str, what: str, content: Any, value: Callable) -> dict[Any, str]:
    """Returns from ids to what entries say; no id may stand for two things."""
    found: dict[Any, str] = {}
    for one in content[what]:
        said = value(one)
        if found.setdefault(one["id"], said) != said:
            raise ValueError(
                f"In {file!r} two of 'images' or 'categories' must not have one id, "
                f"since annotations could be of either. Received, in {what!r}: the id "
                f"{one['id']!r} of {found[one['id']]!r} and of {said!r}."
            )
    return found


def _size(one: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns a picture's height and width; `None` where they are not told."""
    sides = tuple(int(one.get(side) or 0) for side in ("height", "width"))
    # Some tools write zeros where they do not know.
    return sides if all(sides) else None


def _loaded(file: str) -> Any:
    try:
        with open(file, encoding="utf-8-sig") as stream:
            return json.load(stream)
    except OSError as error:
        raise ValueError(f"Cannot read {file!r}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{file!r} is no JSON: {error}.") from error
