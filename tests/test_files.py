"""Files and folders: whole under their name, or as they were."""

import pytest

from tlkeras._files import remove_tree, write_whole, written_whole


def fill(folder, text):
    with written_whole(folder) as unfinished:
        unfinished.mkdir()
        (unfinished / "inside").write_text(text)


def test_a_file_and_a_folder_appear_and_are_replaced_whole(tmp_path):
    for text in ("old", "new"):
        write_whole(tmp_path / "file.json", text)
        fill(tmp_path / "v1.2", text)
        (tmp_path / "v1.2" / text).touch()
    assert (tmp_path / "file.json").read_bytes() == b"new"
    assert {x.name for x in (tmp_path / "v1.2").iterdir()} == {"inside", "new"}
    remove_tree(tmp_path / "v1.2")
    assert [x.name for x in tmp_path.iterdir()] == ["file.json"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    write_whole(tmp_path / "file.json", "old")
    fill(tmp_path / "folder", "old")
    for name in ("file.json", "folder"):
        with pytest.raises(KeyboardInterrupt):
            with written_whole(tmp_path / name) as unfinished:
                assert unfinished.name.endswith((tmp_path / name).suffix)
                unfinished.mkdir() if name == "folder" else unfinished.touch()
                raise KeyboardInterrupt
    assert {x.name for x in tmp_path.iterdir()} == {"file.json", "folder"}
    assert (tmp_path / "file.json").read_text() == "old"
    assert (tmp_path / "folder" / "inside").read_text() == "old"


def test_a_link_stays_one(tmp_path):
    (tmp_path / "latest").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "latest", b"new")
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_place_that_is_none_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "x", tmp_path / "file" / "x"):
        with pytest.raises(OSError):
            write_whole(path, "text")
