"""Golden cases of ``cirkd_*``: recorded permutations are played back where the losses sample."""

from collections.abc import Iterator, Mapping
from unittest import mock

import torch
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses.cirkd import CIRKDChannel, CIRKDMemory, CIRKDMiniBatch, memory_bank
from densekd.losses.inputs import labels_at


class RecordedPermutations(nn.Module):
    """A loss whose permutations are given, in the order in which it asks for them."""

    def __init__(self, loss: nn.Module, permutations: list[Tensor]) -> None:
        super().__init__()
        self.loss = loss
        self.permutations = permutations

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        left = iter(self.permutations)

        def drawn(n: int, seeds: Tensor) -> Tensor:
            given = next(left)
            assert given.shape == (len(seeds), n)
            return given

        with mock.patch.object(memory_bank, "permutations", drawn):
            value: Tensor = self.loss(student, teacher, target)
        assert next(left, None) is None
        return value


def recorded(case: Case) -> Iterator[Tensor] | None:
    """Return the original's permutations in call order; None where each was 0, 1, 2, ..."""
    spec = case.entry.get("randperm")
    if not isinstance(spec, Mapping):
        return None
    return iter(case.read(spec["values"]).split(case.read(spec["lengths"]).tolist()))


def one_permutation(given: Iterator[Tensor] | None, n: int) -> Tensor:
    drawn = torch.arange(n) if given is None else next(given)
    assert len(drawn) == n
    return drawn[None]


def orders_of_pixels(given: Iterator[Tensor] | None, labels: Tensor, ignore: int) -> Tensor:
    """Return permutations of all pixels ``[B, P]`` that order those of each class as the original's permutation does.

    Args:
        given: the original's permutations, one for each image and class present.
        labels: ``[B, P]``.
        ignore: the label of void pixels.
    """
    orders = torch.arange(labels.shape[1]).repeat(len(labels), 1)
    for order, image in zip(orders, labels, strict=True):
        for label in sorted(set(image.tolist()) - {ignore}):
            pixels = (image == label).nonzero().flatten()
            order[pixels] = pixels[one_permutation(given, len(pixels))[0]]
    return orders


def played(case: Case, loss: nn.Module, permutations: list[Tensor], names: Mapping[str, Tensor]) -> Probe:
    """Give the loss the case's weights, queues and permutations.

    Args:
        case: one case.
        loss: one loss, whose forward draws ``permutations``.
        permutations: of pixels or channels, then of slots.
        names: the original's name of each buffer -> ours.
    """
    loss.to(case.dtype)
    loss.get_submodule("project_head").load_state_dict(case.weights("project_head."), strict=False)
    buffers = {}
    for name, spec in case.entry.get("buffers_before", {}).items():
        # A view: the one queue of channels has no axis of its own in the original.
        buffers[name] = loss.get_buffer(names[name]).view(spec["shape"])
        buffers[name].copy_(case.read(spec["key"]))
    head = {name: buffer for name, buffer in loss.named_buffers() if name.startswith("project_head.")}
    return Probe(
        RecordedPermutations(loss, permutations),
        case.student,
        case.teacher,
        case.inputs.get("labels"),
        parameters=dict(loss.named_parameters()),
        buffers={**head, **buffers},
    )


def cirkd_minibatch(case: Case, temperature: float) -> Outputs:
    return {"loss": Probe(CIRKDMiniBatch(temperature), case.student, case.teacher)}


MEMORY = {
    "teacher_pixel_queue": "memory.pixels.keys",
    "pixel_queue_ptr": "memory.pixels.pointer",
    "teacher_segment_queue": "memory.regions.keys",
    "segment_queue_ptr": "memory.regions.pointer",
}


def cirkd_memory_loss(
    case: Case,
    num_classes: int,
    pixel_memory_size: int,
    region_memory_size: int,
    region_contrast_size: int,
    pixel_contrast_size: int,
    contrast_kd_temperature: float,
    contrast_temperature: float,
    s_channels: int,
    t_channels: int,
    ignore_label: int,
    pixel_update_freq: int,
) -> Outputs:
    given = recorded(case)
    labels = labels_at(case.inputs["labels"], case.student.shape[2:]).flatten(1)
    orders = [orders_of_pixels(given, labels, ignore_label)]
    orders += [one_permutation(given, size) for size in (pixel_memory_size, region_memory_size)]
    outputs = {}
    for name, weights in {"pixel": (1.0, 0.0), "region": (0.0, 1.0)}.items():
        loss = CIRKDMemory(
            s_channels,
            t_channels,
            num_classes,
            ignore_label,
            pixel_memory_size,
            region_memory_size,
            # The original's class is given the slots of each class, its command line, as ours, those of all.
            pixel_contrast_size * num_classes - 1 or 1,
            region_contrast_size * num_classes - 1 or 1,
            pixel_update_freq,
            contrast_temperature,
            contrast_kd_temperature,
            *weights,
            "as_released",
        )
        outputs[name] = played(case, loss, orders, MEMORY)
    return outputs


CHANNEL = {"teacher_channel_queue": "channels.keys", "channel_queue_ptr": "channels.pointer"}


def cirkd_channel_loss(
    case: Case,
    channel_memory_size: int,
    channel_contrast_size: int,
    contrast_kd_temperature: float,
    contrast_temperature: float,
    s_channels: int,
    t_channels: int,
    channel_update_freq: int = 256,
) -> Outputs:
    given = recorded(case)
    B, C, H, W = case.teacher.shape
    orders = [one_permutation(given, B * C), one_permutation(given, channel_memory_size)]
    outputs = {}
    for name, weights in {"batch": (1.0, 0.0, 0.0), "memory": (0.0, 1.0, 0.0), "mse": (0.0, 0.0, 1.0)}.items():
        loss = CIRKDChannel(
            s_channels,
            t_channels,
            (H, W),
            channel_memory_size,
            channel_contrast_size,
            channel_update_freq,
            contrast_temperature,
            contrast_kd_temperature,
            *weights,
        )
        outputs[name] = played(case, loss, orders, CHANNEL)
    return outputs


METHODS: dict[str, Method] = {
    "cirkd.minibatch": cirkd_minibatch,
    "cirkd.memory": cirkd_memory_loss,
    "cirkd.memory.hwd_repo": cirkd_memory_loss,
    "cirkd.channel": cirkd_channel_loss,
}
