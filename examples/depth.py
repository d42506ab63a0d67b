"""Monocular depth: a student learns a teacher's depth maps and features; both are known up to scale and shift.

python examples/depth.py --steps 300
"""

import argparse

import torch
from scenes import depth_loaders

import densekd
from densekd.models import MODELS


def main(steps: int) -> dict[str, float]:
    """Return the validation scores of the student: absrel and rmse (lower is better), delta1 in percent"""
    torch.manual_seed(0)
    train, val = depth_loaders()

    # One output channel: depth is a map of numbers, and the task says how it is learned and scored.
    teacher = MODELS["fpn"](1, backbone="resnet18", channels=128)
    first = densekd.distill(teacher, None, train, {}, steps=steps, val=val, task="depth")

    student = MODELS["fpn"](1, backbone="resnet18_025", channels=64)
    features = {"student": "features.{2,3}", "teacher": "features.{2,3}", "adapter": "conv"}
    losses = {"l1": 1.0, "pkd": {"weight": 1.0, **features}}
    result = densekd.distill(student, teacher, train, losses, steps=steps, val=val, task="depth")

    images, _ = next(iter(val))
    found = densekd.predict(student, images[0], task="depth")
    print(f"a map {found.shape}, {found.dtype}")
    for name, scores in {"teacher": first.scores, "student": result.scores}.items():
        shown = "  ".join(f"{key} {value:.3g}" for key, value in scores.items())
        print(f"{name}: {shown}")
    return result.scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
