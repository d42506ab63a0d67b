"""Golden cases of ``cgd`` with the schedules and the resizing of its term."""

from collections.abc import Mapping
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.distill.terms import TapPair, Term, WeightSchedule
from densekd.losses.cgd import CGD

Config = Mapping[str, Any]
PUBLISHED_RESIZE = {"mode": "bilinear", "align_corners": False}
SHAPES: dict[str, Any] = {"linear": "linear", "exp": "exponential", "jump": "jump"}


class RecordedPermutations(nn.Module):
    """A term under the permutations that the original drew, in call order."""

    def __init__(self, term: Term, permutations: list[Tensor]) -> None:
        super().__init__()
        self.term = term
        self.permutations = permutations

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        drawn = iter(self.permutations)

        def randperm(n: int, device: torch.device) -> Tensor:
            # Ours is drawn in every call, also where the interval makes nothing of it.
            return next(drawn, torch.arange(n)).to(device)

        with mock.patch("torch.randperm", randperm):
            value: Tensor = self.term({"logits": student}, {"logits": teacher}, target)
        assert next(drawn, None) is None
        return value


def segdistill_kld(
    case: Case,
    alpha: float = 3.0,
    tau: float = 2.0,
    transform: Any = None,
    group_size: int | None = None,
    resize: Config | None = None,
    shuffle_interval: int = 0,
    warmup: Config | None = None,
    earlydecay: Config | None = None,
    transform_config: Config | None = None,
    resize_config: Config | None = None,
    shuffle_config: Config | None = None,
    warmup_config: Config | None = None,
    earlydecay_config: Config | None = None,
    n_iter: int = 1,
) -> Outputs:
    options = dict(transform_config or {})
    group_size = options.pop("group_size", group_size)
    transform = options.pop("loss_type", transform) or ("none" if group_size is None else "channel")
    interval = (shuffle_config or {"interval": shuffle_interval})["interval"]
    assert not options
    loss = CGD(tau, transform, group_size or 1, interval, "none")
    loss.calls.fill_(n_iter - 1)
    weight = _schedule(alpha, warmup or warmup_config, earlydecay or earlydecay_config)
    student, teacher, labels = case.student, case.teacher, case.inputs["labels"].squeeze(1)
    resize = resize or resize_config
    if resize is not None and resize != PUBLISHED_RESIZE:
        # A term resizes as all published configurations do.
        student, teacher = (F.interpolate(x, labels.shape[1:], **resize) for x in (student, teacher))
    term = Term(loss, TapPair("logits", "logits"), nn.Identity(), weight, "none" if resize is None else "label")
    return {"loss": Probe(RecordedPermutations(term, _permutations(case)), student, teacher, labels, weight(n_iter))}


def _schedule(alpha: float, warmup: Config | None, decay: Config | None) -> WeightSchedule:
    warmup = warmup or {"warmup_iters": 0, "mode": "linear"}
    span = None if decay is None else (decay["earlydecay_start"], decay["earlydecay_end"])
    shapes = SHAPES[warmup["mode"]], SHAPES["linear" if decay is None else decay["mode"]]
    return WeightSchedule(alpha, warmup["warmup_iters"], shapes[0], span, shapes[1])


def _permutations(case: Case) -> list[Tensor]:
    drawn = case.entry.get("randperm")
    if drawn is None:
        return []
    return list(case.read(drawn["values"]).split(case.read(drawn["lengths"]).tolist()))


METHODS: dict[str, Method] = {"segdistill.kld": segdistill_kld}
