"""Channel relations in the batch and through a memory bank: CIRKDv2 (winycg/CIRKD@dab64db), sequel
to arXiv 2204.06986."""

from math import ceil

import torch
from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.cirkd.image_groups import image_groups
from densekd.losses.cirkd.memory_bank import MemoryBank, SeedCounter
from densekd.losses.cirkd.projection import project, project_head
from densekd.losses.inputs import average_windows, require_one_map
from densekd.ops.precision import to_float32
from densekd.ops.processes import gather_over_processes
from densekd.ops.ranges import NonNegative, Positive, PositiveInt
from densekd.ops.unit import unit

# Maps are averaged over windows of this side, as released.
WINDOW = 4


class CIRKDChannel(nn.Module):
    """Cross-image channel relations: similarities of channels to the batch's and remembered ones.

    Maps are averaged over 4x4 windows, the student's then pass a projection that learns; every
    channel has unit length over the positions. Three terms are weighed and summed:
    batch ``1 / (B^2 C') * sum_{i,j,c} KL(softmax_d(t_ic . t_jd / T) || softmax_d(s_ic . s_jd / T))``,
    of one process, or the mean over consecutive groups of ``images_per_group``; memory
    ``kd_T^2 * mean_{b,c} KL(softmax_M(t_bc . M / (T kd_T)) || softmax_M(s_bc . M / (T kd_T)))`` with
    random slots M of a queue of teacher channels, into which training first writes some of the
    batch's, of all processes; mse ``mean (s - t)^2``. Samples are equal on all ranks, and so is the
    queue.

    Tap: ``pre_logits``. Weight: 1, and those within, as released. Cost: products of (B C')^2 and
    B C' x slots; the queue holds ``channel_memory_size * H W / 16`` numbers.

    Args:
        student_channels, teacher_channels: supplied by the build.
        teacher_size: ``(H, W)`` of the maps; supplied by the build. The queue is made for it.
        channel_memory_size: slots of the queue.
        channel_contrast_size: slots compared.
        channel_update_freq: channels remembered of a batch at most.
        contrast_temperature: T > 0.
        contrast_kd_temperature: kd_T > 0.
        batch_weight: of the term within the batch.
        memory_weight: of the term with remembered channels.
        mse_weight: of the squared error.
        images_per_group: images whose channels are compared with each other within the batch; None:
            all of a process. The authors' processes have 1.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: ignored. Returns a
        scalar >= 0.

    Raises:
        ValueError: shapes that it was not built for.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        teacher_size: tuple[int, int],
        channel_memory_size: PositiveInt = 10000,
        channel_contrast_size: PositiveInt = 2048,
        channel_update_freq: PositiveInt = 256,
        contrast_temperature: Positive = 0.1,
        contrast_kd_temperature: Positive = 1.0,
        batch_weight: NonNegative = 1.0,
        memory_weight: NonNegative = 0.1,
        mse_weight: NonNegative = 100.0,
        images_per_group: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.teacher = (teacher_channels, *teacher_size)
        self.update = min(channel_update_freq, channel_memory_size)
        self.contrast = channel_contrast_size
        self.temperature = contrast_temperature
        self.kd_temperature = contrast_kd_temperature
        self.batch_weight = batch_weight
        self.memory_weight = memory_weight
        self.mse_weight = mse_weight
        self.images_per_group = images_per_group
        self.project_head = project_head(student_channels, teacher_channels)
        self.draws = SeedCounter()
        # The windows at the border may be partial.
        positions = ceil(teacher_size[0] / WINDOW) * ceil(teacher_size[1] / WINDOW)
        self.channels = MemoryBank(1, channel_memory_size, positions)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        if teacher.shape[1:] != self.teacher:
            raise ValueError(f"this loss is made for a teacher of {list(self.teacher)}, got {list(teacher.shape)}")
        # Unit vectors [B, C', P] of every channel over the positions.
        student = average_windows(to_float32(student), WINDOW)
        teacher = average_windows(to_float32(teacher.detach()), WINDOW)
        s = unit(project(self.project_head, student).flatten(2), 2)
        t = unit(teacher.flatten(2), 2)

        # Remember some channels of the batches of all processes.
        seeds = self.draws.seeds(2)
        if self.training:
            keys = gather_over_processes(t).flatten(0, 1)
            self.channels.write_sample(keys, self.update, seeds[:1])
        bank = self.channels.sample(self.contrast, seeds[1:]).to(s.dtype)

        # Compare every channel with those of each image of its group, then with remembered ones.
        B, C, _ = s.shape
        batch = s.new_zeros(())
        for group in image_groups(B, self.images_per_group):
            images = group.stop - group.start
            rows_s = s[group].flatten(0, 1)[None]
            rows_t = t[group].flatten(0, 1)[None]
            # The mean over channels and over pairs of images; a group counts by its images.
            mean = s.new_full((1, images * C), 1 / (B * images * C))
            batch = batch + similarity_kl((rows_s, s[group]), (rows_t, t[group]), mean, self.temperature)
        rows_s = s.flatten(0, 1)[None]
        rows_t = t.flatten(0, 1)[None]
        mean = s.new_full((1, B * C), 1 / (B * C))
        temperature = self.temperature * self.kd_temperature
        memory = similarity_kl((rows_s, bank), (rows_t, bank), mean, temperature)
        terms = (
            self.batch_weight * batch,
            self.memory_weight * (self.kd_temperature**2 * memory),
            self.mse_weight * (s - t).square().mean(),
        )
        return torch.stack(terms).sum()
