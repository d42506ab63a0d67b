import json
import random
from pathlib import Path
from typing import Any

import pytest

from densekd.parsers import json_records
from densekd.parsers.json_records import read_records

FIELDS = {"images": ("id", "file_name"), "annotations": ("id", "bbox")}
# What looks like the end of a record or of a list and is none.
TEXTS = ["a.png", "},{", "}]", '"},{"', "\\", '\\"', "]}", "ü},\n{", "[{", "\u20ac", ""]


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, records in read_records(path, FIELDS):
        found.setdefault(name, []).extend(records)
    return found


def expected(content: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    lists = {name: content[name] for name in FIELDS if name in content}
    return {
        name: [{key: one[key] for key in FIELDS[name] if key in one} for one in records]
        for name, records in lists.items()
    }


def record(draw: random.Random) -> dict[str, Any]:
    values = [1, -2.5e-3, None, True, draw.choice(TEXTS), [[1.5, 2]], {"counts": [1, 2], "a": {}}, [{"b": 1}, {"c": 2}]]
    keys = ["id", "file_name", "bbox", "segmentation", draw.choice(TEXTS)]
    return {key: draw.choice(values) for key in draw.sample(keys, draw.randint(0, 5))}


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 16])
def test_records_are_those_of_json_whatever_is_in_them(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "_PIECE", piece)
    draw, path = random.Random(piece), tmp_path / "a.json"
    for k in range(60):
        content: dict[str, Any] = {"info": record(draw), "licenses": [record(draw)], "version": draw.choice([1.25, 7])}
        for name in draw.sample(["images", "annotations", "others"], draw.randint(1, 3)):
            content[name] = [record(draw) for _ in range(draw.randint(0, 6))]
        indent = draw.choice([None, 0, 2])
        path.write_text(json.dumps(content, indent=indent, ensure_ascii=bool(k % 2)), encoding="utf-8")
        assert read(path) == expected(content)


def test_a_file_comes_in_pieces(tmp_path: Path) -> None:
    records = [{"id": k, "bbox": [k, 0, 1, 1], "segmentation": [[0.5] * 200]} for k in range(3000)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"annotations": records}))
    pieces = [len(found) for _, found in read_records(path, FIELDS)]
    assert sum(pieces) == 3000
    # 64 kB each, and the rest of the list.
    assert path.stat().st_size > 3 << 20
    assert 60 <= min(pieces[:-1]) <= max(pieces) <= 64
    assert [one["id"] for one in read(path)["annotations"]] == list(range(3000))


def test_lists_of_objects_inside_records_make_no_more_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "_PIECE", 1 << 12)
    inside = [{"id": k, "text": '"}, {'} for k in range(70)]
    records = [{"id": k, "attributes": inside if k % 2 else []} for k in range(100)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"annotations": records}))
    pieces = [len(found) for _, found in read_records(path, FIELDS)]
    assert sum(pieces) == 100
    assert len(pieces) <= path.stat().st_size // (1 << 11)
    # One record is longer than a piece.
    monkeypatch.setattr(json_records, "_PIECE", 1 << 8)
    assert read(path) == expected({"annotations": records})
    monkeypatch.setattr(json_records, "_LONGEST", 1 << 10)
    with pytest.raises(ValueError):  # noqa: PT011
        read(path)


def test_what_is_cut_off_or_goes_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "_PIECE", 16)
    content = {"info": {"a": 1}, "images": [{"id": 1, "file_name": "},{"}, {"id": 2}], "annotations": []}
    text = json.dumps(content).encode()
    path = tmp_path / "a.json"
    path.write_bytes(text + b" \n")
    assert read(path) == expected(content)
    for end in range(len(text)):
        path.write_bytes(text[:end])
        with pytest.raises(ValueError):  # noqa: PT011 (where it is said what is wrong, the message is tested)
            read(path)
    path.write_bytes(text + b"{}")
    with pytest.raises(ValueError):  # noqa: PT011
        read(path)


@pytest.mark.parametrize(
    "text",
    [
        b'{"images": [{"id": 1}], "images": []}',
        b'{"images": {"id": 1}}',
        b'{"images": null}',
        b'{"images": [1]}',
        b'{"images": [{"id": 1}, 2]}',
        b'{"images": [{"id": 1},]}',
        b'{"images": [{"id": 1}\x0b, {"id": 2}]}',
        b'{"images": [{"id": 1},\x0b{"id": 2}]}',
        b'{"images": [\x0c{"id": 1}]}',
        b'{"images": [{"id": 1,}]}',
        b'{"images": [{"id": 1}] "annotations": []}',
        b'{"images": [{"id": 1, "caption": "\xff"}]}',
        b'{"info": "\xff", "images": []}',
        b'\xef\xbb\xbf{"images": []}',
        b"[]",
        b"",
        b"{" + b'"a":[' * 5000,
    ],
)
def test_what_is_no_object_of_lists_of_records_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError):  # noqa: PT011
        read(tmp_path / "a.json")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a folder, not a file"):
        read(tmp_path)
