"""Optimizer, learning rate schedule and intervals of OpenMMLab's configurations, in both generations."""

from dataclasses import dataclass

from densekd.convert_config.job import Job, checkpoint_interval
from densekd.convert_config.settings import Settings
from densekd.errors import UserError
from densekd.presets.parts import Content

_FALL = 0.1


@dataclass(frozen=True)
class Schedule:
    """Sections of a recipe about steps and rates.

    Args:
        optimizer: the section ``optimizer``.
        training: the section ``training``.
        batch: images of an optimizer step.
    """

    optimizer: Content
    training: Content
    batch: int


@dataclass(frozen=True)
class _Clock:
    """Conversion of a configuration's counts to optimizer steps."""

    epoch: int | None
    accumulated: int

    def steps(self, count: int, by_epoch: bool) -> int:
        """Return the optimizer steps of so many epochs or iterations."""
        if by_epoch:
            assert self.epoch is not None
            return count * self.epoch
        return count // self.accumulated


def read_schedule(job: Job, dataset: str, batch: int) -> Schedule:
    """Read optimizer, schedule, length and intervals.

    Args:
        job: the configuration.
        dataset: name of the recipe's dataset, for the length of an epoch.
        batch: images of an iteration on all devices.

    Raises:
        UserError: no length, or a length in epochs of unknown size.
    """
    wrapper = job.config.at("optim_wrapper") if job.modern else job.config
    accumulated = int(wrapper.get("accumulative_counts", default=1)) if job.modern else _accumulated(job)
    if accumulated > 1:
        job.report.assume(f"{accumulated} iterations make one optimizer step: a batch of {accumulated * batch}")
    length, by_epoch = _length(job)
    epoch = job.epoch_steps(dataset, accumulated * batch) if by_epoch or _epochs_within(job) else None
    clock = _Clock(epoch, accumulated)
    optimizer = _optimizer(job, wrapper.at("optimizer"))
    if job.modern:
        _modern_rates(job, clock, optimizer)
    else:
        _rates(job, clock, optimizer)
    training: Content = {"steps": clock.steps(length, by_epoch)}
    training |= _precision(job, wrapper)
    clip = _clip(job, wrapper)
    if clip:
        training["clip"] = clip
    training |= _intervals(job, clock, by_epoch)
    return Schedule(optimizer, training, accumulated * batch)


def _accumulated(job: Job) -> int:
    return int(job.config.get("optimizer_config", "cumulative_iters", default=1))


def _length(job: Job) -> tuple[int, bool]:
    """Return the length of the training, and whether it counts epochs."""
    places = ("train_cfg",) if job.modern else ("runner", "total")
    for place in places:
        for key, by_epoch in (("max_iters", False), ("max_epochs", True)):
            found = job.config.get(place, key) if place != "total" else job.config.get(key.replace("max", "total"))
            if found:
                job.config.ignore_entries(place, "type", "by_epoch")
                return int(found), by_epoch
    raise UserError(
        f"{job.report.source}: no length of the training (train_cfg.max_iters, runner.max_iters or their epochs): "
        "is the schedule in a base that is missing?"
    )


def _epochs_within(job: Job) -> bool:
    """Whether a schedule of iterations still counts something in epochs."""
    for scheduler in job.config.at("param_scheduler").items():
        if scheduler.peek("by_epoch") is not False and scheduler.peek("milestones"):
            return True
    return False


def _optimizer(job: Job, optimizer: Settings) -> Content:
    kind = str(optimizer.get("type", default="SGD"))
    content: Content = {"method": kind.lower()}
    if content["method"] not in ("sgd", "adamw"):
        job.report.leave(f"the optimizer {kind}: densekd has sgd and adamw, and adamw is written")
        content["method"] = "adamw"
    content["lr"] = optimizer.get("lr", default=0.01)
    if content["method"] == "sgd":
        content["momentum"] = optimizer.get("momentum", default=0.0)
    else:
        content["betas"] = list(optimizer.get("betas", default=(0.9, 0.999)))
    content["weight_decay"] = optimizer.get("weight_decay", default=0.0 if kind == "SGD" else 0.01)
    groups = optimizer.at("paramwise_cfg")
    if job.modern:
        groups = job.config.at("optim_wrapper", "paramwise_cfg")
    _groups(job, groups, content)
    return content


def _groups(job: Job, groups: Settings, content: Content) -> None:
    """Read exceptions from the weight decay, and factors on the rate of the head or the backbone."""
    no_decay: list[str] = []
    for name, entry in groups.at("custom_keys").named():
        if entry.peek("decay_mult") == 0:
            entry.get("decay_mult")
            # It goes by names, which our 'norm' does not.
            no_decay.append("named:norm" if name == "norm" else name)
        factor = entry.peek("lr_mult")
        if factor is not None and ("head" in name or name == "backbone"):
            entry.get("lr_mult")
            _factor(name, float(factor), content)
    for key, part in (("norm_decay_mult", "norm"), ("bias_decay_mult", "bias")):
        if groups.peek(key) == 0:
            groups.get(key)
            no_decay.append(part)
    if no_decay:
        content["no_decay"] = no_decay


def _factor(name: str, factor: float, content: Content) -> None:
    if name == "backbone":
        # The recipe's rate is the backbone's, and a factor raises that of everything else.
        content["lr"] *= factor
        content["head_lr"] = round(1 / factor, 9)
    else:
        content["head_lr"] = factor


def _rates(job: Job, clock: _Clock, content: Content) -> None:
    """Read mmcv's ``lr_config``."""
    config = job.config.at("lr_config")
    by_epoch = bool(config.get("by_epoch", default=True))
    policy = str(config.get("policy", default="")).lower()
    if policy == "poly":
        content["power"] = config.get("power", default=1.0)
        _floor(content, config.get("min_lr", default=0.0))
        _each_step(job, by_epoch)
    elif policy == "step":
        falls = config.get("step", default=[])
        falls = falls if isinstance(falls, (list, tuple)) else [falls]
        content["milestones"] = [clock.steps(int(count), by_epoch) for count in falls]
        config.expect("gamma", value=_FALL)
    else:
        _other_schedule(job, policy or "none", content)
    warmup = config.get("warmup")
    if warmup is None:
        return
    if warmup != "linear":
        job.report.leave(f"the {warmup} warm-up: a linear one is written")
    content["warmup"] = clock.steps(int(config.get("warmup_iters", default=0)), False)
    content["warmup_ratio"] = config.get("warmup_ratio", default=0.1)


def _modern_rates(job: Job, clock: _Clock, content: Content) -> None:
    """Read mmengine's ``param_scheduler``."""
    schedulers = job.config.at("param_scheduler")
    entries = list(schedulers.items()) or ([schedulers] if schedulers.value else [])
    for entry in entries:
        kind = str(entry.get("type"))
        by_epoch = bool(entry.get("by_epoch", default=True))
        if kind == "PolyLR":
            content["power"] = entry.get("power", default=1.0)
            _floor(content, entry.get("eta_min", default=0.0))
            _each_step(job, by_epoch)
            _ranged(job, entry, kind)
        elif kind == "MultiStepLR":
            falls = entry.get("milestones", default=[])
            content["milestones"] = [clock.steps(int(count), by_epoch) for count in falls]
            entry.expect("gamma", value=_FALL)
            _ranged(job, entry, kind)
        elif kind == "LinearLR" and not entry.get("begin"):
            content["warmup"] = clock.steps(int(entry.get("end", default=0)), by_epoch)
            content["warmup_ratio"] = entry.get("start_factor", default=1 / 3)
        else:
            _other_schedule(job, kind, content)
    if not entries:
        _other_schedule(job, "none", content)


def _each_step(job: Job, by_epoch: bool) -> None:
    if by_epoch:
        job.report.assume("the polynomial decay goes on at every step instead of every epoch")


def _ranged(job: Job, entry: Settings, kind: str) -> None:
    begin = entry.get("begin", default=0)
    entry.get("end")
    if begin:
        job.report.assume(f"{kind} counts from step 0 instead of {begin}; the warm-up lies over it")


def _floor(content: Content, rate: float) -> None:
    if rate:
        content["floor"] = rate


def _other_schedule(job: Job, kind: str, content: Content) -> None:
    content.setdefault("power", 0)
    if kind not in ("none", "fixed", "ConstantLR"):
        job.report.leave(f"the schedule {kind}: densekd has polynomial decay and milestones; write one of them")


def _precision(job: Job, wrapper: Settings) -> Content:
    kind = wrapper.get("type") if job.modern else None
    half = kind == "AmpOptimWrapper" or bool(job.config.get("fp16"))
    if not half:
        return {}
    wrapper.get("loss_scale")
    wrapper.get("dtype")
    job.report.assume("mixed precision in bf16 instead of fp16, without loss scaling")
    return {"precision": "bf16"}


def _clip(job: Job, wrapper: Settings) -> float:
    place = wrapper.at("clip_grad") if job.modern else wrapper.at("optimizer_config", "grad_clip")
    place.expect("norm_type", value=2)
    if not job.modern:
        wrapper.at("optimizer_config").expect("type", value="OptimizerHook")
    elif job.config.peek("optimizer_config", "grad_clip"):
        job.config.get("optimizer_config")
        job.report.assume("optimizer_config.grad_clip is read by nobody in mmengine, and so there is no clipping")
    clip = place.get("max_norm", default=0) or 0
    return float(clip)


def _intervals(job: Job, clock: _Clock, by_epoch: bool) -> Content:
    """Read the steps between validations and between checkpoints."""
    if job.modern:
        validation = job.config.get("train_cfg", "val_interval", default=1)
        hook = job.config.at("default_hooks", "checkpoint")
        counts = by_epoch and hook.get("by_epoch", default=True)
    else:
        validation = job.config.get("evaluation", "interval", default=1)
        hook = job.config.at("checkpoint_config")
        counts = by_epoch and hook.get("by_epoch", default=True)
    hook.expect("type", value="CheckpointHook")
    saving = clock.steps(int(hook.get("interval", default=1 if counts else 1000)), bool(counts))
    best = hook.get("save_best") or job.config.get("evaluation", "save_best")
    content: Content = {"validate_every": clock.steps(int(validation), by_epoch)}
    content["checkpoint_every"] = checkpoint_interval(saving, job.report)
    if best:
        content["export"] = "best"
    return content
