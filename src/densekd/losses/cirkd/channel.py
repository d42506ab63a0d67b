"""Channel relations in the batch and through a memory: CIRKDv2 (winycg/CIRKD@dab64db), sequel to arXiv 2204.06986."""

from math import ceil

import torch
from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.losses.cirkd.queue import Draws, Queues
from densekd.losses.cirkd.shared import gathered, project, project_head
from densekd.losses.inputs import average_windows, require_one_map, require_positive, to_float32
from densekd.ops.unit import unit


class CIRKDChannel(nn.Module):
    """Match how similar each channel's map is to those of the batch and to remembered ones, and the maps themselves.

    Maps are averaged over 4x4 windows, the student's then pass a projection that is learnt; every channel has unit
    length over the positions. Three terms are weighed and summed:
    batch ``1 / (B^2 C') * sum_{i,j,c} KL(softmax_d(t_ic . t_jd / T) || softmax_d(s_ic . s_jd / T))``, of one process;
    memory ``kd_T^2 * mean_{b,c} KL(softmax_M(t_bc . M / (T kd_T)) || softmax_M(s_bc . M / (T kd_T)))`` with random
    slots M of a queue of teacher channels, into which training first writes some of the batch's, of all processes;
    mse ``mean (s - t)^2``. Draws are equal on all ranks, and so is the queue.

    Tap: ``pre_logits``. Weight: 1, and those within, as released. Cost: products of (B C')^2 and B C' x slots; the
    queue holds ``channel_memory_size * H W / 16`` numbers.

    Args:
        student_channels, teacher_channels: supplied by the build.
        teacher_size: ``(H, W)`` of the maps; supplied by the build. The queue is made for it.
        channel_memory_size: slots of the queue.
        channel_contrast_size: slots compared.
        channel_update_freq: channels remembered of a batch at most.
        contrast_temperature, contrast_kd_temperature: T and kd_T.
        batch_weight, memory_weight, mse_weight: of the three terms.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: a size or temperature that is not positive, or shapes that do not fit.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        teacher_size: tuple[int, int],
        channel_memory_size: int = 10000,
        channel_contrast_size: int = 2048,
        channel_update_freq: int = 256,
        contrast_temperature: float = 0.1,
        contrast_kd_temperature: float = 1.0,
        batch_weight: float = 1.0,
        memory_weight: float = 0.1,
        mse_weight: float = 100.0,
    ) -> None:
        super().__init__()
        sizes = (channel_memory_size, channel_contrast_size, channel_update_freq)
        require_positive(*sizes, contrast_temperature, contrast_kd_temperature)
        self.teacher = (teacher_channels, *teacher_size)
        self.update, self.contrast = min(channel_update_freq, channel_memory_size), channel_contrast_size
        self.temperature, self.kd_temperature = contrast_temperature, contrast_kd_temperature
        self.weights = (batch_weight, memory_weight, mse_weight)
        self.project_head = project_head(student_channels, teacher_channels)
        self.draws = Draws()
        # The windows at the border may be partial.
        self.channels = Queues(1, channel_memory_size, ceil(teacher_size[0] / 4) * ceil(teacher_size[1] / 4))

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        if teacher.shape[1:] != self.teacher:
            raise ValueError(f"this loss is made for a teacher of {list(self.teacher)}, got {list(teacher.shape)}")
        student, teacher = (average_windows(to_float32(x), 4) for x in (student, teacher.detach()))
        s = unit(project(self.project_head, student).flatten(2), 2)
        t = unit(teacher.flatten(2), 2)
        B, C, _ = s.shape
        seeds = self.draws.seeds(2)
        if self.training:
            self.channels.write_some(gathered(t).flatten(0, 1), self.update, seeds[:1])
        rows_s, rows_t = s.flatten(0, 1)[None], t.flatten(0, 1)[None]
        mean = s.new_full((1, B * C), 1 / (B * C))
        batch = similarity_kl((rows_s, s), (rows_t, t), mean / B, self.temperature)
        bank = self.channels.bank(self.contrast, seeds[1:]).to(s.dtype)
        product = self.temperature * self.kd_temperature
        memory = self.kd_temperature**2 * similarity_kl((rows_s, bank), (rows_t, bank), mean, product)
        terms = (batch, memory, (s - t).square().mean())
        return torch.stack([weight * term for weight, term in zip(self.weights, terms, strict=True)]).sum()
