"""From a recipe to live objects: the only place where strings become things."""

import copy
import hashlib
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.adapters import GraphContext
from densekd.boxes import Boxes
from densekd.data import DATASETS
from densekd.data.detection import DetectionFiles, DetectionTrainingSet, joined
from densekd.data.files import Classes, SegmentationFiles
from densekd.data.huggingface import huggingface
from densekd.data.segmentation import TrainingSet, cache_budget, class_frequency
from densekd.data.transforms import RandomScaledCrop, ResizeKeepRatio, photometric_distortion
from densekd.data.unlabelled import has_labels
from densekd.distiller import Distiller
from densekd.errors import RecipeError
from densekd.folding import fold_batch_norms
from densekd.inference import Inference, Window
from densekd.kernels import choose
from densekd.lookup import construct, resolve
from densekd.losses import LOSSES
from densekd.models import find_model
from densekd.models.checkpoints import load_matched
from densekd.models.mapped import Mapped
from densekd.models.package import PackageConfig, load_package, require_packable
from densekd.models.pretrained import load_pretrained
from densekd.models.published import load_published
from densekd.models.sources import names_weights
from densekd.optim import Optimisation
from densekd.recipe import DataSpec, EvaluationSpec, ModelSpec, Recipe, TermSpec
from densekd.replay import Filling, Layout, Packing, Replay, Replayed, Store, Views, describe_files, example_of
from densekd.taps import Taps
from densekd.tasks import Detection, NoTask, Segmentation, balanced_weights
from densekd.teacher import Frozen
from densekd.terms import Adapter, Context, Each, Pair, Term, WeightSchedule, make_adapter, paths, teacher_paths

Files = SegmentationFiles | DetectionFiles
Augmented = TrainingSet | DetectionTrainingSet

UNTRAINED = "untrained"
# Images on which shapes are measured where no crop says how large they will be.
_PROBE = (128, 128)
CONTEXT = "graph-context"


@dataclass(frozen=True)
class Built:
    """Everything that a training needs.

    Args:
        distiller: the module to fit.
        training: the augmented training set.
        validation: the files of the validation split.
        package: what the exported student says of itself.
        scored_teacher: the teacher, when it predicts the data's classes and can be scored; None when there is none or
            when it only teaches features.
        cache: of the teacher's tensors, if the recipe wants one.
    """

    distiller: Distiller
    training: Augmented
    validation: Files
    package: PackageConfig
    scored_teacher: nn.Module | None
    cache: "Cache | None" = None

    @property
    def samples(self) -> Augmented | Replayed:
        """What the training reads: the augmented set, or its replayed views with what the teacher said of them."""
        return self.training if self.cache is None else Replayed(self.cache.filling.views, self.cache.store)


@dataclass(frozen=True)
class Cache:
    """A teacher cache, and all that is needed to fill it.

    Args:
        store: on disk, complete or not.
        filling: which views, and how they are packed.
        teacher: says what is stored.
        replay: stands in for it.
    """

    store: Store
    filling: Filling
    teacher: Frozen
    replay: Replay


def build(recipe: Recipe) -> Built:
    """Build data, models, terms and the distiller.

    The student is initialised first and under the recipe's seed alone, so that it starts from the same weights with and
    without a teacher.

    Raises:
        UserError: anything that the recipe names and that is missing, damaged or does not fit.
    """
    choose(recipe.kernels)
    training, validation = (build_files(recipe.data, split) for split in (recipe.data.train, recipe.data.val))
    classes = training.classes
    torch.manual_seed(recipe.training.seed)
    student = build_model(recipe.student, len(classes.names), "student")
    teacher = None
    if recipe.teacher is not None:
        teacher = map_classes(recipe.teacher, build_teacher(recipe.teacher, len(classes.names)), classes)
    labels: Literal["present", "absent"] = "present" if has_labels(training) else "absent"
    size = recipe.augment.crop or _PROBE
    scored_as = build_task(recipe, training)
    task = NoTask(scored_as) if recipe.task.kind == "none" else scored_as
    terms = {} if teacher is None else build_terms(recipe, student, teacher, classes, labels)
    views = build_training_set(recipe, training)
    frozen, cache = None, None
    if teacher is not None:
        digest = describe_model(teacher)
        frozen = freeze(recipe, teacher, terms)
        cache = build_cache(recipe, frozen, digest, views)
    distiller = Distiller(student, frozen if cache is None else cache.replay, task, terms, _optimisation(recipe))
    if recipe.training.compile == "inductor":
        distiller.compile_student()
    scored = None
    if teacher is not None:
        with _at_rest(teacher):
            scored = teacher if scored_as.fits(teacher, torch.rand(1, 3, *size)) else None
    return Built(distiller, views, validation, package_config(recipe, student, training), scored, cache)


def build_files(spec: DataSpec, split: str) -> Files:
    """Find the files of one split, or of several joined by ``+``; a dataset is called with its root and a split."""
    source, colon, name = spec.dataset.partition(":")
    find = partial(huggingface, name) if source == "hf" and colon else resolve(spec.dataset, DATASETS, "dataset")
    root = spec.root if "://" in spec.root else Path(spec.root).expanduser()
    parts: list[Any] = [find(root, part) for part in split.split("+")]
    for found in parts:
        if not isinstance(found, SegmentationFiles | DetectionFiles):
            raise RecipeError(
                f"data.dataset: {spec.dataset} returned {type(found).__name__}, no files with labels or boxes."
            )
    if isinstance(parts[0], DetectionFiles):
        return joined(parts)
    if any(found.label_map != parts[0].label_map for found in parts):
        raise RecipeError(f"data: the parts of '{split}' write their labels differently and cannot be joined.")
    together: SegmentationFiles = replace(parts[0], items=tuple(item for found in parts for item in found.items))
    return together


def build_training_set(recipe: Recipe, files: Files) -> Augmented:
    """Put the augmentation together."""
    spec, data = recipe.augment, recipe.data
    budget = cache_budget(data.cache, data.workers)
    cache = None if recipe.teacher is None else recipe.teacher.cache
    seed = recipe.training.seed if cache is None else cache.seed
    after = [v2.RandomHorizontalFlip(spec.flip), *([photometric_distortion()] if spec.photometric else [])]
    if isinstance(files, DetectionFiles):
        if spec.crop is not None:
            raise RecipeError("augment.crop cuts images for segmentation; detection has augment.short_side.")
        if spec.short_side is None:
            return DetectionTrainingSet(files, data.resize, v2.Compose(after), seed, budget)
        longer = data.resize[1] if data.resize is not None and len(data.resize) == 2 else None
        resized = v2.Compose([ResizeKeepRatio(spec.short_side, longer), *after])
        return DetectionTrainingSet(files, None, resized, seed, budget)
    assert spec.crop is not None
    crop = RandomScaledCrop(spec.crop, spec.max_class_share, files.classes.ignore_index, spec.scale)
    return TrainingSet(files, data.resize, v2.Compose([crop, *after]), seed, budget)


def build_model(spec: ModelSpec, num_classes: int, where: str) -> nn.Module:
    """Build a model and load its weights.

    Args:
        spec: a recipe's student or teacher.
        num_classes: of the data.
        where: "student" or "teacher", for messages.

    Raises:
        UserError: a name, an option or a file that is wrong, or weights that do not fit in full.
    """
    if spec.model is None:
        raise RecipeError(f"{where}.model is missing.")
    builder = find_model(spec.model)
    if where == "student":
        require_packable(spec.model, builder, where)
    own = names_weights(spec.model, spec.options)
    if own and spec.pretrained is not None:
        raise RecipeError(f"{where}.pretrained: '{spec.model}' names its weights already; remove one of the two.")
    weights = "none" if not own or spec.checkpoint is not None else {"teacher": "all", "student": "body"}[where]
    model = construct(builder, spec.options, {"num_classes": num_classes, "weights": weights}, where)
    if not isinstance(model, nn.Module):
        raise RecipeError(f"{where}: {spec.model} built a {type(model).__name__}, not an nn.Module.")
    if spec.pretrained is not None:
        load_pretrained(getattr(model, "backbone", model), spec.pretrained)
    if spec.checkpoint not in (None, UNTRAINED):
        load_matched(model, Path(spec.checkpoint).expanduser(), where, spec.allow)
    return model


def build_teacher(spec: ModelSpec, num_classes: int) -> nn.Module:
    """Build a teacher, which must say where its weights come from; a package also says what it is.

    Raises:
        UserError: no checkpoint, or one that is missing, partial or does not fit.
    """
    # A teacher without head is all backbone, and 'pretrained' fills that in full.
    complete = spec.pretrained is not None and spec.options.get("head") == "none"
    named = spec.model is not None and names_weights(spec.model, spec.options)
    if spec.checkpoint is None and not (complete or named):
        raise RecipeError(
            "teacher.checkpoint is missing: a teacher without weights teaches noise. "
            f"Name a file, or write '{UNTRAINED}' for a control experiment."
        )
    if spec.model is None:
        if spec.checkpoint is None or spec.checkpoint == UNTRAINED:
            raise RecipeError("teacher.model is missing.")
        path = Path(spec.checkpoint).expanduser()
        return load_package(path).model if path.is_dir() else load_published(path, spec.options, spec.allow).model
    return build_model(spec, num_classes, "teacher")


def map_classes(spec: ModelSpec, teacher: nn.Module, classes: Classes) -> nn.Module:
    """Bring a teacher's logits to the data's classes, as ``teacher.classes`` says; without it return the teacher.

    Raises:
        RecipeError: a class of the data that is not mapped or unknown, or one that the teacher does not have.
    """
    if spec.classes is None:
        return teacher
    if set(spec.classes) != set(classes.names):
        wrong = sorted(set(spec.classes) ^ set(classes.names))
        raise RecipeError(
            f"teacher.classes must map every class of the data and no other: {', '.join(classes.names)}. "
            f"Missing or unknown: {', '.join(wrong)}."
        )
    folder = Path(spec.checkpoint or "").expanduser()
    names = load_package(folder).config.classes if spec.model is None and folder.is_dir() else []
    with _at_rest(teacher):
        count = teacher(torch.rand(1, 3, 64, 64)).shape[1]

    def number(name: str, one: int | str) -> int:
        index = names.index(one) if one in names else one
        if not isinstance(index, int) or not 0 <= index < count:
            known = f"; it knows {', '.join(names)}" if names else ""
            raise RecipeError(f"teacher.classes.{name}: the teacher has {count} classes, and {one!r} is none{known}.")
        return index

    groups = []
    for name in classes.names:
        members = spec.classes[name]
        groups.append([number(name, one) for one in (members if isinstance(members, tuple) else (members,))])
    return Mapped(teacher, groups)


def build_task(recipe: Recipe, files: Files) -> Segmentation | Detection:
    """Build the task that scores the student; balanced class weights are counted on the training labels.

    Raises:
        RecipeError: a task that is not that of the data.
    """
    spec, C = recipe.task, len(files.classes.names)
    if isinstance(files, DetectionFiles):
        if spec.kind == "segmentation":
            raise RecipeError(f"data.dataset: {recipe.data.dataset} has boxes; say 'task: {{kind: detection}}'.")
        return Detection(C)
    if spec.kind == "detection":
        raise RecipeError(f"task.kind is detection, but {recipe.data.dataset} has label maps, not boxes.")
    if spec.kind != "none" and not has_labels(files):
        raise RecipeError(
            "data: these images have no labels; say 'task: {kind: none}' to learn from the teacher alone."
        )
    weights: Tensor | None = None
    if spec.class_weights == "balanced":
        weights = balanced_weights(class_frequency(files))
    elif not isinstance(spec.class_weights, str):
        if len(spec.class_weights) != C:
            raise RecipeError(f"task.class_weights: {len(spec.class_weights)} values for {C} classes.")
        weights = torch.tensor(spec.class_weights)
    task = Segmentation(C, files.classes.ignore_index, weights, spec.auxiliary_weight, spec.normalise)
    task.inference = build_inference(recipe.evaluation)
    return task


def build_inference(spec: EvaluationSpec) -> Inference:
    """Build the mode in which whole images are predicted."""
    window = None
    if spec.crop is not None:
        height, width = spec.crop
        window = Window(spec.crop, spec.stride or (math.ceil(height * 2 / 3), math.ceil(width * 2 / 3)))
    return Inference(window, spec.scales, spec.flip, spec.average)


def build_terms(
    recipe: Recipe,
    student: nn.Module,
    teacher: nn.Module,
    classes: Classes,
    labels: Literal["present", "absent"] = "present",
) -> dict[str, Term | Context]:
    """Build the terms, and before them the contexts they share; shapes are probed with one forward of both models.

    Raises:
        RecipeError: an unknown tap or loss, or tensors that do not fit each other; the message says what would mend it.
    """
    specs = [(name, one) for name, spec in _named(recipe.distill) for name, one in _fanned(name, spec)]
    size = recipe.augment.crop or _PROBE
    images = torch.rand(1, 3, *size)
    learnt = probe(student, [path for _, spec in specs for path in paths(spec.student)], images)
    taught = probe(teacher, [path for _, spec in specs for path in paths(spec.teacher)], images)
    facts = {"num_classes": len(classes.names), "ignore_index": classes.ignore_index}
    target: Any = torch.full((1, *size), classes.ignore_index if labels == "absent" else 0)
    if recipe.task.kind == "detection":
        height, width = size
        middle = torch.tensor([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]])
        target = Boxes([middle], [torch.zeros(1, dtype=torch.int64)], torch.tensor([size]))
    contexts = _contexts(spec for _, spec in specs)
    terms: dict[str, Term | Context] = {}
    for path, context in contexts.items():
        block = construct(GraphContext, {}, {"channels": learnt[path].shape[1]}, f"distill: {CONTEXT} on {path}")
        terms[context] = Context(path, block)
        learnt[context] = learnt[path]
    for name, spec in specs:
        behind = _behind(spec, contexts)
        levels = [(learnt[s], taught[t]) for s, t in zip(paths(behind.student), paths(behind.teacher), strict=True)]
        supplied = facts | _measured(behind, levels, size)
        loss = resolve(spec.method, LOSSES, "loss")
        if recipe.augment.crop is None and "teacher_size" in inspect.signature(loss).parameters:
            raise RecipeError(f"distill.{name}: {spec.method} is made for maps of one size; these images have many.")
        term = _build_term(behind, levels, supplied, f"distill.{name}")
        value = _try_out(term, learnt, taught, target, f"distill.{name}")
        if labels == "absent" and not value:
            raise RecipeError(f"distill.{name}: {spec.method} learns from labels, and these images have none.")
        terms[name] = term
    if hasattr(teacher, "auxiliary") and not any("aux" in path for path in taught):
        teacher.auxiliary = None  # type: ignore[assignment]
    return terms


def freeze(recipe: Recipe, teacher: nn.Module, terms: Mapping[str, Term | Context]) -> Frozen:
    """Make the teacher as cheap as it can be without changing what it teaches: see :mod:`densekd.folding`."""
    spec, read = recipe.teacher, teacher_paths(terms)
    assert spec is not None
    teacher = teacher.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fold_batch_norms(teacher, read, torch.rand(1, 3, *(recipe.augment.crop or _PROBE)))
    return Frozen(teacher, read, _precision(recipe), spec.compile)


def build_cache(recipe: Recipe, teacher: Frozen, digest: str, samples: Augmented) -> Cache | None:
    """Find the teacher cache that a recipe wants, or say what it will hold; nothing is written here.

    Args:
        recipe: with or without a ``teacher.cache``.
        teacher: what will fill it.
        digest: of the teacher before it was folded.
        samples: the augmented training set.

    Raises:
        UserError: ``top_k`` without logits that have more classes, or a folder that holds something else.
    """
    spec = None if recipe.teacher is None else recipe.teacher.cache
    if recipe.teacher is None or spec is None:
        return None
    if not isinstance(samples, TrainingSet):
        raise RecipeError("teacher.cache: replays views of one size; batches of detection are padded to their largest.")
    taught = teacher(torch.rand(1, 3, *(recipe.augment.crop or _PROBE)).contiguous(memory_format=torch.channels_last))
    logits = [path for path in taught if path in ("logits", "aux") and taught[path].shape[1] > spec.top_k]
    if spec.top_k and not logits:
        raise RecipeError(f"teacher.cache.top_k: no tapped logits have more than {spec.top_k} classes; leave it out.")
    packings = {path: Packing(spec.dtype, spec.top_k if path in logits else 0) for path in taught}
    views = Views(samples, spec.views)
    together = max(1, recipe.data.batch_size // recipe.training.accumulate)
    filling = Filling(views, packings, together, recipe.data.workers)
    facts = {
        "teacher": {"digest": digest, "precision": _precision(recipe), "classes": str(recipe.teacher.classes)},
        "taps": {path: "x".join(map(str, x.shape[1:])) for path, x in taught.items()},
        "views": {"count": spec.views, "seed": spec.seed} | recipe.augment.model_dump(mode="json"),
        "data": {"files": describe_files(samples.files), "images": len(samples), "resize": str(recipe.data.resize)},
        "stored": {"dtype": spec.dtype, "top_k": spec.top_k},
    }
    layout = Layout(facts, len(views), example_of(filling.pack(taught)))
    store = Store(Path(spec.folder).expanduser(), layout)
    return Cache(store, filling, teacher, Replay({path: x.shape[1] for path, x in taught.items()}))


def describe_model(model: nn.Module) -> str:
    """Return a digest of what a model is made of and of its weights."""
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _precision(recipe: Recipe) -> Literal["32", "bf16"]:
    """Return the teacher's precision."""
    own = "training" if recipe.teacher is None else recipe.teacher.precision
    return recipe.training.precision if own == "training" else own


def probe(model: nn.Module, paths: list[str], images: Tensor) -> dict[str, Tensor]:
    """Run a model once in evaluation mode, without a trace in its statistics, and return the tapped tensors."""
    with _at_rest(model):
        return Taps(model, dict.fromkeys(paths))(images)[1]


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients for a while."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)


def package_config(recipe: Recipe, student: nn.Module, files: Files) -> PackageConfig:
    """Say what the exported student is; the auxiliary head stays behind."""
    assert recipe.student.model is not None
    name, options = getattr(student, "packaged", (recipe.student.model, dict(recipe.student.options)))
    if "auxiliary_channels" in inspect.signature(find_model(name)).parameters:
        options["auxiliary_channels"] = 0
    palette = [list(colour) for colour in files.classes.palette]
    names, void = list(files.classes.names), files.classes.ignore_index
    categories = files.categories if isinstance(files, DetectionFiles) else ()
    return PackageConfig(name, options, names, palette, void, recipe.data.resize, categories)


def _contexts(specs: Iterable[TermSpec]) -> dict[str, str]:
    """Name one context for each student tap that terms want it on: CIRKDv2's losses share theirs."""
    wanted = dict.fromkeys(path for spec in specs if spec.adapter.startswith(CONTEXT) for path in paths(spec.student))
    return {path: CONTEXT if not k else f"{CONTEXT}~{k + 1}" for k, path in enumerate(wanted)}


def _behind(spec: TermSpec, contexts: Mapping[str, str]) -> TermSpec:
    """Return what is left of a term behind the contexts of its taps."""
    if not spec.adapter.startswith(CONTEXT):
        return spec
    names = tuple(contexts[path] for path in paths(spec.student))
    adapter = spec.adapter.removeprefix(CONTEXT).removeprefix("-") or "none"
    return spec.model_copy(update={"student": names[0] if isinstance(spec.student, str) else names, "adapter": adapter})


def _measured(spec: TermSpec, levels: list[tuple[Tensor, Tensor]], crop: tuple[int, int]) -> dict[str, Any]:
    """Return what a loss may ask of the tensors that it will receive; of a list of taps, level by level."""
    sized = [s if spec.resize == "student" else t for s, t in levels]
    measured: dict[str, tuple[Any, ...]] = {
        "student_channels": tuple((s if spec.adapter == "none" else t).shape[1] for s, t in levels),
        "teacher_channels": tuple(t.shape[1] for _, t in levels),
        "teacher_size": tuple(crop if spec.resize == "label" else tuple(x.shape[2:]) for x in sized),
    }
    return {name: values[0] for name, values in measured.items()} if isinstance(spec.student, str) else measured


def _build_term(spec: TermSpec, levels: list[tuple[Tensor, Tensor]], supplied: Mapping[str, Any], where: str) -> Term:
    loss = construct(resolve(spec.method, LOSSES, "loss"), spec.options, supplied, where)
    kind = cast("Adapter", spec.adapter)
    adapters = [make_adapter(kind, s.shape[1], t.shape[1]) for s, t in levels]
    adapter = adapters[0] if isinstance(spec.student, str) else Each(adapters)
    return Term(
        loss, Pair(spec.student, spec.teacher), adapter, WeightSchedule(**spec.weight.model_dump()), spec.resize
    )


def _try_out(term: Term, learnt: Mapping[str, Tensor], taught: Mapping[str, Tensor], target: Any, where: str) -> Tensor:
    """Run the term once on a copy, so that shapes that do not fit are found before the first step."""
    try:
        with torch.no_grad():
            value: Tensor = copy.deepcopy(term).eval()(learnt, taught, target)
            return value
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"{where}: {_misfit(term.taps, learnt, taught)}({error})") from error


def _misfit(taps: Pair, learnt: Mapping[str, Tensor], taught: Mapping[str, Tensor]) -> str:
    """Say which shapes meet in a term, and what would bring them together."""
    shapes, convolutions, sizes_differ, classes_differ = [], [], False, False
    for student_path, teacher_path in zip(paths(taps.student), paths(taps.teacher), strict=True):
        student, teacher = learnt[student_path].shape, taught[teacher_path].shape
        shapes.append(
            f"the student's {student_path} is {list(student)}, the teacher's {teacher_path} is {list(teacher)}"
        )
        if student[1] != teacher[1] and student_path == teacher_path == "logits":
            classes_differ = True
        elif student[1] != teacher[1]:
            convolutions.append(f"{student[1]} -> {teacher[1]}")
        sizes_differ |= student[2:] != teacher[2:]
    adapter = f"{CONTEXT}-conv" if any(path.startswith(CONTEXT) for path in paths(taps.student)) else "conv"
    mend = [f"'adapter: {adapter}' (a 1x1 convolution {', '.join(convolutions)})"] if convolutions else []
    mend += ["'teacher.classes', which maps the data's classes to the teacher's"] if classes_differ else []
    mend += ["'resize: teacher'"] if sizes_differ else []
    return f"{'; '.join(shapes)}. {'Mend it with ' + ' and '.join(mend) + '. ' if mend else ''}"


def _named(specs: tuple[TermSpec, ...]) -> list[tuple[str, TermSpec]]:
    """Name terms by their method, numbered where a method occurs again."""
    named: dict[str, TermSpec] = {}
    for spec in specs:
        base = spec.method.rpartition(":")[2].replace(".", "-")
        earlier = sum(1 for name in named if name.partition("~")[0] == base)
        named[base if not earlier else f"{base}~{earlier + 1}"] = spec
    return list(named.items())


def _fanned(name: str, spec: TermSpec) -> list[tuple[str, TermSpec]]:
    parts = spec.fan_out()
    return [(name, spec)] if len(parts) == 1 else [(f"{name}-{k}", part) for k, part in enumerate(parts)]


def _optimisation(recipe: Recipe) -> Optimisation:
    return Optimisation(**recipe.optimiser.model_dump(), steps=recipe.training.steps)
