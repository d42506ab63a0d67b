"""Weights below any prefix, beside averages, teachers and losses: the right ones are read, and said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints import Checkpoint, load_matched

State = dict[str, Tensor]


def make_model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


STATE: State = make_model(1).state_dict()
OTHER: State = make_model(2).state_dict()
LOSS = {"criterion.weight": torch.ones(2)}
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


def below(prefix: str, state: State = STATE) -> State:
    return {prefix + key: value for key, value in state.items()}


def inside(part: str) -> State:
    """Return what is below a part of the model, as it is saved where parts are saved side by side."""
    return {key[2:]: value for key, value in STATE.items() if key.startswith(part)}


def loaded(path: Path) -> tuple[State, tuple[str, ...]]:
    model = make_model(3)
    found = load_matched(model, Checkpoint.read(path), "teacher")
    return model.state_dict(), found.notes


def assert_read(path: Path, expected: State) -> str:
    state, notes = loaded(path)
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    return "\n".join(notes)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": below("model.") | LOSS},
        {"state_dict": below("segmentor.net.module.") | LOSS | {"mean": torch.ones(3)}},
        {"state_dict": below("model._orig_mod.module.") | LOSS},
        {"n_averaged": torch.tensor(4), **below("module.")},
        {"model": {"state_dict": below("network.")}, "optimizer": OPTIMIZER},
        {"student": STATE, "teacher": OTHER},
        {"net_g": STATE, "net_d": {"a.b": torch.ones(3)}},
        {"weights": STATE, "optim_g": OPTIMIZER, "cpu_rng_state": torch.ones(9, dtype=torch.uint8)},
        {"state_dict": STATE, "state_dict_ema": OTHER, "args": {"ema": True}},
        {"model": STATE, "ema": {"module": below("module.", OTHER), "updates": 4}},
        {"state_dict": below("model.") | below("ema_model.module.", OTHER)},
        {"params": STATE, "params_ema": OTHER},
        {"state_dict": STATE | {f"ema_{key.replace('.', '_')}": value for key, value in OTHER.items()}},
        (STATE, 100),
        [STATE, OPTIMIZER],
        {number: inside(number) for number in "012"},
    ],
)  # fmt: skip
def test_the_weights_are_found(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert_read(tmp_path / "a.pth", STATE)


EMA: dict[str, Any] = {
    "timm": {"state_dict": STATE, "state_dict_ema": OTHER},
    "nested": {"model": STATE, "ema": {"module": below("module.", OTHER), "updates": 4}},
    "lightning": {"state_dict": below("model.") | below("ema_model.module.", OTHER)},
    "plain": {"model": STATE, "model_ema": OTHER},
}


@pytest.mark.parametrize("form", EMA)
def test_an_average_is_said_and_taken_where_it_is_asked_for(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.pth"
    torch.save(EMA[form], path)
    note = assert_read(path, STATE)
    assert "an average of the weights (EMA) is beside it" in note
    # What the note says to write takes the average.
    named = note.partition(f"{path}#")[2].partition(" ")[0]
    assert_read(tmp_path / f"a.pth#{named}", OTHER)
    assert "an average of the weights (EMA), as asked" in assert_read(tmp_path / "a.pth#ema", OTHER)


def test_an_average_alone_is_said(tmp_path: Path) -> None:
    torch.save({"ema": {"module": OTHER, "updates": 4}}, tmp_path / "a.pth")
    assert "an average of the weights (EMA); the file holds no others" in assert_read(tmp_path / "a.pth", OTHER)
    torch.save({"n_averaged": torch.tensor(4), **below("module.")}, tmp_path / "b.pth")
    assert "are the average of a training (AveragedModel)" in assert_read(tmp_path / "b.pth", STATE)


def test_projects_that_swap_the_average_in(tmp_path: Path) -> None:
    """mmengine's ``ema_state_dict`` holds the weights that were trained, ``state_dict`` their average."""
    content = {"state_dict": STATE, "ema_state_dict": below("module.", OTHER) | {"steps": torch.tensor(3)}}
    torch.save(content | {"message_hub": {}}, tmp_path / "a.pth")
    assert "a.pth#ema_state_dict takes the weights that were trained" in assert_read(tmp_path / "a.pth", STATE)
    assert_read(tmp_path / "a.pth#ema", STATE)
    assert_read(tmp_path / "a.pth#ema_state_dict", OTHER)
    # Without mmengine's log the name means what it says.
    torch.save(content, tmp_path / "b.pth")
    assert_read(tmp_path / "b.pth#ema", OTHER)


def test_what_is_left_over_is_said(tmp_path: Path) -> None:
    torch.save({"state_dict": below("model.") | LOSS}, tmp_path / "a.ckpt")
    note = assert_read(tmp_path / "a.ckpt", STATE)
    assert note.endswith("a.ckpt: 'state_dict.model' was read; left over: criterion.weight.")


@pytest.mark.parametrize("name", ["net_b", "other.net_b", "state_dict.other.net_b"])
def test_a_part_is_named_by_key_or_prefix(tmp_path: Path, name: str) -> None:
    torch.save({"state_dict": below("some.net_a.") | below("other.net_b.", OTHER)}, tmp_path / "a.pth")
    assert_read(tmp_path / f"a.pth#{name}", OTHER)


def test_two_networks_that_fit_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(below("net_a.") | below("net_b.", OTHER), path)
    with pytest.raises(UserError, match=rf"two networks that fit, 'net_a' and 'net_b'.* {path}#net_a or {path}#net_b"):
        loaded(path)
    torch.save(below("net_a.") | below("net_b."), path)
    assert_read(path, STATE)


def test_two_networks_side_by_side_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for one, other in (("net_a", "net_b"), ("net_b", "net_a")):
        torch.save({one: STATE, other: OTHER}, path)
        with pytest.raises(UserError, match=r"two networks that fit"):
            loaded(path)
        assert_read(tmp_path / f"a.pth#{one}", STATE)
        assert_read(tmp_path / f"a.pth#{other}", OTHER)
    # A discriminator is never the network that is meant, wherever it stands.
    for parts in ({"generator": STATE, "discriminator": OTHER}, {"discriminator": OTHER, "generator": STATE}):
        torch.save(parts, path)
        assert_read(path, STATE)
    # A trainer's own place is preferred to what lies beside it.
    torch.save({"state_dict": STATE, "other": OTHER}, path)
    assert_read(path, STATE)


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    torch.save({"model": STATE, "ema": OTHER}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: holds no part 'swa'; it has model, 0, 1, 2, ema"):
        loaded(tmp_path / "a.pth#swa")


def test_a_sign_in_the_name_of_a_file(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "run#1.pth")
    assert_read(tmp_path / "run#1.pth", STATE)
    torch.save({"model": STATE, "ema": OTHER}, tmp_path / "run#2.pth")
    assert_read(tmp_path / "run#2.pth#ema", OTHER)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda s: s.pop("model.2.bias"), ["under the prefix 'state_dict.model.'", "matched 8", "missing 1: 2.bias"]),
        (lambda s: s.update({"model.2.bias": torch.ones(9)}),
         ["matched 8", "other shape 1: 2.bias (file [9], model [2])", "Check the model's options"]),
        (lambda s: s.update({"model.x": torch.ones(9)}), ["matched 9", "unexpected 1: x", "allow: ['x']"]),
    ],
)  # fmt: skip
def test_a_misfit_is_said_under_the_best_prefix(
    tmp_path: Path, change: Callable[[State], Any], parts: list[str]
) -> None:
    state = below("model.") | LOSS
    change(state)
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(UserError) as caught:
        loaded(tmp_path / "a.ckpt")
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "criterion" not in str(caught.value)


def test_another_architecture_is_not_blamed_on_options(tmp_path: Path) -> None:
    torch.save({"generator": {"a.b.c": torch.ones(3)}, "critic": {"d.e.f": torch.ones(3)}}, tmp_path / "a.pth")
    with pytest.raises(UserError) as caught:
        loaded(tmp_path / "a.pth")
    assert "none of its names is in the file" in str(caught.value)
    assert "named behind '#'" in str(caught.value)
    assert "number of classes" not in str(caught.value)


def test_a_prefix_that_the_model_has_and_the_file_lacks(tmp_path: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.model = make_model(seed)

    for state in (STATE, below("model."), below("module.model."), below("net.")):
        torch.save(state, tmp_path / "a.pth")
        model = Wrapper(3)
        load_matched(model, Checkpoint.read(tmp_path / "a.pth"), "teacher")
        assert torch.equal(model.model[0].weight, STATE["0.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_converted_and_said(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({key: value.to(dtype) for key, value in STATE.items()}, tmp_path / "a.pth")
    state, notes = loaded(tmp_path / "a.pth")
    assert torch.equal(state["0.weight"], STATE["0.weight"].to(dtype).float())
    assert notes == (
        f"{tmp_path / 'a.pth'}: the weights are stored as {str(dtype).removeprefix('torch.')} and were converted to "
        "float32.",
    )


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    torch.save(STATE | {"0.weight": STATE["0.weight"].to(torch.int8)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"0\.weight is stored as int8, and the model needs float32"):
        loaded(tmp_path / "a.pth")


@pytest.mark.parametrize("form", ["model.", "module._orig_mod.", "some.net."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_not_finite_below_a_prefix(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) for key, value in STATE.items()}
    state["2.weight"] = state["2.weight"] * float("nan")
    torch.save({"state_dict": below(form, state) | LOSS}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: the weights are not finite .* 8 of 8 values of 2\.weight\."):
        loaded(tmp_path / "a.pth")
