"""Commands on images of other bands than RGB."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from tiny_bands import make_bands
from tiny_data import tiny_recipe


def test_check_train_evaluate_and_predict_four_bands(run: Any, tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", {"train": 4, "val": 2}, 4, 65535)
    content = tiny_recipe(root)
    content["data"]["bands"] = 4
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(content))
    status, printed = run("data", "check", recipe)
    assert (status, "4 bands, 16 bits" in printed) == (0, True), printed
    assert "almost black" not in printed
    status, printed = run("train", recipe, "--run", out)
    assert status == 0, printed
    assert "takes 4 bands: its filters of red, green and blue are repeated in this order, times 3/4" in printed
    # A model knows the bands that it reads, of a folder of data and of pictures.
    status, printed = run("evaluate", out / "student", "--data", root)
    assert status == 0, printed
    status, printed = run("predict", out / "student", root / "images" / "val", "--out", tmp_path / "predicted")
    assert status == 0, printed
    overlay = np.asarray(Image.open(tmp_path / "predicted" / "overlays" / "000.png"))
    assert overlay.shape == (32, 48, 3)
    status, printed = run("inspect", out / "student")
    assert status == 0, printed
    # RGB is not what the model was trained on.
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "rgb.png")
    status, printed = run("predict", out / "student", tmp_path / "rgb.png", "--out", tmp_path / "other")
    assert (status, "it has 3 bands, and data.bands is 4" in printed) == (1, True), printed
