"""A training loop of your own: losses, taps and the frozen teacher in plain PyTorch, without Lightning or recipe.

python examples/own_loop.py --steps 100
"""

import argparse
from itertools import chain, islice, repeat

import torch
import torch.nn.functional as F
from scenes import CLASSES, loaders

from densekd.distill.taps import Taps
from densekd.distill.teacher import FrozenTeacher
from densekd.losses import LOSSES
from densekd.models import MODELS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main(steps: int) -> list[float]:
    """Return the total loss of every step."""
    torch.manual_seed(0)
    train, _ = loaders()
    teacher = MODELS["fpn"](CLASSES, backbone="resnet18_050", channels=64)
    student = MODELS["fpn"](CLASSES, backbone="resnet18_025", channels=32).to(DEVICE)

    # Forward hooks read both models on the way; the teacher stays in evaluation mode and gets no gradient.
    paths = ["logits", "features.2"]
    frozen = FrozenTeacher(teacher, paths).to(DEVICE)
    tapped = Taps(student, paths)

    # A loss is a module: what it learns, and what brings channels together, is the optimizer's too.
    logit_loss = LOSSES["cwd"](temperature=4.0)
    feature_loss = LOSSES["l2"]()
    adapter = torch.nn.Conv2d(64, 128, 1).to(DEVICE)
    optimizer = torch.optim.AdamW([*student.parameters(), *adapter.parameters()], lr=2e-3)

    history = []
    batches = islice(chain.from_iterable(repeat(train)), steps)
    for images, labels in batches:
        images, labels = images.to(DEVICE).float() / 255, labels.to(DEVICE).long()
        teacher_features = frozen(images)
        logits, features = tapped(images)
        upsampled = F.interpolate(logits, labels.shape[-2:], mode="bilinear")
        loss = F.cross_entropy(upsampled, labels, ignore_index=255)
        loss = loss + 3.0 * logit_loss(features["logits"], teacher_features["logits"], labels)
        loss = loss + 0.1 * feature_loss(adapter(features["features.2"]), teacher_features["features.2"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    print(f"loss {history[0]:.3f} -> {history[-1]:.3f}")
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    main(parser.parse_args().steps)
