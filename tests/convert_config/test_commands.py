"""Commands of CIRKD, HWD and TorchDistiller: which system, which version, and what is left."""

from pathlib import Path
from typing import Any

import pytest
from original_configs import CIRKDV2_OPTIONS, cirkd, hwd, write

from densekd.convert_config import Converted, convert_command, convert_file
from densekd.errors import UserError


def converted(folder: Path, text: str, **options: Any) -> Converted:
    return convert_file(write(folder, "run.sh", text), **options)


def test_the_first_of_several_commands_and_any_other(tmp_path: Path) -> None:
    text = cirkd("train_kd.py", "--lambda-at 1") + "\n" + cirkd("train_kd.py", "--lambda-skd 10")
    first = converted(tmp_path, text)
    assert first.content["distill"][0]["method"] == "at"
    assert any("2 commands" in note for note in first.report.assumed)
    second = converted(tmp_path, text, pick=2)
    assert second.content["distill"][0]["method"] == "pairwise"
    with pytest.raises(UserError, match="--pick 3 is none of them"):
        converted(tmp_path, text, pick=3)


def test_data_tells_cirkds_trainers_from_hwds(tmp_path: Path) -> None:
    theirs = converted(tmp_path, cirkd("train_cirkd.py"))
    assert theirs.content["augment"]["crop"] == [512, 1024]
    hwds = converted(tmp_path, hwd("train_cirkd.py"))
    assert hwds.content["augment"]["crop"] == [512, 512]
    forced = converted(tmp_path, hwd("train_cirkd.py"), system="cirkd")
    assert forced.content["data"]["batch_size"] == 16


def test_a_baseline_is_trained_alone() -> None:
    command = "python train_baseline.py --model psp --backbone resnet18 --dataset voc --data data/x --crop-size 512 512"
    content = convert_command(command.split()).content
    assert "teacher" not in content
    assert "distill" not in content
    assert content["data"] == {"dataset": "voc", "root": "data/x", "train": "trainaug", "batch_size": 2, "workers": 8}
    assert content["student"]["model"] == "pspnet"


def test_segformers_trainer(tmp_path: Path) -> None:
    options = (
        "--teacher-model segformer", "--student-model segformer", "--teacher-backbone MiT_B4",
        "--student-backbone MiT_B0",
        "--crop-size 1024 1024", "--optimizer-type adamw", "--pixel-memory-size 2000", "--lr 0.0002", "--workers 16",
        "--max-iterations 160000", *CIRKDV2_OPTIONS[3:], "--batch-size 8", "--student-pretrained [x]/mit_b0.pth",
    )  # fmt: skip
    content = converted(tmp_path, cirkd("train_cirkdv2_segformer.py", *options)).content
    assert content["student"]["options"] == {"backbone": "mit_b0", "family": "cirkd"}
    assert content["optimizer"] == {"method": "adamw", "lr": 0.0002, "weight_decay": 0.0001, "power": 0.9}
    assert content["evaluation"] == {"absent": "zero", "crop": [1024, 1024], "stride": [1024, 1024]}
    # The trainer of SegFormer has no context block.
    assert [term.get("adapter") for term in content["distill"]] == [None, "conv", None, None, None]
    assert content["distill"][3]["options"]["pixel_memory_size"] == 2000
    assert content["data"]["workers"] == 16


def test_cirkdv2_without_fitnets_term_has_no_context_block(tmp_path: Path) -> None:
    content = converted(tmp_path, cirkd("train_cirkdv2.py", "--lambda-channel-kd 5")).content
    assert [term["method"] for term in content["distill"]] == [
        "pixel",
        "cirkd_minibatch",
        "cirkd_memory",
        "cirkd_channel",
    ]
    assert not any("adapter" in term for term in content["distill"])
    assert content["distill"][3]["options"]["mse_weight"] == 5


@pytest.mark.parametrize(
    ("model", "backbone", "options"),
    [
        ("psp", "resnet18_vanilla", {"backbone": "resnet18", "family": "cirkd_vanilla", "channels": 128}),
        ("psp_mobile", "mobilevit_xx_small", {"backbone": "mobilevit_xxs", "family": "cirkdv2"}),
        ("deeplabv3_mobilenet_ssseg", "mobilenetv2_ssseg", {"backbone": "mobilenetv2_100", "family": "cirkd_ssseg"}),
    ],
)
def test_models_of_cirkd(model: str, backbone: str, options: dict[str, Any], tmp_path: Path) -> None:
    text = cirkd("train_kd.py", "--lambda-kd 1", f"--student-model {model}", f"--student-backbone {backbone}")
    assert converted(tmp_path, text).content["student"]["options"] == options


def test_what_is_left_is_said(tmp_path: Path) -> None:
    text = cirkd("train_kd.py", "--lambda-kd 1", "--new-option 3 4", "--student-pretrained x.pth", "--resume y.pth")
    left = converted(tmp_path, text).report.left
    assert left[-1] == "--new-option 3 4"
    assert any("student.checkpoint" in line for line in left)
    assert any(line.startswith("--resume") for line in left)


def test_wrong_commands_are_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every --lambda is 0"):
        converted(tmp_path, cirkd("train_kd.py"))
    with pytest.raises(UserError, match=r"'vgg' is no model or backbone of CIRKD\. .*resnet18"):
        converted(tmp_path, cirkd("train_kd.py", "--lambda-kd 1", "--student-backbone vgg"))
    with pytest.raises(UserError, match="--lr fast is no number"):
        converted(tmp_path, cirkd("train_kd.py", "--lambda-kd 1", "--lr fast"))
    with pytest.raises(UserError, match="--lr nan is no number"):
        converted(tmp_path, cirkd("train_kd.py", "--lambda-kd 1", "--lr nan"))
    with pytest.raises(UserError, match=r"--dataset mapillary is unknown"):
        converted(tmp_path, hwd("train_hwd.py", "--dataset mapillary"))
    with pytest.raises(UserError, match=r"no command of CIRKD.*scripts found: fit.py"):
        converted(tmp_path, "python fit.py --x 1\n")
    with pytest.raises(UserError, match="scripts found: none"):
        convert_command(["ls", "-l"])


def test_hwds_general_loss(tmp_path: Path) -> None:
    content = converted(tmp_path, hwd("train_hwd.py", "--L KL --activation --process T --parameter 10")).content
    assert content["distill"] == [
        {
            "method": "hwd",
            "weight": 3,
            "options": {
                "distance": "kl", "values": "activations", "pixel_division": "none", "shift": 0.0, "process": "T",
                "parameter": 10, "temperature": 4,
            },
        }
    ]  # fmt: skip
    both = converted(tmp_path, hwd("train_cwd.py", "--lambda-feat 20")).content["distill"]
    assert [(term["weight"], term.get("adapter")) for term in both] == [(20, "conv-bn-relu"), (3, None)]
    coco = converted(tmp_path, hwd("train_hwd.py", "--dataset coco")).content
    assert coco["teacher"]["classes"] == "cocostuff-182"


def test_torchdistillers_own_trainer() -> None:
    command = (
        "python train.py --kd False --cwd True --norm-type spatial --divergence mse --lambda-cwd 2 --adv yes "
        "--adv-loss-type hinge --lambda-d 0.2 --random-mirror --random-scale --num-steps 1000 --save-ckpt-start 100 "
        "--save-ckpt-every 50 --data-dir /data/city --input-size 769,769"
    )
    content = convert_command(command.split()).content
    assert content["augment"] == {"crop": [769, 769], "scale": [0.7, 2.1], "flip": 0.5, "max_class_share": 1}
    assert content["distill"] == [
        {"method": "cwd", "weight": 2, "options": {"normalize": "spatial", "divergence": "mse"}},
        {"method": "adversarial", "weight": 0.001, "options": {"objective": "hinge", "discriminator_weight": 200}},
    ]
    training = {"steps": 1000, "precision": 32, "validate_every": 50, "checkpoint_every": 50}
    assert content["training"] == training


def test_torchdistillers_mistakes() -> None:
    with pytest.raises(UserError, match="trains to NaN"):
        convert_command(["bash", "exp_cwd.sh", "none", "kl", "3", "4", "False", "False", "False", "v1"])
    with pytest.raises(UserError, match=r"exp_cwd\.sh takes norm"):
        convert_command(["bash", "exp_cwd.sh", "channel", "kl"])
    with pytest.raises(UserError, match="neither True nor False"):
        convert_command(["bash", "exp_cwd.sh", "channel", "kl", "3", "4", "maybe", "False", "False", "v1"])
