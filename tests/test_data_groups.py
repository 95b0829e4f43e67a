"""`groups=`: what belongs together stays in one part."""

from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import encode, picture
from test_data_tfds import numbered, tfds, write_dataset

import tlkeras as tl
from tlkeras.data.groups import split_groups
from tlkeras.data.splitting import PARTS
from tlkeras.inputs.examples import examples_of

X = np.arange(60, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 1), "uint8")
PATIENTS = np.repeat([f"p{i}" for i in range(20)], 3)


def numbers_of(data):
    """The number that each example's pixels are, by part."""
    parts = {part: getattr(data, part) for part in PARTS}
    return {
        part: np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in batches]).astype(int)
        for part, batches in parts.items()
        if batches is not None
    }


def files_of(data):
    return {part: examples_of(getattr(data, part)).files for part in PARTS}


def check_apart(groups_by_part):
    sets = [set(groups) for groups in groups_by_part.values()]
    assert all(sets)
    assert len(set.union(*sets)) == sum(map(len, sets))


def patient(path):
    return PurePosixPath(path).name.split("_")[0]


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten patients each, three pictures of each patient."""
    for i in range(60):
        path = tmp_path / f"class{i // 3 % 2}" / f"p{i // 3}_{i % 3}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(picture(8, 8, i), "PNG"))
    return tmp_path


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=30),
    st.integers(1, 4),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
    st.integers(0, 2**40),
)
def test_a_split_of_groups_is_complete_disjoint_and_repeatable(
    sizes, classes, validation_split, test_split, seed
):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    random = np.random.default_rng(seed)
    random.shuffle(groups)
    strata = random.integers(0, classes, len(groups))
    arguments = groups.tolist(), strata, validation_split, test_split, seed
    parts = split_groups(*arguments)
    everything = np.concatenate([parts[part] for part in PARTS])
    assert sorted(everything) == list(range(len(groups)))
    fractions = (1 - validation_split - test_split, validation_split, test_split)
    for part, fraction in zip(PARTS, fractions, strict=True):
        assert (len(parts[part]) > 0) == (fraction > 0)
        assert (np.diff(parts[part]) > 0).all()
    found = [set(groups[parts[part]]) for part in PARTS]
    assert len(set.union(*found)) == sum(map(len, found))
    again = split_groups(*arguments)
    assert all((again[part] == parts[part]).all() for part in PARTS)


def test_parts_are_as_large_and_as_stratified_as_groups_allow():
    groups = np.repeat(np.arange(140), 5)
    strata = np.repeat(np.arange(140) % 2, 5)
    parts = split_groups(groups.tolist(), strata, 0.15, 0.15, 0)
    for part, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert len(parts[part]) / 700 == pytest.approx(fraction, abs=0.02)
        assert strata[parts[part]].mean() == pytest.approx(0.5, abs=0.05)
    other = split_groups(groups.tolist(), strata, 0.15, 0.15, 1)
    assert set(other["val"]) != set(parts["val"])


def test_all_may_go_to_one_part():
    parts = split_groups(["a", "b"], np.zeros(2, int), 0, 1, 0)
    assert [len(parts[part]) for part in PARTS] == [0, 0, 2]


def test_a_class_of_one_group_is_trained_on():
    groups = np.repeat(np.arange(12), 4)
    strata = (groups == 7).astype(int)
    for seed in range(5):
        parts = split_groups(groups.tolist(), strata, 0.2, 0.2, seed)
        assert strata[parts["train"]].any()


def test_arrays():
    y = np.repeat(np.arange(20) % 2, 3)
    data = tl.from_arrays(X, y, groups=PATIENTS)
    check_apart({part: PATIENTS[rows] for part, rows in numbers_of(data).items()})
    same = tl.from_arrays(X, y, groups=PATIENTS.tolist())
    assert same.describe().rows == data.describe().rows
    targets = tl.from_arrays(X, np.linspace(0, 1, 60), groups=PATIENTS)
    check_apart({part: PATIENTS[rows] for part, rows in numbers_of(targets).items()})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (PATIENTS[:-1], "len\\(groups\\)=59 for 60 examples"),
        ([None, *PATIENTS[1:]], "1 of 60 have none: index 0"),
        (np.where(np.arange(60) < 7, np.nan, 1), "index 4 and 2 more"),
        ([["a"]] * 60, "must be a name or a number"),
        (["a"] * 30 + ["b"] * 30, "Too few groups to split: there are 2"),
    ],
)
def test_groups_that_cannot_be_are_named(groups, message):
    with pytest.raises(ValueError, match=message):
        tl.from_arrays(X, np.arange(60) % 2, groups=groups)


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_a_folder(folder, as_dictionary):
    paths = [p.relative_to(folder).as_posix() for p in folder.glob("*/*")]
    groups = {path: patient(path) for path in paths} if as_dictionary else patient
    data = tl.image_folder(folder, image_size=8, groups=groups)
    found = files_of(data)
    check_apart({part: map(patient, files) for part, files in found.items()})
    assert sorted(sum(found.values(), [])) == sorted(paths)


def test_a_folder_whose_groups_are_not_known(folder):
    with pytest.raises(ValueError, match="60 of 60 have none: 'class0/p0_0.png'"):
        tl.image_folder(folder, image_size=8, groups={})
    with pytest.raises(ValueError, match="must be a function or a dictionary"):
        tl.image_folder(folder, image_size=8, groups="patient")


def test_a_group_in_two_folders_of_split_data_is_named(tmp_path):
    for part, first in (("train", 0), ("test", 5)):
        for i in range(first, first + 6):
            path = tmp_path / part / f"class{i % 2}" / f"p{i}_0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(picture(8, 8, i), "PNG"))
    with pytest.raises(ValueError, match="1 groups are in 'train' and in 'test': 'p5'"):
        tl.image_folder(tmp_path, image_size=8, groups=patient)
    (tmp_path / "test" / "class1" / "p5_0.png").unlink()
    with pytest.warns(UserWarning, match="The val part has no example of 'class0'"):
        data = tl.image_folder(tmp_path, image_size=8, groups=patient)
    check_apart({part: map(patient, files) for part, files in files_of(data).items()})


def table(**columns):
    texts = [f"text number {i}" for i in range(60)]
    labels = np.where(np.arange(60) // 3 % 2, "yes", "no")
    return pd.DataFrame(
        {"text": texts, "label": labels, "patient": PATIENTS, **columns}
    )


def test_tables(tmp_path):
    table().to_csv(tmp_path / "all.csv", index=False)
    of_text = dict(zip(table()["text"], PATIENTS, strict=True))
    for data in (
        tl.from_csv(tmp_path / "all.csv", groups="patient"),
        tl.from_dataframe(table(), groups="patient"),
    ):
        texts = {
            part: [t.decode() for x, _ in getattr(data, part) for t in x.numpy()]
            for part in PARTS
        }
        check_apart({part: map(of_text.get, found) for part, found in texts.items()})


def test_a_table_of_pictures(folder):
    (folder / "class0" / "p0_0.png").write_bytes(b"damaged")
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*"))
    frame = pd.DataFrame({"path": paths, "patient": list(map(patient, paths))})
    frame["label"] = frame["path"].str[:6]
    with pytest.warns(UserWarning, match="Skipped 1 of 60"):
        data = tl.from_dataframe(
            frame, image="path", image_root=folder, image_size=8, groups="patient"
        )
    check_apart({part: map(patient, files) for part, files in files_of(data).items()})


def test_rows_without_a_group_are_rows_that_cannot_be_used():
    frame = table(patient=[None, *PATIENTS[1:]])
    with pytest.raises(ValueError, match="has no group in column 'patient'"):
        tl.from_dataframe(frame, text="text", groups="patient")
    with pytest.warns(UserWarning, match="has no group"):
        data = tl.from_dataframe(frame, text="text", groups="patient", errors="skip")
    assert sum(len(examples_of(getattr(data, part))) for part in PARTS) == 59


def test_columns_that_hold_no_groups():
    with pytest.raises(ValueError, match="groups='patients'. Did you mean 'patient'"):
        tl.from_dataframe(table(), text="text", groups="patients")
    with pytest.raises(ValueError, match="`groups` must name one column"):
        tl.from_dataframe(table(), text="text", groups=["patient", "label"])


def test_tfds_groups_are_a_feature(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
        "patient": tfds.features.Text(),
    }
    rows = numbered(40)
    for i, row in enumerate(rows):
        row["patient"] = f"p{i // 4}"
    builder = write_dataset(tmp_path, {"train": rows}, features)
    data = tl.from_tfds(builder, image_size=4, groups="patient")
    hashes = {part: examples_of(getattr(data, part)).rows for part in PARTS}
    order = [
        row["patient"].numpy().decode()
        for row in builder.as_dataset(split="train", shuffle_files=False)
    ]
    check_apart({part: [order[i] for i in rows] for part, rows in hashes.items()})
    with pytest.raises(ValueError, match="Did you mean 'patient'"):
        tl.from_tfds(builder, image_size=4, groups="patients")
