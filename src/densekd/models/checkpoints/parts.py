"""Parts of published networks: backbone and head as the readers of several formats name them."""

from typing import Any, NamedTuple

from densekd.models.checkpoints.layout import Rules


class Body(NamedTuple):
    """Backbone found in a file.

    Args:
        backbone: name of the backbone.
        family: name of the family, which keys alone may not tell.
        rules: from its published keys to ours.
    """

    backbone: str
    family: str
    rules: Rules


class Head(NamedTuple):
    """Head found in a file.

    Args:
        model: name of ``MODELS``.
        channels: the builder's ``channels``.
        rules: from its published keys to ours.
        classifier: published key of the classifier, without ``.weight``.
    """

    model: str
    channels: Any
    rules: Rules
    classifier: str
