"""Cross-image relational distillation through a memory (Yang et al., CVPR 2022, arXiv 2204.06986)."""

from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.cirkd.class_memory import ClassMemory
from densekd.losses.cirkd.keys import ClassKeys, Enqueue
from densekd.losses.cirkd.shared import project, project_head
from densekd.losses.inputs import labels_at, require_one_map, require_positive, to_float32
from densekd.ops.unit import unit


class CIRKDMemory(nn.Module):
    """Match how similar each labelled pixel is to remembered pixels and regions of earlier images.

    ``kd_T^2 * mean_p KL(softmax_M(t_p . M / (T kd_T)) || softmax_M(s_p . M / (T kd_T)))``, M being the same random
    slots of every class' queue: once of the teacher's pixels, once of its regions (mean of a class in an image), all of
    unit length. The student passes a projection that is learnt. In training the batch, of all processes, is remembered
    first; in evaluation mode nothing is. Draws are equal on all ranks, and so are the queues.

    Tap: ``pre_logits``. Weight: 1, and those within, as released. Cost: ``num_classes (pixel_memory_size +
    region_memory_size) C'`` remembered numbers (0.9 GB for 19 classes, C' = 512); three matrix products of pixels x
    slots, of whose results one block exists at a time.

    Args:
        student_channels, teacher_channels, num_classes, ignore_index: supplied by the build.
        pixel_memory_size, region_memory_size: slots per class (SegFormer ships 2000 pixels).
        pixel_contrast_size, region_contrast_size: slots compared: ``size // num_classes + 1`` of each class.
        pixel_update_freq: pixels that an image adds at most to the queue of each of its classes.
        contrast_temperature, contrast_kd_temperature: T and kd_T.
        pixel_weight, region_weight: factors of the two terms (VOC ships 0.01 each).
        enqueue: ``class`` remembers pixels of the class; ``as_released`` takes numbers drawn below the class' number
            of pixels for positions in the whole map, whatever class lies there.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: labels ``[B, H', W']`` (int64). Returns
        a scalar >= 0, which is 0 when every pixel is void.

    Raises:
        ValueError: a size or temperature that is not positive, an unknown choice, or shapes that do not fit.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        num_classes: int,
        ignore_index: int,
        pixel_memory_size: int = 20000,
        region_memory_size: int = 2000,
        pixel_contrast_size: int = 4096,
        region_contrast_size: int = 1024,
        pixel_update_freq: int = 16,
        contrast_temperature: float = 0.1,
        contrast_kd_temperature: float = 1.0,
        pixel_weight: float = 0.1,
        region_weight: float = 0.1,
        enqueue: Enqueue = "class",
    ) -> None:
        super().__init__()
        slots, contrast = (pixel_memory_size, region_memory_size), (pixel_contrast_size, region_contrast_size)
        require_positive(*slots, *contrast, pixel_update_freq, contrast_temperature, contrast_kd_temperature)
        self.num_classes, self.ignore_index, self.width = num_classes, ignore_index, teacher_channels
        self.temperature, self.factor = contrast_temperature * contrast_kd_temperature, contrast_kd_temperature**2
        self.weights = (pixel_weight, region_weight)
        self.project_head = project_head(student_channels, teacher_channels)
        keys = ClassKeys(num_classes, min(pixel_update_freq, pixel_memory_size), enqueue)
        self.memory = ClassMemory(keys, teacher_channels, slots, contrast)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        if teacher.shape[1] != self.width:
            raise ValueError(f"the queues hold {self.width} teacher channels, got {list(teacher.shape)}")
        if target is None or len(target) != len(student):
            got = list(target.shape) if isinstance(target, Tensor) else "boxes" if target else "none"
            raise ValueError(f"cirkd_memory needs labels [{len(student)}, H, W], got {got}")
        labels = labels_at(target, student.shape[2:]).flatten(1)
        valid = (labels != self.ignore_index) & (labels >= 0) & (labels < self.num_classes)
        s = unit(project(self.project_head, student).flatten(2).mT, 2)
        t = unit(to_float32(teacher.detach()).flatten(2).mT, 2)
        weight = valid.to(s.dtype)
        weight = weight * (self.factor / weight.sum().clamp(min=1))
        value = s.new_zeros(())
        for factor, bank in zip(self.weights, self.memory(t, labels.where(valid, self.num_classes)), strict=True):
            M = bank.to(s.dtype)
            value = value + factor * similarity_kl((s, M), (t, M), weight, self.temperature)
        return value
