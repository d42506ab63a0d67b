"""Laws of ``adversarial``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.adversarial import Adversarial

CHANNELS = 5

# Evaluation holds the discriminator's state (power iteration, batch statistics), so that two calls can be compared; the
# hinge draws no random numbers. ``test_adversarial.py`` has what holds in training and with the penalty.
MAKE: dict[str, Callable[[], nn.Module]] = {
    "adversarial": lambda: Adversarial(CHANNELS, "hinge").eval(),
    "adversarial tanh": lambda: Adversarial(CHANNELS, "hinge", "tanh", discriminator_weight=1.0).eval(),
    "adversarial penalty": lambda: Adversarial(CHANNELS, "wgan-gp", discriminator_weight=1.0).eval(),
}

EXCEPTIONS: dict[str, set[str]] = {
    "adversarial": {
        # A game has no zero: hinge is 2 for equal tensors, the Wasserstein value has either sign.
        "zero_for_equal_tensors",
        # The discriminator's part depends on the student's values, and its gradient does not reach them.
        "a_step_against_the_gradient_lowers_it",
        # The value has the precision of the discriminator's parameters: float32 unless the module is made double.
        "float64",
        # The discriminator is built for one number of channels; ``test_adversarial.py`` has C = 1.
        "one channel",
    },
    "adversarial penalty": {
        # A second derivative is not compiled: it breaks the graph in two. ``test_adversarial.py`` has the law for that.
        "compiled_equals_eager",
        # One random number per image and call: two calls differ. ``test_adversarial.py`` has both laws under a seed.
        "unchanged_under_channels_last",
        "state_round_trip",
    },
}
