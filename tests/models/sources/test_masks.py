"""Mask classifiers as per-pixel classifiers: the formula, and the library's own predictions."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_hf import MASKS, TASK, stir
from torch import Tensor

from densekd.models import find_model
from densekd.models.sources.masks import mask_logits


def test_two_queries_by_hand() -> None:
    # The first query says class 0 (1/2), class 1 (1/4), nothing (1/4); the second says nothing but 1/10 of class 1.
    classes = torch.tensor([[[0.5, 0.25, 0.25], [1e-30, 0.1, 0.9]]]).log()
    masks = torch.tensor([[[[0.0, 40.0]], [[0.0, 0.0]]]])  # one row of two pixels: sigmoids 1/2 1 and 1/2 1/2
    expected = [[0.25, 0.5], [0.125 + 0.05, 0.25 + 0.05]]
    torch.testing.assert_close(mask_logits(classes, masks)[0, :, 0].exp(), torch.tensor(expected))


def test_a_class_that_nobody_predicts_stays_finite() -> None:
    logits = mask_logits(torch.tensor([[[-300.0, 0.0, 0.0]]]), torch.zeros(1, 1, 1, 1))
    assert logits[0, 0].item() == pytest.approx(math.log(torch.finfo(torch.float32).tiny / 2))
    assert logits[0, 1].item() == pytest.approx(math.log(0.25))


def test_a_pixel_that_nobody_claims_keeps_its_classes() -> None:
    classes = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]]).log()
    masks = torch.full((1, 2, 1, 1), -200.0, requires_grad=True)  # e^-200 is no float32
    logits = mask_logits(classes, masks)
    torch.testing.assert_close(logits.flatten(), torch.tensor([0.8, 0.8]).log() - 200)
    (logits * torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)).sum().backward()
    # d log sum_q p_q(c) e^m_q / d m_q is query q's share of the sum.
    torch.testing.assert_close(masks.grad.flatten(), torch.tensor([7 / 8 - 2 / 8, 1 / 8 - 6 / 8]))  # type: ignore[union-attr]


def test_reduced_precision_is_for_the_network() -> None:
    classes, masks = torch.randn(1, 5, 4), torch.randn(1, 5, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = mask_logits(classes, masks)
    assert torch.equal(reduced, mask_logits(classes, masks))


def plain(library: Any, outputs: Any) -> Tensor:
    """MaskFormer's and OneFormer's prediction at the masks' own size."""
    processor = library.MaskFormerImageProcessor()
    return torch.stack(processor.post_process_semantic_segmentation(outputs))


def at_384(library: Any, outputs: Any) -> Tensor:
    """Mask2Former's: it enlarges the masks to 384 x 384 first, so they are given there, every pixel repeated."""
    masks = outputs.masks_queries_logits
    factor = 384 // masks.shape[-1]
    repeated = masks.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    given = SimpleNamespace(class_queries_logits=outputs.class_queries_logits, masks_queries_logits=repeated)
    predicted = library.Mask2FormerImageProcessor().post_process_semantic_segmentation(given)
    return torch.stack(predicted)[:, ::factor, ::factor]


def unmerged(library: Any, outputs: Any) -> Tensor:
    """EoMT's, of images that were not cut into windows."""
    n = outputs.masks_queries_logits.shape[-1]
    size, targets = {"shortest_edge": n, "longest_edge": None}, [(n, n)] * 2
    processor = library.EomtImageProcessor()
    return torch.stack(processor.post_process_semantic_segmentation(outputs, targets, size))


# With these seeds the queries are of different opinions.
@pytest.mark.parametrize(
    ("model_type", "predict", "seed"),
    [
        ("maskformer", plain, 0),
        ("oneformer", plain, 2),
        ("mask2former", at_384, 5),
        ("eomt", unmerged, 3),
        ("eomt_dinov3", unmerged, 2),
    ],
)
def test_the_largest_logit_is_the_librarys_prediction(
    model_type: str, predict: Callable[..., Tensor], seed: int
) -> None:
    library = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    processor = TASK if model_type == "oneformer" else {}
    model: Any = stir(find_model(f"hf:{model_type}")(7, config=MASKS[model_type], processor=processor)).eval()
    next(p for name, p in model.named_parameters() if "class_" in name).data *= 15
    images = torch.rand(2, 3, 64, 64)
    tokens = {"task_inputs": torch.tensor([TASK["task_inputs"]] * 2)} if processor else {}
    with torch.no_grad():
        predicted = predict(library, model.network(pixel_values=model.normalize(images), **tokens))
        logits = model(images)
    assert len(predicted.unique()) > 1  # a prediction that could differ
    assert torch.equal(logits.argmax(1), predicted)
