"""Sizes on the way in, maps on the way out."""

import pytest
import torch

from densekd.models.sources.maps import InputSize, four_maps, resize_input, to_map


@pytest.mark.parametrize(
    ("fit", "size"),
    [
        (InputSize(), (30, 41)),
        (InputSize(14), (42, 42)),
        (InputSize(10), (30, 50)),
        (InputSize(size=(24, 24)), (24, 24)),
        (InputSize(size=(64, 64)), (64, 64)),
    ],
)
def test_images_become_the_next_size_that_fits(fit: InputSize, size: tuple[int, int]) -> None:
    assert resize_input(torch.rand(2, 3, 30, 41), fit).shape == (2, 3, *size)


def test_an_image_that_fits_is_left_alone() -> None:
    images = torch.rand(1, 3, 28, 42)
    assert resize_input(images, InputSize(14)) is images


def test_enlarging_keeps_places() -> None:
    """A ramp over an image is the same ramp over the resized image: nothing is padded, nothing moves."""
    ramp = ((torch.arange(20.0) + 0.5) / 20).expand(1, 3, 20, 20)
    expected = (torch.arange(28.0) + 0.5) / 28
    resized = resize_input(ramp, InputSize(14))[0, 0, 3]
    torch.testing.assert_close(resized[1:-1], expected[1:-1], rtol=0, atol=1e-6)


def test_the_last_tokens_are_the_patches() -> None:
    patches = torch.rand(2, 6, 5)
    tokens = torch.cat([torch.full((2, 3, 5), 9.0), patches], 1)
    found = to_map(tokens, (2, 3))
    assert found.shape == (2, 5, 2, 3)
    assert torch.equal(found[1, :, 1, 2], patches[1, 5])
    assert torch.equal(found[0, :, 0, 1], patches[0, 1])


def test_a_pyramid_gives_the_last_state_of_its_last_four_sizes() -> None:
    states = [torch.full((1, 1, n, n), float(k)) for k, n in enumerate((32, 16, 16, 8, 4, 4, 2))]
    assert [int(x.max()) for x in four_maps(states, (0, 0))] == [2, 3, 5, 6]


def test_a_plain_transformer_gives_quarters_of_its_depth() -> None:
    tokens = [torch.full((1, 7, 1), float(k)) for k in range(13)]  # an embedding and twelve blocks, one class token
    maps = four_maps(tokens, (2, 3))
    assert [int(x.max()) for x in maps] == [3, 6, 9, 12]
    assert all(x.shape == (1, 1, 2, 3) for x in maps)


def test_a_dilated_network_is_no_pyramid() -> None:
    states = [torch.full((1, 1, n, n), float(k)) for k, n in enumerate((16, 8, 4, 4, 4))]
    assert [int(x.max()) for x in four_maps(states, (0, 0))] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [(64, 64), (31, 97), (30, 41), (80, 50)])
def test_antialiasing_is_a_product_while_exporting(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(1, 3, 64, 97)
    wanted = resize_input(images, InputSize(size=size))
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    found = resize_input(images, InputSize(size=size))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
