"""TorchDistiller's numbers: ``exp_cwd.sh``, and the defaults of ``train.py`` that it leaves."""

from typing import Any

from densekd.presets.originals.fact import Fact

_GAN: dict[str, Any] = {"method": ("cwd-gan-pixel",)}
_LOGITS: dict[str, Any] = {"method": ("cwd", "cwd-gan-pixel")}
_FEATURES: dict[str, Any] = {"method": ("cwd-feat",)}


def _fact(parameter: str, original: str, key: str, ours: Any, why: str = "", **only: Any) -> Fact:
    return Fact(parameter, original, "train.py", key, ours, why, only)


TORCHDISTILLER = (
    _fact("--data_set", "city", "data.dataset", "cityscapes"),
    _fact("--batch-size", "8", "data.batch_size", 8),
    _fact("--input-size", "512,512", "augment.crop", [512, 512]),
    _fact("--random-scale", "not passed", "augment.scale", [1, 1]),
    _fact("--random-mirror", "not passed", "augment.flip", 0),
    _fact("crop", "any", "augment.max_class_share", 1),
    _fact("student", "Res_pspnet BasicBlock [2, 2, 2, 2]", "student.model", "pspnet"),
    _fact("student backbone", "ResNet-18, deep stem", "student.options.backbone", "resnet18"),
    _fact("norm, pooling, interpolation", "InPlace-ABN, ceil, aligned", "student.options.family", "torchdistiller"),
    _fact("dsn", "Conv3x3(256, 128)", "student.options.auxiliary_channels", 128),
    _fact(
        "--student-pretrain-model-imgnet",
        "ckpt/resnet18-imagenet.pth",
        "student.pretrained",
        "checkpoints/torchdistiller/resnet18-imagenet.pth",
    ),
    _fact(
        "--T_ckpt_path", "ckpt/teacher_city.pth", "teacher.checkpoint",
        "checkpoints/torchdistiller/teacher_city.pth",
    ),
    _fact("--lambda-cwd", "3", "distill.cwd.weight", 3, **_LOGITS),
    _fact("--temperature", "4", "distill.cwd.options.temperature", 4, **_LOGITS),
    _fact("--lambda-cwd", "35 (logs)", "distill.cwd.weight", 35, **_FEATURES),
    _fact("--temperature", "8 (best of the logs 1 to 10)", "distill.cwd.options.temperature", 8, **_FEATURES),
    _fact("--cwd-feat", "preds[2]: the dropout included", "distill.cwd.student", "head.dropout", **_FEATURES),
    _fact("--cwd-feat", "preds[2]: the dropout included", "distill.cwd.teacher", "head.dropout", **_FEATURES),
    _fact(
        "adapter", "1x1, InPlace-ABN (leaky), ReLU", "distill.cwd.adapter", "conv-bn-relu",
        "ReLU after a leaky ReLU is a ReLU", **_FEATURES,
    ),
    _fact("--norm-type", "channel", "distill.cwd.options.normalize", "channel"),
    _fact("--divergence", "kl", "distill.cwd.options.divergence", "kl"),
    _fact("temperature of KD", "1", "distill.pixel.options.temperature", 1.0, **_GAN),
    _fact("--lr-d", "4e-4", "distill.adversarial.options.optimization.lr", 0.0004, **_GAN),
    _fact(
        "betas of the discriminator", "0.9, 0.99", "distill.adversarial.options.optimization.betas", [0.9, 0.99], **_GAN
    ),
    _fact(
        "power of the discriminator's rate", "0.9", "distill.adversarial.options.optimization.power", 0.9, **_GAN
    ),
    _fact("--preprocess-GAN-mode", "1", "distill.adversarial.options.preprocess", "batch_norm", **_GAN),
    _fact("lowest rate", "0", "optimizer.floor", 0.0),
    _fact("warm-up", "none", "optimizer.warmup", 0),
    _fact("--lambda-kd", "10", "distill.pixel.weight", 10, **_GAN),
    _fact("KLDivLoss", "mean of elements", "distill.pixel.options.reduction", "element", **_GAN),
    _fact("temperature of KD", "1, no factor", "distill.pixel.options.scale", "none", **_GAN),
    _fact("--lambda-adv", "0.001", "distill.adversarial.weight", 0.001, **_GAN),
    _fact("--adv-loss-type", "wgan-gp", "distill.adversarial.options.objective", "wgan-gp", **_GAN),
    _fact(
        "--lambda-d", "0.1", "distill.adversarial.options.discriminator_weight", 100,
        "in units of the term's weight: 0.1 / 0.001", **_GAN,
    ),
    _fact("--lambda-gp", "10", "distill.adversarial.options.penalty_weight", 10, **_GAN),
    _fact("auxiliary loss", "0.4", "task.auxiliary_weight", 0.4),
    _fact("CrossEntropyLoss", "mean of valid pixels", "task.normalize", "valid"),
    _fact("optimizer", "SGD", "optimizer.method", "sgd"),
    _fact("--lr-g", "1e-2", "optimizer.lr", 0.01),
    _fact("--momentum", "0.9", "optimizer.momentum", 0.9),
    _fact("--weight-decay", "5e-4", "optimizer.weight_decay", 0.0005),
    _fact("--power", "0.9", "optimizer.power", 0.9),
    _fact("--num-steps", "40000", "training.steps", 40000),
    _fact("evaluation", "at the last step", "training.validate_every", 0),
    _fact("mean IoU", "absent classes count 0", "evaluation.absent", "zero"),
)  # fmt: skip
