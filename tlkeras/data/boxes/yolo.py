"""Boxes from YOLO's text files."""

import os
from collections.abc import Sequence

from tlkeras._validation import optional_import
from tlkeras.data.boxes.annotated import Annotated, Settings, splits_of
from tlkeras.data.boxes.files import (
    existing_folder,
    files_below,
    folders_by_part,
    stem_of,
)
from tlkeras.data.splits import Splits
from tlkeras.inputs.pictures.decoding import ENDINGS

_NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml")


def boxes_from_yolo(
    path: str | os.PathLike,
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
    """Makes `Splits` of pictures with boxes from YOLO's text files.

    Reads `path/images` and `path/labels`, the same with sub-folders for parts
    (`images/train`, `labels/train`), or a folder with both for each part
    (`train/images`). Each line of `labels/1.txt` has a class number and x and y of the
    middle, width and height, as shares of the picture's sides; or the corners of a
    polygon, around which the box is laid. Pictures without a text file have no boxes.
    What cannot be is left out and reported, as by `tl.boxes_from_coco`.

    Args:
        path: The folder.
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
        class_names: The names of the class numbers, from 0. By default those of
            `classes.txt`, or of `data.yaml` (which needs PyYAML), in the folder.

    Returns:
        The `Splits`. Labels are float32 `(batch, boxes, 6)`: x1, y1, x2, y2 as shares
        of the sides of the picture as it is read, the class number (-1: no box) and 1
        where the box is ignored.

    Raises:
        ValueError: If there is no such folder, it has no pictures, nothing names the
            classes, or no training picture has a box.

    Example:
    >>> data = tl.boxes_from_yolo("signs/yolo")
    >>> data.class_names
    ('stop', 'yield')
    """
    settings = Settings(
        image_size, batch_size, validation_split, test_split, seed, color_mode, fit
    )
    root = existing_folder(path)
    names = list(_named(root) if class_names is None else class_names)
    skipped: list[tuple[str, str]] = []
    parts = {
        part: _read(images, labels, names, skipped)
        for part, (images, labels) in _folders(root).items()
    }
    if not any(parts.values()):
        raise ValueError(
            f"{root!r} has no pictures: they are looked for in 'images', with text "
            f"files in 'labels'. It holds {sorted(os.listdir(root))[:10]}."
        )
    return splits_of(
        parts,
        root=root,
        format="rel_center_xywh",
        names=names,
        class_names=None,
        skipped=skipped,
        settings=settings,
    )


def _folders(root: str) -> dict[str, tuple[str, str]]:
    """Returns the folders of pictures and of text files of each part."""
    by_part = folders_by_part(root)
    if by_part:
        return {
            part: (os.path.join(folder, "images"), os.path.join(folder, "labels"))
            for part, folder in by_part.items()
        }
    images, labels = os.path.join(root, "images"), os.path.join(root, "labels")
    by_part = folders_by_part(images)
    return {
        part: (folder, os.path.join(labels, os.path.basename(folder)))
        for part, folder in by_part.items()
    } or {"train": (images, labels)}


def _read(
    images: str, labels: str, names: Sequence[str], skipped: list[tuple[str, str]]
) -> list[Annotated]:
    """Returns the pictures of a folder, with what the text files tell of them."""
    texts = {stem_of(file): file for file in files_below(labels, (".txt",))}
    found = []
    for path in files_below(images, ENDINGS):
        one = Annotated(path)
        file = texts.pop(stem_of(path), None)
        if file is not None:
            _add_lines(one, file, names, skipped)
        found.append(one)
    lists = {stem_of(name) for name in _NAME_FILES}
    skipped += [
        (file, "has no picture") for stem, file in texts.items() if stem not in lists
    ]
    return found


def _add_lines(
    one: Annotated, file: str, names: Sequence[str], skipped: list[tuple[str, str]]
) -> None:
    """Adds the boxes of a text file to its picture."""
    with open(file, encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            cells = line.split()
            if not cells:
                continue
            try:
                place, *box = map(float, cells)
            except ValueError:
                skipped.append((f"{file}:{number}", "has something else than numbers"))
                continue
            if len(box) > 5 and len(box) % 2 == 0:
                box = _around(box)
            if len(box) not in (4, 5):
                why = f"has {len(cells)} numbers; a class and four were expected"
                skipped.append((f"{file}:{number}", why))
            elif place not in range(len(names)):
                why = f"has the unknown class {cells[0]}; there are {len(names)}"
                skipped.append((f"{file}:{number}", why))
            else:
                # A fifth number is a score, which some tools write.
                one.add(box[:4], names[int(place)])


def _around(corners: Sequence[float]) -> list[float]:
    """Returns the box around a polygon."""
    x, y = corners[::2], corners[1::2]
    middle = (min(x) + max(x)) / 2, (min(y) + max(y)) / 2
    return [*middle, max(x) - min(x), max(y) - min(y)]


def _named(root: str) -> list[str]:
    """Returns the names of classes that a folder's files tell."""
    for folder in (root, os.path.join(root, "labels")):
        for name in _NAME_FILES:
            file = os.path.join(folder, name)
            if os.path.isfile(file):
                with open(file, encoding="utf-8-sig") as lines:
                    # A line that is empty has a number, too.
                    return [line.strip() for line in lines.read().rstrip().split("\n")]
    for name in _YAML_FILES:
        file = os.path.join(root, name)
        if os.path.isfile(file):
            yaml = optional_import("yaml", f"Reading {name}", "pyyaml")
            with open(file, encoding="utf-8-sig") as stream:
                names = (yaml.safe_load(stream) or {}).get("names") or ()
            if isinstance(names, dict):
                count = 1 + max(int(number) for number in names)
                names = [names.get(number, "") for number in range(count)]
            if names:
                return [str(each) for each in names]
    raise ValueError(
        f"Nothing names the classes of {root!r}: pass class_names=[...] in the order "
        "of their numbers, or write them into 'classes.txt' there, one a line."
    )
