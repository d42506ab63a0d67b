"""YAML: merge keys and numbers work, bombs and odd values end with their line."""

import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from densekd.parsers import YamlDumper, load_yaml, parse_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}\n" for k in range(1, 40))


def test_merge_keys_and_numbers() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 1e-3\nc: {<<: [*a, *a], z: 3}\nd: *a\n"
    assert parse_yaml(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 1e-3},
        "c": {"x": 1, "y": 2, "z": 3},
        "d": {"x": 1, "y": 2},
    }


def test_a_merged_mapping_may_be_merged_before() -> None:
    found = parse_yaml("base: &b {x: 1, <<: &c {z: 3, x: 5}}\nd: *c\nq: {<<: *b}")
    assert found == {"base": {"x": 1, "z": 3}, "d": {"z": 3, "x": 5}, "q": {"x": 1, "z": 3}}


def test_an_alias_is_a_copy() -> None:
    found = parse_yaml("a: &a {x: [1]}\nb: *a\n")
    found["b"]["x"].append(2)
    assert found["a"] == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "its aliases unfold to more than 50000 values"),
        (MERGE_BOMB, "its aliases unfold to more than 50000 values"),
        ("a: &a [1, *a]", "an alias stands inside of what it names"),
        ("[" * 100_000, "nested more than 50 deep"),
        ("".join(" " * k + "a:\n" for k in range(1000)), "nested more than 50 deep"),
        ("- " * 3000, "nested more than 50 deep"),
        ("[" + "[]," * 60_000 + "]", "it holds more than 50000 values"),
        ("x: 1\nday: 2024-99-99", r"'2024-99-99' is no valid timestamp \(month must be in 1..12\)\n  line 2"),
        ("steps: " + "9" * 5000, "'9{40}' is no valid int"),
        ("? [1]\n: 2", "a list or a mapping cannot be a key"),
        ("{a: 1, a: 2}", "the key 'a' is there twice; keep one"),
        ("a: &b {x: 1}\nc: {<<: *b, y: 1, y: 2}", "the key 'y' is there twice"),
        ("x: !!python/object:os.system y", "could not determine a constructor"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("x: !!float y", "'y' is no valid float"),
        ("name: \x1b[31m", "special characters are not allowed"),
    ],
    ids=range(16),
)
def test_what_is_refused(text: str, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            parse_yaml(text)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_files_of_other_encodings_kinds_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        path.write_text("name: Ä", encoding=encoding)
        assert load_yaml(path) == {"name": "Ä"}
    path.write_text("name: Ä", encoding="latin-1")
    with pytest.raises(ValueError, match="not readable as text in UTF-8: byte 6, line 1: "):
        load_yaml(path)
    path.write_bytes(b"#" * 2_100_000)
    with pytest.raises(ValueError, match="it has 2 MB, and a file of its kind has at most 2"):
        load_yaml(path)


TEXTS = st.text(max_size=8) | st.from_regex(r"[-+0-9.eE_:xo]{1,6}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_what_is_written_is_read_again(content: object) -> None:
    text = yaml.dump(content, Dumper=YamlDumper)
    assert parse_yaml(text) == content


def test_a_drive_of_camvid_stays_a_text() -> None:
    # The name of a drive looks like 16 times ten to the fifth.
    assert parse_yaml(yaml.dump({"val": ["0016E5"]}, Dumper=YamlDumper)) == {"val": ["0016E5"]}
    assert parse_yaml("val: [0016E5]") == {"val": [1.6e6]}
