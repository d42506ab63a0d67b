"""Mutation testing: small mistakes planted in a copy of the package, each of which a test must notice.

``python benchmarks/mutants.py`` plants each in turn, runs the tests named beside it, and lists those that survive.
``--only TEXT`` takes those whose file or new text contains it. A mutant whose old text is gone is rewritten or dropped.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
_COPIED = ("src", "tests", "recipes", "docs", "benchmarks", "examples")
_FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "constraints.txt", "LICENSE")
# Exit statuses of pytest.
_PASSED, _FAILED = 0, 1
_LIMIT = 600  # seconds
Outcome = Literal["killed", "SURVIVED", "NOT RUN"]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Args:
        file: below ``src/densekd``, or below the repository where it begins with ``recipes/``.
        old: text that occurs once in the file.
        new: what takes its place.
        tests: arguments of pytest, below ``tests``.
    """

    file: str
    old: str
    new: str
    tests: str

    @property
    def path(self) -> Path:
        """The file, below the repository."""
        if self.file.startswith("recipes/"):
            return Path(self.file)
        return Path("src") / "densekd" / self.file


MUTANTS = (
    # What survived an earlier audit.
    Mutant("models/detection/gfl.py", '"dfl": 0.25 * dfl', '"dfl": 0.5 * dfl', "models/detection/test_gfl.py"),
    Mutant("models/detection/gfl.py", '"bbox": 2 * giou', '"bbox": giou', "models/detection/test_gfl.py"),
    Mutant(
        "teacher_cache/packing.py",
        "clamp(min=smallest) / _FP8_MAX",
        "clamp(min=smallest) * 64 / _FP8_MAX",
        "teacher_cache/test_packing.py",
    ),
    Mutant(
        "tasks/segmentation/evaluation.py",
        "math.ceil(side * 2 / 3)",
        "math.ceil(side / 2)",
        "tasks/segmentation/test_evaluation.py",
    ),
    Mutant("data/yolo_text.py", "_SLACK = 0.01", "_SLACK = 0.1", "data/test_yolo.py"),
    Mutant("data/yolo_text.py", "-_SLACK <= value", "0 <= value", "data/test_yolo.py"),
    Mutant("distill/optimizers.py", "return rule in name", "return rule == name", "distill/test_optimizers.py"),
    Mutant("recipes/cityscapes/hwd-r18.yaml", "shift: 1.0", "shift: 0.0", "test_dynamics.py -k hwd"),
    Mutant("recipes/cityscapes/hwd-r18.yaml", "pixel_division: N", "pixel_division: SqrtN", "test_dynamics.py -k hwd"),
    Mutant(
        "recipes/cityscapes/mmrazor-r18-cwd.yaml", "normalize: all", "normalize: valid", "test_dynamics.py -k mmrazor"
    ),
    # Losses.
    Mutant(
        "losses/cwd.py",
        "(self.temperature**2 / self._distributions(student, to.size))",
        "(self.temperature / self._distributions(student, to.size))",
        "losses/test_cwd.py",
    ),
    Mutant("losses/pixel.py", "return labels != self.ignore_index", "return labels == labels", "losses/test_pixel.py"),
    Mutant(
        "losses/at.py", "F.normalize(energy.flatten(1))", "F.normalize(energy.flatten(1), p=1)", "losses/test_at.py"
    ),
    Mutant("losses/cirkd/minibatch.py", "1 / (B * G * P)", "1 / (G * P)", "losses/cirkd/test_minibatch.py"),
    Mutant("losses/cirkd/memory_bank.py", "+ count >= S", "+ count > S", "losses/cirkd/test_memory.py"),
    Mutant(
        "losses/cirkd/memory_bank.py",
        "self.regions.write(region[:, None], n.clamp(max=1))",
        "self.regions.write(region[:, None], n.clamp(min=1, max=1))",
        "losses/cirkd/test_memory.py",
    ),
    Mutant(
        "losses/cirkd/channel.py",
        "(self.kd_temperature**2 * memory)",
        "(self.kd_temperature * memory)",
        "losses/cirkd/test_channel.py",
    ),
    Mutant("losses/hwd.py", "standardize(w) + self.shift", "standardize(w) - self.shift", "losses/test_hwd.py"),
    Mutant(
        "losses/dsd.py", "average_windows(to_float32(x), 2)", "average_windows(to_float32(x), 1)", "losses/test_dsd.py"
    ),
    Mutant(
        "losses/fgd.py",
        "self.foreground_weight * foreground + self.background_weight * background",
        "self.background_weight * foreground + self.foreground_weight * background",
        "losses/test_fgd.py",
    ),
    Mutant("losses/mgd.py", "<= 1 - self.masked", "<= self.masked", "losses/test_mgd.py"),
    Mutant("losses/pkd.py", 'if self.resize == "student"', 'if self.resize != "student"', "losses/test_pkd.py"),
    Mutant(
        "losses/adversarial/adversarial.py",
        "share * real + (1 - share) * fake",
        "share * fake + (1 - share) * real",
        "losses/adversarial/test_adversarial.py",
    ),
    Mutant(
        "losses/adversarial/sagan.py",
        "similarities.softmax(-1)",
        "similarities.softmax(-2)",
        "losses/adversarial/test_adversarial.py",
    ),
    Mutant(
        "losses/dist.py", "self.gamma * (1 - intra.mean())", "self.beta * (1 - intra.mean())", "losses/test_dist.py"
    ),
    # Kernels and tensor functions.
    Mutant("kernels/channel_kl.py", "(t, p_share, p)", "(t, q_share, p)", "kernels/test_channel_kl.py"),
    Mutant(
        "kernels/resized_cross_entropy.py",
        "factor = weight[label].where(valid, 0)",
        "factor = weight[label]",
        "kernels/test_resized_cross_entropy.py",
    ),
    Mutant("kernels/pearson.py", "* t_norm / s_norm.where", "* s_norm / s_norm.where", "kernels/test_pearson.py"),
    Mutant("ops/unit.py", "value=-1", "value=-0.5", "ops/test_unit.py"),
    Mutant("ops/atss.py", ".amin(2) > 0.01", ".amin(2) > -0.01", "ops/test_atss.py"),
    Mutant("ops/class_weights.py", "max(w.shape[1] - 1, 1)", "w.shape[1]", "ops/test_class_weights.py"),
    # Data.
    Mutant("data/sampler.py", "self.seed * 1_000_003 + epoch", "self.seed + epoch", "data/test_sampler.py"),
    Mutant(
        "data/transforms.py",
        "counts.max() < self.max_class_share",
        "counts.max() <= self.max_class_share",
        "data/test_transforms.py",
    ),
    Mutant("data/transforms.py", "counts[self.ignore_index] = 0", "pass", "data/test_transforms.py"),
    Mutant("data/voc_xml.py", "(x1 - 1, y1 - 1, x2, y2)", "(x1, y1, x2, y2)", "data/test_voc_boxes.py"),
    Mutant("data/coco.py", 'area = float(record["area"])', "pass", "data/test_coco.py"),
    Mutant("data/exports/rasterize.py", "np.ceil(xs - 0.5)", "np.floor(xs)", "data/exports/test_rasterize.py"),
    Mutant("data/exports/rle.py", "number += runs[-2]", "number += runs[-1]", "data/exports/test_rle.py"),
    Mutant(
        "data/detection.py", "[W / width, H / height] * 2", "[H / height, W / width] * 2", "data/test_detection_sets.py"
    ),
    # Tasks and their scores.
    Mutant(
        "tasks/segmentation/confusion.py", "iou[union > 0]", "iou[labelled > 0]", "tasks/segmentation/test_metrics.py"
    ),
    Mutant(
        "tasks/segmentation/boundary.py",
        "max(1, round(self.tolerance",
        "max(1, int(self.tolerance",
        "tasks/segmentation/test_metrics.py",
    ),
    Mutant(
        "tasks/segmentation/calibration.py",
        "(confidence * bins).long()",
        "(confidence * bins).round().long()",
        "tasks/segmentation/test_metrics.py",
    ),
    Mutant(
        "tasks/depth/metric.py",
        "torch.maximum(predicted / real, real / predicted)",
        "predicted / real",
        "tasks/depth/test_task.py tasks/depth/test_evaluation.py",
    ),
    Mutant("tasks/depth/loss.py", "(trim * count).floor()", "(trim * count).ceil()", "tasks/depth/test_loss.py"),
    Mutant("tasks/detection/metric.py", "_mean(best[5])", "_mean(best[4])", "tasks/detection/test_metric.py"),
    Mutant(
        "models/detection/selection.py",
        "batched_nms(boxes, scores, labels,",
        "batched_nms(boxes, scores, labels * 0,",
        "models/detection/test_selection.py",
    ),
    Mutant(
        "models/detection/losses.py",
        "(distances - below - 1) * first - (distances - below) * second",
        "(distances - below - 1) * second - (distances - below) * first",
        "models/detection/test_losses.py",
    ),
    # Schedules.
    Mutant("distill/terms.py", "if n < self.warmup:", "if n <= self.warmup:", "distill/test_terms.py"),
    Mutant("distill/terms.py", "if n >= end:", "if n > end:", "distill/test_terms.py"),
    Mutant("distill/optimizers.py", "sum(n >= step for", "sum(n > step for", "distill/test_optimizers.py"),
    Mutant(
        "distill/optimizers.py",
        "(1 - n / settings.warmup) * (1 - settings.warmup_ratio)",
        "(1 - n / settings.warmup)",
        "distill/test_optimizers.py",
    ),
    # Taps, adapters, wiring, teacher.
    Mutant(
        "distill/taps.py",
        "return 0 if tensor.is_inference() else tensor._version",
        "return 0",
        "distill/test_taps.py",
    ),
    Mutant("distill/taps.py", "len(self._records[other]) >= count", "self._records[other]", "distill/test_taps.py"),
    Mutant(
        "distill/adapters.py",
        "torch.cat([x, self.context(attended)], 1)",
        "torch.cat([self.context(attended), x], 1)",
        "distill/test_adapters.py",
    ),
    Mutant(
        "distill/wiring.py",
        'like = student if self.plan.resize == "student" else teacher',
        "like = teacher",
        "distill/test_terms.py builders/test_build.py builders/test_methods.py",
    ),
    Mutant("distill/teacher.py", "enabled=precision in _HALVES", "enabled=True", "distill/test_teacher.py"),
    Mutant("distill/fuse_batchnorm.py", "output.reads != 1", "output.reads < 1", "distill/test_fuse_batchnorm.py"),
    # Checkpoints of other projects.
    Mutant(
        "models/checkpoints/torchdistiller.py",
        "ours[weight].abs() + _EPS",
        "ours[weight] + _EPS",
        "models/checkpoints/test_torchdistiller.py test_golden_models.py -k torchdistiller",
    ),
    Mutant(
        "models/checkpoints/upernet.py",
        "state = original_merging(state)",
        "state = dict(state)",
        "models/checkpoints/test_upernet.py",
    ),
    Mutant(
        "models/checkpoints/preprocessing.py",
        'if detects and known.style == "caffe":',
        'if known.style == "caffe":',
        "models/checkpoints/test_preprocessing.py",
    ),
    # The teacher cache.
    Mutant("teacher_cache/views.py", "epoch % self.count", "(epoch + 1) % self.count", "teacher_cache/test_views.py"),
    Mutant("teacher_cache/views.py", "\\0{_size(item.label)}", "", "teacher_cache/test_views.py"),
    Mutant(
        "teacher_cache/packing.py",
        "math.log(channels - self.top_k)",
        "math.log(channels)",
        "teacher_cache/test_packing.py",
    ),
    Mutant(
        "builders/teacher.py",
        "digest.update(repr(contract.convention(model)).encode())",
        "pass",
        "builders/test_teacher.py",
    ),
    # Resuming.
    Mutant(
        "run/callbacks.py",
        "batch_idx * trainer.world_size + trainer.global_rank",
        "batch_idx",
        "run/test_callbacks.py",
    ),
    Mutant(
        "run/callbacks.py",
        'self.best_score = state_dict["best_score"]',
        "pass",
        "run/test_callbacks.py run/test_train.py",
    ),
    # Several processes.
    Mutant(
        "ops/processes.py",
        "total.clamp(min=least) / dist.get_world_size()",
        "(total / dist.get_world_size()).clamp(min=least)",
        "ops/test_processes.py",
    ),
    Mutant("ops/processes.py", "torch.cat(parts)", "torch.cat(parts[::-1])", "losses/cirkd/test_ddp.py"),
    Mutant(
        "tasks/segmentation/confusion.py",
        "dist.all_reduce(self.counts)",
        "pass",
        "tasks/segmentation/test_evaluation_ddp.py",
    ),
    # Pictures of features.
    Mutant(
        "report/features/embedding.py",
        "distances[rows, first + rows]",
        "distances[rows, rows]",
        "report/features/test_embedding.py",
    ),
    Mutant(
        "report/features/channel_maps.py",
        "counts.argsort(descending=True",
        "counts.argsort(descending=False",
        "report/features/test_channel_maps.py",
    ),
)


def try_mutant(mutant: Mutant, copy: Path) -> Outcome:
    """Plant one mistake in a copy of the repository, run its tests, and take it back."""
    path = copy / mutant.path
    original = path.read_text(encoding="utf-8")
    if original.count(mutant.old) != 1:
        return "NOT RUN"
    path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        status = _run_tests(mutant.tests.split(), copy)
    finally:
        path.write_text(original, encoding="utf-8")
    if status == _PASSED:
        return "SURVIVED"
    # Anything else than failed tests, as a file that cannot be imported, says nothing about them.
    return "killed" if status == _FAILED else "NOT RUN"


def _run_tests(tests: Sequence[str], copy: Path) -> int:
    """Run pytest on a copy until the first failure; return its exit status."""
    arguments = [f"tests/{word}" if word.startswith(("test_", *_folders(copy))) else word for word in tests]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *arguments]
    # A compiled file of the same second and size would be taken for that of the mistake.
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        # A test that never ends is noticed.
        return _FAILED
    return done.returncode


def _folders(copy: Path) -> tuple[str, ...]:
    return tuple(f"{folder.name}/" for folder in (copy / "tests").iterdir() if folder.is_dir())


def copy_repository(to: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy(ROOT / name, to / name)


def main() -> None:
    """Try all mutants, or some, and fail where one survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="text in the file's name or the new text")
    only = parser.parse_args().only
    chosen = [mutant for mutant in MUTANTS if only in mutant.file or only in mutant.new]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        for mutant in chosen:
            outcome = try_mutant(mutant, Path(folder))
            outcomes.append(outcome)
            print(f"{outcome:9} {mutant.file}: {mutant.old} -> {mutant.new}", flush=True)
    print(f"{outcomes.count('killed')} of {len(chosen)} mutants were killed")
    if outcomes.count("killed") < len(chosen):
        sys.exit(1)


if __name__ == "__main__":
    main()
