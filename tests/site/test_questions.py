"""Questions of newcomers: the words that they search for find the section with the answer among the first."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

# Words that somebody types -> the section, and what its text must say.
QUESTIONS = (
    ("mmseg segformer checkpoint teacher", "guides/checkpoints/", "segformer_b5.pth"),
    ("masks own rgb colors", "data-layouts/#label-files", "classes.json is written"),
    ("mmdetection checkpoint detector teacher", "start/detection/", "gfl_r101"),
    ("yolo labels boxes", "start/detection/#data-with-boxes", "data.yaml"),
    ("mask2former hugging face teacher", "models/#mask2former-teaches-segformer", "hf:facebook/mask2former"),
    ("16 bit tiff bands near infrared", "models/#images-of-other-bands", "bands: 4"),
    ("jetson tensorrt", "export/#which-engine-for-which-device", "trtexec"),
    ("raspberry pi phone android", "export/#which-engine-for-which-device", "ncnn"),
    ("6 gb gpu memory", "start/cost/#memory", "training.accumulate"),
    ("slurm two nodes", "guides/devices/", "--nodes 2"),
    ("unlabelled images no labels", "guides/unlabelled/", "kind: none"),
    ("own model nn.Module recipe", "guides/own/", "mine:Small"),
    ("own loss recipe", "guides/own/", "mine:Margin"),
    ("which method begin", "start/choose/#method", "cwd"),
    ("compare two runs difference", "compare/", "interval"),
    ("student worse than alone no gain", "troubleshooting/#no-gain", "densekd doctor"),
    ("resume killed training", "runs/", "--resume"),
    ("license teacher non-commercial", "guides/model-licenses/", "teacher"),
    ("mlflow wandb logger", "guides/logging/", "densekd[mlflow]"),
    ("macbook mps windows", "start/cost/", "--accelerator mps"),
    ("predict video folder", "guides/predict/", "clip.mp4"),
    ("export another input size", "export/#fixed-and-dynamic-sizes", "--size"),
    ("class imbalance rare classes", "start/segmentation/#rare-classes-class-imbalance", "class_weights"),
    ("teacher other classes ade20k mapping", "guides/checkpoints/", "classes"),
    ("ignore void unlabelled pixels value", "data-layouts/#classesjson", "ignore_index"),
    ("sweep temperatures weights", "sweep/", "axes"),
    ("depth maps 16 bit png npy", "depth/#data", "scale"),
    ("offline no network weights", "troubleshooting/#offline", "--carry"),
    ("int8 quantize accuracy", "export/#int8", "--precision"),
    ("nan fp16 loss not finite", "troubleshooting/#nan", "bf16"),
    ("paper other numbers miou", "troubleshooting/#other-numbers-than-the-paper", "decisions"),
    ("notebook distill", "examples/distil/", "densekd.distill"),
    ("early stopping best last checkpoint", "questions/#early-stopping-best-or-last-checkpoint", "export: best"),
    ("two teachers ensemble", "questions/#two-teachers-an-ensemble", "mine:both"),
    (
        "panoptic instance segmentation",
        "questions/#instance-and-panoptic-segmentation-keypoints-tracking-3d",
        "no tasks",
    ),
    ("docker image", "guides/containers/", "docker build"),
    ("kubernetes job", "guides/containers/#kubernetes", "terminationGracePeriodSeconds"),
    ("docker read-only file system", "guides/containers/", "--tmpfs"),
    ("hugging face datasets save_to_disk", "guides/huggingface-data/", "load_from_disk"),
    (
        "latency milliseconds jetson",
        "guides/production/#milliseconds-on-the-device-jetson-raspberry-pi-pc",
        "infer.py --time",
    ),
    ("taps adapter weight", "guides/methods-and-taps/", "adapter"),
    ("roboflow pascal voc xml labelimg", "start/detection/#data-with-boxes", "LabelImg"),
    ("reproducible bit gpu", "questions/#reproducible-bit-for-bit", "deterministic"),
    ("albumentations own augmentation", "questions/#own-augmentation-albumentations-mosaic", "loader"),
    ("c++ rust program", "questions/#c-rust-c", "model.onnx"),
    ("optimizer learning rate schedule sgd", "recipe/#optimizer", "poly"),
    (
        "teacher higher resolution",
        "questions/#a-teacher-at-a-higher-resolution-with-test-time-augmentation",
        "resize_to",
    ),
    ("telemetry data sent network", "questions/#telemetry-and-what-goes-over-the-network", "sends nothing"),
    ("proxy certificate", "troubleshooting/#offline", "HTTPS_PROXY"),
    ("nifti dicom 3d volume", "questions/#medical-images-dicom-nifti", "are not read"),
    ("dice loss dice score", "questions/#dice", "IoU / (1 + IoU)"),
    ("geotiff georeference tiles", "questions/#satellite-images-geotiff", "gdal_retile"),
    ("few labelled images many unlabelled", "questions/#few-labels-and-many-images-without", "pseudo/labels"),
    ("webcam ros bgr stream", "questions/#camera-ros-video-stream", "frame[..., ::-1]"),
    ("fastapi server api", "guides/production/#in-your-own-program-behind-an-api", "open the session once"),
    ("commit versions seed digest of a run", "questions/#reproducible-bit-for-bit", "inputs.json.gz"),
    ("add a loss pull request", "contributing/#add-a-loss", "a row in LOSSES"),
    ("cvat for images xml", "data-layouts/#exports-of-annotation-tools", "export COCO 1.0"),
    ("worst images evaluation", "questions/#the-worst-images-of-an-evaluation", "image-scores.safetensors"),
    ("precision recall confusion matrix", "questions/#precision-recall-f1-confusion-matrix-as-numbers", "confusion"),
    ("latex table three seeds", "questions/#a-table-for-a-paper-latex", "to_latex"),
    ("softmax probability map predict", "questions/#probabilities-confidence-maps", "softmax"),
    (
        "student transformers mmsegmentation",
        "questions/#load-the-student-without-densekd-with-transformers-or-in-mmsegmentation",
        "no way",
    ),
    (
        "student plain pytorch without densekd",
        "guides/production/#in-your-own-program-behind-an-api",
        "torch.export.load",
    ),
    ("how much gpu memory detector", "start/cost/#memory", "800 x 1344"),
    ("unlabelled images detection boxes", "guides/unlabelled/", "no annotations"),
    ("install machine without network wheels", "questions/#install-on-a-machine-without-a-network", "--no-index"),
    (
        "save_pretrained local folder revision",
        "questions/#a-local-folder-of-transformers-a-fixed-revision",
        "--revision",
    ),
    ("switch distillation off part of training", "questions/#distillation-for-a-part-of-the-training-only", "jump"),
    ("own metric logger", "questions/#a-metric-of-my-own-in-the-logger-gradient-norms", "log_metrics"),
    ("grayscale x-ray", "models/#images-of-other-bands", "three equal channels"),
    (
        "letterbox stretch aspect ratio interpolation",
        "guides/production/#in-your-own-program-behind-an-api",
        "INTER_AREA",
    ),
    (
        "predicts only background lesions",
        "start/segmentation/#rare-classes-class-imbalance",
        "Where the teacher has an IoU of 0",
    ),
    ("images without objects negatives coco voc", "start/detection/#data-with-boxes", "without object"),
    ("nodata -9999 nan", "models/#images-of-other-bands", "yours to replace"),
    ("mmcv torch install wrapper init_model", "guides/checkpoints/", "mmcv-lite==2.1.0"),
    ("detector out of memory short_side", "start/cost/#memory", "data.long_side"),
    ("label values 0 10 20 ids in tens", "data-layouts/#label-files", "mapped once"),
    (
        "teacher assistant",
        "questions/#teacher-assistant-a-teacher-of-the-same-size-contrastive-losses",
        "runs/assistant",
    ),
    (
        "multi-label change detection anomaly",
        "questions/#binary-multi-label-anomalies-change-detection",
        "a pixel has one class",
    ),
    (
        "how many images enough wrong labels",
        "questions/#how-many-images-wrong-labels-active-learning-night",
        "--split train",
    ),
    (
        "nms iou threshold",
        "questions/#confidence-threshold-of-boxes-non-maximum-suppression-nms-crowded-scenes",
        "nms_iou",
    ),
    (
        "max_det 100 boxes crowded shelf",
        "questions/#confidence-threshold-of-boxes-non-maximum-suppression-nms-crowded-scenes",
        "most: 300",
    ),
    ("torchdistill stages two-stage", "migrating/#stages", "The adapter of the first is not carried over"),
    ("pathology whole slide svs", "questions/#whole-slides-pathology", "OpenSlide"),
    ("cache whole tile teacher crop", "guides/teacher-cache/", "Whole tiles or slides are not cached"),
    (
        "detector teacher larger input tiny objects visdrone",
        "questions/#a-teacher-at-a-higher-resolution-with-test-time-augmentation",
        "next one",
    ),
    ("size of tensor a must match the size of tensor b", "troubleshooting/#mismatch", "channels are measured"),
    ("frames per second dla jetson", "questions/#frames-per-second-several-cameras-dla", "useDLACore"),
    ("conda", "questions/#docker-kubernetes-conda", "no conda package"),
    ("gated model token", "questions/#a-local-folder-of-transformers-a-fixed-revision", "HF_TOKEN"),
    ("letterbox imgsz", "start/detection/#data-with-boxes", "not to a square"),
    (
        "folds cross-validation patient",
        "guides/benchmark-data/#folds-cross-validation-whole-drives-patients-or-places",
        "leave_out",
    ),
    ("gradient checkpointing activation checkpointing", "start/cost/#memory", "no gradient checkpointing"),
    ("batchnorm gradient accumulation", "troubleshooting/#out-of-memory", "batch norms see each part alone"),
    ("focal ohem loss rare", "questions/#ohem-focal-lovasz-boundary-loss", "HardPixels"),
    ("oversampling rare class images", "start/segmentation/#rare-classes-class-imbalance", "drawn three times"),
    ("agpl yolo license", "guides/model-licenses/", "AGPL-3.0"),
    ("rotated oriented boxes obb dota", "start/detection/#data-with-boxes", "upright bounding box"),
    ("label ids gaps train ids", "data-layouts/#label-files", "no file is rewritten"),
    ("learning rate several gpus scale", "guides/devices/", "nothing is scaled"),
    ("tensorrt int8 calibration trtexec", "export/#int8", "activations: int8"),
    ("nchw nhwc opset", "export/", "opset 20"),
    ("neural engine core ml float16", "export/#which-engine-for-which-device", "Neural Engine"),
    ("qnn snpe ascend edge tpu", "export/#which-engine-for-which-device", "vendor's compiler"),
    ("ocrnet mmsegmentation init_model", "guides/checkpoints/", "encode_decode"),
    (
        "heterogeneous detectors anchor-free detr teacher",
        "detection/#teacher-and-student-of-different-kinds",
        "by stride",
    ),
    ("pseudo labels boxes semi-supervised", "questions/#few-labels-and-many-images-without", "boxes_as_labels"),
    ("upgrade changelog old checkpoints", "questions/#upgrades-changelog-version-citation", "pin a commit"),
    ("self-distillation mutual online", "questions/#self-distillation-online-and-mutual-distillation", "born-again"),
    ("own loss num_classes ignore_index constructor", "guides/own/", "by their names"),
    ("gradient norm logged", "troubleshooting/#nan", "a callback"),
    ("optuna dvc fiftyone", "questions/#optuna-wb-sweeps-dvc-fiftyone", "Not built in"),
    ("rocm xpu tpu", "start/cost/", "not tried"),
    ("deterministic several gpus torch version", "questions/#reproducible-bit-for-bit", "number of processes"),
    ("thread safe session", "guides/production/#in-your-own-program-behind-an-api", "several threads"),
    ("version citation stable", "questions/#upgrades-changelog-version-citation", "CITATION.cff"),
)
# Sections that a reader looks at before they give up.
_LOOKED_AT = 5


def words_of(text: str) -> list[str]:
    """Return the words, without the plural's s."""
    plain = re.sub(r"<[^>]+>", " ", text).lower()
    return [word.rstrip("s") for word in re.findall(r"[a-z0-9_.]+[a-z0-9]|[a-z0-9]", plain)]


class Search:
    """A plain search: BM25 over the sections of the site's own index, titles and the page's title counted thrice.

    As in the site's, the score of a page is multiplied by its boost.
    """

    def __init__(self, sections: list[dict[str, Any]]) -> None:
        self.places = [section["location"] for section in sections]
        titles = {section["location"]: section["title"] for section in sections}
        self.texts = [section["text"] for section in sections]
        self.boosts = [section.get("boost", 1.0) for section in sections]
        counted = []
        for section in sections:
            page = titles.get(section["location"].partition("#")[0], "")
            counted.append(Counter(words_of(section["text"]) + 3 * words_of(f"{section['title']} {page}")))
        self.counts = counted
        self.mean = sum(sum(count.values()) for count in counted) / len(counted)
        self.found_in = Counter(word for count in counted for word in count)

    def first(self, query: str) -> list[str]:
        """Return the places of the sections that fit best."""
        scores = []
        for place, count, boost in zip(self.places, self.counts, self.boosts, strict=True):
            length = 0.25 + 0.75 * sum(count.values()) / self.mean
            score = 0.0
            for word in words_of(query):
                rare = math.log(1 + len(self.counts) / (1 + self.found_in[word]))
                score += rare * count[word] * 2.2 / (count[word] + 1.2 * length)
            scores.append((score * boost, place))
        return [place for _, place in sorted(scores, reverse=True)[:_LOOKED_AT]]


@pytest.fixture(scope="session")
def search(site: Path) -> Search:
    return Search(json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"])


@pytest.mark.parametrize(("query", "place", "says"), QUESTIONS, ids=[one[0] for one in QUESTIONS])
def test_a_question_finds_its_answer(query: str, place: str, says: str, search: Search) -> None:
    assert place in search.places, "no such section"
    found = search.first(query)
    # A page counts by any of its sections: the eye finds the heading there.
    assert place.partition("#")[0] in [one.partition("#")[0] for one in found], found
    text = " ".join(text for one, text in zip(search.places, search.texts, strict=True) if one == place)
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).replace("&quot;", '"')
    assert says in plain
