"""Pretraining of glyphnet: renders printed letters, learns them, writes the weights.

    python tests/benchmarks/glyphnet_pretrain.py --out glyphnet.weights.h5
    python tests/benchmarks/glyphnet_pretrain.py --check

repeats what made the weights in the package; `--check` compares the outcome with them.
It is a script of the repository: the package has the weights, not their making.

The letters are Latin, Greek and Cyrillic, in the text fonts that ship with matplotlib.
Digits are not among them, though some letters look like one (O, l, Z, S, and the
Cyrillic letters for z and ch). Each rendering is slanted, turned, stretched, warped,
given strokes of random thickness, and scanned at a low resolution.

Everything follows from one seed. Two runs on the same processor type, with the versions
in `MADE_WITH`, give weights with equal bits. Other processors and versions round
differently, and training amplifies that: there `--check` compares how well the features
serve.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.backbones.glyphnet import build_glyphnet, glyphnet_weights_path

# `weights_sha256` of the weights in the package, and what they were made with.
SHA256 = "70cdc2fab6e3de048857f581766fba7b39ad8dafee80b7239e19cf3dc943e7b4"
MADE_WITH = {
    "tensorflow": "2.21.0",
    "keras": "3.15.1",
    "numpy": "2.4.6",
    "pillow": "13.0.0",
    "matplotlib": "3.11.2",
    "processor": "x86-64 with AVX-512, two threads",
}

# One string per class. Upper and lower case share a class where the shapes coincide
# once the size is gone; so do I and l.
LATIN = (
    "A a B b Cc D d E e F f G g H h Il i Jj Kk L M m N n Oo Pp Q q R r Ss T t Uu Vv Ww "
    "Xx Yy Zz"
)
GREEK = "Γ Δ Θθ Λ Ξ Π Σ Φφ Ψψ Ω α β γ δ ε ζ η λ μ ξ π σ ς ω"
CYRILLIC = "Бб Дд Жж Зз Ии Лл Цц Чч Шш Щщ Ыы Ьь Ээ Юю Яя"
LETTERS = tuple(f"{LATIN} {GREEK} {CYRILLIC}".split())

# The text fonts of matplotlib. Those of Computer Modern have the Latin letters only.
FONTS = tuple(
    "DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSans-BoldOblique "
    "DejaVuSansMono DejaVuSansMono-Bold DejaVuSansMono-Oblique "
    "DejaVuSansMono-BoldOblique DejaVuSerif DejaVuSerif-Bold DejaVuSerif-Italic "
    "DejaVuSerif-BoldItalic STIXGeneral STIXGeneralBol STIXGeneralItalic "
    "STIXGeneralBolIta cmr10 cmb10 cmss10 cmti10 cmtt10".split()
)

SIDE = 32  # of a rendering, pixels
_CANVAS = 64  # side of a glyph's outline, pixels
_GLYPH = 44  # longer side of the glyph on its canvas; it then fills the rendering
_SCANS = (7, 8, 8, 8, 9, 10, 12, 16)  # sides of the scans, as often as listed
_UNSEEN = 2_000  # renderings that are kept from training
_CHUNK = 1_000  # renderings made at once, which bounds the memory


def render_letters(
    count: int,
    seed: int = 0,
    letters: Sequence[str] = LETTERS,
    fonts: Sequence[str] = FONTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders random printed letters as low-resolution scans.

    Args:
        count: Number of renderings. The classes are equally frequent, to one.
        seed: Seed of everything random.
        letters: One string per class: the characters that count as the same letter.
        fonts: Names of matplotlib's TrueType fonts, without `.ttf`.

    Returns:
        `(images, labels)`: uint8 of shape `(count, 32, 32, 1)`, bright ink on a dark
        ground, and the int64 class of each.

    Raises:
        ValueError: If `count` is not a positive whole number, or a class of `letters`
            is in none of the `fonts`.
    """
    rng = np.random.default_rng(seed)
    count = check_int("count", count, 1)
    outlines, members = _outlines(letters, fonts)
    labels = rng.permutation(np.arange(count) % len(letters))
    images = np.empty((count, SIDE, SIDE, 1), "uint8")
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        chosen = np.array([rng.choice(members[label]) for label in labels[rows]])
        x, y = _warped_grid(rng, len(chosen))
        distances = _sample(outlines[chosen], x, y)
        ink = _ink(rng, distances, outlines[chosen].max(axis=(1, 2)))
        images[rows, ..., 0] = np.rint(255 * _scan(rng, ink))
    return images, labels


def _outlines(
    letters: Sequence[str], fonts: Sequence[str]
) -> tuple[np.ndarray, list[list[int]]]:
    """Draws every glyph there is; returns signed distances, and the rows by class."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    outlines, members = [], [[] for _ in letters]
    for font in fonts:
        path = folder / f"{font}.ttf"
        known = FT2Font(str(path)).get_charmap()
        for rows, characters in zip(members, letters, strict=True):
            for character in characters:
                if ord(character) in known:
                    rows.append(len(outlines))
                    outlines.append(_signed_distance(_draw(path, character)))
    missing = [name for name, rows in zip(letters, members, strict=True) if not rows]
    if missing:
        raise ValueError(
            f"No font has a glyph for {missing}. Received: fonts={fonts!r}; take the "
            "letters out, or add a font that has them."
        )
    return np.stack(outlines), members


def _draw(font: Path, character: str) -> np.ndarray:
    """Draws a character in the middle of the canvas; returns where its ink is."""
    from PIL import Image, ImageDraw, ImageFont

    typeface = ImageFont.truetype(str(font), 96)
    left, top, right, bottom = typeface.getbbox(character)
    drawn = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(drawn).text((2 - left, 2 - top), character, fill=255, font=typeface)
    drawn = drawn.crop(drawn.getbbox())
    ratio = _GLYPH / max(drawn.size)
    width, height = (max(2, round(side * ratio)) for side in drawn.size)
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    corner = ((_CANVAS - width) // 2, (_CANVAS - height) // 2)
    canvas.paste(drawn.resize((width, height), Image.Resampling.BOX), corner)
    return np.asarray(canvas) > 127


def _signed_distance(ink: np.ndarray) -> np.ndarray:
    """Returns each pixel's distance to the outline: positive in the ink."""
    return _distance_to(~ink) - _distance_to(ink)


def _distance_to(mask: np.ndarray) -> np.ndarray:
    """Returns each pixel's Euclidean distance to the nearest pixel of `mask`.

    The square of it is a minimum over rows of minima over columns, so one axis is done
    after the other.
    """
    steps = np.arange(_CANVAS, dtype="int16")
    squares = (steps[:, None] - steps) ** 2
    far = np.where(mask, 0, 2 * _CANVAS**2).astype("int16")
    by_column = (squares[:, :, None] + far[:, None, :]).min(axis=0)
    both = (squares[:, :, None] + by_column.T[:, None, :]).min(axis=0).T
    return np.sqrt(both, dtype="float32")


def _warped_grid(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places the pixels of `count` renderings on the canvas, at -1..1 from its centre.

    The grid is shifted and bent, turned, slanted, and stretched.
    """
    pixels = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    shift = rng.uniform(-0.08, 0.08, (2, count, 1, 1))
    smooth = _interpolation(4, SIDE)
    bend = smooth @ rng.normal(0, 0.1, (2, count, 4, 4)) @ smooth.T
    x, y = np.stack(np.meshgrid(pixels, pixels))[:, None] - shift + bend
    angle = np.deg2rad(rng.uniform(-12, 12, (count, 1, 1)))
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    x = x + rng.uniform(-0.35, 0.35, (count, 1, 1)) * y
    scale = _CANVAS / _GLYPH * rng.uniform(0.85, 1.2, (count, 1, 1))
    aspect = np.exp(rng.uniform(-0.25, 0.25, (count, 1, 1)))
    return x / (scale * aspect), y / scale


def _sample(outlines: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Reads each outline at its own points `(x, y)`, interpolated bilinearly."""
    column, row = (
        np.clip((axis + 1) * _CANVAS / 2 - 0.5, 0, _CANVAS - 1.001) for axis in (x, y)
    )
    left, top = column.astype(int), row.astype(int)
    right_share, bottom_share = column - left, row - top
    own = np.arange(len(outlines))[:, None, None]
    upper, lower = (
        outlines[own, line, left] * (1 - right_share)
        + outlines[own, line, left + 1] * right_share
        for line in (top, top + 1)
    )
    return upper * (1 - bottom_share) + lower * bottom_share


def _ink(
    rng: np.random.Generator, distances: np.ndarray, half_widths: np.ndarray
) -> np.ndarray:
    """Inks all that is nearer to the strokes' middle than a random half-width."""
    wanted = rng.uniform(3, 6, len(distances))
    growth = np.maximum(wanted - half_widths, -0.5 * half_widths)
    return np.clip(0.5 + (distances + growth[:, None, None]) / 2, 0, 1)


def _scan(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """Scans at a low resolution, enlarges again, dims, adds noise."""
    count = len(ink)
    scans = np.stack([_interpolation(m, SIDE) @ _averaging(SIDE, m) for m in _SCANS])
    scan = scans[rng.integers(len(_SCANS), size=count)]
    dimmed = scan @ ink @ scan.swapaxes(1, 2) * rng.uniform(0.8, 1, (count, 1, 1))
    noise = rng.normal(0, 1, ink.shape) * rng.uniform(0, 0.03, (count, 1, 1))
    return np.clip(dimmed + noise, 0, 1)


def _averaging(old: int, new: int) -> np.ndarray:
    """Returns the matrix that averages `old` pixels over `new` equal intervals."""
    edges, pixels = np.arange(new + 1) * old / new, np.arange(old)
    upper = np.minimum(edges[1:, None], pixels + 1)
    lower = np.maximum(edges[:-1, None], pixels)
    return np.maximum(upper - lower, 0) * new / old


def _interpolation(old: int, new: int) -> np.ndarray:
    """Returns the matrix that enlarges `old` pixels to `new`, linearly."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(places[:, None] - np.arange(old)), 0)


def pretrain(
    renderings: int = 40_000, epochs: int = 5, seed: int = 1, verbose: int = 0
) -> tuple[keras.Model, float]:
    """Trains glyphnet, under a pooled softmax head, to tell the letters apart.

    Adam, batches of 128, label smoothing 0.1; the learning rate warms up to 3e-3 over
    a tenth of the steps and falls to 0 along a cosine.

    Args:
        renderings: Training images.
        epochs: Passes over them.
        seed: Seed of renderings, weights and order. The default served best of 0, 1
            and 2 on the half of the digits that `digit_accuracy` uses.
        verbose: As in `keras.Model.fit`.

    Returns:
        `(backbone, accuracy)`: the backbone without its head, and the head's accuracy
        on 2,000 renderings that it was not trained on.

    Raises:
        ValueError: If `renderings` or `epochs` is not a positive whole number.
    """
    epochs = check_int("epochs", epochs, 1)
    renderings = check_int("renderings", renderings, 1)
    images, labels = _scaled(*render_letters(renderings + _UNSEEN, seed))
    keras.utils.set_random_seed(seed)
    backbone = build_glyphnet()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    scores = keras.layers.Dense(len(LETTERS), activation="softmax")(pooled)
    classifier = keras.Model(backbone.input, scores)
    classifier.compile(
        keras.optimizers.Adam(_schedule(epochs * -(-renderings // 128))),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    classifier.fit(
        images[_UNSEEN:],
        labels[_UNSEEN:],
        batch_size=128,
        epochs=epochs,
        verbose=verbose,
    )
    unseen = classifier.evaluate(
        images[:_UNSEEN], labels[:_UNSEEN], batch_size=500, verbose=0
    )
    return backbone, unseen[1]


def _schedule(steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        3e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )


def _scaled(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns bytes into pixels 0..1, and classes into one-hot rows."""
    one_hot = np.eye(len(LETTERS), dtype="float32")[labels]
    return images.astype("float32") / 255, one_hot


def weights_sha256(model: keras.Model) -> str:
    """Hashes the weights of `model`: names, shapes and bits, in the model's order.

    Args:
        model: A built `keras.Model`.

    Returns:
        The SHA-256 in hexadecimal digits. Files of equal weights may differ, their
        hashes do not.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        values = keras.ops.convert_to_numpy(variable).astype("<f4")
        digest.update(f"{variable.path} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def digit_accuracy(backbone: keras.Model, labels_per_class: int = 5) -> float:
    """Measures what a backbone's pooled features are worth on handwritten digits.

    Logistic regression learns a few of the digits that ship with scikit-learn, and is
    tried on the rest of a fixed stratified half of them. The other half is left for
    tests of what was tuned on this one.

    Args:
        backbone: A `keras.Model` from 32x32 grey images, 0..1, to a feature map.
        labels_per_class: Training examples of each digit.

    Returns:
        The median accuracy over ten draws of the training digits.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    digits = load_digits()
    half, _ = train_test_split(
        np.arange(len(digits.target)),
        test_size=0.5,
        stratify=digits.target,
        random_state=0,
    )
    labels, enlarge = digits.target[half], _interpolation(8, SIDE)
    images = enlarge @ (digits.images[half] / 16) @ enlarge.T
    features = backbone.predict(images[..., None], batch_size=256, verbose=0)
    features = features.mean(axis=(1, 2))
    accuracies = []
    for seed in range(10):
        train, rest = train_test_split(
            np.arange(len(half)),
            train_size=10 * check_int("labels_per_class", labels_per_class, 1),
            stratify=labels,
            random_state=seed,
        )
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(features[train], labels[train])
        accuracies.append(model.score(features[rest], labels[rest]))
    return float(np.median(accuracies))


def compare(backbone: keras.Model, tolerance: float = 0.03) -> bool:
    """Compares a backbone with the one in the package, and prints how they differ.

    Args:
        backbone: What `pretrain` made.
        tolerance: By how much `digit_accuracy` may lie below that of the package's.

    Returns:
        Whether the weights have equal bits, or else the features serve as well, to
        `tolerance`.
    """
    if weights_sha256(backbone) == SHA256:
        print("The weights have the same bits as those in the package.")
        return True
    shipped = build_glyphnet()
    shipped.load_weights(glyphnet_weights_path())
    pairs = zip(backbone.get_weights(), shipped.get_weights(), strict=True)
    furthest = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
    here, there = digit_accuracy(backbone), digit_accuracy(shipped)
    print(
        f"The weights differ from those in the package by up to {furthest:.2g}. "
        f"5 digits per class, logistic regression: {here:.3f}, theirs {there:.3f}. "
        f"The package's were made with {MADE_WITH}."
    )
    return here >= there - tolerance


def _make_repeatable() -> None:
    """Fixes what decides the order of additions: TensorFlow's kernels and threads."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the pretraining from the command line.

    Args:
        arguments: The command line's, without the program's name. `None`: this
            process's.

    Returns:
        0, or 1 where `--check` found other weights that serve less well.
    """
    parser = argparse.ArgumentParser(
        description="Pretrains glyphnet on rendered printed letters; the same on every "
        "run.",
    )
    add = parser.add_argument
    add("--out", type=Path, help="file to write, ending in .weights.h5")
    add("--check", action="store_true", help="compare with the weights in the package")
    add("--renderings", type=int, default=40_000, help="training images")
    add("--epochs", type=int, default=5, help="passes over them")
    add("--seed", type=int, default=1, help="seed of everything random")
    args = parser.parse_args(arguments)
    if args.out is None and not args.check:
        parser.error("nothing to do: give --out FILE, --check, or both.")
    _make_repeatable()
    backbone, accuracy = pretrain(args.renderings, args.epochs, args.seed, verbose=2)
    print(f"Accuracy on 2,000 unseen letters: {accuracy:.3f}")
    print(f"SHA-256 of the weights: {weights_sha256(backbone)}")
    if args.out is not None:
        backbone.save_weights(args.out)
    return 0 if not args.check or compare(backbone) else 1


if __name__ == "__main__":
    sys.exit(main())
