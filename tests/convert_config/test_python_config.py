"""Configurations are read as mmcv and mmengine read them, and nothing of them is executed."""

from pathlib import Path
from typing import Any

import pytest
from original_configs import write

from densekd.convert_config.python_config import read_config
from densekd.errors import UserError


def read(folder: Path, text: str, name: str = "config.py") -> dict[str, Any]:
    return read_config(write(folder, name, text), lambda reference: None).content


def test_literals_names_and_arithmetic(tmp_path: Path) -> None:
    text = """
'''A docstring.'''
batch, gpus = 2, 4
total = batch * gpus + 8 // 2 - 1
rate = 0.01 * 2 ** 3 / 8
size = (512, 1024)
root = 'data/' + 'city' + f'{batch}x{gpus}'
norm = dict(type='SyncBN', requires_grad=True)
model = dict(head=dict(norm_cfg=norm, **dict(channels=-3)), sizes=[*size, 3], first=size[0])
model['head']['extra'] = not True
model.head.deep = dict(x=None)
same: int = total
"""
    content = read(tmp_path, text)
    assert content["total"] == 11
    assert content["rate"] == pytest.approx(0.01)
    assert content["root"] == "data/city2x4"
    head = {"norm_cfg": {"type": "SyncBN", "requires_grad": True}, "channels": -3, "extra": False, "deep": {"x": None}}
    assert content["model"] == {"head": head, "sizes": [512, 1024, 3], "first": 512}
    assert content["same"] == 11


def test_bases_are_merged_by_entry_and_deleted(tmp_path: Path) -> None:
    write(
        tmp_path, "base/data.py", "data = dict(samples=2, train=dict(root='a', steps=[dict(x=1), dict(y=2)]))\nk = 1\n"
    )
    write(tmp_path, "base/more.yaml", "optimizer: {type: SGD, lr: 0.1, groups: {norm: 0}}\n")
    write(tmp_path, "base/third.json", '{"runner": {"max_iters": 10}}')
    text = """
_base_ = ['base/data.py', 'base/more.yaml', 'base/third.json']
data = dict(samples=4, train=dict(steps={1: dict(z=3)}))
optimizer = dict(_delete_=True, type='AdamW', groups=dict(x=1))
shared = {{_base_.k}}
quoted = '{{_base_.data.train.root}}'
student = _base_.data.train
student.root = 'b'
"""
    content = read(tmp_path, text)
    assert content["data"] == {"samples": 4, "train": {"root": "a", "steps": [{"x": 1}, {"y": 2, "z": 3}]}}
    assert content["optimizer"] == {"type": "AdamW", "groups": {"x": 1}}
    assert content["runner"] == {"max_iters": 10}
    assert (content["shared"], content["quoted"]) == (1, "a")
    # The base itself is not changed.
    assert content["student"]["root"] == "b"


def test_a_base_within_a_base_is_relative_to_its_file(tmp_path: Path) -> None:
    write(tmp_path, "a/deep.py", "x = 1\n")
    write(tmp_path, "a/mid.py", "_base_ = './deep.py'\ny = 2\n")
    assert read(tmp_path, "_base_ = 'a/mid.py'\nz = 3\n") == {"x": 1, "y": 2, "z": 3}


def test_what_others_are_made_of_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", "a = 1\nb = dict(x=a)\nc = 3\n")
    config = read_config(path, lambda reference: None)
    assert config.variables == {"a"}


def test_the_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    assert read(tmp_path, "root = '{{$SECRET:data/here}}'\n") == {"root": "data/here"}


HOSTILE = {
    "an import": "import os\n",
    "an import within": "x = __import__('os').system('touch PWNED')\n",
    "a call": "x = open('PWNED', 'w')\n",
    "a method": "x = 'a'.format(1)\n",
    "a lambda": "x = lambda: 1\n",
    "a comprehension": "x = [i for i in range(10 ** 9)]\n",
    "a generator": "x = dict((i, i) for i in range(10 ** 9))\n",
    "a condition": "if True:\n    x = 1\n",
    "an expression": "print('hello')\n",
    "a function": "def f():\n    pass\n",
    "a class": "class A:\n    pass\n",
    "a loop": "for i in [1]:\n    x = i\n",
    "read_base": "from mmengine.config import read_base\nwith read_base():\n    from .x import *\n",
    "a ternary": "x = 1 if True else 2\n",
    "a private attribute": "x = ().__class__\n",
    "a huge power": "x = 9 ** 9 ** 9\n",
    "a huge list": "x = [0] * 10 ** 12\n",
    "a huge text": "x = 'a' * 10 ** 12\n",
    "bytes": "x = b'1'\n",
    "a set": "x = {1, 2}\n",
    "a walrus": "x = (y := 1)\n",
    "exec": "exec('x = 1')\n",
    "an unknown name": "x = y\n",
    "a division by zero": "x = 1 / 0\n",
    "a format": "x = f'{1:>1000000000}'\n",
    "del": "x = 1\ndel x\n",
    "an entry of nothing": "x = [1][7]\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_data_is_refused_with_its_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"config\.py, line \d: .*never executed"):
        read(tmp_path, HOSTILE[kind])
    assert not (tmp_path / "PWNED").exists()


def test_the_refused_line_is_the_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 3: a comprehension"):
        read(tmp_path, "a = 1\nb = 2\nc = [i for i in (1, 2)]\n")


def test_doubled_values_do_not_explode(tmp_path: Path) -> None:
    lines = ["x0 = [1, 2]"] + [f"x{k} = [x{k - 1}, x{k - 1}]" for k in range(1, 50)]
    with pytest.raises(UserError, match=r"more than 200000 values"):
        read(tmp_path, "\n".join(lines))
    text = ["x0 = 'ab'"] + [f"x{k} = x{k - 1} + x{k - 1}" for k in range(1, 60)]
    with pytest.raises(UserError, match="too long"):
        read(tmp_path, "\n".join(text))
    anchors = ["a0: &a0 [1, 2]"] + [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, 40)]
    with pytest.raises(UserError, match=r"unfold to more than 50000 values"):
        read(tmp_path, "\n".join(anchors), "bomb.yaml")


@pytest.mark.parametrize("depth", [100, 5000, 200_000])
def test_deep_nesting_is_one_message(depth: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nest|Python"):
        read(tmp_path, "x = " + "[" * depth + "]" * depth + "\n")
    with pytest.raises(UserError, match=r"nest|Python|levels"):
        read(tmp_path, "x = " + "-" * depth + "1\n")
    with pytest.raises(UserError, match=r"levels|cannot be read"):
        read(tmp_path, '{"x": ' + "[" * depth + "]" * depth + "}", "deep.json")


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"values"):
        read(tmp_path, "a = dict(x=1)\na['self'] = a\n")


def test_bases_that_lead_back_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one.py", "_base_ = './two.py'\n")
    write(tmp_path, "two.py", "_base_ = './one.py'\n")
    with pytest.raises(UserError, match=r"leads back to itself: one.py -> two.py -> one.py"):
        read_config(tmp_path / "one.py", lambda reference: None)


def test_a_chain_of_bases_ends(tmp_path: Path) -> None:
    for k in range(30):
        write(tmp_path, f"c{k}.py", f"_base_ = './c{k + 1}.py'\n")
    with pytest.raises(UserError, match="more than 20 levels of _base_"):
        read_config(tmp_path / "c0.py", lambda reference: None)


def test_a_missing_base_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its base '\.\./nowhere.py' is not on the disk"):
        read(tmp_path, "_base_ = '../nowhere.py'\n")
    with pytest.raises(UserError, match=r"its base 'mmseg::x.py' is a file of a package, which is not read"):
        read(tmp_path, "_base_ = ['mmseg::x.py']\n")


def test_only_configurations_of_a_sensible_size_are_opened(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("root:x", encoding="utf-8")
    with pytest.raises(UserError, match=r"ends with \.py"):
        read(tmp_path, "_base_ = './passwords'\n")
    with pytest.raises(UserError, match="larger than 1 MB"):
        read(tmp_path, "#" * 1_000_001)
    (tmp_path / "latin.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_config(tmp_path / "latin.py", lambda reference: None)
    with pytest.raises(UserError, match="no such file"):
        read_config(tmp_path / "none.py", lambda reference: None)


def test_yaml_is_loaded_safely(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path, "x: !!python/object/apply:os.system ['touch PWNED']\n", "evil.yaml")
    with pytest.raises(UserError, match="a configuration is a mapping"):
        read(tmp_path, "- 1\n", "list.yaml")


def test_no_python_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config.py, line 2: not Python"):
        read(tmp_path, "a = 1\nb = = 2\n")
    with pytest.raises(UserError, match=r"config.py: cannot be read .*zero bytes"):
        read(tmp_path, "a = 1\x00\n")
