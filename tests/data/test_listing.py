"""Listing of folders as people have them: hidden files, linked folders, paths of Windows."""

from pathlib import Path

from tiny_data import make_folder

from densekd.data.folder import folder
from densekd.data.listing import join_path, list_files


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".DS_Store", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "b/c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert list_files(tmp_path) == [tmp_path / "a.png", tmp_path / "b" / "c.png"]


def test_linked_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    elsewhere, images = tmp_path / "elsewhere", tmp_path / "images"
    (elsewhere / "city").mkdir(parents=True)
    (elsewhere / "city" / "a.png").write_bytes(b"x")
    images.mkdir()
    (images / "city").symlink_to(elsewhere / "city")
    (images / "again").symlink_to(elsewhere / "city")
    (elsewhere / "city" / "up").symlink_to(images)
    (images / "nowhere.png").symlink_to(tmp_path / "nowhere")
    assert list_files(images) == [images / name for name in ("again/a.png", "city/a.png", "nowhere.png")]


def test_a_folder_data_set_with_what_systems_leave_behind(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 2, "val": 1})
    for name in ("images/train/Thumbs.db", "images/.DS_Store", "labels/train/._000.png"):
        (root / name).write_bytes(b"x")
    for kind in ("images", "labels"):
        (root / kind / ".ipynb_checkpoints").mkdir()
        (root / kind / "train" / ".ipynb_checkpoints").mkdir()
    (root / "images/train/.ipynb_checkpoints/000-checkpoint.png").write_bytes(b"x")
    assert [item.stem for item in folder(root, "train").items] == ["000", "001"]


def test_backslashes_of_windows_are_read_where_no_file_has_the_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"x")
    assert join_path(tmp_path, "a\\b.png") == tmp_path / "a" / "b.png"
    (tmp_path / "c\\d.png").write_bytes(b"x")
    assert join_path(tmp_path, "c\\d.png") == tmp_path / "c\\d.png"
