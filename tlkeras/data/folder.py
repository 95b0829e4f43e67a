"""Splits from a folder of files: images or sounds."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import check_path, did_you_mean, few, unknown_name
from tlkeras.data.groups import groups_of_files
from tlkeras.data.skipped import warn_of_skipped
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_splitting, parts_of
from tlkeras.inputs import Examples, Input, Pictures, Sounds
from tlkeras.outputs import Classes
from tlkeras.outputs.naming import check_class_names
from tlkeras.problem import Problem

# What operating systems and tools leave behind, besides names with a leading dot.
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


def image_folder(
    path: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "crop",
    class_names: Sequence[str] | None = None,
    groups: Callable[[str], Hashable] | Mapping[str, Hashable] | None = None,
) -> Splits:
    """Makes `Splits` from a folder with one sub-folder of images per class.

    Reads `path/<class>/*` or `path/{train,val,test}/<class>/*` (also `Training`,
    `test_set`, `valid`, `dev` and the like), and class folders with all that is below
    them. What is missing of validation and test is split from training, the same
    share of every class, the same in every process. Folders that could be parts as
    well as classes, such as those that hold the same sub-folders, are an error;
    `class_names` says that they are classes.

    Readable are JPEG, PNG, GIF (its first frame), BMP and WebP. Other files are
    skipped and reported once, in a warning and in `Splits.skipped`. Pictures are
    turned upright by their EXIF orientation, made RGB (an alpha channel is dropped,
    as in Pillow and Keras) and resized bilinearly, cropped to the target's aspect ratio
    first, as with `crop_to_aspect_ratio=True` in
    `keras.utils.image_dataset_from_directory`, unless `fit` says otherwise.

    Args:
        path: The folder.
        image_size: Side, or `(height, width)`, in pixels.
        batch_size: Images per batch.
        validation_split: Fraction for validation where `path` has no such folder; 0 for
            none.
        test_split: Fraction for testing where `path` has no such folder; 0 for
            none.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        class_names: Which class folders to read, in the order of the class ids. By
            default all of them, sorted by name.
        groups: What gives the group of a file, such as the patient whom a picture
            shows, by its path relative to `path` (`"rose/17_left.jpg"`): a function
            or a dictionary. Examples of one group stay in one part, which is then
            only nearly as large as asked for.

    Returns:
        The `Splits`.

    Raises:
        ValueError: If the folder is not as described, a class has no readable
            image or is too small to split, there is only one class, or a group is in
            two folders of split data.

    Example:
    >>> data = tl.image_folder("flowers/", image_size=224, batch_size=32)
    >>> data.class_names
    ('daisy', 'rose')
    """
    its_input = Pictures.of_arguments(image_size, color_mode, fit)
    check_splitting(batch_size, seed, validation_split, test_split)
    return make_splits(
        **_read_folder(path, its_input, class_names, groups),
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
    )


def audio_folder(
    path: str | os.PathLike,
    *,
    sample_rate: int = 16_000,
    seconds: float = 1.0,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    groups: Callable[[str], Hashable] | Mapping[str, Hashable] | None = None,
) -> Splits:
    """Makes `Splits` from a folder with one sub-folder of sounds per class.

    Reads `path/<class>/*` or `path/{train,val,test}/<class>/*`, as `image_folder` does.
    What is missing of validation and test is split from training, the same share of
    every class, the same in every process.

    Readable are WAV, FLAC, OGG and MP3. Other files, empty and broken ones are skipped
    and reported once, in a warning and in `Splits.skipped`. Channels are averaged into
    one, and the sound is brought to `sample_rate`. Of a longer sound the middle is
    read, a shorter one lies in the middle of silence. `evaluate` and `classify` average
    a model's answers to windows of all of a longer sound. It needs `pip install
    "tlkeras[audio]"`.

    Args:
        path: The folder.
        sample_rate: Samples per second: 16_000 holds what matters of speech; 8_000 is
            that of telephones.
        seconds: Length of what is read of each sound.
        batch_size: Sounds per batch.
        validation_split: Fraction for validation where `path` has no such folder; 0 for
            none.
        test_split: Fraction for testing where `path` has no such folder; 0 for
            none.
        seed: Seed of the split and of the order of training.
        class_names: Which class folders to read, in the order of the class ids. By
            default all of them, sorted by name.
        groups: What gives the group of a file, such as who speaks, by its path relative
            to `path` (`"seven/george_3.wav"`): a function or a dictionary. Examples of
            one group stay in one part, so that a model is tested on speakers whom it
            has not heard.

    Returns:
        The `Splits`. Its sounds are float32 waves of one channel, -1 to 1, `(batch,
        samples)`.

    Raises:
        ValueError: If the folder is not as described, a class has no readable
            sound or is too small to split, there is only one class, or a group is in
            two folders of split data.
        ImportError: If soundfile is not installed.

    Example:
    >>> data = tl.audio_folder("words/", sample_rate=8_000,
    ...                        groups=lambda file: file.split("/")[1].split("_")[0])
    >>> data.class_names, next(iter(data.train))[0].shape[1:]
    (('no', 'yes'), TensorShape([8000]))
    """
    its_input = Sounds(sample_rate, seconds)
    check_splitting(batch_size, seed, validation_split, test_split)
    return make_splits(
        **_read_folder(path, its_input, class_names, groups),
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
    )


def _read_folder(
    path: str | os.PathLike,
    its_input: Input,
    class_names: Sequence[str] | None,
    groups: Callable[[str], Hashable] | Mapping[str, Hashable] | None,
) -> dict[str, Any]:
    """Returns what `make_splits` needs to know of a folder of files of one kind."""
    if class_names is not None:
        class_names = check_class_names(class_names)
    root = _existing_folder(path)
    folders = _part_folders(root, class_names)
    class_names = _class_folders(folders, class_names, its_input)
    skipped: list[tuple[str, str]] = []
    parts: dict[str, Examples] = {}
    for part, folder in folders.items():
        listing = _list_files(root, folder, class_names)
        paths = [os.path.join(root, name) for name in listing.names]
        read = its_input.of_files(root, paths, listing.labels)
        parts[part] = read.examples
        skipped += read.skipped
    short = [(os.path.relpath(file, root), reason) for file, reason in skipped]
    used = sum(map(len, parts.values()))
    warn_of_skipped(short, used, f"files in {root!r}", stacklevel=4)
    _check_no_empty_class(root, parts["train"], class_names, skipped, its_input)
    output, _ = Classes.of_labels(parts["train"].labels, class_names)
    together = None
    if groups is not None:
        together = {part: groups_of_files(groups, x.files) for part, x in parts.items()}
    return {
        **parts,
        "problem": Problem(its_input, output),
        "groups": together,
        "skipped": skipped,
    }


def _existing_folder(path: str | os.PathLike) -> str:
    """Returns the absolute path of a folder that exists, or raises `ValueError`."""
    root = os.path.abspath(check_path("path", path))
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise ValueError(
            f"`path` must be a folder with one sub-folder per class: {root!r} is a "
            "file."
        )
    parent, name = os.path.split(root)
    hint = ""
    if os.path.isdir(parent):
        hint = did_you_mean(name, _folders_in(parent))
    raise ValueError(f"No such folder: {root!r}.{hint}")


def _visible(folder: str) -> list[str]:
    """Returns the names in a folder, sorted, without hidden files and litter."""
    return sorted(filter(_is_visible, os.listdir(folder)))


def _folders_in(folder: str) -> list[str]:
    """Returns the names of the visible folders in a folder, sorted."""
    # Unlike `os.path.isdir` it asks of no plain file what it is.
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if _is_visible(e.name) and e.is_dir())


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _LITTER


def _part_folders(root: str, wanted: Sequence[str] | None) -> dict[str, str]:
    """Finds the layout: which folder holds the classes of which part.

    `path/<class>` is one folder with everything, under `"train"`.

    Raises:
        ValueError: If folders could be parts of the data as well as classes.
    """
    names = _folders_in(root)
    if wanted and set(wanted) <= set(names):
        return {"train": root}
    found = parts_of(names)
    with_classes = [
        name
        for name, part in found.items()
        if part == "train" and _folders_in(os.path.join(root, name))
    ]
    if len(found) < len(names):
        _check_are_classes(root, names, found, with_classes)
        return {"train": root}
    if len(names) < 2 and not with_classes:
        return {"train": root}
    _check_parts(root, found, with_classes)
    folders = {part: os.path.join(root, name) for name, part in found.items()}
    return _labelled({part: _unwrapped(path) for part, path in folders.items()})


def _check_are_classes(
    root: str,
    names: Sequence[str],
    parts: Mapping[str, str],
    with_classes: Sequence[str],
) -> None:
    """Raises `ValueError` where parts of the data lie beside other folders.

    Args:
        root: The folder.
        names: All its sub-folders.
        parts: Those that are called as parts are, not all of them.
        with_classes: Those of training that hold folders.
    """
    several = len(set(parts.values())) > 1
    only_folders = not all(_has_files(os.path.join(root, x)) for x in with_classes)
    if not with_classes or not (several or only_folders):
        return
    others = [name for name in names if name not in parts]
    raise ValueError(
        f"{root!r} has folders of split data, {list(parts)}, beside others, {others}. "
        "Move the others out, or pass the folder that holds only classes. If all of "
        f"them are classes, pass class_names={_listed(names)}."
    )


def _check_parts(
    root: str, parts: Mapping[str, str], with_classes: Sequence[str]
) -> None:
    """Raises `ValueError` unless there is one folder for each part, train with classes.

    Args:
        root: The folder.
        parts: Its sub-folders, all called as parts are.
        with_classes: Those of training that hold folders.
    """
    if len(set(parts.values())) < len(parts):
        raise ValueError(
            f"{root!r} has several folders for the same part of the data: "
            f"{list(parts)}. Keep one each for training, validation and testing."
        )
    if with_classes:
        return
    lacks = "there is no training folder beside them"
    for name, part in parts.items():
        if part == "train":
            lacks = f"{name!r} has no class folders"
    raise ValueError(
        f"{root!r} has folders of split data, {list(parts)}, but {lacks}. Put each "
        "class into a sub-folder, or give the labels as a table to `from_dataframe`. "
        f"If these are classes, pass class_names={_listed(list(parts))}."
    )


def _unwrapped(folder: str) -> str:
    """Returns the folder of the same name inside, where it holds nothing else.

    That is what comes of unpacking an archive into a folder of its name.
    """
    inner = os.path.join(folder, os.path.basename(folder))
    if _visible(folder) == [os.path.basename(folder)] and os.path.isdir(inner):
        return inner
    return folder


def _labelled(folders: dict[str, str]) -> dict[str, str]:
    """Returns the parts that have class folders, and warns of others."""
    without = {part for part, path in folders.items() if not _folders_in(path)}
    for part in sorted(without - {"train"}):
        warnings.warn(
            f"{folders[part]!r} has no class folders: its files have no labels, and "
            f"are left out. {part} is split from train instead; the trained model's "
            "`classify` takes the files.",
            UserWarning,
            stacklevel=5,
        )
    return {
        part: path
        for part, path in folders.items()
        if part not in without or part == "train"
    }


def _class_folders(
    folders: dict[str, str], wanted: Sequence[str] | None, its_input: Input
) -> tuple[str, ...]:
    """Returns the classes, checked against the folders of every part."""
    known = _folders_in(folders["train"])
    if not known:
        loose = _visible(folders["train"])
        holds = f"only files, such as {loose[0]!r}" if loose else "nothing"
        raise ValueError(
            f"{folders['train']!r} must have one sub-folder of {its_input.nouns} per "
            f"class. It holds {holds}."
        )
    if wanted is None:
        _check_depth(folders["train"], known)
    names = known if wanted is None else wanted
    for name in names:
        if name not in known:
            raise unknown_name("class folder", name, known)
    for part, folder in folders.items():
        extra = sorted(set(_folders_in(folder)) - set(known))
        if extra:
            raise ValueError(
                f"{folder!r} has classes that {folders['train']!r} has not: "
                f"{extra}.{did_you_mean(extra[0], known)} A model can only be tested "
                f"on classes it is trained on: rename or remove them in {part}."
            )
    return tuple(names)


def _check_depth(folder: str, names: Sequence[str]) -> None:
    """Raises `ValueError` where what looks like classes rather holds them.

    Args:
        folder: The folder.
        names: Its sub-folders.
    """
    below = {name: _folders_in(os.path.join(folder, name)) for name in names}
    if len(names) == 1 and below[names[0]]:
        raise ValueError(
            f"{folder!r} has only the folder {names[0]!r}, which holds the folders "
            f"{few(below[names[0]])}. Pass the folder that holds the classes: "
            f"{os.path.join(folder, names[0])!r}."
        )
    for name in names:
        others = set(names) - {name}
        if others and others <= set(below[name]):
            raise ValueError(
                f"In {folder!r} the folder {name!r} holds all the others again: "
                f"{few(sorted(others))}. Move it out; or, if it is a class, pass "
                f"class_names={_listed(names)}."
            )
    shared = _shared(below, folder)
    if shared:
        raise ValueError(
            f"The folders of {folder!r}, {few(names)}, hold the same sub-folders, "
            f"{few(shared)}: which of them are the classes? Name those of split data "
            "train, val and test, or pass the folder that holds only classes. If "
            f"{few(names)} are the classes, pass class_names={_listed(names)}."
        )


def _shared(below: dict[str, list[str]], folder: str) -> list[str]:
    """Returns the sub-folders that at least half of the class folders have.

    One alone tells little, as where pictures of each class lie in `images`, unless the
    class folders hold several each, and nothing else.
    """
    counts = Counter(name for names in below.values() for name in names)
    least = max(2, len(below) / 2)
    shared = sorted(name for name, count in counts.items() if count >= least)
    only_folders = len(shared) == 1 and all(
        len(names) > 1 and not _has_files(os.path.join(folder, name))
        for name, names in below.items()
    )
    return shared if len(shared) > 1 or only_folders else []


def _has_files(folder: str) -> bool:
    """Whether visible files lie in a folder, beside sub-folders."""
    return len(_folders_in(folder)) < len(_visible(folder))


def _listed(names: Sequence[str]) -> str:
    """Returns names as a list to copy, where they are few."""
    return str(list(names)) if len(names) <= 20 else "[...]"


class _Listing(NamedTuple):
    """Files found below class folders: relative names and class ids."""

    names: list[str]
    labels: np.ndarray


def _list_files(root: str, folder: str, class_names: Sequence[str]) -> _Listing:
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        found = sorted(_files_below(os.path.join(folder, class_name)))
        names += [os.path.relpath(path, root) for path in found]
        labels += [label] * len(found)
    return _Listing(names, np.array(labels, np.int32))


def _files_below(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields every visible file below a folder, through links, but never in circles."""
    here = os.path.realpath(folder)
    if here in above or not os.path.isdir(folder):
        return
    for name in _visible(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _files_below(path, (*above, here))
        else:
            yield path


def _check_no_empty_class(
    root: str,
    train: Examples,
    class_names: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    its_input: Input,
) -> None:
    counts = np.bincount(train.labels, minlength=len(class_names))
    empty = [class_names[i] for i in np.flatnonzero(counts == 0)]
    if empty:
        why = f" {len(skipped)} files were skipped, among them " if skipped else ""
        example = f"{skipped[0][0]!r}, which {skipped[0][1]}." if skipped else ""
        raise ValueError(
            f"No readable {its_input.noun} for the classes {empty[:10]} in {root!r}. "
            f"Add {its_input.nouns} or remove their folders.{why}{example}"
        )
