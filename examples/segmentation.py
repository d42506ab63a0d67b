"""Semantic segmentation: train a teacher, distill it into a small student, compare with the student alone.

python examples/segmentation.py --steps 300
"""

import argparse
import copy

import torch
from scenes import CLASSES, loaders

import densekd
from densekd.models import MODELS


def main(steps: int) -> dict[str, float]:
    """Return the validation mIoU of teacher, student alone and distilled student, in percent."""
    torch.manual_seed(0)
    train, val = loaders()
    build = MODELS["fpn"]

    # A teacher is any module; here one is trained first, on its own task alone.
    teacher = build(CLASSES, backbone="resnet18", channels=128)
    scores = {"teacher": densekd.distill(teacher, None, train, {}, steps=steps, val=val).scores["miou"]}

    # The same student twice: alone, and with channel-wise distillation of the logits (CWD, arXiv 2011.13256).
    alone = build(CLASSES, backbone="resnet18_025", channels=64)
    student = copy.deepcopy(alone)
    scores["alone"] = densekd.distill(alone, None, train, {}, steps=steps, val=val).scores["miou"]
    result = densekd.distill(student, teacher, train, {"cwd": 3.0}, steps=steps, val=val)
    scores["distilled"] = result.scores["miou"]

    # The trained student is the module you gave; it labels pictures at their own size.
    images, _ = next(iter(val))
    label = densekd.predict(result.student, images[0])
    print(f"first and last loss: {result.history[0]['loss']:.2f}, {result.history[-1]['loss']:.2f}")
    print(f"predicted labels: {label.shape}, {label.dtype}")
    print("  ".join(f"{name} {score:.1f} mIoU" for name, score in scores.items()))
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
