"""What does not depend on the size of images is asked at a small one, and gives the same teacher."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from densekd.builders import models
from densekd.builders.build import Built, build
from densekd.builders.probe import ask_small, small_view
from densekd.recipe import parse_recipe

WHOLE, SMALL = (288, 320), (160, 192)


@pytest.mark.parametrize(
    ("whole", "small"),
    [((512, 1024), (128, 128)), ((513, 769), (129, 129)), ((800, 1333), (160, 181)), ((96, 255), (96, 255))],
)
def test_a_small_view_has_the_same_remainders(whole: tuple[int, int], small: tuple[int, int]) -> None:
    assert small_view(torch.zeros(1, 3, *whole)).shape == (1, 3, *small)


def test_what_is_wrong_at_every_size_is_said_of_the_whole() -> None:
    def question(images: torch.Tensor) -> int:
        raise ValueError(f"no images of {images.shape[-1]}")

    with pytest.raises(ValueError, match=r"^no images of 512$"):
        ask_small(question, torch.zeros(1, 3, 256, 512))


@contextmanager
def passes(sizes: list[tuple[int, ...]], only: tuple[int, int] | None = None) -> Iterator[None]:
    """Note the sizes of images that the teacher is run on; where ``only`` one is given, it takes no other."""

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if getattr(module, "is_teacher", False):
            size = tuple(inputs[0].shape[-2:])
            sizes.append(size)
            if only not in (None, size):
                raise ValueError(f"{size}: this model takes images of {only}")

    handle = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()


def built(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Built:
    original = models.build_teacher

    def marked(*arguments: Any) -> Any:
        opened = original(*arguments)
        opened.model.is_teacher = True
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(models, "build_teacher", marked)
        return build(parse_recipe(content, "test"))


def test_the_teacher_runs_once_at_the_size_of_the_crops(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_025"}, "checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 3}]
    recipe["augment"] = {"crop": list(WHOLE)}
    sizes: list[tuple[int, ...]] = []
    with passes(sizes):
        cheap = built(recipe, monkeypatch)
    drawn = torch.get_rng_state()
    # Terms are wired at the crops' size; batch norms are fused, and it is seen to fit, at the small one.
    assert sizes == [WHOLE, SMALL, SMALL, SMALL]
    # A teacher that takes one size alone is the same one, and as many numbers are drawn.
    sizes.clear()
    with passes(sizes, only=WHOLE):
        whole = built(recipe, monkeypatch)
    assert sizes == [WHOLE, SMALL, WHOLE, WHOLE, SMALL, WHOLE]
    assert torch.equal(torch.get_rng_state(), drawn)
    assert cheap.scored_teacher is not None
    assert whole.scored_teacher is not None
    assert not any(isinstance(module, nn.BatchNorm2d) for module in cheap.scored_teacher.modules())
    for one, other in ((cheap.scored_teacher, whole.scored_teacher), (cheap.distiller, whole.distiller)):
        values, others = one.state_dict(), other.state_dict()
        assert values.keys() == others.keys()
        assert all(torch.equal(values[name], others[name]) for name in values)
