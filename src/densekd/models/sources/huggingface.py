"""``hf:``: models of the transformers library, from a hub name, a local folder, or a config."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from densekd.errors import RecipeError, UserError, suggest
from densekd.models.sources.detector import DETECTORS, DetectorSpec, TransformerDetector
from densekd.models.sources.transformer import BACKBONE, DEPTH, MASKS, SEMANTIC, ArchSpec, Transformer
from densekd.network import BY_HAND, without_waiting
from densekd.registry import optional_import

_PROCESSOR = (
    "do_normalize",
    "image_mean",
    "image_std",
    "do_rescale",
    "rescale_factor",
    "do_flip_channel_order",
    "task_inputs",
)
# Missing weights that a message names.
_SHOWN = 6


def huggingface(
    name: str,
    num_classes: int,
    config: dict[str, Any] | None = None,
    processor: dict[str, Any] | None = None,
    weights: Literal["none", "body", "all"] = "none",
) -> Transformer | TransformerDetector:
    """Build a segmenter, detector or depth estimator of transformers, or a teacher of features from a backbone.

    Only safetensors are read, and no code that comes with a model is run.

    Args:
        name: hub name or local folder; where ``config`` is given, a model type such as
            ``segformer``.
        num_classes: C; supplied by the build.
        config: entries of the library's config that differ from the model type's defaults; no file
            is read then.
        processor: entries of ``preprocessor_config.json`` instead of the file's, see
            :func:`densekd.models.sources.transformer.convention_of`.
        weights: supplied by the build: ``all`` keeps the head and the classes of the files, which
            must have every weight; ``body`` makes a head of C classes, and ``model.notes`` lists
            what the files do not have.

    Raises:
        UserError: transformers is not installed, or the files cannot be had or lack weights.
        RecipeError: an architecture that is not supported, or a config that the library refuses.
    """
    library = optional_import("transformers", "hf")
    if config is None:
        folder = Path(name).expanduser()
        if folder.is_dir():
            name = str(folder)
        load = partial(library.AutoConfig.from_pretrained, name, trust_remote_code=False)
        settings = _fetched(name, load)
        processor = processor or _processor(library, name, settings)
    else:
        settings = _configured(library, name, config)
    # A config may ask for more to be fetched: code of attention, weights of a backbone. Neither is.
    settings._attn_implementation = None
    settings.use_pretrained_backbone = False
    architecture, spec = _architecture(library, settings, name)
    if weights != "all" and spec is not BACKBONE:
        settings.num_labels = num_classes
    if weights == "none":
        return _wrapped(architecture(settings), processor or {}, spec)
    module, missing = _pretrained(architecture, name, settings)
    if not missing:
        return _wrapped(module, processor or {}, spec)
    some = ", ".join([*missing[:_SHOWN], "..."] if len(missing) > _SHOWN else missing)
    note = f"hf:{name}: {len(missing)} weights of the model are not in its files: {some}"
    if weights == "all":
        raise UserError(f"{note}. A teacher must be complete.")
    return _wrapped(module, processor or {}, spec, (f"{note}; they start fresh",))


def _configured(library: Any, name: str, config: dict[str, Any]) -> Any:
    """Return the library's config of a model type."""
    known = _known()
    if name not in known:
        raise RecipeError(f"hf:{name}: with 'config', a model type comes after the colon. {suggest(name, known)}")
    if config.get("backbone") and not config.get("backbone_config"):
        raise RecipeError(
            f"hf:{name}: config: a backbone's name may have to be looked up on the hub; describe it "
            "in 'backbone_config', for instance {model_type: timm_backbone, backbone: resnet50, "
            "out_indices: [2, 3, 4]}."
        )
    try:
        # A copy, since the library keeps and changes what it is given.
        return library.AutoConfig.for_model(name, **copy.deepcopy(config))
    except Exception as error:  # the library checks its configs in many ways
        raise RecipeError(f"hf:{name}: config: {' '.join(str(error).split())}") from error


def _architecture(library: Any, settings: Any, name: str) -> tuple[Any, ArchSpec | DetectorSpec]:
    """Return the library's class for a config, and how its models are read."""
    model_type = settings.model_type
    estimates_depth = any("ForDepthEstimation" in named for named in settings.architectures or ())
    if model_type in DEPTH and (estimates_depth or model_type not in SEMANTIC):
        return library.MODEL_FOR_DEPTH_ESTIMATION_MAPPING[type(settings)], DEPTH[model_type]
    if model_type in SEMANTIC:
        return library.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING[type(settings)], SEMANTIC[model_type]
    if model_type in MASKS:
        return library.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING[type(settings)], MASKS[model_type]
    if model_type in DETECTORS:
        # Denoising queries want labels in the forward; anchors and positions are those of whatever
        # size comes.
        sizeless = {"num_denoising": 0, "eval_size": None, "anchor_image_size": None}
        for entry, value in sizeless.items():
            if hasattr(settings, entry):
                setattr(settings, entry, value)
        return library.MODEL_FOR_OBJECT_DETECTION_MAPPING[type(settings)], DETECTORS[model_type]
    if type(settings) in library.MODEL_FOR_BACKBONE_MAPPING:
        # Stage 0 is the stem or embedding; take the maps after every quarter of the others.
        depth = len(settings.stage_names) - 1
        settings.out_indices = [quarter * depth // 4 for quarter in (1, 2, 3, 4)]
        return library.MODEL_FOR_BACKBONE_MAPPING[type(settings)], BACKBONE
    raise RecipeError(
        f"hf:{name}: a model of type '{model_type}' neither segments semantically nor detects, nor "
        f"is it a backbone. Known: {', '.join(_known())}, and the library's backbones."
    )


def _known() -> list[str]:
    """Return the model types that have a row here."""
    return sorted({*SEMANTIC, *MASKS, *DETECTORS, *DEPTH})


def _wrapped(
    module: Any, processor: dict[str, Any], spec: ArchSpec | DetectorSpec, notes: tuple[str, ...] = ()
) -> Transformer | TransformerDetector:
    if isinstance(spec, DetectorSpec):
        return TransformerDetector(module, processor, spec, notes)
    return Transformer(module, processor, spec, notes)


def _pretrained(architecture: Any, name: str, settings: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the model with the weights of its files, and the names of those missing there."""
    load = partial(
        architecture.from_pretrained,
        name,
        config=settings,
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    module, report = _fetched(name, load)
    missing = set(report["missing_keys"])
    missing |= {key for key, *_ in report["mismatched_keys"]}
    if missing.issuperset(key for key, _ in module.named_parameters()):
        raise UserError(f"hf:{name}: no weight in its files fits a {type(module).__name__}.")
    # Norms that the library puts after a classifier's stages do without weights: they start at
    # factor 1 and shift 0.
    missing = {key for key in missing if not key.startswith("hidden_states_norms.")}
    # The library hands out what it loads in evaluation mode.
    return module.train(), tuple(sorted(missing))


def _processor(library: Any, name: str, settings: Any) -> dict[str, Any]:
    """Return what the files say of the input normalization; nothing where they are silent."""
    reader = library.image_processing_utils.BaseImageProcessor
    try:
        content = reader.get_image_processor_dict(name)[0]
    except OSError:
        content = {}
    # What a file leaves out, the class that it names decides.
    class_name = str(content.get("image_processor_type", content.get("feature_extractor_type", "")))
    defaults = getattr(library, class_name.replace("FeatureExtractor", "ImageProcessor"), None)
    found = {}
    for key in _PROCESSOR:
        value = content.get(key, getattr(defaults, key, None))
        if key == "do_normalize" and defaults is not None:
            # A class that does not mention it does not normalize.
            value = bool(value)
        if value is not None:
            found[key] = value
    if settings.model_type == "oneformer" and "task_inputs" not in found:
        load = partial(library.AutoTokenizer.from_pretrained, name, trust_remote_code=False)
        tokenizer = _fetched(name, load)
        length = settings.task_seq_len
        tokens = tokenizer("the task is semantic", padding="max_length", max_length=length)
        # As the library's processor does: padding becomes token 0.
        pairs = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
        found["task_inputs"] = [token * mask for token, mask in pairs]
    return found


def _fetched(name: str, fetch: Callable[[], Any]) -> Any:
    """Run ``fetch`` and turn what the library says of missing files into one message."""
    try:
        with without_waiting(name):
            return fetch()
    except (OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(f"hf:{name}: cannot be had from a local folder or the hub: {reason}. {BY_HAND}") from error
