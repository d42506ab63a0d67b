"""Options of losses: their annotations are the schema, so mistakes of a recipe are named before anything runs."""

import re
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from laws import SUPPLIED
from torch import nn

from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.losses.cwd import CWD
from densekd.losses.hwd import HWD
from densekd.losses.pixel import Pixel
from densekd.registry import construct

POSITIVE, WHOLE = "greater than 0", "an integer"
NON_NEGATIVE = "at least 0"


def build(method: str, options: dict[str, Any]) -> Any:
    return construct(LOSSES[method], options, SUPPLIED, "distill.0.options")


def options_of(method: str) -> dict[str, Any]:
    """Return the annotations of what a recipe may set."""
    if LOSSES[method].__init__ is nn.Module.__init__:
        return {}
    hints = get_type_hints(LOSSES[method].__init__, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in SUPPLIED and name != "return"}


OPTIONS = [(method, name, hint) for method in LOSSES for name, hint in options_of(method).items()]


@pytest.mark.parametrize(("method", "option", "hint"), OPTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_every_option_says_its_type(method: str, option: str, hint: Any) -> None:
    """A mapping is neither a number, a choice nor a list."""
    wrong = "4" if "Mapping" in str(hint) else {"a": 1}
    with pytest.raises(RecipeError, match=rf"^distill\.0\.options\.{option}: .*, got ") as caught:
        build(method, {option: wrong})
    for choice in get_args(hint) if get_origin(hint) is not Annotated else ():
        assert not isinstance(choice, str) or choice in str(caught.value)


@pytest.mark.parametrize(
    ("method", "option", "value", "wanted"),
    [
        ("adversarial", "objective", "wgan", "one of wgan-gp, hinge"),
        ("adversarial", "preprocess", "norm", "one of batch_norm, tanh, image"),
        ("adversarial", "discriminator_weight", -1.0, NON_NEGATIVE),
        ("adversarial", "penalty_weight", -2.0, NON_NEGATIVE),
        ("at", "attention", "max", "one of energy, mean"),
        ("cgd", "temperature", 0.0, POSITIVE),
        ("cgd", "group_size", 0, POSITIVE),
        ("cgd", "group_size", 1.5, WHOLE),
        ("cgd", "shuffle_interval", -1, NON_NEGATIVE),
        ("cgd", "transform", "group", "one of channel, pixel, none"),
        ("cgd", "scale", "T", "one of squared, none"),
        ("cirkd_channel", "channel_memory_size", 0, POSITIVE),
        ("cirkd_channel", "contrast_kd_temperature", 0.0, POSITIVE),
        ("cirkd_channel", "mse_weight", -1.0, NON_NEGATIVE),
        ("cirkd_memory", "pixel_memory_size", 0, POSITIVE),
        ("cirkd_memory", "contrast_temperature", 0.0, POSITIVE),
        ("cirkd_memory", "enqueue", "own", "one of class, as_released"),
        ("cirkd_minibatch", "temperature", 0.0, POSITIVE),
        ("cwd", "temperature", 0.0, POSITIVE),
        ("cwd", "temperature", -1.0, POSITIVE),
        ("cwd", "normalize", "chanel", "one of channel, spatial, channel_mean, none"),
        ("cwd", "divergence", "js", "one of kl, mse"),
        ("dist", "temperature", 0.0, POSITIVE),
        ("dist", "normalize", "l2", "one of softmax, none"),
        ("dist", "rows", "pixels", "one of positions, images"),
        ("dkd", "temperature", -1.0, POSITIVE),
        ("dkd", "reduction", "mean", "one of pixel, sum"),
        ("dsd.csd", "temperature", 0.0, POSITIVE),
        ("fbkd", "reduction", 0, POSITIVE),
        ("fbkd", "stride", 0, POSITIVE),
        ("fbkd", "non_local_weight", -1.0, NON_NEGATIVE),
        ("fgd", "temperature", 0.0, POSITIVE),
        ("fgd", "relation_weight", -1.0, NON_NEGATIVE),
        ("fgd", "extent", "boxes", "one of batch, image"),
        ("hwd", "parameter", 0.0, POSITIVE),
        ("hwd", "temperature", -1.0, POSITIVE),
        ("hwd", "distance", "MSE", "one of mse, l1, smooth_l1, kl"),
        ("hwd", "values", "features", "one of logits, activations"),
        ("hwd", "pixel_division", "None", "one of none, N, SqrtN, N2"),
        ("hwd", "process", "X", "one of E, T"),
        ("ifvd", "mean", "valid", "one of all, labelled"),
        ("l1", "reduction", "mean", "one of element, sum"),
        ("l2", "reduction", "mean", "one of batch, element, distance"),
        ("l2", "normalize", "channel", "one of sample, none"),
        ("l2", "mult", 0.0, POSITIVE),
        ("ld", "temperature", 0.0, POSITIVE),
        ("ld", "strides", [8, 0], POSITIVE),
        ("ld", "region", "all", "one of main, valuable"),
        ("ld", "divisor", "sum", "one of images, weights"),
        ("mgd", "masked", 1.5, "at most 1"),
        ("mgd", "mask", "pixel", "one of position, channel"),
        ("pairwise", "granularity", 0, POSITIVE),
        ("pixel", "temperature", 0.0, POSITIVE),
        ("pixel", "temperature", "4", "a number"),
        ("pixel", "reduction", "mean", "one of pixel, element, batch, sum"),
        ("pixel", "scale", "T", "one of squared, none"),
        ("pixel", "void", "drop", "one of kept, masked"),
        ("pixel", "divergence", "js", "one of kl, soft_ce, hard_ce"),
        ("pkd", "resize", "both", "one of student, teacher"),
        ("wsld", "temperature", 0.0, POSITIVE),
    ],
)
def test_a_value_out_of_range_names_the_range(method: str, option: str, value: Any, wanted: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build(method, {option: value})
    message = str(caught.value)
    assert re.match(rf"distill\.0\.options\.{option}\b", message), message
    assert wanted in message, message
    assert f"got {value!r}" in message, message


@pytest.mark.parametrize("method", LOSSES)
def test_an_unknown_option_is_named(method: str) -> None:
    with pytest.raises(RecipeError, match=r"^distill\.0\.options: unknown option 'temprature'"):
        build(method, {"temprature": 1.0})


def test_the_edges_of_a_range_are_inside() -> None:
    assert build("mgd", {"masked": 0.0}).masked == 0
    assert build("mgd", {"masked": 1}).masked == 1
    assert build("cgd", {"shuffle_interval": 0, "group_size": 1}).group_size == 1
    assert build("adversarial", {"penalty_weight": 0}).penalty_weight == 0


# What a single annotation cannot say.
@pytest.mark.parametrize(
    ("method", "options", "parts"),
    [
        ("cwd", {"normalize": "none"}, ["normalize: none", "divergence: mse"]),
        ("cwd", {"normalize": "channel_mean"}, ["normalize: channel_mean", "divergence: mse"]),
        ("hwd", {"distance": "kl"}, ["KL needs distributions", "values: activations"]),
        ("pixel", {"divergence": "hard_ce", "temperature": 2.0}, ["hard_ce knows no temperature, got 2.0"]),
    ],
)
def test_options_that_have_no_meaning_together(method: str, options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        build(method, options)
    assert all(part in str(caught.value) for part in ["distill.0.options: ", *parts]), caught.value


def test_they_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="normalize: none"):
        CWD(normalize="none")
    with pytest.raises(ValueError, match="KL needs distributions"):
        HWD(distance="kl")
    with pytest.raises(ValueError, match="hard_ce knows no temperature"):
        Pixel(255, 2.0, divergence="hard_ce")
