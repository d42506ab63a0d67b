"""Synchronized batch norm: two processes are one process on the joined batch, the gradient's gradient included."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from forked import in_two_processes
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from densekd.distill.distiller import Distiller
from densekd.distill.plans import plan_losses
from densekd.distill.sync_batchnorm import (
    describe_batch_norms,
    restore_batch_norms,
    sync_batch_norm,
    synchronize_batch_norms,
)
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.errors import UserError
from densekd.models.dilated import pspnet
from densekd.models.families import FAMILIES
from densekd.models.heads.psp import PSPHead
from densekd.tasks import Segmentation

STEPS = 3
CLASSES = 3
VOID = 255
# Shapes of the joined batch, and the images of the first process.
SHAPES = {"maps": ((5, 3, 6, 7), 2), "one value each": ((2, 3, 1, 1), 1), "vectors": ((6, 3), 4)}


def layer(shape: tuple[int, ...]) -> nn.Module:
    """Return a batch norm with parameters of its own, in float64."""
    torch.manual_seed(1)
    norm = (BatchNormAct2d(3, act_layer=nn.Tanh) if len(shape) == 4 else nn.BatchNorm1d(3)).double()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    return norm


def penalty(norm: nn.Module, x: Tensor) -> Tensor:
    """Return what a gradient penalty does: a function of the gradient, which is differentiated again."""
    (grad,) = torch.autograd.grad(norm(x).sin().sum(), x, create_graph=True)
    return (grad.flatten(1).norm(dim=1) - 1).square().sum()


def numbers_of_layer(name: str, rank: int, world: int) -> dict[str, Tensor]:
    """Run one layer on this process' part of the joined batch; return all that must be equal."""
    shape, first = SHAPES[name]
    norm = layer(shape)
    if world > 1:
        synchronize_batch_norms(norm)
    generator = torch.Generator().manual_seed(2)
    # A mean far from zero: sums of squares would lose the variance.
    x = 1e4 + 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    part = slice(None) if world == 1 else (slice(first), slice(first, None))[rank]
    x = x[part].requires_grad_()
    y = norm(x)
    (y * weight[part]).sum().backward()
    found = {"y": y.detach(), "by x": x.grad, **{f"by {k}": p.grad for k, p in norm.named_parameters()}}
    found |= {key: buffer.clone() for key, buffer in norm.named_buffers()}
    x = x.detach().requires_grad_()
    norm.zero_grad()
    penalty(norm, x).backward()
    return found | {"twice by x": x.grad, "twice by weight": norm.weight.grad}


class Step(nn.Module):
    """The losses of one step of a distiller, which DDP wraps."""

    def __init__(self, distiller: Distiller) -> None:
        super().__init__()
        self.distiller = distiller

    def forward(self, batch: dict[str, Tensor], n: int) -> Tensor:
        return torch.stack(list(self.distiller.losses(batch, n).values()))


def distiller(dtype: torch.dtype) -> Distiller:
    """Return a PSPNet that learns from another one: features through an adapter with batch norm, a game, labels."""
    torch.manual_seed(3)
    student = pspnet(CLASSES, backbone="resnet18_025", channels=16, auxiliary_channels=8)
    teacher = pspnet(CLASSES, backbone="resnet18_025", channels=24, auxiliary_channels=0)
    losses: dict[str, Any] = {
        "fitnet": {"weight": 1, "student": "pre_logits", "teacher": "pre_logits", "adapter": "conv-bn-relu"},
    }
    if dtype == torch.float64:
        # A game multiplies whatever single precision rounds, from step to step.
        losses["adversarial"] = {"weight": 0.01, "options": {"discriminator_weight": 1}}
    facts = {"num_classes": CLASSES, "ignore_index": VOID}
    probe = ProbeBatch(torch.rand(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64), facts)
    module = Distiller(student, teacher, "segmentation", wire_terms(plan_losses(losses), student, teacher, probe))
    for part in module.modules():
        # Dropout draws other masks in each process.
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.p = 0.0
    return module.to(dtype).train()


def numbers_of_training(dtype: torch.dtype, rank: int, world: int) -> dict[str, Tensor]:
    """Train a few steps on two images, one of them in each of two processes."""
    module = distiller(dtype)
    module.on_fit_start()
    wrapped: nn.Module = Step(module)
    if world > 1:
        wrapped = DistributedDataParallel(wrapped, broadcast_buffers=False)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(4)
    found: dict[str, Tensor] = {}
    for n in range(1, STEPS + 1):
        images = torch.rand(2, 3, 64, 64, generator=generator).to(dtype)
        labels = torch.randint(CLASSES, (2, 64, 64), generator=generator)
        labels[0, :20] = VOID
        mine = slice(rank, rank + 1) if world > 1 else slice(None)
        # Process r draws the number of image r, as one process does for both.
        torch.manual_seed(n)
        torch.rand(rank, dtype=dtype)
        losses = wrapped({"images": images[mine], "target": labels[mine]}, n)
        optimizer.zero_grad()
        losses.sum().backward()
        found[f"losses {n}"] = losses.detach().clone()
        found |= {f"grad {n} {name}": p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        optimizer.step()
    module.on_fit_end()
    return found | {f"state {name}": value for name, value in module.state_dict().items()}


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    found: dict[str, Any] = {name: numbers_of_layer(name, rank, 2) for name in SHAPES}
    for dtype in (torch.float32, torch.float64):
        found[str(dtype)] = numbers_of_training(dtype, rank, 2)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What two processes found, started once for all tests."""
    folder = tmp_path_factory.mktemp("ranks")
    in_two_processes(worker, str(folder))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SHAPES)
def test_a_layer_of_two_processes_equals_one(ranks: list[dict[str, dict[str, Tensor]]], name: str) -> None:
    alone = numbers_of_layer(name, 0, 1)
    first, second = (rank[name] for rank in ranks)
    for key, expected in alone.items():
        if key in ("y", "by x", "twice by x"):
            found = torch.cat([first[key], second[key]])
        elif "by" in key:
            # DDP averages over processes what each sums over its own values.
            found = first[key] + second[key]
        else:
            assert torch.equal(first[key], second[key]), key
            found = first[key]
        # Two values of a channel nearly cancel: what is left of them is 1e-11 of the summands.
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_pspnet_of_two_processes_with_one_image_equals_one_with_two(
    ranks: list[dict[str, dict[str, Tensor]]], dtype: torch.dtype, tolerance: float
) -> None:
    alone = numbers_of_training(dtype, 0, 1)
    first, second = (rank[str(dtype)] for rank in ranks)
    assert first.keys() == alone.keys()
    assert any("adapter.1.running_var" in name for name in alone)
    assert any("discriminator.norm.running_mean" in name for name in alone) is (dtype == torch.float64)
    for name, expected in alone.items():
        if name.startswith("losses"):
            found = (first[name] + second[name]) / 2
        else:
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)
            found = first[name]
        scale = max(1.0, expected.abs().max().item())
        assert (found - expected).abs().max().item() <= tolerance * scale, name


def model() -> nn.Sequential:
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), BatchNormAct2d(4), nn.SyncBatchNorm(4))
    return plain.append(nn.BatchNorm2d(4, track_running_stats=False))


def test_modules_stay_the_same_objects_with_the_same_state() -> None:
    one = model()
    before = list(one.modules())
    state = one.state_dict()
    assert synchronize_batch_norms(one) == 2
    assert list(one.modules()) == before
    assert isinstance(one[1], nn.BatchNorm2d)
    assert type(one[1]) is not nn.BatchNorm2d
    assert one.state_dict().keys() == state.keys()
    # Synchronizing twice is synchronizing once.
    synchronize_batch_norms(one)
    copied = copy.deepcopy(one)
    for synchronized in (one, copied):
        restore_batch_norms(synchronized)
        assert [type(module) for module in synchronized.modules()] == [type(module) for module in model().modules()]


def test_alone_and_in_evaluation_it_is_a_plain_batch_norm(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 4, 5)
    plain = nn.BatchNorm2d(3)
    one = copy.deepcopy(plain)
    synchronize_batch_norms(one)
    assert torch.equal(one(x), plain(x))
    assert torch.equal(one.running_var, plain.running_var)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        torch.testing.assert_close(one(x), plain(x))
        one.load_state_dict(plain.state_dict())
        assert torch.equal(one.eval()(x), plain.eval()(x))
    finally:
        dist.destroy_process_group()


# torch's compiler looks at the gradient of a tensor between two graphs; it hides this warning where it may.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_model_synchronizes_between_its_graphs(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 4, 5)
    one = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    other = copy.deepcopy(one)
    synchronize_batch_norms(one, other)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        torch.compile(one, backend="eager")(x).square().sum().backward()
        other(x).square().sum().backward()
    finally:
        dist.destroy_process_group()
    torch.testing.assert_close(one[0].weight.grad, other[0].weight.grad)
    assert torch.equal(one[1].running_var, other[1].running_var)


def test_half_precision_is_normalized_by_float32_statistics() -> None:
    x = (100 + torch.randn(4, 3, 8, 8)).bfloat16().requires_grad_()
    found, expected = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    arguments = (found.running_mean, found.running_var, found.weight, found.bias)
    y = sync_batch_norm(x, *arguments, training=True)
    wide = x.detach().float().requires_grad_()
    torch.testing.assert_close(y, expected(wide).bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(found.running_var, expected.running_var)
    y.float().sin().sum().backward()
    expected(wide).bfloat16().float().sin().sum().backward()
    torch.testing.assert_close(x.grad, wide.grad.bfloat16(), rtol=2e-2, atol=1e-3)


def test_a_pooled_image_alone_is_explained() -> None:
    head = nn.Sequential(nn.Conv2d(3, 8, 1))
    student = nn.Sequential(head, nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8), nn.Conv2d(8, CLASSES, 1)).train()
    batch = {"images": torch.rand(1, 3, 8, 8), "target": torch.zeros(1, 8, 8, dtype=torch.int64)}
    module = Distiller(student, task=Segmentation(CLASSES, VOID), sync_batchnorm="off").train()
    with pytest.raises(UserError, match=r"single value per channel .*\[1, 8, 1, 1\].*training.sync_batchnorm: auto"):
        module.losses(batch, 1)


def test_what_is_said_of_it() -> None:
    head = [PSPHead(4, 4, 2, FAMILIES["mmseg"])]
    assert describe_batch_norms(head, 1, "auto") == "5 layers, one process has the whole batch"
    assert describe_batch_norms(head, 8, "auto") == "5 layers synchronized over 8 processes"
    alone = "5 layers, statistics of each of 8 processes alone (training.sync_batchnorm: off)"
    assert describe_batch_norms(head, 8, "off") == alone
    assert describe_batch_norms([nn.Conv2d(1, 1, 1)], 8, "auto") == "none"
