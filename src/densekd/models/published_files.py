"""Published files: where each teacher and each ImageNet backbone comes from, and where a recipe expects it.

``PUBLISHED_FILES`` maps a place below ``checkpoints/`` to the file. Addresses and digests are those
of the projects' own pages; where a project gives a page and no direct address, the page stands
here, and a person downloads the file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

# OpenMMLab and torchvision end a file's name with the beginning of its SHA-256.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")

_OPENMMLAB = "https://download.openmmlab.com"
_CIRKD = "https://github.com/winycg/CIRKD/releases/download"
_HWD = "https://github.com/zju-SWJ/HWD"
_SWIN = "https://github.com/SwinTransformer/storage/releases/download"
_DRIVE = "https://drive.google.com/file/d/{}/view"
_SEGFORMER_BACKBONES = "https://drive.google.com/drive/folders/1b7bwrInTW4VLEm27YawHOAMSMikga2Ia"
_SEGFORMER_ADE20K = "https://drive.google.com/drive/folders/1GAku0G0iR9DsBxCbfENWMJ27c5lYUeQA"


@dataclass(frozen=True)
class PublishedFile:
    """A file that a project publishes.

    Args:
        system: the project, the folder's name below ``checkpoints/``.
        name: of the file, as published.
        what: what it holds, in a few words.
        url: direct address; empty where there is none.
        page: where a person finds it, where there is no direct address.
    """

    system: str
    name: str
    what: str
    url: str = ""
    page: str = ""

    @property
    def place(self) -> str:
        """The path that recipes name."""
        return f"checkpoints/{self.system}/{self.name}"

    @property
    def sha256(self) -> str:
        """What is published of its SHA-256: eight digits in its name, or nothing."""
        found = _DIGEST_IN_NAME.search(self.name)
        return "" if found is None else found[1]


def _file(system: str, what: str, url: str) -> PublishedFile:
    """Return a file at a direct address, whose last part is its name."""
    return PublishedFile(system, url.rpartition("/")[2], what, url)


def _by_hand(system: str, name: str, what: str, page: str) -> PublishedFile:
    return PublishedFile(system, name, what, page=page)


def _openmmlab(system: str, folder: str, name: str, what: str) -> PublishedFile:
    """Return a model of a zoo: its folder is named like its configuration."""
    configuration = re.sub(r"(_bbox_mAP-[\d.]+)?_\d{8}(_\d{6})?-[0-9a-f]{8}$", "", name)
    return _file(system, what, f"{_OPENMMLAB}/{folder}/{configuration}/{name}.pth")


def _mmseg(folder: str, name: str, what: str) -> PublishedFile:
    return _openmmlab("mmseg", f"mmsegmentation/v0.5/{folder}", name, what)


def _mmdet(folder: str, name: str, what: str) -> PublishedFile:
    return _openmmlab("mmdet", f"mmdetection/v2.0/{folder}", name, what)


_TORCHDISTILLER = (
    _by_hand(
        "torchdistiller", "teacher_city.pth", "PSPNet-R101, Cityscapes",
        _DRIVE.format("1epiJnLiPYSAgT2IHP0UhYkTSRMb8twpJ"),
    ),
    _by_hand(
        "torchdistiller", "resnet18-imagenet.pth", "ResNet-18 with a deep stem, ImageNet",
        _DRIVE.format("17ewTEr-FZ8x0Lc9XMMR5VbgOupq48s9q"),
    ),
    _by_hand(
        "torchdistiller", "new_rn18-cityscape_singleAndWhole_val-75.02_test-73.86.pth",
        "PSPNet-R18 distilled by CWD, Cityscapes", _DRIVE.format("1eLOslSm1Clif_PJFTedbmG9fdhhqPSAe"),
    ),
    _by_hand(
        "torchdistiller", "new_rn18-cityscape_singleAndWhole_val-75.90_test-74.58.pth",
        "PSPNet-R18 distilled by CWD, Cityscapes", _DRIVE.format("1IWGQvoP8OMcRysHPMPmXAjWi8k7IW3ZZ"),
    ),
)  # fmt: skip
# Version 1: 256 channels wide. HWD was trained with these.
_CIRKD_FILES = (
    _by_hand(
        "cirkd", "deeplabv3_resnet101_citys_best_model.pth", "DeepLabV3-R101 of version 1 (256 wide), Cityscapes",
        _DRIVE.format("1zUdhYPYCDCclWU3Wo7GbbTlM8ibQ_UC1"),
    ),
    _by_hand(
        "cirkd", "deeplabv3_resnet101_voc_best_model.pth", "DeepLabV3-R101 of version 1 (256 wide), Pascal VOC",
        _DRIVE.format("1rYTaVq_ooiAI4oFOcDP8K3SpSbjURGnX"),
    ),
    _by_hand(
        "cirkd", "deeplabv3_resnet101_camvid_best_model.pth", "DeepLabV3-R101 of version 1 (256 wide), CamVid",
        _DRIVE.format("1BK8Flukoz-Mtd0e1iwFG5rLxi_ES76d2"),
    ),
    _by_hand(
        "cirkd", "deeplabv3_resnet101_ade20k_best_model.pth", "DeepLabV3-R101 of version 1 (256 wide), ADE20K",
        "https://pan.baidu.com/s/1jPe_kNrS1h45JWeLuixNTA?pwd=7qhv",
    ),
    _by_hand(
        "cirkd", "deeplabv3_resnet101_coco_stuff_164k_best_model.pth",
        "DeepLabV3-R101 of version 1 (256 wide), COCO-Stuff with 182 ids",
        "https://pan.baidu.com/s/1vd55WxC4AKqUpoNT8DWXiw?pwd=9cwu",
    ),
    _by_hand(
        "cirkd", "segformer_MiT_B4_citys_best_model.pth", "SegFormer-B4 of version 1, Cityscapes",
        "https://pan.baidu.com/s/1fslpQwIeIJ67veX0Q1WbHg?pwd=x6lf",
    ),
    _by_hand(
        "cirkd", "resnet101-imagenet.pth", "ResNet-101 with a deep stem, ImageNet",
        _DRIVE.format("1V8-E4wm2VMsfnNiczSIDoSM7JJBMARkP"),
    ),
    _by_hand(
        "cirkd", "resnet50-imagenet.pth", "ResNet-50 with a deep stem, ImageNet",
        "https://github.com/winycg/CIRKD",
    ),
    _by_hand(
        "cirkd", "mobilenetv2-imagenet.pth", "MobileNetV2, ImageNet",
        _DRIVE.format("12EDZjDSCuIpxPv-dkk1vrxA7ka0b0Yjv"),
    ),
    _by_hand("cirkd", "mit_b1.pth", "MiT-B1, ImageNet", "https://pan.baidu.com/s/1OUblLHQbq18DvXGzRU58jA?pwd=03yb"),
    _file("cirkd", "ResNet-18 with a deep stem, ImageNet", f"{_CIRKD}/backbonev0.1/resnet18-imagenet.pth"),
    _file("cirkd", "MobileNetV3-Small, ImageNet", f"{_CIRKD}/backbonev0.1/mobilenet_v3_small-47085aa1.pth"),
    _file("cirkd", "MobileNetV3-Large, ImageNet", f"{_CIRKD}/backbonev0.1/mobilenet_v3_large-bc2c3fd3.pth"),
    _file(
        "cirkd", "MobileViT-XXS, ImageNet",
        f"{_CIRKD}/backbonev0.1/mobilevit-xxsmall_3rdparty_in1k_20221018-77835605.pth",
    ),
    _file("cirkd", "MiT-B0, ImageNet", f"{_CIRKD}/backbonev0.1/mit_b0.pth"),
    _file("cirkd", "MiT-B4, ImageNet", f"{_CIRKD}/backbonev0.1/mit_b4.pth"),
)  # fmt: skip
# Version 2: 512 channels wide, and what it distilled.
_CIRKDV2_DATA = {
    "citys": "Cityscapes",
    "ade20k": "ADE20K",
    "voc": "Pascal VOC",
    "coco_stuff_164k": "COCO-Stuff with 182 ids",
}
_CIRKDV2_STUDENTS = {
    "deeplabv3_resnet18": ("citys", "ade20k", "coco_stuff_164k"),
    "upernet_lite_resnet18": ("citys", "ade20k"),
    "deeplabv3_mobilenet_ssseg_mobilenetv3_small": ("citys", "voc", "coco_stuff_164k"),
    "deeplabv3_mobilenet_ssseg_mobilenetv3_large": ("ade20k", "voc", "coco_stuff_164k"),
    "psp_mobile_mobilenetv3_small": ("citys", "voc", "coco_stuff_164k"),
    "psp_mobile_mobilenetv3_large": ("ade20k", "voc"),
    "deeplab_mobile_mobilevit_xx_small": ("citys",),
    "psp_mobile_mobilevit_xx_small": ("citys",),
    "segformer_MiT_B4_segformer_MiT_B0": ("citys",),
}


def _cirkdv2() -> tuple[PublishedFile, ...]:
    files = []
    for data, title in _CIRKDV2_DATA.items():
        name = f"deeplabv3_resnet101_{data}_best_model.pth"
        what = f"DeepLabV3-R101 of version 2 (512 wide), {title}"
        files.append(_file("cirkdv2", what, f"{_CIRKD}/segv0.1/{name}"))
    teacher = "segformer_MiT_B4_citys_best_model.pth"
    files.append(_file("cirkdv2", "SegFormer-B4 of version 2, Cityscapes", f"{_CIRKD}/segv0.1/{teacher}"))
    for student, sets in _CIRKDV2_STUDENTS.items():
        for data in sets:
            what = f"{student} distilled by CIRKDv2, {_CIRKDV2_DATA[data]}"
            files.append(_file("cirkdv2", what, f"{_CIRKD}/segv0.1/kd_{student}_{data}_best_model.pth"))
    return tuple(files)


def _hwd() -> tuple[PublishedFile, ...]:
    """Teachers that HWD's authors trained themselves and did not publish."""
    files = []
    for data, title in (("ade20k", "ADE20K"), ("coco", "COCO-Stuff")):
        name = f"deeplabv3_resnet101_{data}_best_model.pth"
        what = f"DeepLabV3-R101 (256 wide), {title}; not published: its authors trained it themselves"
        files.append(_by_hand("hwd", name, what, _HWD))
    return tuple(files)


_NVLABS = (
    *(
        _by_hand("nvlabs", f"mit_b{size}.pth", f"MiT-B{size}, ImageNet", _SEGFORMER_BACKBONES)
        for size in range(6)
    ),
    *(
        _by_hand("nvlabs", f"segformer.b{size}.512x512.ade.160k.pth", f"SegFormer-B{size}, ADE20K", _SEGFORMER_ADE20K)
        for size in range(5)
    ),
    _by_hand("nvlabs", "segformer.b5.640x640.ade.160k.pth", "SegFormer-B5, ADE20K", _SEGFORMER_ADE20K),
)  # fmt: skip
_SWINS = (
    _file("swin", "Swin-T, ImageNet", f"{_SWIN}/v1.0.0/swin_tiny_patch4_window7_224.pth"),
    _file("swin", "Swin-S, ImageNet", f"{_SWIN}/v1.0.0/swin_small_patch4_window7_224.pth"),
    _file("swin", "Swin-B, ImageNet", f"{_SWIN}/v1.0.0/swin_base_patch4_window7_224.pth"),
    _file("swin", "Swin-B, ImageNet-22k", f"{_SWIN}/v1.0.0/swin_base_patch4_window7_224_22k.pth"),
    _file("swin", "UPerNet-Swin-T, ADE20K", f"{_SWIN}/v1.0.1/upernet_swin_tiny_patch4_window7_512x512.pth"),
    _file("swin", "UPerNet-Swin-S, ADE20K", f"{_SWIN}/v1.0.1/upernet_swin_small_patch4_window7_512x512.pth"),
    _file("swin", "UPerNet-Swin-B, ADE20K", f"{_SWIN}/v1.0.1/upernet_swin_base_patch4_window7_512x512.pth"),
)
_PRETRAIN = f"{_OPENMMLAB}/mmsegmentation/v0.5/pretrain"
_MMSEG = (
    _file("mmseg", "ResNet-18 (V1c), ImageNet", f"{_OPENMMLAB}/pretrain/third_party/resnet18_v1c-b5776b93.pth"),
    _file("mmseg", "ResNet-50 (V1c), ImageNet", f"{_OPENMMLAB}/pretrain/third_party/resnet50_v1c-2cccc1ad.pth"),
    _file("mmseg", "ResNet-101 (V1c), ImageNet", f"{_OPENMMLAB}/pretrain/third_party/resnet101_v1c-e67eebb6.pth"),
    _file("mmseg", "MiT-B0, ImageNet", f"{_PRETRAIN}/segformer/mit_b0_20220624-7e0fe6dd.pth"),
    _file("mmseg", "MiT-B1, ImageNet", f"{_PRETRAIN}/segformer/mit_b1_20220624-02e5a6a1.pth"),
    _file("mmseg", "MiT-B2, ImageNet", f"{_PRETRAIN}/segformer/mit_b2_20220624-66e8bf70.pth"),
    _file("mmseg", "MiT-B5, ImageNet", f"{_PRETRAIN}/segformer/mit_b5_20220624-658746d9.pth"),
    _file("mmseg", "Swin-T, ImageNet", f"{_PRETRAIN}/swin/swin_tiny_patch4_window7_224_20220317-1cdeb081.pth"),
    _mmseg("pspnet", "pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f", "PSPNet-R101, Cityscapes"),
    _mmseg("pspnet", "pspnet_r50-d8_512x1024_80k_cityscapes_20200606_112131-2376f12b", "PSPNet-R50, Cityscapes"),
    _mmseg("pspnet", "pspnet_r18-d8_512x1024_80k_cityscapes_20201225_021458-09ffa746", "PSPNet-R18, Cityscapes"),
    _mmseg("pspnet", "pspnet_r18b-d8_512x1024_80k_cityscapes_20201226_063116-26928a60", "PSPNet-R18b, Cityscapes"),
    _mmseg("pspnet", "pspnet_r101b-d8_512x1024_80k_cityscapes_20201226_170012-3a4d38ab", "PSPNet-R101b, Cityscapes"),
    _mmseg("pspnet", "pspnet_r101-d8_512x512_80k_ade20k_20200614_031423-b6e782f0", "PSPNet-R101, ADE20K"),
    _mmseg("pspnet", "pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f", "PSPNet-R101, ADE20K"),
    _mmseg("pspnet", "pspnet_r101-d8_512x512_40k_voc12aug_20200613_161222-bc933b18", "PSPNet-R101, Pascal VOC"),
    _mmseg("segformer", "segformer_mit-b0_512x512_160k_ade20k_20210726_101530-8ffa8fda", "SegFormer-B0, ADE20K"),
)
_DISTILLED = f"{_OPENMMLAB}/mmrazor/v0.1/distill/cwd"
_MMRAZOR = (
    _file(
        "mmrazor", "PSPNet-R18 distilled by CWD, Cityscapes",
        f"{_DISTILLED}/cwd_cls_head_pspnet_r101_d8_pspnet_r18_d8_512x1024_cityscapes_80k/"
        "cwd_cls_head_pspnet_r101_d8_pspnet_r18_d8_512x1024_cityscapes_80k_mIoU-75.54_20211222-3a26ee1c.pth",
    ),
    _file(
        "mmrazor", "GFL-R50 distilled by CWD, COCO",
        f"{_DISTILLED}/cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco/"
        "cwd_cls_head_gfl_r101_fpn_gfl_r50_fpn_1x_coco_20211222-655dff39.pth",
    ),
)  # fmt: skip
_MMDET = (
    _mmdet("gfl", "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847", "GFL-R101, COCO"),
    _mmdet("gfl", "gfl_r50_fpn_1x_coco_20200629_121244-25944287", "GFL-R50, COCO"),
    _mmdet("retinanet", "retinanet_r101_fpn_2x_coco_20200131-5560aee8", "RetinaNet-R101, COCO"),
    _mmdet("retinanet", "retinanet_r50_fpn_1x_coco_20200130-c2398f9e", "RetinaNet-R50, COCO"),
    _mmdet("retinanet", "retinanet_r50_fpn_2x_coco_20200131-fdb43119", "RetinaNet-R50, COCO"),
    _mmdet("retinanet", "retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1", "RetinaNet-X101, COCO"),
    _mmdet("retinanet", "retinanet_x101_64x4d_fpn_2x_coco_20200131-bca068ab", "RetinaNet-X101, COCO"),
    _mmdet(
        "faster_rcnn", "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c", "Faster R-CNN-R101, COCO"
    ),
    _mmdet("faster_rcnn", "faster_rcnn_r101_fpn_1x_coco_20200130-f513f705", "Faster R-CNN-R101, COCO"),
    _mmdet("faster_rcnn", "faster_rcnn_r50_fpn_1x_coco_20200130-047c8118", "Faster R-CNN-R50, COCO"),
    _mmdet("faster_rcnn", "faster_rcnn_x101_64x4d_fpn_1x_coco_20200204-833ee192", "Faster R-CNN-X101, COCO"),
)
_MOBILEVIT = f"{_OPENMMLAB}/mmclassification/v0/mobilevit"
_OTHERS = (
    _file("mmcls", "MobileViT-XS, ImageNet", f"{_MOBILEVIT}/mobilevit-xsmall_3rdparty_in1k_20221018-be39a6e7.pth"),
    _file("mmcls", "MobileViT-S, ImageNet", f"{_MOBILEVIT}/mobilevit-small_3rdparty_in1k_20221018-cb4f741c.pth"),
    _file("torchvision", "ResNet-50, ImageNet", "https://download.pytorch.org/models/resnet50-0676ba61.pth"),
)

PUBLISHED_FILES: dict[str, PublishedFile] = {
    file.place: file
    for file in (
        *_TORCHDISTILLER, *_CIRKD_FILES, *_cirkdv2(), *_hwd(), *_NVLABS, *_SWINS, *_MMSEG, *_MMRAZOR, *_MMDET,
        *_OTHERS,
    )
}  # fmt: skip


def find_published(path: str | Path) -> PublishedFile | None:
    """Return the published file that a path means: by folder and name, or by a name that only one has.

    Args:
        path: as a recipe writes it, wherever ``checkpoints/`` lies.
    """
    path = Path(path)
    exact = PUBLISHED_FILES.get(f"checkpoints/{path.parent.name}/{path.name}")
    if exact is not None:
        return exact
    named = [file for file in PUBLISHED_FILES.values() if file.name == path.name]
    return named[0] if len(named) == 1 else None


def how_to_get(path: str | Path) -> str:
    """Say where a missing file comes from, as the end of a message; empty where nothing is known."""
    file = find_published(path)
    if file is None:
        return ""
    if file.url:
        return f" 'densekd fetch RECIPE' brings it from {file.url}."
    return f" It is {file.what}; download it by hand from {file.page} and put it there."
