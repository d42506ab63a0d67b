"""Golden cases of holistic distillation: what the discriminator is asked, and the discriminator itself.

One function per method: it takes a case and the original's hyper-parameters by name and says what they are here.
"""

from collections.abc import Callable
from typing import Any

from golden_cases import Case, Method, Outputs, Probe
from torch import Tensor, nn

from densekd.losses.adversarial.discriminator import (
    Discriminator,
    Objective,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)

PREPROCESS: dict[int, Any] = {1: "batch_norm", 2: "tanh", 3: "image"}
# The original's module -> ours, and its names inside a spectral convolution -> ours.
MODULES = {
    "preprocess_additional": "norm",
    **{f"l{k + 1}.0.module": f"blocks.{k}" for k in range(4)},
    **{f"attn{k}.{theirs}": f"attentions.{k + 1}.{theirs.removesuffix('_conv')}" for k in (1, 2)
       for theirs in ("query_conv", "key_conv", "value_conv")},
    "attn1": "attentions.2",
    "attn2": "attentions.3",
    "last.0": "score",
}  # fmt: skip
LEAVES = {"weight_bar": "weight", "weight_u": "u", "weight_v": "v"}


class Call(nn.Module):
    """A function of student and teacher as a module."""

    def __init__(self, function: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, student: Any, teacher: Any, target: None) -> Tensor:
        return self.function(student, teacher)


def our_name(theirs: str) -> str:
    """Return what a parameter or buffer of the original is called in :class:`Discriminator`."""
    module, _, leaf = theirs.rpartition(".")
    return f"{MODULES[module]}.{LEAVES.get(leaf, leaf)}"


def adv_criteria(case: Case, adv_type: Objective, loss_weight: float) -> Outputs:
    fake, real = case.inputs["d_student"], case.inputs["d_teacher"]
    return {
        "generator": Probe(Call(lambda s, t: generator_loss(s)), fake, real, factor=loss_weight),
        "discriminator": Probe(Call(lambda s, t: discriminator_loss(s, t, adv_type)), fake, real, factor=loss_weight),
    }


def adv_holistic(
    case: Case,
    preprocess_GAN_mode: int,  # noqa: N803
    input_channel: int,
    conv_dim: int,
    imsize: int,
    adv_type: Objective = "wgan-gp",
    lambda_gp: float | None = None,
) -> Outputs:
    # The originals run with no other width, and with the size of their inputs alone.
    assert (conv_dim, imsize) in ((64, 64), (64, 65))

    def probe(function: Callable[[Discriminator, Tensor, Tensor], Tensor], factor: float = 1.0) -> Probe:
        """Every output starts from the stated state, with a discriminator of its own."""
        discriminator = Discriminator(input_channel, PREPROCESS[preprocess_GAN_mode]).to(case.dtype).train()
        state = {our_name(name): tensor for name, tensor in case.weights("").items()}
        missing = set(discriminator.state_dict()) - set(state)
        assert all(name.startswith("norm.") for name in missing), missing
        discriminator.load_state_dict(state | {name: discriminator.state_dict()[name] for name in missing})
        ours = dict(discriminator.named_parameters())
        parameters = {name: ours[our_name(name)] for name in case.entry["weights"] if our_name(name) in ours}
        buffers = {f"preprocess_additional.{name}": buffer for name, buffer in discriminator.norm.named_buffers()}
        call = Call(lambda s, t: function(discriminator, s, t))
        return Probe(call, case.student, case.teacher, None, factor, 0.0, parameters, buffers)

    def penalty(discriminator: Discriminator, student: Tensor, teacher: Tensor) -> Tensor:
        share = case.read(case.entry["rand"]["keys"][0])
        return gradient_penalty(discriminator, share * teacher + (1 - share) * student)

    makers: dict[str, Callable[[], Probe]] = {
        "generator": lambda: probe(lambda discriminator, s, t: generator_loss(discriminator(s))),
        "discriminator": lambda: probe(
            lambda discriminator, s, t: discriminator_loss(discriminator(s), discriminator(t), adv_type)
        ),
        # The HWD repository's takes the first image of the batch alone, by mistake; ours takes all.
        "gradient_penalty": lambda: probe(penalty, lambda_gp or 0.0),
    }
    return {name: makers[name]() for name in case.entry["expected"]["outputs"]}


METHODS: dict[str, Method] = {"adv.criteria": adv_criteria, "adv.holistic": adv_holistic}
