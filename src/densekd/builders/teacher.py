"""Teacher of a training: its forward pass made cheap, frozen, counted, and its cache found."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from densekd.builders.probe import small_view
from densekd.builders.teacher_cache import Cache, build_cache
from densekd.data.contract import TrainingData
from densekd.distill.fuse_batchnorm import fuse_batch_norms
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.terms import Context, Term, teacher_heads, teacher_paths
from densekd.models import contract
from densekd.recipe import Recipe
from densekd.teacher_cache import CachedTeacher


@dataclass(frozen=True)
class Teacher:
    """The teacher as a training uses it.

    Args:
        model: predicts the data's classes where it can; its batch norms are fused.
        frozen: reads the taps of the terms.
        cache: of the tapped tensors, if the recipe wants one.
        parameters: their number before batch norms were fused.
        digest: of the model and its weights as they were loaded.
    """

    model: nn.Module
    frozen: FrozenTeacher
    cache: Cache | None
    parameters: int
    digest: str = ""

    @property
    def features(self) -> FrozenTeacher | CachedTeacher:
        """What a step reads: the frozen teacher, or what was cached of it."""
        return self.frozen if self.cache is None else self.cache.cached


def prepare_teacher(
    recipe: Recipe, model: nn.Module, terms: Mapping[str, Term | Context], samples: TrainingData
) -> Teacher:
    """Make a teacher as cheap as it can be with the same outputs, and freeze it.

    Args:
        recipe: how the teacher is run.
        model: a whole teacher; it is changed in place.
        terms: what is read in it.
        samples: the augmented training set, for the cache.

    Raises:
        UserError: a cache that does not fit the recipe, or a folder that holds something else.
    """
    drop_unused_auxiliary(model, terms)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # A cache belongs to the weights as they were loaded, not as they are rounded when batch norms
    # are fused.
    digest = digest_of(model)
    frozen = freeze(recipe, model, terms)
    cache = build_cache(recipe, frozen, digest, samples)
    return Teacher(model, frozen, cache, parameters, digest)


def drop_unused_auxiliary(model: nn.Module, terms: Mapping[str, Term | Context]) -> None:
    """Remove a teacher's auxiliary head where no term reads it: its forward pass is for nothing."""
    if not contract.has_auxiliary(model):
        return
    read = teacher_paths(terms)
    for head in teacher_heads(terms):
        read += head.modules
    if not any("aux" in path for path in read):
        contract.drop_auxiliary(model)


def freeze(recipe: Recipe, model: nn.Module, terms: Mapping[str, Term | Context]) -> FrozenTeacher:
    """Fuse a teacher's batch norms and freeze it, see :mod:`densekd.distill.fuse_batchnorm`."""
    assert recipe.teacher is not None
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    read = teacher_paths(terms)
    # Where a student's feature enters the teacher's head, a batch norm may not move to a
    # convolution before it.
    boundaries: list[str] = []
    for head in teacher_heads(terms):
        boundaries += head.boundaries
    images = torch.rand(1, recipe.data.channels, *recipe.probe_size)
    paths = dict.fromkeys([*read, *boundaries])
    # What feeds what does not depend on the size, and passes at the crops' size are long; a model
    # that takes no other size is watched at it.
    view = small_view(images)
    if not fuse_batch_norms(model, paths, view) and view.shape != images.shape:
        fuse_batch_norms(model, paths, images)
    return FrozenTeacher(model, read, recipe.teacher_precision, recipe.teacher.compile)


def digest_of(model: nn.Module) -> str:
    """Return a digest of what a model is made of and of its weights, 16 hexadecimal digits."""
    digest = hashlib.sha256(repr(model).encode())
    # Two models may share all weights and differ in nothing but the pixels that they take.
    digest.update(repr(contract.convention(model)).encode())
    for name, value in model.state_dict().items():
        flat = value.detach().cpu().contiguous().view(-1)
        digest.update(name.encode() + flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
