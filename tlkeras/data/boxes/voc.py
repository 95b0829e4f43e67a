"""Boxes from Pascal VOC's XML files."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from tlkeras.data.boxes.annotated import Annotated, Settings, splits_of
from tlkeras.data.boxes.files import (
    existing_folder,
    files_below,
    first_folder,
    folders_by_part,
    stem_of,
)
from tlkeras.data.splits import Splits
from tlkeras.data.splitting import PARTS
from tlkeras.inputs.paths import Files
from tlkeras.inputs.pictures.decoding import ENDINGS


def boxes_from_voc(
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
    """Makes `Splits` of pictures with boxes from Pascal VOC's XML files.

    Reads `path/Annotations/*.xml` with pictures in `path/JPEGImages` (or `images`), or
    XML files beside their pictures; parts are those of `path/ImageSets/Main/train.txt`,
    `val.txt` and `test.txt`, or sub-folders of such names, where there are some.
    Coordinates are taken as they stand, as other tools do. Objects marked as
    `difficult` are ignored: they count neither as right nor as missed. Pictures without
    objects are kept. What cannot be is left out and reported, as by
    `tl.boxes_from_coco`.

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
        class_names: Which classes to read, in the order of their numbers. By default
            all of them, sorted by name.

    Returns:
        The `Splits`. Labels are float32 `(batch, boxes, 6)`: x1, y1, x2, y2 as shares
        of the sides of the picture as it is read, the class number (-1: no box) and 1
        where the box is ignored.

    Raises:
        ValueError: If there is no such folder, it has no XML files, no picture can be
            read, or no training picture has a box.

    Example:
    >>> data = tl.boxes_from_voc("signs/voc")
    >>> data.class_names
    ('stop', 'yield')

    Reference:
        Everingham et al., The Pascal Visual Object Classes Challenge (2010).
    """
    settings = Settings(
        image_size, batch_size, validation_split, test_split, seed, color_mode, fit
    )
    root = existing_folder(path)
    skipped: list[tuple[str, str]] = []
    folders = folders_by_part(root) or {"train": root}
    parts = {part: _read(folder, skipped) for part, folder in folders.items()}
    if list(folders) == ["train"]:
        parts = _listed(root, parts["train"])
    if not any(parts.values()) and not skipped:
        raise ValueError(
            f"{root!r} has no XML files: they are looked for in 'Annotations' and in "
            f"the folder itself. It holds {sorted(os.listdir(root))[:10]}."
        )
    names = {name for each in parts.values() for one in each for name in one.names}
    return splits_of(
        parts,
        root=root,
        format="xyxy",
        names=sorted(names),
        class_names=class_names,
        skipped=skipped,
        settings=settings,
    )


def _read(folder: str, skipped: list[tuple[str, str]]) -> list[Annotated]:
    """Returns the pictures that the XML files of a folder tell of."""
    where = first_folder(folder, ["Annotations", "annotations"])
    pictures = first_folder(folder, ["JPEGImages", "images"])
    pictures = where if pictures == folder and where == folder else pictures
    files, found = Files(ENDINGS), []
    for file in files_below(where, (".xml",)):
        try:
            found.append(_picture(file, pictures, files))
        except (ET.ParseError, AttributeError, TypeError, ValueError) as error:
            skipped.append((file, f"is not Pascal VOC's XML: {error}"))
    return found


def _picture(file: str, folder: str, files: Files) -> Annotated:
    """Returns what one XML file tells."""
    root = ET.parse(file).getroot()
    name = (root.findtext("filename") or "").strip() or stem_of(file)
    path = files.meant(folder, os.path.basename(name))
    if not os.path.exists(path):
        # Whoever renames pictures renames files, not what stands in them.
        path = files.meant(folder, stem_of(file))
    size = None
    if root.find("size") is not None:
        sides = (root.findtext("size/height"), root.findtext("size/width"))
        size = tuple(int(float(side)) for side in sides)
    # Some tools write zeros where they do not know.
    one = Annotated(path, size if size and all(size) else None)
    for thing in root.iter("object"):
        box = thing.find("bndbox")
        corners = [
            float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")
        ]
        difficult = (thing.findtext("difficult") or "0").strip() not in ("0", "")
        one.add(corners, thing.findtext("name").strip(), difficult)
    return one


def _listed(root: str, pictures: list[Annotated]) -> dict[str, list[Annotated]]:
    """Returns pictures by the parts that the folder lists, all of them without any."""
    lists = {}
    for part in PARTS:
        file = os.path.join(root, "ImageSets", "Main", f"{part}.txt")
        if os.path.isfile(file):
            with open(file, encoding="utf-8-sig") as lines:
                lists[part] = {line.split()[0] for line in lines if line.strip()}
    if "train" not in lists:
        return {"train": pictures}
    return {
        part: [one for one in pictures if stem_of(one.path) in wanted]
        for part, wanted in lists.items()
    }
