"""What CIRKD, CIRKDv2 and HWD share: data, students, teachers and terms of DeepLabV3, PSPNet and UPerNet."""

from dataclasses import dataclass
from typing import Any

from densekd.presets.preset import Section, Term

WEIGHTS = "checkpoints/cirkd"
_FEATURES = {"student": "pre_logits", "teacher": "pre_logits"}
# Their relations hold between the images of one process.
_MEMORY = {
    "pixel_memory_size": 20000,
    "region_memory_size": 2000,
    "pixel_contrast_size": 4096,
    "region_contrast_size": 1024,
    "contrast_temperature": 0.1,
    "contrast_kd_temperature": 1,
}


@dataclass(frozen=True)
class Student:
    """A student of these systems.

    Args:
        title: in a few words.
        model: name of ``MODELS``.
        options: of its builder.
        pretrained: its ImageNet weights.
        width: channels of the features before its classifier.
        auxiliary: whether it is trained with auxiliary logits.
    """

    title: str
    model: str
    options: Section
    pretrained: str
    width: int
    auxiliary: bool = False

    @property
    def section(self) -> Section:
        """The student's section of a recipe."""
        return {"model": self.model, "options": dict(self.options), "pretrained": self.pretrained}

    @property
    def task(self) -> Section:
        """The task's section: cross-entropy over labelled pixels."""
        if self.auxiliary:
            return {"auxiliary_weight": 0.4, "normalize": "valid"}
        return {"normalize": "valid"}


# Word of the data in the presets' names -> section; the folder is the original's.
DATA: dict[str, Section] = {
    "citys": {"dataset": "cityscapes", "root": "data/cityscapes"},
    "ade20k": {"dataset": "ade20k", "root": "data/ADEChallengeData2016"},
    "voc": {"dataset": "voc", "root": "data/VOCAug", "train": "trainaug"},
    "camvid": {"dataset": "camvid", "root": "data/CamVid"},
    "coco_stuff_164k": {"dataset": "cocostuff", "root": "data/coco_stuff_164k"},
    "coco_stuff_10k": {"dataset": "cocostuff10k", "root": "data/coco_stuff_10k"},
}


def data_section(name: str, batch_size: int, workers: int = 8) -> Section:
    """Return the section of a data set."""
    return DATA[name] | {"batch_size": batch_size, "workers": workers}


def augmentation(crop: tuple[int, int]) -> Section:
    """Return what these systems do to every image: scaled by 0.5 to 2, mirrored, cropped."""
    return {"crop": list(crop), "scale": [0.5, 2.0], "flip": 0.5, "max_class_share": 1}


def sgd(lr: float) -> Section:
    """Return the optimizer of the convolutional students."""
    return {
        "method": "sgd",
        "lr": lr,
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "power": 0.9,
        "floor": 0,
        "warmup": 0,
    }


def adamw(lr: float, weight_decay: float) -> Section:
    """Return the optimizer of the transformers."""
    return {
        "method": "adamw",
        "lr": lr,
        "betas": [0.9, 0.999],
        "weight_decay": weight_decay,
        "power": 0.9,
        "floor": 0,
        "warmup": 0,
    }


def schedule(steps: int, validate_every: int) -> Section:
    """Return the length of a training whose best weights on the validation split are kept."""
    return {"steps": steps, "validate_every": validate_every, "checkpoint_every": 800, "export": "best"}


def pixel() -> Term:
    """Return pixel-wise distillation."""
    return {"method": "pixel", "weight": 1, "options": {"temperature": 1, "reduction": "pixel"}}


def adversarial(**optimization: Any) -> Term:
    """Return holistic distillation; ``optimization`` is what the discriminator learns with besides Adam's numbers."""
    options = {
        "objective": "hinge",
        # lambda_d / lambda_adv = 0.1 / 0.001.
        "discriminator_weight": 100,
        "optimization": {"lr": 0.0004, "betas": [0.9, 0.99]} | optimization,
    }
    return {"method": "adversarial", "weight": 0.001, "options": options}


def on_features(method: str, weight: float, adapter: str = "", **options: Any) -> Term:
    """Return a term on the features before the classifiers."""
    term: Term = {"method": method, "weight": weight}
    if options:
        term["options"] = options
    term |= _FEATURES
    if adapter:
        term["adapter"] = adapter
    return term


def on_logits(method: str, weight: float, **options: Any) -> Term:
    """Return a term on the logits."""
    return {"method": method, "weight": weight, "options": options}


def relations(memory_weight: float = 0.1, adapter: str = "", **memory: int) -> list[Term]:
    """Return CIRKD's relations: within the batch and to the memory.

    Args:
        memory_weight: of the pixel and of the region relations to the memory.
        adapter: on the student's features.
        memory: sizes that are not the usual ones.
    """
    bank = _MEMORY | memory | {"pixel_weight": memory_weight, "region_weight": memory_weight}
    return [
        on_features("cirkd_minibatch", 1, adapter, temperature=0.1),
        on_features("cirkd_memory", 1, adapter, **bank),
    ]
