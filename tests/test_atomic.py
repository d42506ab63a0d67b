import errno
import re
from pathlib import Path

import pytest

from densekd.atomic import atomic, short_name, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".json"
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise error("power cut")

    with pytest.raises(error, match="power cut"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_of_the_first_writing_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert names(tmp_path) == []


def test_a_writer_that_wrote_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), atomic(path):
        pass
    assert path.read_text() == "old"


def test_text_is_written_in_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Straße – 路")
    assert (tmp_path / "a.txt").read_bytes() == "Straße – 路".encode()
    write_text(tmp_path / "a.txt", "again")
    assert (tmp_path / "a.txt").read_text() == "again"


def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".txt", "路" * 83 + ".txt"):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
    assert len(names(tmp_path)) == 2


def test_long_names_that_begin_alike_stay_different() -> None:
    first, second = short_name("x" * 200 + "a"), short_name("x" * 200 + "b")
    assert first != second
    assert len(first) == len(second) == 120
    assert short_name("street_000") == "street_000"


def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    usual = tmp_path / "usual.txt"
    usual.write_text("x")
    with atomic(tmp_path / "a.bin") as temporary:
        temporary.touch(mode=0o600)
    assert (tmp_path / "a.bin").stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), errno.EIO),
        (ValueError("Error while serializing: I/O error: File too large (os error 27)"), errno.EFBIG),
        (RuntimeError("Parent directory runs/a does not exist."), errno.ENOENT),
    ],
)
def test_what_the_disk_refuses_has_the_name_of_the_file(tmp_path: Path, error: Exception, number: int) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(OSError, match=re.escape(f"'{path}'")) as raised:
        fail()
    assert (raised.value.errno, raised.value.filename) == (number, str(path))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["last.ckpt"]


def test_other_errors_keep_their_kind(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic(tmp_path / "a.txt"):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fail()
