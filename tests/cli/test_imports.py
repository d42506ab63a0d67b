"""Commands that train nothing import nothing that only a training needs: seconds before the first line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_data import make_folder, tiny_recipe

from densekd.models import find_model
from densekd.models.classes import unnamed_classes
from densekd.models.package import config_of, save_package

HEAVY = ("lightning", "matplotlib", "pytorch_lightning", "scipy", "torch._dynamo", "torchmetrics", "transformers")
COMMANDS = [
    ["losses"],
    ["datasets"],
    ["predict", "student", "data/images/val", "--workers", "1"],
    ["evaluate", "student", "--data", "data"],
    # The first gradient of an operator of our own asks for the compiler of torch: what follows has it, too.
    ["inspect", "student"],
]
# One Python for all of them, for a start takes seconds; what it has imported is said after each.
PROGRAM = f"""
import sys
from densekd.cli.app import main
for words in {COMMANDS!r}:
    sys.argv = ["densekd", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
    print("imported:", words[0], *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student package and two pictures."""
    root = tmp_path_factory.mktemp("imports")
    make_folder(root / "data", {"val": 2})
    torch.manual_seed(0)
    options = {"backbone": "mobilenetv3_small_050", "channels": 8}
    model = find_model("fpn")(num_classes=3, **options)
    save_package(model, config_of("fpn", options, unnamed_classes(3), "segmentation"), root / "student")
    return root


def test_no_command_but_those_that_train_imports_what_trains(work: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=work, env=os.environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stderr.splitlines() if line.startswith("imported:")]
    assert said == [["imported:", words[0]] for words in COMMANDS[:-1]] + [["imported:", "inspect", "torch._dynamo"]]


WATCH = f"""
import os, sys
import lightning as L
class Watch(L.Callback):
    def on_train_batch_start(self, *what):
        print("imported:", *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
        import torchmetrics
        from torchmetrics.classification import MulticlassAccuracy
        from lightning.pytorch.trainer.connectors.logger_connector import result
        assert issubclass(MulticlassAccuracy, result.Metric) and torchmetrics.MeanMetric()(3.0) == 3
        sys.stderr.flush()
        os._exit(0)
"""


def test_a_training_imports_what_a_step_needs_and_torchmetrics_is_whole_for_who_uses_it(work: Path) -> None:
    make_folder(work / "trained", {"train": 4, "val": 2})
    recipe = tiny_recipe(work / "trained") | {"callbacks": ["watch:Watch"]}
    (work / "tiny.yaml").write_text(json.dumps(recipe))
    (work / "watch.py").write_text(WATCH)
    command = [sys.executable, "-m", "densekd", "train", "tiny.yaml", "--trust", "watch"]
    done = subprocess.run(command, cwd=work, env=os.environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # torchmetrics waits outside of the table of imported modules until somebody imports it.
    assert done.stderr.splitlines()[-1].strip() == "imported: lightning torch._dynamo"
