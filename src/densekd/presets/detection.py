"""Presets of detection on COCO: mmdetection-distiller, MMRazor, FGD and LD."""

from densekd.presets.preset import Preset, Section, Term, make_recipe

_WEIGHTS = "checkpoints/mmdet"
_BACKBONE = "checkpoints/torchvision/resnet50-0676ba61.pth"
_TEACHERS = {
    "GFL-R101": "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth",
    "RetinaNet-R101": "retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth",
    "RetinaNet-X101": "retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth",
    "Faster R-CNN-R101": "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth",
    "Faster R-CNN-R101 (1x)": "faster_rcnn_r101_fpn_1x_coco_20200130-f513f705.pth",
}
_MODELS = {"GFL": "gfl", "RetinaNet": "retinanet", "Faster R-CNN": "faster_rcnn"}
# Images of train2017 that have boxes: the length of an epoch of mmdetection.
_IMAGES = 117266
_DIFFERS = (
    "images without boxes are learnt as background; mmdetection leaves them out",
    "checkpoints every 1000 steps, so that an interruption costs less",
)


def _schedule(epochs: int, batch_size: int, lr: float, clip: float) -> dict[str, Section]:
    """Return mmdetection's 1x (12 epochs) or 2x (24): the rate falls at two thirds and at eleven twelfths."""
    epoch = -(-_IMAGES // batch_size)
    milestones = [epochs * 2 // 3 * epoch, epochs * 11 // 12 * epoch]
    return {
        "optimizer": {
            "method": "sgd",
            "lr": lr,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "milestones": milestones,
            "warmup": 500,
            "warmup_ratio": 0.001,
        },
        "training": {
            "steps": epochs * epoch,
            "clip": clip,
            "validate_every": epoch,
            "checkpoint_every": 1000,
            "export": "last",
        },
    }


def _sections(pair: tuple[str, str], terms: list[Term], epochs: int, lr: float, clip: float = 0) -> dict[str, Section]:
    """Return a recipe of COCO with batches of 16 images.

    Args:
        pair: student and teacher, as ``_MODELS`` and ``_TEACHERS`` call them.
        terms: what is distilled.
        epochs: 12 or 24.
        lr: learning rate at the beginning.
        clip: largest gradient norm; 0 for none.
    """
    student, teacher = pair
    return {
        "data": {
            "dataset": "coco",
            "root": "data/coco",
            "train": "train2017",
            "val": "val2017",
            "short_side": 800,
            "long_side": 1333,
            "batch_size": 16,
            "workers": 8,
        },
        "augment": {"flip": 0.5},
        "student": {
            "model": _MODELS[student],
            "options": {"backbone": "resnet50", "freeze": ["stem", "stage1"]},
            "pretrained": _BACKBONE,
        },
        "teacher": {"checkpoint": f"{_WEIGHTS}/{_TEACHERS[teacher]}"},
        "distill": terms,
        "task": {"kind": "detection"},
        **_schedule(epochs, 16, lr, clip),
    }


def _on(taps: str, method: str, weight: float, **options: object) -> Term:
    """Return a term on the same taps of both models."""
    term: Term = {"method": method, "weight": weight}
    if options:
        term["options"] = options
    return term | {"student": taps, "teacher": taps}


def _preset(
    system: str, name: str, pair: tuple[str, str], method: str, source: str, sections: dict[str, Section],
    published: str = "", *differs: str,
) -> Preset:  # fmt: skip
    student, teacher = pair
    shipped = name in _SHIPPED
    return Preset(
        name=name,
        system=system,
        student=f"{student}-R50",
        teacher=teacher,
        method=method,
        data="coco",
        source=source,
        recipe=make_recipe(name, sections),
        published=published,
        differs=(*_DIFFERS, *differs),
        file=f"coco/{name}" if shipped else "",
    )


_SHIPPED = (
    "gfl-r101-r50-cwd-fpn",
    "gfl-r101-r50-cwd-head",
    "gfl-r101-r50-ld",
    "retinanet-r101-r50-cwd",
    "retinanet-x101-r50-cwd",
    "retinanet-x101-r50-fgd",
    "retinanet-x101-r50-pkd",
)
_GFL = ("GFL", "GFL-R101")
_RETINA = ("RetinaNet", "RetinaNet-X101")
_RETINA_R101 = ("RetinaNet", "RetinaNet-R101")
_FASTER = ("Faster R-CNN", "Faster R-CNN-R101")
_FASTER_1X = ("Faster R-CNN", "Faster R-CNN-R101 (1x)")
_FOUR = "neck.{0,1,2,3}"
_FIVE = "neck.{0,1,2,3,4}"


def mmdetection_distiller() -> list[Preset]:
    """Return the preset of mmdetection-distiller."""
    source = "configs/distillers/cwd/cwd_retina_rx101_64x4d_distill_retina_r50_fpn_2x_coco.py"
    sections = _sections(_RETINA, [_on(_FOUR, "cwd", 5, temperature=1)], 24, 0.01)
    return [
        _preset(
            "mmdetection-distiller", "retinanet-x101-r50-cwd", _RETINA, "CWD", source, sections,
            "AP 40.5 (alone 37.4, teacher 40.8)",
            "the README's score of the teacher is that of its 2x model; the configuration reads the 1x model (41.0)",
        )
    ]  # fmt: skip


def mmrazor_detection() -> list[Preset]:
    """Return MMRazor's presets of detection for the detectors that there are here."""
    system, folder = "MMRazor", "configs/distill/mmdet"
    # Reduction and stride of FBKD's non-local blocks, from the finest level to the coarsest.
    fbkd = [
        _on("neck.0", "fbkd", 1, reduction=4, stride=8),
        _on("neck.1", "fbkd", 1, reduction=4, stride=4),
        _on("neck.{2,3}", "fbkd", 1, reduction=2, stride=2),
    ]
    trained = _sections(_FASTER_1X, fbkd, 12, 0.02)
    options = trained["student"]["options"]
    checkpoint = f"{_WEIGHTS}/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth"
    trained["student"] = {"model": "faster_rcnn", "options": options, "checkpoint": checkpoint}
    mgd = _sections(_RETINA, [_on(_FIVE, "mgd", 0.00002, masked=0.65, mask="position")], 24, 0.01)
    mgd["student"]["inherit"] = ["neck", "head"]
    cwd_head = [_on("cls.{0,1,2,3,4}", "cwd", 5, temperature=1)]
    cwd_neck = [_on(_FIVE, "cwd", 10, temperature=1)]
    rows = (
        (
            "gfl-r101-r50-cwd-head", _GFL, "CWD of class logits",
            "v0.3.1: configs/distill/cwd/cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco.py",
            _sections(_GFL, cwd_head, 12, 0.01), "AP 41.9 (alone 40.2, teacher 44.7)",
        ),
        (
            "gfl-r101-r50-cwd-fpn", _GFL, "CWD of the pyramid",
            f"{folder}/cwd/cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco.py, which distils the pyramid despite its name",
            _sections(_GFL, cwd_neck, 12, 0.01), "",
        ),
        (
            "retinanet-r101-r50-cwd", _RETINA_R101, "CWD of the pyramid",
            f"{folder}/cwd/cwd_fpn_retina_r101_retina_r50_1x_coco.py", _sections(_RETINA_R101, cwd_neck, 12, 0.01), "",
        ),
        (
            "faster-rcnn-r101-r50-cwd", _FASTER, "CWD of the pyramid",
            f"{folder}/cwd/cwd_fpn_frcnn_r101_frcnn_r50_1x_coco.py", _sections(_FASTER, cwd_neck, 12, 0.02), "",
        ),
        (
            "retinanet-x101-r50-pkd", _RETINA, "PKD", f"{folder}/pkd/pkd_fpn_retina_x101_retina_r50_2x_coco.py",
            _sections(_RETINA, [_on(_FOUR, "pkd", 10)], 24, 0.01), "AP 40.8 (alone 37.4, teacher 41.0)",
        ),
        (
            "faster-rcnn-r101-r50-pkd", _FASTER, "PKD",
            f"{folder}/pkd/pkd_fpn_faster-rcnn_r101_faster-rcnn_r50_2x_coco.py",
            _sections(_FASTER, [_on(_FOUR, "pkd", 6)], 24, 0.02), "AP 40.4 (alone 38.4, teacher 39.8)",
        ),
        (
            "retinanet-x101-r50-mgd", _RETINA, "MGD", f"{folder}/mgd/mgd_fpn_retina_x101_retina_r50_2x_coco.py",
            mgd, "AP 41.0 (alone 37.4, teacher 41.0)",
            "no clipping: the original writes it into a key that MMEngine does not read",
        ),
        (
            "faster-rcnn-r101-r50-fbkd", _FASTER_1X, "FBKD",
            f"{folder}/fbkd/fbkd_fpn_faster-rcnn_r101_faster-rcnn_r50_1x_coco.py",
            trained, "AP 39.3 (alone 37.4, teacher 39.4)",
        ),
    )  # fmt: skip
    return [_preset(system, *row) for row in rows]


def fgd() -> list[Preset]:
    """Return the presets of FGD, whose students begin with the teacher's neck and head."""
    folder = "configs/distillers/fgd"
    one_stage = {
        "temperature": 0.5,
        "foreground_weight": 0.001,
        "background_weight": 0.0005,
        "attention_weight": 0.0005,
        "relation_weight": 0.000005,
    }
    two_stage = {
        "temperature": 0.5,
        "foreground_weight": 0.00005,
        "background_weight": 0.000025,
        "attention_weight": 0.00005,
        "relation_weight": 0.0000005,
    }
    rows = (
        (
            "retinanet-x101-r50-fgd", _RETINA, "fgd_retina_rx101_64x4d_distill_retina_r50_fpn_2x_coco.py",
            _sections(_RETINA, [_on(_FIVE, "fgd", 1, **one_stage)], 24, 0.01, 35), "AP 40.7 (alone 37.4)",
        ),
        (
            "gfl-r101-r50-fgd", _GFL, "fgd_gfl_r101_distill_gfl_r50_fpn_1x_coco.py",
            _sections(_GFL, [_on(_FIVE, "fgd", 1, **one_stage)], 12, 0.01, 35), "AP 43.5 (alone 40.2)",
        ),
        (
            "faster-rcnn-r101-r50-fgd", _FASTER,
            "fgd_faster_rcnn_r101_fpn_2x_distill_faster_rcnn_r50_fpn_2x_coco.py",
            _sections(_FASTER, [_on(_FOUR, "fgd", 1, **two_stage)], 24, 0.02, 35), "",
        ),
    )  # fmt: skip
    presets = []
    for name, pair, source, sections, published in rows:
        sections["student"]["inherit"] = ["neck", "head"]
        presets.append(_preset("FGD", name, pair, "FGD", f"{folder}/{source}", sections, published))
    return presets


def ld() -> list[Preset]:
    """Return the presets of LD: its terms alone, and all that its authors' configuration adds up."""
    source = "configs/ld/ld_r50_gflv1_r101_fpn_coco_1x.py"
    heads = ["{cls,reg}.{0,1,2,3,4}"]
    terms: list[Term] = []
    for region in ("main", "valuable"):
        options = {"temperature": 10, "region": region, "divisor": "images"}
        # Their sum over the 2 images of a process weighs 0.25; here it is divided by the images.
        terms.append({"method": "ld", "weight": 0.5, "options": options, "student": heads, "teacher": heads})
    classes = ["cls.{0,1,2,3,4}"]
    levels = [_FIVE]
    others: list[Term] = [
        {"method": "ld.classes", "weight": 10, "options": {"temperature": 2}, "student": classes, "teacher": classes},
        {"method": "ld.features", "weight": 2, "student": levels, "teacher": levels},
    ]
    alone = _sections(_GFL, terms, 12, 0.01)
    authors = _sections(_GFL, [*terms, *others], 12, 0.01)
    # 0.0025 is the rate of two processes with 2 images each: 0.01 x 4 / 16.
    authors |= _schedule(12, 4, 0.0025, 0)
    authors["data"]["batch_size"] = 4
    only = "the two regions of LD alone, with batches of 16 at the usual rate; the authors' configuration has more"
    return [
        _preset("LD", "gfl-r101-r50-ld", _GFL, "LD alone", f"the LD terms of {source}", alone, "", only),
        _preset(
            "LD", "gfl-r101-r50-ld-authors", _GFL, "LD + classification KD + imitation", source, authors, "",
            "batches of 4, which the original does not say: its rate is that of two processes with 2 images",
        ),
    ]  # fmt: skip
