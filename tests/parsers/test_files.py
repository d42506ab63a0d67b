"""Files that never end, XML and compressed bombs."""

import os
import zlib
from pathlib import Path

import pytest

from densekd.data.class_files import read_class_file
from densekd.data.files import read_image, read_text
from densekd.errors import RecipeError, UserError
from densekd.models.checkpoints.containers import read_container
from densekd.parsers import NotAFileError, inflate, load_json, load_text, load_xml, load_yaml, read_bytes
from densekd.recipe.reading import load_recipe

ENDLESS = ("fifo", "zero", "folder")


@pytest.fixture(params=ENDLESS)
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "thing.json"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


def test_what_is_no_file_is_refused_at_once(endless: Path) -> None:
    for read in (read_bytes, load_text, load_json, load_yaml, load_xml):
        with pytest.raises(NotAFileError, match=r"it is a (pipe|device|folder), not a file"):
            read(endless)
    for read_for_people in (read_image, read_text, read_container):
        with pytest.raises(UserError, match=r"thing\.json.*it is a (pipe|device|folder), not a file"):
            read_for_people(endless)
    with pytest.raises(RecipeError, match=r"thing\.json: "):
        load_recipe(endless)
    endless.rename(endless.with_name("classes.json"))
    with pytest.raises(UserError, match=r"classes\.json"):
        read_class_file(endless.parent, ())


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.truncate(1_001_000_000)
    with pytest.raises(UserError, match=r"list\.txt: it has 1001 MB, and a file of its kind has at most 1000"):
        read_text(path)


def test_xml(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a><b>ä</b></a>", encoding="utf-8")
    assert load_xml(path).findtext("b") == "ä"
    path.write_bytes('<?xml version="1.0" encoding="latin-1"?><a><b>ä</b></a>'.encode("latin-1"))
    assert load_xml(path).findtext("b") == "ä"
    lol = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    for content, message in (
        (lol.encode(), "it defines entities"),
        (lol.encode("utf-16"), "it defines entities"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
        (b"<a>" * 1_000_001, "more than 500000 elements"),
        (b"<a><b></a>", "mismatched tag"),
        (b"", "no element found"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_xml(path)


def test_compressed_data() -> None:
    assert inflate(zlib.compress(b"abc")) == b"abc"
    with pytest.raises(ValueError, match="larger than 100 MB when unpacked"):
        inflate(zlib.compress(bytes(200_000_000)))
    with pytest.raises(ValueError, match="breaks off"):
        inflate(zlib.compress(b"abcdefgh")[:-3])
    with pytest.raises(ValueError, match="damaged compressed data"):
        inflate(b"abc")
