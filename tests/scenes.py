"""Drawn scenes: shapes of several classes on pictures, and files that say where."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import PIL.Image
import PIL.ImageDraw

SHAPES = ("stop", "yield", "speed", "parking", "priority", "crossing")


def scenes(
    n,
    classes=2,
    size=(64, 64),
    most=2,
    sides=(0.25, 0.5),
    photos=(),
    seed=0,
    stamps=None,
):
    """Returns pictures with drawn signs, and for each its boxes and class numbers.

    Args:
        n: How many.
        classes: How many of `SHAPES` are drawn.
        size: Height and width in pixels.
        most: Signs in a picture at most; some have none.
        sides: The least and the greatest side of a sign, as a share of the picture's.
        photos: Pictures that lie behind; noise of one colour where there is none.
        seed: Of everything.
        stamps: In place of signs, for each class masks of 0 to 255 `(height, width)`,
            one of which is drawn in a bright colour, its longer side as above.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        height, width = size
        image = _background(rng, size, photos)
        boxes, numbers = [], []
        for _ in range(rng.integers(0, most + 1)):
            side = int(rng.uniform(*sides) * min(size))
            x, y = (int(rng.integers(0, full - side)) for full in (width, height))
            box = [x, y, x + side, y + side]
            if any(_overlap(box, other) for other in boxes):
                continue
            number = int(rng.integers(classes))
            if stamps is None:
                _draw(PIL.ImageDraw.Draw(image), SHAPES[number], box, rng)
            else:
                box = _stamp(image, stamps[number], box, rng)
            boxes.append(box)
            numbers.append(number)
        found.append((np.asarray(image), boxes, numbers))
    return found


def _background(rng, size, photos):
    if len(photos):
        photo = photos[rng.integers(len(photos))]
        return photo.resize(size[::-1], PIL.Image.BILINEAR)
    colour = rng.integers(60, 200, 3)
    noise = rng.normal(0, 12, (*size, 3))
    return PIL.Image.fromarray(np.clip(colour + noise, 0, 255).astype("uint8"))


def _overlap(first, second):
    low = np.maximum(first[:2], second[:2])
    return bool((np.minimum(first[2:], second[2:]) > low).all())


def _draw(draw, shape, box, rng):
    """Draws a sign into its box, in colours that vary a little."""
    x1, y1, x2, y2 = box[0], box[1], box[2] - 1, box[3] - 1
    x, y, side = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1
    edge = max(2, round(side / 9))

    def colour(*rgb):
        return tuple(int(np.clip(c + rng.normal(0, 12), 0, 255)) for c in rgb)

    red, white = colour(200, 30, 40), colour(245, 245, 240)
    blue, yellow = colour(30, 70, 180), colour(240, 200, 40)
    if shape == "stop":
        draw.regular_polygon((x, y, side / 2 * 1.08), 8, 22.5, red, white)
        draw.rectangle(
            (x1 + side / 4, y - edge / 2, x2 - side / 4, y + edge / 2), white
        )
    elif shape == "yield":
        draw.polygon([(x1, y1), (x2, y1), (x, y2)], white, red, edge)
    elif shape == "speed":
        draw.ellipse((x1, y1, x2, y2), white, red, edge)
        draw.rectangle((x - edge, y1 + side / 3, x + edge, y2 - side / 3), (20, 20, 20))
    elif shape == "parking":
        draw.rectangle((x1, y1, x2, y2), blue, white, max(1, edge // 2))
        draw.ellipse((x - side / 6, y1 + side / 5, x + side / 4, y), None, white, edge)
        draw.rectangle((x - side / 5, y1 + side / 5, x - side / 12, y2 - edge), white)
    elif shape == "priority":
        draw.polygon([(x, y1), (x2, y), (x, y2), (x1, y)], yellow, white, edge)
    else:
        draw.polygon([(x, y1), (x2, y2), (x1, y2)], white, red, edge)
        draw.ellipse((x - edge, y, x + edge, y + 2 * edge), (20, 20, 20))


def _stamp(image, masks, box, rng):
    """Draws one of several masks at the corner of a box; returns its own box."""
    mask = PIL.Image.fromarray(masks[rng.integers(len(masks))])
    ratio = (box[2] - box[0]) / max(mask.size)
    size = tuple(max(2, round(side * ratio)) for side in mask.size)
    colour = tuple(rng.integers(200, 256, 3).tolist())
    image.paste(colour, tuple(box[:2]), mask.resize(size, PIL.Image.BILINEAR))
    return [*box[:2], box[0] + size[0], box[1] + size[1]]


def write_pictures(folder, found, start=0):
    """Writes pictures as PNG files into a folder; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{start + i:04d}.png" for i in range(len(found))]
    for name, (pixels, *_) in zip(names, found, strict=True):
        PIL.Image.fromarray(pixels).save(folder / name)
    return names


def write_coco(root: Path, found, classes=2, called=SHAPES):
    """Writes scenes as COCO's JSON; returns the file and the folder of pictures."""
    names = write_pictures(root / "images", found)
    rows = [
        (i, box, k)
        for i, (_, boxes, numbers) in enumerate(found)
        for box, k in zip(boxes, numbers, strict=True)
    ]
    content = {
        "images": [
            {"id": i, "file_name": name, "height": s[0].shape[0]}
            | {"width": s[0].shape[1]}
            for i, (name, s) in enumerate(zip(names, found, strict=True))
        ],
        "annotations": [
            {"id": number, "image_id": i, "category_id": k + 1, "iscrowd": 0}
            | {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            for number, (i, (x1, y1, x2, y2), k) in enumerate(rows)
        ],
        "categories": [{"id": k + 1, "name": called[k]} for k in range(classes)],
    }
    (root / "coco.json").write_text(json.dumps(content))
    return root / "coco.json", root / "images"


def write_voc(root: Path, found):
    """Writes scenes as Pascal VOC's XML; returns the folder."""
    names = write_pictures(root / "JPEGImages", found)
    (root / "Annotations").mkdir(exist_ok=True)
    for name, (pixels, boxes, numbers) in zip(names, found, strict=True):
        things = "".join(
            f"<object><name>{escape(SHAPES[k])}</name><difficult>0</difficult><bndbox>"
            f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for (x1, y1, x2, y2), k in zip(boxes, numbers, strict=True)
        )
        height, width = pixels.shape[:2]
        text = (
            f"<annotation><filename>{name}</filename><size><width>{width}</width>"
            f"<height>{height}</height></size>{things}</annotation>"
        )
        (root / "Annotations" / name.replace(".png", ".xml")).write_text(text)
    return root


def write_yolo(root: Path, found, classes=2):
    """Writes scenes as YOLO's text files; returns the folder."""
    names = write_pictures(root / "images", found)
    (root / "labels").mkdir(exist_ok=True)
    for name, (pixels, boxes, numbers) in zip(names, found, strict=True):
        height, width = pixels.shape[:2]
        lines = [
            f"{k} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
            f"{(x2 - x1) / width} {(y2 - y1) / height}"
            for (x1, y1, x2, y2), k in zip(boxes, numbers, strict=True)
        ]
        if lines:
            (root / "labels" / name.replace(".png", ".txt")).write_text(
                "\n".join(lines)
            )
    (root / "classes.txt").write_text("\n".join(SHAPES[:classes]))
    return root


def write_csv(root: Path, found):
    """Writes scenes as a table with a row for each box; returns the file."""
    names = write_pictures(root / "images", found)
    lines = ["image,xmin,ymin,xmax,ymax,label"]
    for name, (_, boxes, numbers) in zip(names, found, strict=True):
        lines += [
            f"images/{name},{','.join(map(str, box))},{SHAPES[k]}"
            for box, k in zip(boxes, numbers, strict=True)
        ] or [f"images/{name},,,,,"]
    (root / "boxes.csv").write_text("\n".join(lines))
    return root / "boxes.csv"
