"""Published formulas of the losses, written down as they stand: what ``losses.py`` compares with.

A loss without a row in ``PUBLISHED`` is measured alone, a plain autograd formula for instance.

Nothing here is clever: softmax then logarithm, a matrix of all pairs, a loop over classes. Options come from the loss
that is compared, and so do weights and queues where it has some. ``teacher`` never carries a gradient.
"""

# mypy: disable-error-code="no-any-return"
# What a loss holds (temperature, weights, queues) is read through Any: every loss holds something else.
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.ops.box_masks import box_masks, padded_extent
from densekd.ops.boxes import Boxes

Formula = Callable[[Any, Any, Any, Any], Tensor]


def divergence(student: Tensor, teacher: Tensor, dim: int) -> Tensor:
    p, q = teacher.softmax(dim), student.softmax(dim)
    return p * (p.log() - q.log())


def nearest(labels: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(labels[:, None].float(), size=like.shape[2:], mode="nearest")[:, 0].long()


def cwd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B, C, _, _ = student.shape
    T = loss.temperature
    return divergence(student.flatten(2) / T, teacher.flatten(2) / T, 2).sum() * T**2 / (B * C)


def pixel(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B, _, H, W = student.shape
    T = loss.temperature
    return divergence(student / T, teacher / T, 1).sum() * T**2 / (B * H * W)


def cgd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B, C, H, W = student.shape
    missing = -C % loss.group_size
    s, t = (F.pad(x, (0, 0, 0, 0, 0, missing), value=-1e9) / loss.temperature for x in (student, teacher))
    s, t = (x.view(B, -1, loss.group_size * H * W) for x in (s, t))
    p = t.softmax(2)
    return (p * (t.log_softmax(2) - s.log_softmax(2))).sum() * loss.factor / (B * s.shape[1])


def hwd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B, C, _, _ = student.shape
    T, a = loss.temperature, loss.parameter
    total = student.new_zeros(())
    for i in range(B):
        apart = torch.stack([(student[i, j] - teacher[i, j]).square().sum() for j in range(C)]).detach()
        w = (apart - apart.mean()) / apart.std() + loss.shift
        weight = C * ((1 - a**w) / (1 - a)).softmax(0)
        for j in range(C):
            inside = divergence(student[i, j].flatten() / T, teacher[i, j].flatten() / T, 0).sum()
            total = total + weight[j] * inside
    return total * T**2 / (B * C)


def adversarial(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    discriminator = loss.discriminator
    generator = -discriminator(student).mean()
    game = discriminator(student.detach()).mean() - discriminator(teacher).mean()
    alpha = torch.rand(len(student), 1, 1, 1, device=student.device)
    between = (alpha * teacher + (1 - alpha) * student.detach()).requires_grad_()
    (grad,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    penalty = (grad.flatten(1).square().sum(1).sqrt() - 1).square().mean()
    return generator + loss.discriminator_weight * (game + loss.penalty_weight * penalty)


def pairwise(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    def similarities(x: Tensor) -> Tensor:
        places = F.normalize(F.max_pool2d(x, loss.granularity, ceil_mode=True).flatten(2), dim=1)
        return places.mT @ places

    return (similarities(student) - similarities(teacher)).square().mean()


def ifvd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    near = nearest(labels, student)[:, None]

    def to_center(x: Tensor) -> Tensor:
        center = x
        for k in range(loss.num_classes):
            mask = (near == k).to(x.dtype)
            mean = (x * mask).sum((2, 3), keepdim=True) / (mask.sum((2, 3), keepdim=True) + 1e-6)
            center = (1 - mask) * center + mask * mean
        return F.cosine_similarity(x, center, dim=1)

    return (to_center(student) - to_center(teacher)).square().mean()


def attention(x: Tensor) -> Tensor:
    return F.normalize(x.square().mean(1).flatten(1))


def at(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    return (attention(student) - attention(teacher)).square().mean()


def fitnet(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    return (student - teacher).square().mean()


def psd(loss: Any, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    def steps(levels: tuple[Tensor, ...]) -> list[Tensor]:
        maps = [attention(level) for level in levels]
        return [F.normalize(maps[m] - maps[n]) for n in range(len(maps)) for m in range(n + 1, len(maps))]

    pairs = list(zip(steps(student), steps(teacher), strict=True))
    return torch.stack([(s - t).square().mean() for s, t in pairs]).mean()


def csd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    def similarities(x: Tensor) -> Tensor:
        places = (F.avg_pool2d(x, 2, ceil_mode=True).flatten(2) / loss.temperature).softmax(2)
        return places @ places.mT

    return (similarities(student) - similarities(teacher)).square().mean()


def dsd(loss: Any, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    category = csd(loss.category, student[-1], teacher[-1], labels)
    return psd(loss.pixel, student, teacher, labels) + loss.category_weight * category


def cirkd_minibatch(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B = len(student)
    s, t = (F.normalize(x, dim=1).flatten(2) for x in (student, teacher))
    total = student.new_zeros(())
    for i in range(B):
        for j in range(B):
            a, b = (x[i].T @ x[j] / loss.temperature for x in (s, t))
            total = total + divergence(a, b, 1).sum(1).mean()
    return total / B**2


def cirkd_memory(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Compare with what is remembered; in evaluation mode nothing is added, and the samples stay the same."""
    s = F.normalize(loss.project_head(student), dim=1).movedim(1, 3).flatten(0, 2)
    t = F.normalize(teacher, dim=1).movedim(1, 3).flatten(0, 2)
    valid = (nearest(labels, student) != loss.ignore_index).flatten().to(s.dtype)
    memory = loss.memory
    seeds = memory.draws.seeds(len(student) + 2)[len(student) :]
    total = student.new_zeros(())
    banks = (
        (loss.pixel_weight, memory.pixels.sample(memory.pixel_samples, seeds[:1])),
        (loss.region_weight, memory.regions.sample(memory.region_samples, seeds[1:])),
    )
    for weight, (bank,) in banks:
        apart = divergence(s @ bank.T / loss.temperature, t @ bank.T / loss.temperature, 1).sum(1)
        total = total + weight * loss.factor * (apart * valid).sum() / valid.sum()
    return total


def cirkd_channel(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Compare within the batch and with what is remembered; as above nothing is added."""
    student, teacher = (F.avg_pool2d(x, 4, 4, ceil_mode=True) for x in (student, teacher))
    s, t = (F.normalize(x.flatten(2), dim=2) for x in (loss.project_head(student), teacher))
    B, _, _ = s.shape
    batch = s.new_zeros(())
    for i in range(B):
        for j in range(B):
            a, b = (x[i] @ x[j].T / loss.temperature for x in (s, t))
            batch = batch + divergence(a, b, 1).sum(1).mean() / B**2
    (bank,) = loss.channels.sample(loss.contrast, loss.draws.seeds(2)[1:])
    T = loss.temperature * loss.kd_temperature
    a, b = (x.flatten(0, 1) @ bank.T / T for x in (s, t))
    memory = loss.kd_temperature**2 * divergence(a, b, 1).sum(1).mean()
    mse = (s - t).square().mean()
    return loss.batch_weight * batch + loss.memory_weight * memory + loss.mse_weight * mse


def mgd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    aligned = loss.align(student)
    B, _, H, W = aligned.shape
    hidden = torch.rand(B, 1, H, W, device=aligned.device) > 1 - loss.masked
    mask = torch.where(hidden, aligned.new_zeros(1), aligned.new_ones(1))
    first, _, second = loss.generation
    return (second(first(aligned * mask).relu()) - teacher).square().sum() / B


def pearson_rows(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)


def dist(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    rows = (x.movedim(1, 3).flatten(0, 2) / loss.temperature for x in (student, teacher))
    s, t = (x.softmax(1) for x in rows)
    inter, intra = 1 - pearson_rows(s, t).mean(), 1 - pearson_rows(s.T, t.T).mean()
    return (loss.beta * inter + loss.gamma * intra) * loss.temperature**2


def pkd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    def standardized(x: Tensor) -> Tensor:
        x = x.movedim(1, 0).flatten(1)
        return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-6)

    return (standardized(student) - standardized(teacher)).square().mean() / 2


def fbkd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    B, _, H, W = student.shape

    def mask(x: Tensor) -> Tensor:
        return (x.abs().mean(1).flatten(1) / 0.5).softmax(1).view(B, 1, H, W) * (H * W)

    def non_local(block: Any, x: Tensor) -> Tensor:
        window = (min(block.stride, H), min(block.stride, W))
        theta, phi, g = block.theta(x), F.max_pool2d(block.phi(x), window), F.max_pool2d(block.g(x), window)
        pairs = theta.flatten(2).mT @ phi.flatten(2)
        mixed = (pairs / pairs.shape[2] @ g.flatten(2).mT).mT
        return x + block.norm(block.out(mixed.reshape(B, -1, H, W)))

    attended = ((mask(student) + mask(teacher)) / 2).detach()
    masked = ((teacher - loss.feature(student)).square() * attended).sum().sqrt()
    channels = (teacher.mean((2, 3)) - loss.channels(student.mean((2, 3)))).norm()
    positions = (teacher.mean(1, keepdim=True) - loss.positions(student.mean(1, keepdim=True))).norm()
    relation = loss.relation(non_local(loss.student_non_local, student))
    relation = (non_local(loss.teacher_non_local, teacher) - relation).norm()
    weighted = (
        loss.mask_weight * masked,
        loss.channel_weight * channels,
        loss.spatial_weight * positions,
        loss.non_local_weight * relation,
    )
    return torch.stack(weighted).sum()


def rows_of(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return student and teacher ``[P, C]`` over T, the label ``[P]`` (0 where void) and 1 where not void."""
    near = nearest(labels, student).flatten()
    valid = (near != loss.ignore_index).to(student.dtype)
    s, t = (x.movedim(1, 3).flatten(0, 2) / loss.temperature for x in (student, teacher))
    return s, t, near.where(valid > 0, 0), valid


def dkd(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    s, t, label, valid = rows_of(loss, student, teacher, labels)
    one_hot = F.one_hot(label, s.shape[1]).to(s.dtype)
    p, q = ((torch.stack([(x * one_hot).sum(1), (x * (1 - one_hot)).sum(1)], 1)) for x in (t.softmax(1), s.softmax(1)))
    target = (p * (p.log() - q.log())).sum(1)
    p, q = (t - 1000 * one_hot).softmax(1), (s - 1000 * one_hot).log_softmax(1)
    rest = F.kl_div(q, p, reduction="none").sum(1)
    return ((loss.alpha * target + loss.beta * rest) * valid).sum() / valid.sum() * loss.temperature**2


def wsld(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    s, t, label, valid = rows_of(loss, student, teacher, labels)
    soft = -(t.softmax(1) * s.softmax(1).log()).sum(1)
    one_hot, T = F.one_hot(label, s.shape[1]).to(s.dtype), loss.temperature
    hard_s, hard_t = (-(one_hot * (x.detach() * T).log_softmax(1)).sum(1) for x in (s, t))
    weight = 1 - (-(hard_s / (hard_t + 1e-7)).clamp(min=0)).exp()
    return (weight * soft * valid).sum() / valid.sum() * T**2


def l1(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    return (student - teacher).abs().mean()


def l2(loss: Any, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    s, t = (x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True) * loss.mult for x in (student, teacher))
    return (s - t).square().sum() / len(s)


def ld(loss: Any, student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], target: Boxes) -> Tensor:
    weight, T = loss.weights(student[:1], target), loss.temperature
    s, t = (x[1].permute(0, 2, 3, 1).reshape(*weight.shape, 4, -1) / T for x in (student, teacher))
    return (divergence(s, t, 3).mean(3).sum(2) * weight).sum() * T**2 / 4 / len(weight)


def fgd(loss: Any, student: Tensor, teacher: Tensor, target: Boxes) -> Tensor:
    B, C, H, W = student.shape
    T = loss.temperature

    def attention(x: Tensor) -> tuple[Tensor, Tensor]:
        places = H * W * (x.abs().mean(1).flatten(1) / T).softmax(1)
        return places.view(B, 1, H, W), C * (x.abs().mean((2, 3)) / T).softmax(1)[:, :, None, None]

    (places_t, channels_t), (places_s, channels_s) = attention(teacher), attention(student)
    total = loss.attention_weight * ((places_s - places_t).abs().sum() + (channels_s - channels_t).abs().sum())
    masks = box_masks(target.boxes, padded_extent(target.sizes), teacher)
    for weight, mask in zip((loss.foreground_weight, loss.background_weight), masks, strict=True):
        s, t = (x * places_t.sqrt() * channels_t.sqrt() * mask[:, None].sqrt() for x in (student, teacher))
        total = total + weight * F.mse_loss(s, t, reduction="sum")
    s, t = student + loss.student_context(student), teacher + loss.teacher_context(teacher)
    return (total + loss.relation_weight * F.mse_loss(s, t, reduction="sum")) / B


PUBLISHED: dict[str, Formula] = {
    "cwd": cwd,
    "pixel": pixel,
    "cgd": cgd,
    "hwd": hwd,
    "adversarial": adversarial,
    "pairwise": pairwise,
    "ifvd": ifvd,
    "at": at,
    "fitnet": fitnet,
    "dsd": dsd,
    "dsd.psd": psd,
    "dsd.csd": csd,
    "cirkd_minibatch": cirkd_minibatch,
    "cirkd_memory": cirkd_memory,
    "cirkd_channel": cirkd_channel,
    "mgd": mgd,
    "dist": dist,
    "pkd": pkd,
    "fbkd": fbkd,
    "dkd": dkd,
    "wsld": wsld,
    "l1": l1,
    "l2": l2,
    "ld": ld,
    "fgd": fgd,
}


class Published(nn.Module):
    """The formula as a module with the contract of a loss."""

    def __init__(self, loss: nn.Module, formula: Formula) -> None:
        super().__init__()
        self.loss = loss
        self.formula = formula

    def forward(self, student: Any, teacher: Any, target: Any) -> Tensor:
        """Return the loss."""
        return self.formula(self.loss, student, teacher, target)
