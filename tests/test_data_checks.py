"""`Splits.check`: what spoils a data set is found, and what is sound is not."""

import functools
import io

import numpy as np
import PIL.Image
import pytest
from images import encode, picture, write_class_folders
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.data import Splits, from_arrays, image_folder
from tlkeras.data.checks import Checks
from tlkeras.inputs import Pictures
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.pictures.thumbnails import (
    SIDE,
    near_pairs,
    read_thumbnails,
    unit_vectors,
)
from tlkeras.inputs.texts import minhash
from tlkeras.outputs import Classes, Labels, Numbers
from tlkeras.problem import Problem

WORDS = (
    "river stone paper window garden silver morning engine letter harbour winter "
    "candle bridge forest hammer island jacket kettle ladder mirror needle orange"
).split()


def kinds(checks):
    return [finding.kind for finding in checks]


def the(checks, kind):
    (found,) = [finding for finding in checks if finding.kind == kind]
    return found


def names(finding):
    return [{place.name for place in group} for group in finding.places]


def pictures(n, size=32):
    return np.stack([picture(size, size, seed) for seed in range(n)])


def sentences(n):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 9)) for _ in range(n)]


@functools.cache
def png(seed):
    return encode(picture(60, 80, seed), "PNG")


@pytest.fixture
def folder(tmp_path):
    """A sound folder of two parts."""
    for part, count in (("train", 12), ("test", 4)):
        for i, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(count):
                seed = 1000 * (part == "test") + 100 * i + k
                (tmp_path / part / name / f"{k}.png").write_bytes(png(seed))
    return tmp_path


def check(folder, image_size=32, **options):
    return image_folder(
        folder, image_size=image_size, validation_split=0, **options
    ).check()


def test_sound_data_has_no_findings(folder):
    checks = check(folder)
    assert not checks and list(checks) == []
    assert "classification: 32 examples of 32 x 32 pixels: no findings" == str(checks)
    assert "no findings" in checks._repr_html_()


def test_the_same_file_in_two_parts_is_an_error(folder):
    copy = folder / "train" / "cat" / "copy.png"
    copy.write_bytes((folder / "test" / "cat" / "1.png").read_bytes())
    checks = check(folder)
    found = the(checks, "duplicates across parts")
    assert kinds(checks) == [found.kind]
    assert (found.severity, found.count) == ("error", 1)
    assert names(found) == [{"train/cat/copy.png", "test/cat/1.png"}]
    assert {place.part for place in found.places[0]} == {"train", "test"}
    assert "train/cat/copy.png" in found.examples[0]


def saved_again(path, to, scale, **options):
    image = PIL.Image.open(path).convert("RGB")
    size = [round(side * scale) for side in image.size]
    image.resize(size, PIL.Image.LANCZOS).save(to, **options)


COPIES = {
    "a.jpg": ("dog/0.png", 1, {"quality": 60}),
    "b.jpg": ("dog/1.png", 0.5, {"quality": 80}),
    "c.webp": ("dog/2.png", 0.8, {}),
    "d.png": ("dog/3.png", 1.7, {}),
    "e.gif": ("cat/0.png", 1, {}),
}


def test_copies_that_are_resized_reencoded_or_turned_are_found(folder):
    pairs = set()
    for name, (original, scale, options) in COPIES.items():
        copy = f"train/{original[:3]}/{name}"
        saved_again(folder / "test" / original, folder / copy, scale, **options)
        pairs.add(frozenset({copy, f"test/{original}"}))
    turned = PIL.Image.open(folder / "test/cat/2.png").transpose(PIL.Image.ROTATE_90)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # To be shown rotated by 270 degrees.
    turned.save(folder / "train/cat/turned.jpg", quality=90, exif=exif)
    pairs.add(frozenset({"train/cat/turned.jpg", "test/cat/2.png"}))
    checks = check(folder)
    found = the(checks, "near duplicates across parts")
    assert kinds(checks) == [found.kind]
    assert found.severity == "warning"
    assert set(map(frozenset, names(found))) == pairs


def test_the_same_picture_with_two_labels_is_named(folder):
    data = (folder / "train" / "cat" / "3.png").read_bytes()
    (folder / "train" / "dog" / "other.png").write_bytes(data)
    found = the(check(folder), "duplicates with different labels")
    assert found.severity == "error"
    assert names(found) == [{"train/cat/3.png", "train/dog/other.png"}]


def test_duplicates_within_a_part_are_a_note(folder):
    data = (folder / "train" / "cat" / "3.png").read_bytes()
    for i in range(6):
        (folder / "train" / "cat" / f"copy{i}.png").write_bytes(data)
    checks = check(folder)
    found = the(checks, "duplicates within a part")
    assert (kinds(checks), found.severity) == ([found.kind], "note")
    assert len(found.places[0]) == 7
    assert found.examples[0].endswith("and 3 more")


def test_files_of_the_same_size_are_not_taken_for_the_same(tmp_path):
    for i, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for k in range(30):
            data = encode(picture(20, 20, 100 * i + k), "BMP")
            (tmp_path / name / f"{k}.bmp").write_bytes(data)
    checks = image_folder(tmp_path, image_size=20).check()
    assert not [kind for kind in kinds(checks) if "duplicates" in kind]


def test_unreadable_and_damaged_files(folder):
    (folder / "train" / "cat" / "notes.txt").write_text("buy milk")
    whole = encode(picture(200, 200), "PNG")
    broken = bytearray(whole)
    middle = len(whole) // 2
    broken[middle : middle + 40] = bytes(40)
    (folder / "train" / "cat" / "broken.png").write_bytes(bytes(broken))
    with pytest.warns(UserWarning, match="Skipped 1"):
        data = image_folder(folder, image_size=32, validation_split=0)
    checks = data.check()
    assert "notes.txt is not an image" in the(checks, "unreadable").examples[0]
    found = the(checks, "damaged pixels")
    assert found.severity == "error"
    assert names(found) == [{"train/cat/broken.png"}]
    assert not [kind for kind in kinds(checks) if "duplicates" in kind]


def test_small_long_and_blank_pictures(folder):
    for name, data in {
        "small.png": encode(picture(20, 60, 5000), "PNG"),
        "long.png": encode(picture(40, 400, 5001), "PNG"),
        "blank.png": encode(np.full((60, 80, 3), 250, "uint8"), "PNG"),
        "blank2.png": encode(np.full((60, 70, 3), 250, "uint8"), "PNG"),
    }.items():
        (folder / "train" / "cat" / name).write_bytes(data)
    checks = check(folder, image_size=50)
    assert names(the(checks, "small pictures")) == [{"train/cat/small.png"}]
    assert names(the(checks, "extreme aspect ratios")) == [{"train/cat/long.png"}]
    blank = names(the(checks, "blank pictures"))
    assert blank == [{"train/cat/blank.png"}, {"train/cat/blank2.png"}]
    assert len(checks) == 3
    # A padded picture loses nothing, and is enlarged less.
    assert kinds(check(folder, image_size=50, fit="pad")) == ["blank pictures"]
    assert "extreme aspect ratios" not in kinds(check(folder, 50, fit="stretch"))


def test_the_shape_is_judged_upright_and_by_the_target(folder):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture(30, 100, 7)).save(buffer, "JPEG", exif=exif)
    (folder / "train" / "cat" / "tall.jpg").write_bytes(buffer.getvalue())
    assert not check(folder, (64, 32))
    found = the(check(folder, (32, 64)), "extreme aspect ratios")
    assert names(found) == [{"train/cat/tall.jpg"}]


def test_classes_that_are_small_absent_or_unequal(tmp_path):
    write_class_folders(tmp_path / "train", {"cat": 30, "dog": 4, "owl": 12})
    write_class_folders(tmp_path / "test", {"cat": 5, "owl": 2})
    with pytest.warns(UserWarning, match="no example of 'dog'"):
        checks = check(tmp_path, 12)
    absent = the(checks, "classes without examples")
    assert (absent.severity, absent.examples) == ("warning", ("test: 'dog'",))
    small = the(checks, "small classes").examples
    assert [line.split(",")[0] for line in small] == [
        "train: 'dog' has 4",
        "test: 'owl' has 2",
    ]
    imbalance = the(checks, "class imbalance")
    assert imbalance.examples == ("'dog' has 4",)
    assert "7.5 times" in imbalance.what
    assert "class_weight='balanced'" in imbalance.advice


def label_kinds(labels, output, gaps=False):
    zeros = np.zeros((len(labels), 2, 2, 1), "uint8")
    parts = {"train": ArrayExamples(zeros, labels)}
    found = output.label_findings(parts, {"train": labels}, gaps)
    return {f.kind: f for f in found}


@pytest.mark.parametrize("kind", [Classes, Labels])
def test_names_that_differ_in_case_or_blanks(kind):
    labels = np.tile(np.eye(10), (10, 1))
    names = ["Cat", "cat ", "ca\u00a0t", "01", "1.0", "dog"]
    names += ["new york", "New_York", "a-b", "a\u200bb"]
    y = labels if kind is Labels else labels.argmax(1)
    data = from_arrays(sentences(100), y, class_names=names, task=kind.task)
    found = the(data.check(), "similar class names")
    assert (found.severity, found.count) == ("warning", 4)
    assert found.examples[0] == "'Cat' = 'cat ' = 'ca\\xa0t'"


def test_several_labels_in_one_name():
    names = ("red", "red|round", "Smith, J", "salt & pepper")
    found = label_kinds(np.arange(80) % 4, Classes(names))
    assert found["joined class names"].examples == ("'red|round'",)


def test_labels_that_cannot_be():
    ids = np.array([0, 1] * 10 + [2, -1], "int32")
    found = label_kinds(ids, Classes(("a", "b")))
    assert [p[0].position for p in found["impossible labels"].places] == [20, 21]
    assert len(found) == 1
    targets = np.array([0.5, np.nan, 1, np.inf], "float32")
    found = label_kinds(targets, Numbers())
    assert [p[0].position for p in found["impossible labels"].places] == [1, 3]
    rows = np.array([[0, 1], [1, 0]] * 10 + [[np.nan, 1]], "float32")
    found = label_kinds(rows, Labels(("a", "b")))
    assert found["impossible labels"].count == 1
    # What is left looks like classes, which some labels are by chance.
    assert "labels that look like classes" in found
    assert not label_kinds(np.r_[rows[:20], [[1, 1]]], Labels(("a", "b")))


def test_labels_that_are_missing_are_not_impossible():
    nan = np.nan
    targets = np.array([[0.5], [nan], [1], [np.inf]], "float32")
    found = label_kinds(targets, Numbers(), gaps=True)
    assert [p[0].position for p in found["impossible labels"].places] == [3]
    ids = np.array([0, 1, nan] * 10, "float32")
    assert not label_kinds(ids, Classes(("a", "b")), gaps=True)
    rows = np.array([[0, 1], [1, nan], [nan, nan]] * 10, "float32")
    found = label_kinds(rows, Labels(("a", "b")), gaps=True)
    assert found["labels that always apply"].examples == ("train: 'b'",)
    still = np.array([[3], [nan], [3]], "float32")
    assert "constant targets" in label_kinds(still, Numbers(), gaps=True)


def test_targets_and_labels_that_never_change():
    found = label_kinds(np.full((9, 2), [3, 4], "float32"), Numbers(2))
    assert found["constant targets"].examples == (
        "train: column 0 is always 3",
        "train: column 1 is always 4",
    )
    assert not label_kinds(np.arange(9, dtype="float32"), Numbers())
    rows = np.array([[1, 0], [1, 1]] * 10, "float32")
    found = label_kinds(rows, Labels(("a", "b")))
    assert found["labels that always apply"].examples == ("train: 'a'",)


def test_arrays_name_their_rows():
    x = pictures(60)
    x[41] = x[7]
    x[50] = np.clip(x[9].astype(int) + 3, 0, 255)
    data = from_arrays(x, np.arange(60) // 30, validation_split=0, test_split=0)
    checks = data.check()
    assert names(the(checks, "duplicates with different labels")) == [{"x[7]", "x[41]"}]
    near = the(checks, "near duplicates with different labels")
    assert names(near) == [{"x[9]", "x[50]"}]
    assert len(checks) == 2


def test_grey_pictures_are_checked_too():
    x = pictures(40)[..., :1]
    x[21] = x[7]
    data = from_arrays(x, np.arange(40) % 2, validation_split=0, test_split=0)
    assert kinds(data.check()) == ["duplicates within a part"]


def test_targets_tell_duplicates_apart():
    x, y = pictures(30), np.linspace(0, 1, 30)
    x[21], x[22] = x[7], x[8]
    y[21] = y[7]
    checks = from_arrays(x, y, validation_split=0, test_split=0).check()
    assert names(the(checks, "duplicates within a part")) == [{"x[7]", "x[21]"}]
    assert names(the(checks, "duplicates with different labels")) == [{"x[8]", "x[22]"}]


def test_texts_that_are_the_same_or_nearly_so():
    texts = sentences(60)
    texts[10] = texts[0]
    texts[20] = texts[1].upper() + "!"
    texts[32] = texts[2].replace(" ", "  ", 1) + " indeed"
    data = from_arrays(texts, [0, 1] * 30, validation_split=0, test_split=0)
    checks = data.check()
    exact = the(checks, "duplicates within a part")
    assert [p.position for p in exact.places[0]] == [0, 10]
    assert exact.places[0][0].name.startswith(f"'{texts[0][:20]}")
    near = the(checks, "near duplicates with different labels")
    assert [p.position for p in near.places[0]] == [1, 20]
    near = the(checks, "near duplicates within a part")
    assert [p.position for p in near.places[0]] == [2, 32]
    assert len(checks) == 3


def test_tokens_that_a_model_does_not_know():
    texts = [f"the film was {w} good" for w in "a very bad and not dull we in".split()]
    texts[5] = "kinoteka ĳŋ film"
    data = from_arrays(texts, [0, 1] * 4, validation_split=0, test_split=0)
    backbone, tokenizer = tiny_bert(num_layers=1)
    model = tl.text_classifier(backbone, 2, tokenizer=tokenizer, sequence_length=16)
    found = the(data.check(model), "unknown tokens")
    assert (found.severity, found.count) == ("warning", 1)
    # 2 of 7 texts of 5 words, one of 3, and two special tokens each.
    assert found.what.startswith(f"{2 / (7 * 7 + 5):.2%} of all tokens are unknown")
    assert found.places[0][0].position == 5


def test_pairs_of_texts_are_the_same_where_both_are():
    a, b = sentences(80)[:40], sentences(80)[40:]
    a[3], a[4], b[4] = a[1], a[2], b[2]
    data = from_arrays((a, b), [0, 1] * 20, validation_split=0, test_split=0)
    checks = data.check()
    assert kinds(checks) == ["duplicates within a part"]
    assert [p.position for p in the(checks, checks.findings[0].kind).places[0]] == [
        2,
        4,
    ]


def test_near_texts_are_those_that_share_their_shingles():
    texts = [minhash.normalised(text) for text in sentences(400)]
    changed = [f"{text} {WORDS[i % 7]}" for i, text in enumerate(texts[:100])]
    everything = list(dict.fromkeys(texts + changed))
    brute = {
        (i, j)
        for i in range(100)
        for j in range(400, len(everything))
        if minhash.similarity(everything[i], everything[j]) >= minhash.NEAR
    }
    found = set(map(tuple, minhash.near_pairs(everything).tolist()))
    assert len(brute) > 50
    assert len(brute - found) <= 1
    assert all(i < j for i, j in found)


def test_normalised_texts_keep_what_they_say():
    assert minhash.normalised("  It's  GOOD, isn't it?") == "it s good isn t it"
    assert minhash.normalised("日本語。") == "日本語"
    assert minhash.normalised(":-)") != minhash.normalised(":-(")


def test_the_search_tree_misses_no_pair():
    rng = np.random.default_rng(0)
    small = np.stack([picture(SIDE, SIDE, seed) for seed in range(150)])
    noise = rng.normal(0, 4, (60, SIDE, SIDE, 3))
    small = np.concatenate([small, np.clip(small[:60] + noise, 0, 255).astype("uint8")])
    units = unit_vectors(small)
    near = np.linalg.norm(units[:, None] - units[None], axis=2) <= 0.2
    brute = {(i, j) for i, j in zip(*np.nonzero(near), strict=True) if i < j}
    assert len(brute) == 60
    assert set(map(tuple, near_pairs(small).tolist())) == brute


def test_colour_tells_pictures_apart():
    grey = picture(SIDE, SIDE)[..., :1].astype(float)
    red, blue = grey * [1, 0.3, 0.2], grey * [0.2, 0.3, 1]
    assert not len(near_pairs(np.stack([red, blue]).astype("uint8")))
    assert len(near_pairs(np.stack([red, red + 1]).astype("uint8"))) == 1


def test_thumbnails_of_files_and_arrays_are_alike(tmp_path):
    x = pictures(8, 40)
    for i, name in enumerate(["a", "b"]):
        (tmp_path / name).mkdir()
        for k in range(4):
            data = encode(x[4 * i + k], "PNG")
            (tmp_path / name / f"{k}.png").write_bytes(data)
    y = np.repeat([0, 1], 4)
    options = {"validation_split": 0, "test_split": 0}
    files = image_folder(tmp_path, image_size=40, **options)
    arrays = from_arrays(x, y, **options)
    (first, whole), (second, _) = (
        read_thumbnails(data._parts["train"]) for data in (files, arrays)
    )
    assert whole.all()
    np.testing.assert_array_equal(first, second)


def test_a_long_check_shows_its_progress_once(folder, monkeypatch, capfd):
    monkeypatch.setattr("tlkeras.data.checks.PROGRESS_FROM", 1)
    data = image_folder(folder, image_size=32, validation_split=0)
    data.check(verbose=0)
    assert not capfd.readouterr().out
    data.check()
    assert capfd.readouterr().out.count("32/32") == 1


def test_the_table_says_how_bad_it_is_and_what_to_do(folder):
    data = (folder / "train" / "cat" / "3.png").read_bytes()
    (folder / "train" / "dog" / "<other>.png").write_bytes(data)
    (folder / "train" / "dog" / "again.png").write_bytes(
        (folder / "train" / "dog" / "2.png").read_bytes()
    )
    checks = check(folder)
    assert isinstance(checks, Checks)
    assert [f.severity for f in checks] == ["error", "note"]
    lines = str(checks).splitlines()
    assert lines[0].endswith("2 findings")
    assert lines[3].split() == [
        "duplicates",
        "with",
        "different",
        "labels",
        "error",
        "1",
    ]
    assert sum(line.startswith("  To do: ") for line in lines) == 2
    assert "&lt;other&gt;" in checks._repr_html_()


def test_tfds_pictures_are_checked(tmp_path):
    from test_data_tfds import numbered, write_dataset

    from tlkeras.data import from_tfds

    rows = numbered(24)
    # They are written alternately to two files, which are read one after the other.
    rows[20]["image"], rows[20]["label"] = rows[2]["image"], rows[2]["label"]
    builder = write_dataset(tmp_path, {"train": rows})
    data = from_tfds(builder, image_size=32, validation_split=0, test_split=0)
    found = the(data.check(), "duplicates within a part")
    assert found.examples == ("train[1] = train[10]",)


def test_what_is_shown_of_a_splits_made_by_hand():
    examples = ArrayExamples(pictures(24), np.array([0, 1, 5] * 8, "int32"))
    data = Splits(
        {"train": examples},
        problem=Problem(Pictures((32, 32)), Classes(("a", "b"))),
        batch_size=4,
        seed=0,
    )
    assert the(data.check(), "impossible labels").count == 8
