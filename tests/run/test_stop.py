"""Stopping is saving: signals in validation, between accumulated parts and to one of two processes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import Forked
from tiny_data import tiny_recipe
from training_runs import assert_same, checkpoint, losses, parsed, run

from densekd.recipe import dump_recipe
from densekd.stopping import Interrupted, Stopped


def signal_in(patch: pytest.MonkeyPatch, hook: str, when: int, number: int) -> None:
    """Send a signal to ourselves in the ``when``-th call of a hook of the Distiller."""
    from densekd.distill.distiller import Distiller

    original, calls = getattr(Distiller, hook), []

    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == when:
            os.kill(os.getpid(), number)
        return original(self, *arguments, **named)

    patch.setattr(Distiller, hook, call)


@pytest.fixture(autouse=True)
def _hang_up_counts() -> Iterator[None]:
    """Tests may be run by nohup, which ignores the signal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def whole(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A recipe that accumulates and validates, and its run that nobody stopped."""
    content = tiny_recipe(data_root)
    content["training"] |= {"steps": 7, "validate_every": 3, "accumulate": 2}
    recipe, folder = parsed(content), tmp_path_factory.mktemp("whole") / "run"
    run(recipe, folder)
    return recipe, folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("hook", "when", "step"),
    [
        # Two parts make a step: the third pass is the first part of step 2.
        ("training_step", 1, 1),
        ("training_step", 3, 2),
        ("validation_step", 1, 3),
        ("on_validation_epoch_end", 2, 6),
    ],
)
def test_a_signal_anywhere_saves_at_the_next_safe_point(
    whole: tuple[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    when: int,
    step: int,
    number: int,
) -> None:
    content, untouched = whole
    with monkeypatch.context() as patch:
        signal_in(patch, hook, when, number)
        with pytest.raises(
            Interrupted, match=f"Stopped at step {step} of 7; continue with: densekd train .* --resume"
        ) as stopped:
            run(content, tmp_path / "parts")
    assert stopped.value.code == 128 + number
    assert checkpoint(tmp_path / "parts")["global_step"] == step
    run(content, tmp_path / "parts", "resume")
    assert_same(untouched, tmp_path / "parts")
    assert losses(untouched) == losses(tmp_path / "parts")


def test_a_signal_before_the_first_step_is_ours_alone(
    whole: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's handler would send it once more to the other processes, which end at once by a second one."""
    from densekd.run.metrics_logger import MetricsLogger

    original, handlers = MetricsLogger.on_train_start, []

    def start(self: Any, trainer: Any, module: Any) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module)

    monkeypatch.setattr(MetricsLogger, "on_train_start", start)
    with pytest.raises(Interrupted, match="Stopped at step 1 of 7"):
        run(whole[0], tmp_path / "run")
    assert [getattr(handler, "__module__", None) for handler in handlers] == ["densekd.stopping"]


def test_a_signal_while_the_scores_are_made(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = parsed(recipe)
    with monkeypatch.context() as patch:
        patch.setattr("densekd.run.finish.export_student", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match="continue with --resume") as stopped:
            run(content, tmp_path / "run")
    assert stopped.value.code == 143
    assert run(content, tmp_path / "run", "resume")["student"]["images"] == 3


@pytest.mark.parametrize("to_all", [False, True], ids=["the first process", "all of them"])
def test_two_processes_stop_at_the_same_step(recipe: dict[str, Any], tmp_path: Path, to_all: bool) -> None:
    recipe["training"] |= {"steps": 4000, "validate_every": 0, "checkpoint_every": 4000}
    recipe["data"]["batch_size"] = 4
    (tmp_path / "recipe.yaml").write_text(dump_recipe(parsed(recipe)))
    where = ["--run", str(tmp_path / "run"), "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp"]
    spoken = tmp_path / "said"
    command = ["-m", "densekd", "train", tmp_path / "recipe.yaml", *where]
    process = Forked(*command, out=spoken, err=spoken, group=True)
    try:
        started = time.monotonic()
        rows = tmp_path / "run" / "metrics.csv"
        while process.poll() is None and not rows.is_file() and time.monotonic() - started < 300:
            time.sleep(0.05)
        # Two processes of one training: the second is the first one's child, in the same group.
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
        code = process.wait(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    said = spoken.read_text()
    assert code == 143, said
    assert said.count("error:") == 1
    step = checkpoint(tmp_path / "run")["global_step"]
    assert f"Stopped at step {step} of 4000; continue with: densekd train" in said.replace("\n", " ")
