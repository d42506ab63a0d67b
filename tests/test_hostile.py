"""Hostile files: each is refused or read as data by one message; nothing runs or crashes.

Whatever ran would leave a mark: a file in the current folder.
"""

import builtins
import io
import json
import logging
import os
import pickle
import pickletools
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from densekd.builders.data import build_files
from densekd.data.coco_json import read_coco
from densekd.data.files import read_image
from densekd.data.voc_boxes import voc_boxes
from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint
from densekd.models.fpn import fpn
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.recipe import parse_recipe
from densekd.run.checkpoint_files import read_checkpoint
from densekd.run.evaluate import evaluate_path
from densekd.run.predict_video import predict_video

MARK = "ran"
SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules that leave a mark when they are imported."""
    monkeypatch.chdir(tmp_path)
    evil = (
        f"open({str(tmp_path / MARK)!r}, 'w').close()\nfrom torch import nn\nclass Net(nn.Module): pass\nTask = Net\n"
    )
    (tmp_path / "evil_module.py").write_text(evil)
    (tmp_path / "evil_folder").mkdir()
    (tmp_path / "evil_folder" / "inside.py").write_text(evil)
    return tmp_path


def refused(action: Callable[[], Any], here: Path) -> str:
    """Check that something is refused by one message and left no mark; return the message."""
    with pytest.raises(UserError) as error:
        action()
    assert not (here / MARK).exists()
    assert "weights_only=False" not in str(error.value)
    assert "Traceback" not in str(error.value)
    return str(error.value)


class Call:
    """An object whose pickle calls something."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.called = called
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called, self.arguments


GADGETS: dict[str, Callable[[], Any]] = {
    "os.system": lambda: Call(os.system, f"touch {MARK}"),
    "os.popen": lambda: Call(os.popen, f"touch {MARK}"),
    "os.mkdir": lambda: Call(os.mkdir, MARK),
    "subprocess.Popen": lambda: Call(subprocess.Popen, ["touch", MARK]),
    "subprocess.run": lambda: Call(subprocess.run, ["touch", MARK]),
    "eval": lambda: Call(eval, f"open({MARK!r}, 'w')"),
    "exec": lambda: Call(exec, f"open({MARK!r}, 'w')"),
    "open": lambda: Call(open, MARK, "w"),
    "import": lambda: Call(__import__, "evil_module"),
    "getattr": lambda: Call(getattr, Call(__import__, "os"), "system"),
    "map": lambda: Call(list, Call(map, os.system, [f"touch {MARK}"])),
    "compile": lambda: Call(exec, Call(compile, f"open({MARK!r}, 'w')", "x", "exec")),
    "Path.touch": lambda: Call(Path.touch, Path(MARK)),
    "FileHandler": lambda: Call(logging.FileHandler, MARK),
    "ZipFile": lambda: Call(zipfile.ZipFile, MARK, "w"),
    "tarfile": lambda: Call(tarfile.open, MARK, "w"),
    "pickle.loads": lambda: Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {MARK}"))),
    "torch.load": lambda: Call(torch.load, "other.pth"),
    "torch.save": lambda: Call(torch.save, {}, MARK),
    "torch.jit.load": lambda: Call(torch.jit.load, "other.pt"),
    "torch.hub.load": lambda: Call(torch.hub.load, ".", "x"),
    "numpy.save": lambda: Call(np.save, MARK, 1),
    "numpy.load": lambda: Call(np.load, "x.npy", None, True),
    "module": lambda: nn.Conv2d(1, 1, 1),
}


@pytest.mark.parametrize("name", GADGETS)
@pytest.mark.parametrize("form", ["archive", "legacy"])
def test_a_pickle_calls_nothing(here: Path, name: str, form: str) -> None:
    content = {"state_dict": {"a": torch.ones(1)}, "extra": GADGETS[name]()}
    torch.save(content, here / "a.pth", _use_new_zipfile_serialization=form == "archive")
    assert "refused. Besides tensors" in refused(lambda: Checkpoint.read(here / "a.pth"), here)


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_calls_nothing(here: Path, protocol: int) -> None:
    (here / "a.pkl").write_bytes(pickle.dumps(GADGETS["os.system"](), protocol))
    refused(lambda: Checkpoint.read(here / "a.pkl"), here)


@pytest.mark.parametrize("name", ["os.system", "eval", "torch.load"])
def test_the_checkpoint_of_a_training_calls_nothing(here: Path, name: str) -> None:
    torch.save({"state_dict": {}, "loops": GADGETS[name]()}, here / "last.ckpt")
    refused(lambda: read_checkpoint(here / "last.ckpt"), here)
    torch.save([1], here / "last.ckpt")
    assert "no 'state_dict'" in refused(lambda: read_checkpoint(here / "last.ckpt"), here)


# Each would make an array of pointers out of bytes, or let torch read and write beside its memory.
FORGED = """
import sys, torch, numpy as np
from pathlib import Path
from numpy.core.multiarray import scalar, _reconstruct
from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint

class Call:
    def __init__(self, called, arguments, state=None):
        self.parts = (called, arguments) if state is None else (called, arguments, state)
    def __reduce__(self):
        return self.parts

O, A = np.dtype("O"), b"A" * 24
sparse = (torch.sparse_coo, (torch.tensor([[10**9]]), torch.ones(1), torch.Size([2]), False))
forged = {
    "ndarray": Call(np.ndarray, ((3,), O, A)),
    "ndarray of text": Call(np.ndarray, ((3,), "O", A)),
    "state": Call(_reconstruct, (np.ndarray, (0,), b"b"), (1, (3,), O, False, A)),
    "list": Call(_reconstruct, (np.ndarray, (0,), b"b"), (1, (3,), O, False, [1, 2, 3])),
    "scalar": Call(scalar, (O, b"A" * 8)),
    "flags": Call(np.dtype, ("f8",), (3, "|", None, ("a",), {"a": (O, 0)}, 8, 1, 63)),
    "fields": Call(np.dtype, ([("a", "O")],)),
    "short": Call(_reconstruct, (np.ndarray, (0,), b"b"), (1, (10**9,), np.dtype("f8"), False, A)),
    "overflow": Call(_reconstruct, (np.ndarray, (0,), b"b"), (1, (2**62, 4), np.dtype("f8"), False, b"")),
    "negative": Call(_reconstruct, (np.ndarray, (0,), b"b"), (1, (-3, -1), np.dtype("f8"), False, A)),
    "sparse": Call(torch._utils._rebuild_sparse_tensor, sparse),
    "nested": Call(torch._utils._rebuild_nested_tensor,
                   (torch.ones(4), torch.tensor([[9, 9]]), torch.tensor([[9, 1]]), torch.tensor([10**9]))),
    "beyond": Call(torch._utils._rebuild_tensor_v2,
                   (torch.ones(2).untyped_storage(), 10**6, (1000,), (1,), False, {})),
}
for name, value in forged.items():
    torch.save({"state_dict": {"a": torch.ones(1)}, "densekd": {"package": {"classes": value}}}, "a.pth")
    try:
        repr(Checkpoint.read(Path("a.pth")).container.content)
        print("read", name)
    except UserError as error:
        print("refused", name)
print(len(forged), "tried")
"""


def test_no_array_of_pointers_is_forged(here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-W", "ignore", "-c", FORGED]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    said = done.stdout.splitlines()
    # Without a state, an array is an empty one.
    assert [line for line in said if line.startswith("read")] == ["read ndarray of text"]
    assert said[-1] == "13 tried"


def torchscript(path: Path) -> None:
    torch.jit.trace(nn.Conv2d(1, 1, 1), torch.ones(1, 1, 1, 1)).save(path)


def zip_in_zip(path: Path) -> None:
    inner = io.BytesIO()
    torch.save({"a": GADGETS["os.system"]()}, inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.pth", inner.getvalue())


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "../outside", "/absolute"):
            content = pickle.dumps(GADGETS["os.system"](), 2)
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))


def odd_opcodes(path: Path) -> None:
    code = pickle.dumps(GADGETS["os.system"](), 4)
    assert any(opcode.name == "STACK_GLOBAL" for opcode, _, _ in pickletools.genops(code))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", code)
        archive.writestr("a/version", "3")


def index_outside(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {"a": "../../other.safetensors"}}))


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "script.pt": torchscript,
    "zip.pth": zip_in_zip,
    "legacy.tar": tar,
    "odd.pth": odd_opcodes,
    "model.safetensors.index.json": index_outside,
    "header.safetensors": lambda path: path.write_bytes((2**62).to_bytes(8, "little") + b"{}"),
    "offsets.safetensors": lambda path: path.write_bytes(
        (75).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}'.ljust(75)
    ),
    "text.pth": lambda path: path.write_text("cos\nsystem\n(S'touch ran'\ntR."),
}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_archive_runs_nothing(here: Path, name: str) -> None:
    ARCHIVES[name](here / name)
    refused(lambda: open_model(here / name), here)


CODE = ("evil_module:Net", "evil_folder.inside:Net", "os:system", "subprocess:Popen", "builtins:exec", "this:d")


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("key", ["model", "task"])
def test_a_package_imports_nothing(here: Path, name: str, key: str) -> None:
    package(here / "student")
    change(here / "student" / "config.json", key, name)
    message = refused(lambda: evaluate_path(here / "student", here, "val"), here)
    assert f"'{name}'" in message
    assert ("add --trust evil" in message) == name.startswith("evil")


@pytest.mark.parametrize("name", CODE)
def test_a_checkpoint_of_ours_imports_nothing(here: Path, name: str) -> None:
    described = {"model": name, "options": {}, "classes": ["a"], "palette": [[0, 0, 0]]}
    torch.save({"state_dict": {"a": torch.ones(1)}, "densekd": {"package": described}}, here / "last.ckpt")
    assert f"'{name}'" in refused(lambda: open_model(here / "last.ckpt"), here)


@pytest.mark.parametrize("package", [3, "x", [1], {}, {"model": 1}, {"model": "fpn", "options": 3, "classes": []}])
def test_a_malformed_description_is_one_message(here: Path, package: Any) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "densekd": {"package": package}}, here / "last.ckpt")
    refused(lambda: open_model(here / "last.ckpt"), here)


def package(folder: Path) -> None:
    options = {"backbone": "resnet18_025", "channels": 8}
    save_package(fpn(1, "resnet18_025", 8), PackageConfig("fpn", options, ["a"], [[0, 0, 0]]), folder)


def change(path: Path, key: str, value: Any) -> None:
    content = json.loads(path.read_text()) | {key: value}
    # Whoever forges a description leaves its checksums out.
    content.pop("checksums", None)
    path.write_text(json.dumps(content))


CALLED = ("os:popen", "shutil:rmtree", "subprocess:run", "builtins:open", "torch:load", "numpy:load", "PIL.Image:open")


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.parametrize("door", ["evaluated run", "own recipe"])
def test_the_dataset_of_a_recipe_is_no_function_of_a_library(
    here: Path, recipe: dict[str, Any], name: str, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "precious").mkdir()
    recipe["data"] |= {"dataset": name, "root": f"touch {MARK}; echo ://"}
    for called in ("Popen", "run"):
        monkeypatch.setattr(subprocess, called, lambda *_, **__: pytest.fail("started"))
    if door == "own recipe":
        refused(lambda: build_files(parse_recipe(recipe, "test").data, "train"), here)
    else:
        package(here / "run" / "student")
        (here / "run" / "recipe.yaml").write_text(json.dumps(recipe))
        refused(lambda: evaluate_path(here / "run", None, None), here)
    assert (here / "precious").is_dir()


def test_the_recipe_of_an_evaluated_run_imports_nothing(here: Path, recipe: dict[str, Any]) -> None:
    package(here / "run" / "student")
    recipe["data"]["dataset"] = "evil_module:files"
    (here / "run" / "recipe.yaml").write_text(json.dumps(recipe))
    assert "add --trust evil_module " in refused(lambda: evaluate_path(here / "run", None, None), here)


PICTURES = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file closefile\nshowpage\n%%EOF\n",
    "pdf": b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n",
    "psd": b"8BPS\0\1" + bytes(40),
    "icns": b"icns\0\0\0\x10ic07\0\0\0\x08",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "pickle": pickle.dumps(Call(os.system, f"touch {MARK}")),
    "npy": b"\x93NUMPY\1\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(128) + b"cos\nsystem\n.",
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_starts_no_program(here: Path, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    (here / f"a{suffix}").write_bytes(PICTURES[name])
    refused(lambda: read_image(here / f"a{suffix}"), here)


VIDEOS = {
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile other.mp4\n",
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash": '<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_names_no_other_file(here: Path, name: str) -> None:
    pytest.importorskip("av")
    (here / "a.mp4").write_text(VIDEOS[name])
    refused(lambda: predict_video(here / "a.mp4", here / "out.mp4", Image.fromarray), here)
    assert not (here / "out.mp4").exists()


def coco(file_name: str, folder: Path) -> None:
    image = {"id": 1, "file_name": file_name, "height": 8, "width": 8}
    (folder / "train").mkdir()
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (folder / "instances_train.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.png", "file:///etc/passwd", "a\0b.png", "ftp://x/a.png", "|id"])
def test_annotations_open_no_address(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    coco(name, here)
    monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("connected"))
    refused(lambda: read_coco(here, "train", None), here)


def test_entities_of_xml_read_no_file(here: Path) -> None:
    (here / "secret").write_text("secret")
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (here / folder).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(here / "JPEGImages" / "a.jpg")
    (here / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (here / "Annotations" / "a.xml").write_text(
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "{(here / "secret").as_uri()}">]>'
        "<annotation><object><name>&x;</name></object></annotation>"
    )
    assert "not readable as XML" in refused(lambda: voc_boxes(here, "train"), here)


def test_a_safe_file_stays_readable(here: Path) -> None:
    save_file({"a": torch.ones(2)}, here / "a.safetensors")
    assert Checkpoint.read(here / "a.safetensors").state["a"].tolist() == [1, 1]
    assert not hasattr(builtins, MARK)
