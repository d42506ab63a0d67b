"""Two recipes as text, with a comment at each line that people change."""

from typing import Any

import yaml

from densekd.data.picture import RGB
from densekd.init.choose import Choice, Model
from densekd.init.look import Found
from densekd.init.machine import Machine
from densekd.parsers import YamlDumper


def teacher_recipe(found: Found, choice: Choice, machine: Machine, network: bool) -> str:
    """Return the text of ``teacher.yaml``.

    Args:
        found: the data.
        choice: models and sizes.
        machine: that trains.
        network: whether pretrained weights can be downloaded.
    """
    lines = [
        f"# A teacher for {_described(found)}; proposed for {machine.name}.",
        "# densekd docs recipe: every key. densekd check teacher.yaml: time and memory, before anything is trained.",
        "name: teacher",
        *_data(found, choice),
        *_augment(found, choice),
        "student:                            # what is trained here; teaches the student of student.yaml afterwards",
        *_model(choice.teacher, network),
        *_rest(found, choice, machine, choice.steps[0]),
    ]
    return "\n".join(lines) + "\n"


def student_recipe(
    found: Found, choice: Choice, machine: Machine, network: bool, teacher: dict[str, str], features: bool = False
) -> str:
    """Return the text of ``student.yaml``.

    Args:
        found: the data.
        choice: models and sizes.
        machine: that trains.
        network: whether pretrained weights can be downloaded.
        teacher: section ``teacher``.
        features: whether it is a detector of other classes, which teaches features alone.
    """
    taken = "" if choice.milliseconds is None else f", {choice.milliseconds:.1f} ms an image here"
    lines = [
        f"# A student for {_described(found)}{taken}.",
        "name: student",
        *_data(found, choice),
        *_augment(found, choice),
        "student:                            # what ships",
        *_model(choice.student, network),
        f"teacher: {_flow(teacher)}",
        *_terms(found, teacher, features),
        *_baseline(found),
        *_rest(found, choice, machine, choice.steps[1]),
    ]
    return "\n".join(lines) + "\n"


def _described(found: Found) -> str:
    classes = found.train.classes.names
    if found.task == "none":
        return f"{len(classes)} classes on {len(found.train)} images without labels"
    kinds = f"{len(classes)} classes, " if found.task != "depth" else ""
    return f"{found.task} of {kinds}{len(found.train)} + {len(found.val)} images"


def _data(found: Found, choice: Choice) -> list[str]:
    spec = found.data
    lines = ["data:", f"  dataset: {spec.dataset}", f"  root: {_quoted(spec.root)}"]
    if spec.options:
        lines.append(f"  options: {_flow(spec.options)}")
    if (spec.train, spec.val) != ("train", "val"):
        lines += [f"  train: {_quoted(spec.train)}", f"  val: {_quoted(spec.val)}"]
    if spec.split is not None:
        split = {"val": spec.split.val, "seed": spec.split.seed}
        lines.append(f"  split: {_flow(split)}        # drawn once; groups: keeps drives, patients, tiles together")
    if spec.bands != RGB:
        lines.append(
            f"  bands: {spec.bands}                          # all of the file; a list takes some, counted from 1"
        )
    if choice.short_side is not None:
        lines.append(f"  short_side: {choice.short_side}                   # images are brought to this, also later on")
    if choice.long_side is not None:
        lines.append(f"  long_side: {choice.long_side}")
    lines.append(f"  batch_size: {choice.batch}                     # less where memory ends")
    return lines


def _augment(found: Found, choice: Choice) -> list[str]:
    if choice.crop is None:
        side = choice.short_side or min(choice.size)
        return [f"augment: {{short_side: [{round(0.8 * side)}, {round(1.2 * side)}], flip: 0.5}}"]
    return [
        f"augment: {{crop: [{choice.crop[0]}, {choice.crop[1]}]}}   # flip: 0 where left and right differ in meaning"
    ]


def _model(model: Model, network: bool) -> list[str]:
    lines = [f"  model: {model.name}", f"  options: {_flow(model.options)}"]
    if model.pretrained and network:
        lines.append(f"  pretrained: {model.pretrained}    # ImageNet weights, downloaded once")
    elif model.pretrained:
        lines.append(f"  # pretrained: {model.pretrained}    # much better, where there is a network")
    return lines


def _baseline(found: Found) -> list[str]:
    if found.task == "none":
        return []
    return ["baseline: train                     # the same student alone, to know what distillation was worth"]


def _terms(found: Found, teacher: dict[str, str], features: bool) -> list[str]:
    lines = ["distill:                            # densekd losses lists all methods"]
    if found.task == "detection":
        taps = "neck.{0,1,2,3}" if features else "cls.{0,1,2,3,4}"
        method = {"method": "pkd", "weight": 10} if features else {"method": "cwd", "weight": 5}
        term: dict[str, Any] = method | {"student": taps, "teacher": taps}
        if features:
            term["adapter"] = "conv"
        return [*lines, f"  - {_flow(term)}"]
    resize = {} if teacher.get("checkpoint") == "runs/teacher" else {"resize_to": "teacher"}
    if found.task == "depth":
        return [*lines, f"  - {_flow({'method': 'l1', 'weight': 1} | resize)}"]
    return [*lines, f"  - {_flow({'method': 'cwd', 'weight': 3} | resize)}"]


def _rest(found: Found, choice: Choice, machine: Machine, steps: int) -> list[str]:
    optimizer: dict[str, Any] = {"method": "adamw", "lr": 0.003, "weight_decay": 0.02, "warmup": min(100, steps // 10)}
    training: dict[str, Any] = {"steps": steps, "precision": "bf16" if machine.bf16 else 32}
    if found.task == "detection":
        optimizer |= {"lr": 0.001, "weight_decay": 0.05}
        training |= {"clip": 10}
    if machine.kind != "cpu":
        optimizer["lr"] = 0.0005
    training |= {"validate_every": max(1, steps // 4), "checkpoint_every": max(1, steps // 10)}
    lines = [] if found.task == "segmentation" else [f"task: {{kind: {found.task}}}"]
    return [*lines, f"optimizer: {_flow(optimizer)}", f"training: {_flow(training)}"]


def _flow(content: dict[str, Any]) -> str:
    """Return a mapping as YAML in one line."""
    text: str = yaml.dump(
        content, Dumper=YamlDumper, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
    )
    return text.strip()


def _quoted(text: str) -> str:
    """Return a text as YAML writes it, with quotes where it needs them."""
    return _flow({"x": text})[len("{x: ") : -1]
