"""The distiller from live objects: no recipe, any two modules, one step by hand."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from densekd.data.maps import Sample
from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.terms import TapPair, Term, WeightSchedule
from densekd.errors import UserError
from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cwd import CWD
from densekd.run.callbacks import FiniteGuard, StepSeeds
from densekd.run.metrics_logger import MetricsLogger
from densekd.tasks import NoTask, Segmentation
from densekd.terminal import Terminal


class Net(nn.Module):
    """A little segmentation model with an auxiliary output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, channels, 3, padding=1)
        self.classifier = nn.Conv2d(channels, 3, 1)
        self.aux = nn.Conv2d(channels, 3, 1)
        self.taps = {"logits": "classifier", "aux": "aux"}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at stride 1."""
        x = self.body(images).relu()
        self.aux(x)
        logits: Tensor = self.classifier(x)
        return logits


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {
        "images": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8),
        "target": torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8),
    }


@pytest.fixture
def distiller() -> Distiller:
    term = Term(CWD(4.0), TapPair("logits", "logits"), nn.Identity(), WeightSchedule(2.0, warmup=4), "none")
    return Distiller(Net(4), Net(6), Segmentation(3, 255), {"cwd": term}, OptimizerConfig("sgd", 0.1, 10))


def trainer(**options: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    usual = {"num_sanity_val_steps": 0, "log_every_n_steps": 1}
    return L.Trainer(accelerator="cpu", devices=1, **quiet | usual | options)


def loaders(batch: dict[str, Tensor], count: int) -> tuple[Any, Any]:
    """Return so many equal batches, and one image to validate on."""
    sample = Sample(batch["images"][0], batch["target"][0])
    return DataLoader([batch] * count, batch_size=None), DataLoader([[sample]], batch_size=None)  # type: ignore[arg-type, list-item]


def test_the_sum_is_the_formula(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    distiller._trainer = None  # a step by hand, outside a training: the first one
    result = distiller.training_step(batch, 0)
    images = batch["images"].float() / 255
    student, teacher = distiller.student(images), distiller.teacher.model(images)  # type: ignore[union-attr]
    target = batch["target"].long()
    aux = distiller.student.get_submodule("aux")(distiller.student.get_submodule("body")(images).relu())
    ce = nn.functional.cross_entropy(student, target)
    expected = {
        "task/ce": ce,
        "task/aux": 0.4 * nn.functional.cross_entropy(aux, target),
        "distill/cwd": 2.0 * (1 / 4) * CWD(4.0)(student, teacher, target),  # the warm-up's first step of four
    }
    assert result["losses"].keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(result["losses"][name], value.detach(), msg=name)
    torch.testing.assert_close(result["loss"], sum(expected.values()))
    assert not any(value.requires_grad for value in result["losses"].values())


def test_a_term_of_weight_zero_is_not_computed(batch: dict[str, Tensor]) -> None:
    class Never(nn.Module):
        def forward(self, *arguments: Any) -> Tensor:
            raise AssertionError

    term = Term(Never(), TapPair("logits", "logits"), nn.Identity(), WeightSchedule(1.0, 2, "jump"), "none")
    made = Distiller(Net(4), Net(6), Segmentation(3, 255), {"never": term}, OptimizerConfig("sgd", 0.1, 10))
    assert made.training_step(batch, 0)["losses"]["distill/never"] == 0


def test_lightning_fits_it_without_a_recipe(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    before = {k: v.clone() for k, v in distiller.student.state_dict().items()}
    teacher = {k: v.clone() for k, v in distiller.teacher.model.state_dict().items()}  # type: ignore[union-attr]
    fitted = trainer(max_steps=3, max_epochs=1)
    fitted.fit(distiller, *loaders(batch, 3))
    assert distiller.global_step == 3
    assert 0 <= fitted.callback_metrics["val/miou"] <= 100
    assert any(not torch.equal(before[k], v) for k, v in distiller.student.state_dict().items())
    assert all(torch.equal(teacher[k], v) for k, v in distiller.teacher.model.state_dict().items())  # type: ignore[union-attr]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_any_trainer_logs_every_loss(distiller: Distiller, batch: dict[str, Tensor], tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    fitted = trainer(max_epochs=1, logger=logger)
    returned: list[dict[str, float]] = []

    class Note(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *arguments: Any) -> None:
            losses = {name: value.item() for name, value in arguments[0]["losses"].items()}
            returned.append({"loss": arguments[0]["loss"].item(), **losses})
            # What a callback may monitor is that of this very step.
            assert trainer.callback_metrics["loss"].item() == returned[-1]["loss"]

    fitted.callbacks.append(Note())
    fitted.fit(distiller, *loaders(batch, 3))
    rows = read_rows(tmp_path / "metrics.csv")
    logged = [row for row in rows if row["loss"]]
    assert len(logged) == len(returned) == 3
    for row, values in zip(logged, returned, strict=True):
        assert set(values) == {"loss", "task/ce", "task/aux", "distill/cwd"}
        for name, value in values.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-6)
    # SGD at 0.1 with polynomial decay over ten steps.
    assert [float(row["lr"]) for row in logged] == pytest.approx([0.1 * (1 - n / 10) ** 0.9 for n in range(3)])
    assert [row["val/miou"] for row in rows if row["val/miou"]]


def test_loggers_get_a_row_for_each_step_and_not_for_the_parts_of_its_batch(
    distiller: Distiller, batch: dict[str, Tensor], tmp_path: Path
) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    fitted = trainer(max_steps=5, max_epochs=1, accumulate_grad_batches=2, log_every_n_steps=2, logger=logger)
    fitted.fit(distiller, *loaders(batch, 10))
    logged = [row for row in read_rows(tmp_path / "metrics.csv") if row["loss"]]
    assert [(row["step"], row["epoch"]) for row in logged] == [("1", "0"), ("3", "0")]
    assert fitted.logged_metrics["loss"] == fitted.callback_metrics["loss"]
    # Of the last step, too, callbacks know the values.
    assert fitted.callback_metrics["lr"] == pytest.approx(0.1 * (1 - 4 / 10) ** 0.9)


def test_the_progress_bar_shows_every_loss(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    fitted = trainer(max_steps=2, max_epochs=1, enable_progress_bar=True)
    fitted.fit(distiller, *loaders(batch, 2))
    assert {"loss", "task/ce", "task/aux", "distill/cwd"} <= set(fitted.progress_bar_metrics)


def images_and_labels(batch: dict[str, Tensor], kind: str) -> Any:
    floats = batch["images"] / 255
    return {
        "dict": batch,
        "tuple": (batch["images"], batch["target"]),
        "list": [batch["images"], batch["target"]],
        "float": (floats, batch["target"].long()),
    }[kind]


@pytest.mark.parametrize("kind", ["tuple", "list", "float"])
def test_batches_of_any_loader_are_the_same_batch(distiller: Distiller, batch: dict[str, Tensor], kind: str) -> None:
    expected = distiller.losses(batch, 1)
    given = images_and_labels(batch, kind)
    before = [value.clone() for value in given]
    found = distiller.losses(given, 1)
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    # The caller's tensors are the caller's.
    assert all(torch.equal(value, old) for value, old in zip(given, before, strict=True))


def test_an_optimizer_may_be_a_function(batch: dict[str, Tensor]) -> None:
    student, teacher = Net(4), Net(6)
    term = Term(CWD(4.0), weight=3.0, adapter=nn.Conv2d(3, 3, 1))
    made = Distiller(student, teacher, Segmentation(3, 255), {"cwd": term}, partial(torch.optim.AdamW, lr=1e-2))
    fitted = trainer(max_steps=2, max_epochs=1)
    fitted.fit(made, *loaders(batch, 2))
    (optimizer,) = fitted.optimizers
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert group["lr"] == 1e-2
    assert len(group["params"]) == len(list(student.parameters())) + len(list(term.parameters()))


def test_a_loss_with_an_optimizer_of_its_own_needs_a_config(batch: dict[str, Tensor]) -> None:
    loss = CWD(4.0)
    loss.optimization = {"method": "adamw"}  # type: ignore[assignment]
    made = Distiller(Net(4), Net(6), Segmentation(3, 255), {"cwd": Term(loss)}, torch.optim.SGD)
    with pytest.raises(UserError, match=r"'cwd\.loss' learns by optimizer settings of its own"):
        trainer(max_steps=1).fit(made, *loaders(batch, 1))


def test_defaults_are_enough(batch: dict[str, Tensor]) -> None:
    student = Net(4)
    student.num_classes = 3
    made = Distiller(student, Net(6), terms={"cwd": Term(CWD(4.0), weight=3.0)})
    assert isinstance(made.task, Segmentation)
    fitted = trainer(max_steps=4, max_epochs=-1)
    fitted.fit(made, *loaders(batch, 2))
    assert isinstance(fitted.optimizers[0], torch.optim.AdamW)
    # Decays to zero over the steps of the trainer.
    assert fitted.optimizers[0].param_groups[0]["lr"] == 0


def test_a_task_that_cannot_be_told_is_asked_for() -> None:
    with pytest.raises(UserError, match="Net has no num_classes, so that its task cannot be told"):
        Distiller(Net(4), Net(6), terms={"cwd": Term(CWD(4.0))})


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to learn"):
        Distiller(Net(4), task=NoTask(Segmentation(3, 255)))


def test_processes_exchange_the_buffers_of_the_student_alone(tmp_path: Path) -> None:
    """A queue may hold gigabytes, which would travel at every step."""
    student, teacher = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))
    term = Term(CIRKDChannel(4, 4, (8, 8)), TapPair("logits", "logits"), nn.Identity(), WeightSchedule(1.0), "none")
    distiller = Distiller(
        student, teacher, Segmentation(4, 255, (1.0, 1.0, 1.0, 1.0)), {"channel": term}, OptimizerConfig("sgd", 0.1, 10)
    )
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        sent = DistributedDataParallel(distiller).named_module_buffers
    finally:
        dist.destroy_process_group()
    assert set(sent) == {f"student.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


# torch's own, on first use
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
def test_a_compiled_student_learns_the_same(distiller: Distiller, batch: dict[str, Tensor]) -> None:
    def step() -> tuple[Tensor, dict[str, Tensor]]:
        distiller.zero_grad()
        result = distiller.training_step(batch, 0)
        result["loss"].backward()
        return result["loss"], {n: p.grad.clone() for n, p in distiller.named_parameters() if p.grad is not None}

    distiller._trainer = None
    loss, gradients = step()
    distiller.compile_student()
    for _ in range(2):
        compiled = step()
        torch.testing.assert_close(compiled[0], loss)
        assert compiled[1].keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(compiled[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert not [m for m in distiller.student.modules() if m._forward_hooks]


class Waits(TorchDispatchMode):
    """Note every operation whose result the host reads: on a GPU it waits for each."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Between(L.Callback):
    """Watch every step but the first ones, which fill buffers, from its beginning until all others are done with it."""

    def __init__(self, watch: Any) -> None:
        self.watch = watch

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            self.watch.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *unused: Any) -> None:
        if unused[-1] == 5:
            self.watch.__exit__(None, None, None)


def fit_watched(distiller: Distiller, batch: dict[str, Tensor], watch: Any, path: Path, accelerator: str) -> None:
    """Train eight steps, of which none is recorded, and watch the third to the sixth."""
    console = Terminal(quiet=True)
    callbacks = [FiniteGuard(100), MetricsLogger(path / "metrics.csv", 100, console), StepSeeds(0), Between(watch)]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    made = L.Trainer(
        accelerator=accelerator, devices=1, max_steps=8, callbacks=callbacks, gradient_clip_val=1.0,
        precision="bf16-mixed", enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, **quiet,
    )  # fmt: skip
    made.fit(distiller, *loaders(batch, 8))


def test_the_host_reads_nothing_between_two_records(
    distiller: Distiller, batch: dict[str, Tensor], tmp_path: Path
) -> None:
    watch = Waits()
    with Waits() as control:
        torch.ones(1).item()
    assert control.seen == ["aten._local_scalar_dense.default"]
    fit_watched(distiller, batch, watch, tmp_path, "cpu")
    assert watch.seen == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="counts what waits for a GPU")
def test_the_host_never_waits_for_the_device(distiller: Distiller, batch: dict[str, Tensor], tmp_path: Path) -> None:
    record = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    pinned = {name: value.pin_memory() for name, value in batch.items()}
    fit_watched(distiller, pinned, record, tmp_path, "gpu")
    names = [event.name for event in record.events()]
    assert any("LaunchKernel" in name for name in names)
    # Leaving the profiler synchronizes the device once; the steps never do.
    assert names.count("cudaStreamSynchronize") == 0
    assert names.count("cudaDeviceSynchronize") <= 1
    assert not [name for name in names if name.startswith("Memcpy DtoH") or "_local_scalar_dense" in name]


def test_terms_without_a_teacher_are_refused() -> None:
    term = Term(CWD(4.0))
    with pytest.raises(UserError, match="there is none"):
        Distiller(nn.Conv2d(3, 2, 1), None, Segmentation(2, ignore_index=255), {"cwd": term})
