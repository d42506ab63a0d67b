"""Checkpoints: every container we know, in full or not at all, and no code from a file is run."""

import argparse
import os
import pickle
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint, load_matched
from densekd.models.checkpoints.load import Match, match

State = dict[str, Tensor]


def read_state(path: Path) -> State:
    return Checkpoint.read(path).state


def load(model: nn.Module, path: Path, allowed: Sequence[str] = ()) -> Match:
    return load_matched(model, Checkpoint.read(path), "teacher", allowed)


def make_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


CONTAINERS: dict[str, Callable[[State, Path], None]] = {
    "a.safetensors": save_file,
    "bare.pth": torch.save,
    "mmseg.pth": lambda s, p: torch.save({"meta": {"epoch": 3}, "state_dict": s, "optimizer": {"lr": 0.1}}, p),
    "model.pt": lambda s, p: torch.save({"model": s, "step": 7}, p),
    "nested.pth": lambda s, p: torch.save({"state_dict": {"model": s}}, p),
    "module.pth": lambda s, p: torch.save(prefixed(s, "module."), p),
    "legacy.pth": lambda s, p: torch.save(s, p, _use_new_zipfile_serialization=False),
    "half.pth": lambda s, p: torch.save({k: v.bfloat16().to(v.dtype) for k, v in s.items()}, p),
    "last.ckpt": lambda s, p: torch.save(
        {"state_dict": {**prefixed(s, "student."), "terms.cwd.adapter.weight": torch.ones(2)}, "global_step": 9}, p
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(tmp_path: Path, name: str) -> None:
    source, model = make_model(1), make_model(2)
    source[1].num_batches_tracked += 5
    CONTAINERS[name](source.state_dict(), tmp_path / name)
    found = load(model, tmp_path / name)
    assert found.complete
    assert set(found.matched) == set(source.state_dict())
    tolerance = 0.01 if name == "half.pth" else 0.0
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key], rtol=tolerance, atol=0)


@pytest.mark.parametrize("inside", ["", "student"])
def test_folders(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    save_file(make_model(1).state_dict(), tmp_path / inside / "model.safetensors")
    assert torch.equal(read_state(tmp_path)["0.weight"], make_model(1).state_dict()["0.weight"])


def test_files_older_than_the_batch_counter_fit(tmp_path: Path) -> None:
    state = make_model(1).state_dict()
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "old.pth")
    assert load(make_model(), tmp_path / "old.pth").complete


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda s: s.pop("0.bias"), ["matched 6", "missing 1: 0.bias"]),
        (lambda s: s.update(extra=torch.ones(1)), ["matched 7", "unexpected 1: extra"]),
        (lambda s: s.update({"0.weight": torch.ones(4, 5, 1, 1)}),
         ["matched 6", "other shape 1: 0.weight (file [4, 5, 1, 1], model [4, 3, 1, 1])"]),
        (lambda s: [s.pop("0.bias"), s.update(extra=torch.ones(1)), s.update({"1.bias": torch.ones(9)})],
         ["matched 5", "missing 1: 0.bias", "unexpected 1: extra", "other shape 1: 1.bias (file [9], model [4])"]),
        (lambda s: s.update({f"x{k}": torch.ones(1) for k in range(11)}),
         ["unexpected 11: x0, x1, x2, x3, x4, x5, x6, x7, and 3 more"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_listed_and_nothing_is_loaded(
    tmp_path: Path, change: Callable[[State], Any], parts: list[str]
) -> None:
    state, model = make_model(1).state_dict(), make_model(2)
    change(state)
    torch.save(state, tmp_path / "teacher.pth")
    with pytest.raises(UserError) as caught:
        load(model, tmp_path / "teacher.pth")
    message = str(caught.value)
    for part in (f"The teacher checkpoint {tmp_path / 'teacher.pth'}", "nothing was loaded", "Check the model", *parts):
        assert part in message
    untouched = make_model(2).state_dict()
    assert all(torch.equal(value, untouched[key]) for key, value in model.state_dict().items())


def test_match_of_a_model_with_itself() -> None:
    found = match(make_model(), make_model().state_dict())
    assert (found.complete, found.describe()) == (True, "  matched 7")


def good(path: Path) -> bytes:
    torch.save({"weight": torch.rand(1000)}, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("text.pth", lambda p: b"hello, I am no checkpoint\n", "is a text file, not a checkpoint"),
        ("page.pth", lambda p: b"\n<html>404</html>", "is a web page, not a checkpoint"),
        ("lfs.pth", lambda p: b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("empty.pth", lambda p: b"", "is empty; download it again"),
        ("half.pth", lambda p: good(p)[:2000], "damaged: its end is missing"),
        ("last.pth", lambda p: good(p)[:-7], "damaged: its end is missing"),
        ("garbled.pth", lambda p: b"\x80\x02}q\x00(ee.", "damaged, or no checkpoint of plain tensors"),
        ("text.safetensors", lambda p: b"hello, I am no checkpoint\n", "is a text file, not a checkpoint"),
        ("half.safetensors", lambda p: b"\x10\x00", "damaged: it does not begin with the header"),
        ("dict.pth", lambda p: saved(p, {}), "holds no tensors"),
        ("state.pth", lambda p: saved(p, {"state_dict": {}}), "holds no tensors"),
        ("numbers.pth", lambda p: saved(p, {"step": 3}), "holds no tensors"),
        ("list.pth", lambda p: saved(p, [torch.ones(1)]), "holds a list, not a state dict"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, name: str, content: Callable[[Path], bytes], part: str) -> None:
    path = tmp_path / name
    path.write_bytes(content(path))
    with pytest.raises(UserError) as caught:
        read_state(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert part in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def saved(path: Path, content: Any) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pth: no such file or folder"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"no config\.json and model\.safetensors in this folder or its student/"):
        read_state(tmp_path)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("container", ["zip", "legacy", "bare"])
def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path, container: str) -> None:
    witness, path = tmp_path / "executed", tmp_path / "teacher.pth"
    content = {"state_dict": {"weight": torch.ones(2)}, "surprise": Malicious(witness)}
    if container == "bare":
        path.write_bytes(pickle.dumps({"surprise": Malicious(witness)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(UserError, match=r"teacher\.pth: refused\.") as caught:
        read_state(path)
    for part in (f"{os.system.__module__}.system", "could run code", "save its state dict alone"):
        assert part in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Malicious(witness)))
    assert witness.exists(), "the pickle must be dangerous for this test to mean anything"


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(make_model(), tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"holds torch\.nn\.modules\.container\.Sequential"):
        read_state(tmp_path / "model.pth")


def test_plain_data_of_other_projects_is_read(tmp_path: Path) -> None:
    """Numpy scalars and arrays, options of a command line, and mmengine's log, whose class nobody needs."""
    logs: Any = ModuleType("mmengine.logging.history_buffer")
    logs.HistoryBuffer = type("HistoryBuffer", (), {"__module__": logs.__name__})
    log = logs.HistoryBuffer()
    log.values = np.arange(4.0)
    parents = {name: ModuleType(name) for name in ("mmengine", "mmengine.logging")}
    state = make_model(1).state_dict()
    content = {
        "meta": {"epoch": np.int64(3), "loss": np.float32(0.5), "mean": np.arange(3.0), "config": "a = 1"},
        "args": argparse.Namespace(lr=0.1, rates=[1, 2]),
        "message_hub": {"log_scalars": {"train/loss": log}},
        "groups": defaultdict(list, {"a": [1]}),
        "state_dict": state,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, module in (parents | {logs.__name__: logs}).items():
            patch.setitem(sys.modules, name, module)
        torch.save(content, tmp_path / "epoch_3.pth")
    found = read_state(tmp_path / "epoch_3.pth")
    assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("wrapper", ["ema", "module", "model_state_dict"])
@pytest.mark.parametrize(
    "prefix", ["module._orig_mod.", "_orig_mod.module.", "model._orig_mod.", "model.module.", "model.", ""]
)
def test_wrappers_and_prefixes(tmp_path: Path, wrapper: str, prefix: str) -> None:
    state = make_model(1).state_dict()
    torch.save({"epoch": 1, wrapper: prefixed(state, prefix)}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth").keys() == state.keys()


def test_weights_are_preferred_to_their_average(tmp_path: Path) -> None:
    torch.save({"ema": {"a": torch.ones(1)}, "model": {"a": torch.zeros(1)}}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth")["a"] == 0


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("student.", "teacher."), ("architecture.", "teacher."), ("architecture.model.", "distiller.teacher.")],
)
def test_two_networks_in_one_file(tmp_path: Path, student: str, teacher: str) -> None:
    states = {student: {"a": torch.zeros(1)}, teacher: {"a": torch.ones(1)}}
    torch.save({"state_dict": {p + k: v for p, s in states.items() for k, v in s.items()}}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth") == {"a": 0}
    assert read_state(tmp_path / "a.pth#teacher") == {"a": 1}


def test_a_teacher_that_is_not_there(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no teacher beside a student; leave #teacher away"):
        read_state(tmp_path / "a.pth#teacher")


def test_allowed_keys_may_be_missing_or_left_over(tmp_path: Path) -> None:
    state = make_model(1).state_dict()
    del state["0.bias"], state["1.bias"]
    torch.save(state | {"extra": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"missing 1: 1\.bias\n"):
        load(make_model(), tmp_path / "a.pth", ["0.*", "extra"])
    assert load(make_model(), tmp_path / "a.pth", ["*.bias", "extra"]).complete
