"""Object detection: distill the classification maps of a detector, level by level; boxes as torchvision's.

python examples/detection.py --steps 300
"""

import argparse

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import densekd
from densekd.models import MODELS

COLORS = torch.tensor([[220, 40, 40], [40, 200, 60]], dtype=torch.uint8)


def rectangles(count: int, seed: int) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Return pictures of colored rectangles on noise, each with its boxes and labels."""
    generator = torch.Generator().manual_seed(seed)
    pictures = []
    for _ in range(count):
        image = torch.randint(0, 120, (3, 96, 128), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, len(COLORS), (3,), generator=generator)
        corners = torch.rand(3, 2, generator=generator) * torch.tensor([80.0, 60.0])
        boxes = torch.cat([corners, corners + 20 + 25 * torch.rand(3, 2, generator=generator)], 1).round()
        for (x1, y1, x2, y2), label in zip(boxes.int().tolist(), labels, strict=True):
            image[:, y1:y2, x1:x2] = COLORS[label, :, None, None]
        pictures.append((image, {"boxes": boxes, "labels": labels}))
    return pictures


def collate(samples: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[tuple[Tensor, ...], ...]:
    """Keep images of any sizes and their targets apart, as torchvision's reference does."""
    return tuple(zip(*samples, strict=True))


def main(steps: int) -> dict[str, float]:
    """Return COCO's scores of the student, in percent."""
    torch.manual_seed(0)
    train = DataLoader(rectangles(32, seed=0), batch_size=4, shuffle=True, collate_fn=collate)
    val = DataLoader(rectangles(8, seed=1), batch_size=4, collate_fn=collate)
    teacher = MODELS["gfl"](len(COLORS), backbone="resnet18_025", channels=64, depth=1)
    student = MODELS["gfl"](len(COLORS), backbone="resnet18_025", channels=32, depth=1)
    densekd.distill(teacher, None, train, {}, steps=steps)

    # Braces make one term for each of the five levels of the pyramid.
    losses = {"cwd": {"weight": 5.0, "student": "cls.{0,1,2,3,4}", "teacher": "cls.{0,1,2,3,4}"}}
    result = densekd.distill(student, teacher, train, losses, steps=steps, val=val)
    found = densekd.predict(student, val.dataset[0][0])
    print(f"{len(found.boxes)} boxes, best scores {found.scores[:3].tolist()}")
    print(f"AP {result.scores['ap']:.1f}, AP50 {result.scores['ap50']:.1f}")
    return result.scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
