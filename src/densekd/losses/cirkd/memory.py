"""Cross-image relational distillation through a memory bank (CIRKD; Yang et al., CVPR 2022, arXiv
2204.06986)."""

from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.cirkd.memory_bank import BankSize, ClassMemory, ClassSampler, Enqueue
from densekd.losses.cirkd.projection import project, project_head
from densekd.losses.inputs import labels_at, require_labels, require_one_map
from densekd.ops.precision import to_float32
from densekd.ops.ranges import NonNegative, Positive, PositiveInt
from densekd.ops.unit import unit


class CIRKDMemory(nn.Module):
    """Cross-image relations through a memory bank: similarities to remembered pixels and regions.

    ``kd_T^2 * mean_p KL(softmax_M(t_p . M / (T kd_T)) || softmax_M(s_p . M / (T kd_T)))`` over the
    labelled pixels p, M being the same random slots of every class' queue: once of the teacher's
    pixels, once of its regions (mean of a class in an image), all of unit length. The student passes
    a projection that learns. In training the batch, of all processes, is remembered first; in
    evaluation mode nothing is. Samples are equal on all ranks, and so are the queues.

    Tap: ``pre_logits``. Weight: 1, and those within, as released. Cost: ``num_classes
    (pixel_memory_size + region_memory_size) C'`` remembered numbers (0.9 GB for 19 classes,
    C' = 512); three matrix products of pixels x slots, of whose results one block exists at a time.

    Args:
        student_channels, teacher_channels, num_classes, ignore_index: supplied by the build.
        pixel_memory_size: slots per class of the queues of pixels (SegFormer ships 2000).
        region_memory_size: slots per class of the queues of regions.
        pixel_contrast_size: pixels compared: ``size // num_classes + 1`` of each class.
        region_contrast_size: regions compared, likewise.
        pixel_update_freq: pixels that an image adds at most to the queue of each of its classes.
        contrast_temperature: T > 0.
        contrast_kd_temperature: kd_T > 0.
        pixel_weight: factor of the term with pixels (VOC ships 0.01).
        region_weight: factor of the term with regions (VOC ships 0.01).
        enqueue: ``class`` remembers pixels of the class; ``as_released`` takes numbers drawn below the
            class' number of pixels for positions in the whole map, whatever class lies there.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: labels
        ``[B, H', W']`` (int64). Returns a scalar >= 0, which is 0 when every pixel is void.

    Raises:
        ValueError: shapes that it was not built for, or no labels.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        num_classes: int,
        ignore_index: int,
        pixel_memory_size: PositiveInt = 20000,
        region_memory_size: PositiveInt = 2000,
        pixel_contrast_size: PositiveInt = 4096,
        region_contrast_size: PositiveInt = 1024,
        pixel_update_freq: PositiveInt = 16,
        contrast_temperature: Positive = 0.1,
        contrast_kd_temperature: Positive = 1.0,
        pixel_weight: NonNegative = 0.1,
        region_weight: NonNegative = 0.1,
        enqueue: Enqueue = "class",
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.width = teacher_channels
        self.temperature = contrast_temperature * contrast_kd_temperature
        self.factor = contrast_kd_temperature**2
        self.pixel_weight = pixel_weight
        self.region_weight = region_weight
        self.project_head = project_head(student_channels, teacher_channels)
        self.memory = ClassMemory(
            ClassSampler(num_classes, min(pixel_update_freq, pixel_memory_size), enqueue),
            teacher_channels,
            pixels=BankSize(pixel_memory_size, pixel_contrast_size),
            regions=BankSize(region_memory_size, region_contrast_size),
        )

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        B, width, H, W = teacher.shape
        if width != self.width:
            raise ValueError(f"the queues hold {self.width} teacher channels, got {list(teacher.shape)}")
        # Positions whose label is void or no class are left out.
        labels = labels_at(require_labels(target, B), (H, W)).flatten(1)
        known = (labels >= 0) & (labels < self.num_classes)
        valid = (labels != self.ignore_index) & known

        # Unit vectors [B, P, C'] of every pixel, the student's after its projection.
        s = unit(project(self.project_head, student).flatten(2).mT, 2)
        t = unit(to_float32(teacher.detach()).flatten(2).mT, 2)
        # The mean is over labelled pixels.
        weight = valid.to(s.dtype)
        weight = weight * (self.factor / weight.sum().clamp(min=1))

        # Remember the batch, then compare both networks with the same remembered vectors.
        pixels, regions = self.memory(t, labels.where(valid, self.num_classes))
        value = s.new_zeros(())
        # One divergence with the sampled pixels, one with the sampled regions.
        for factor, bank in ((self.pixel_weight, pixels), (self.region_weight, regions)):
            M = bank.to(s.dtype)
            value = value + factor * similarity_kl((s, M), (t, M), weight, self.temperature)
        return value
