"""Box head (RoI head) of two-stage detectors, and the features of regions that it reads."""

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align


class BoxHead(nn.Module):
    """Two hidden layers on a region of 7 x 7, then logits and the deltas for each class.

    Args:
        channels: of the levels.
        num_classes: C.

    Shape:
        ``[N, channels, 7, 7]`` -> ``[N, C + 1]`` (background last) and ``[N, C, 4]``.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        width = 4 * channels
        self.hidden = nn.ModuleList([nn.Linear(channels * 7 * 7, width), nn.Linear(width, width)])
        self.cls = nn.Linear(width, num_classes + 1)
        self.reg = nn.Linear(width, 4 * num_classes)
        for layer, std in ((self.cls, 0.01), (self.reg, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and deltas."""
        # The head sees the region as one vector: position matters.
        x = features.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.cls(x), self.reg(x).unflatten(1, (-1, 4))


def roi_features(levels: tuple[Tensor, ...], boxes: list[Tensor]) -> Tensor:
    """RoI align: 7 x 7 features of every box from the level that suits its size.

    The rule is eq. 1 of arXiv 1612.03144.

    Args:
        levels: ``[B, C, H_l, W_l]`` at strides 4, 8, ...; the last is not read.
        boxes: of each image, ``[N_b, 4]``.

    Returns:
        ``[sum of N_b, C, 7, 7]``.
    """
    joined = torch.cat(boxes)
    # Boxes of 56 to 112 pixels a side read the finest level, twice as large ones the next.
    side = (joined[:, 2:] - joined[:, :2]).prod(1).sqrt()
    level = (side / 56 + 1e-6).log2().floor().clamp(0, len(levels) - 2)
    # torchvision wants the number of the image before the corners.
    # Not len(): an export would take the number of boxes for a constant.
    numbers = [joined.new_full((one.shape[0], 1), image) for image, one in enumerate(boxes)]
    numbered = torch.cat([torch.cat(numbers), joined], 1)
    # Read each level for its boxes, and put the features where the boxes were.
    out = levels[0].new_zeros(joined.shape[0], levels[0].shape[1], 7, 7)
    for k, x in enumerate(levels[:-1]):
        chosen = (level == k).nonzero()[:, 0]
        scale = 1 / (4 * 2**k)
        cut = roi_align(x.float(), numbered[chosen], 7, scale, aligned=True)
        out = out.index_put((chosen,), cut.to(out.dtype))
    return out
