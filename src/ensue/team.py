"""Several processes on one machine that learn one network together: each batch is shared, gradients are averaged.

The processes talk through torch's own distributed package. Every weight is the same in all of them after every step, as
one process would have computed it from the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ensue.batching import Stretches
from ensue.cores import cores
from ensue.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """The processes that share every batch; one alone by default.

    Attributes:
        rank: which of them this is; 0 leads: it validates, keeps checkpoints and answers.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def joined(self, lesson: nn.Module) -> nn.Module:
        """The lesson, whose gradients are averaged over the processes."""
        if self.size == 1:
            return lesson
        return DistributedDataParallel(lesson, forward_sync_buffers=False)

    def share(self, stretches: Stretches) -> tuple[Stretches, bool]:
        """The rows of a batch that this process learns from, and whether it only keeps step with the others.

        Rows are dealt in turn, so that a batch sorted by length is shared evenly. Where there are fewer rows than
        processes, those without one compute a row whose loss counts nothing: nobody waits for a process that is done.

        Raises:
            ConfigError: the rows go on from batch to batch.
        """
        if self.size == 1:
            return stretches, False
        if stretches.fresh is not None:
            raise ConfigError("Sequences that go on from batch to batch are learnt by one process alone.")
        own = slice(self.rank, None, self.size)
        silent = len(stretches.starts) <= self.rank
        own = slice(0, 1) if silent else own
        return Stretches(stretches.starts[own], stretches.ends[own]), silent

    def apart(self, lesson: nn.Module, more: bool) -> AbstractContextManager[Any]:
        """Gradients stay in this process while more of the same step is to come."""
        return lesson.no_sync() if more and isinstance(lesson, DistributedDataParallel) else nullcontext()

    def sum(self, total: Tensor, count: int) -> tuple[Tensor, int]:
        """The sums of a loss and of a count over all processes."""
        if self.size == 1:
            return total, count
        both = torch.stack([total.double(), total.new_tensor(count, dtype=torch.float64)])
        dist.all_reduce(both)
        return both[0].to(total.dtype), int(both[1])

    def told(self, *numbers: float) -> tuple[float, ...]:
        """What the leader says, in every process."""
        if self.size == 1:
            return numbers
        said = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(said, 0)
        return tuple(said.tolist())

    @contextmanager
    def spared(self) -> Iterator[None]:
        """The leader works alone and the others wait for it: their cores are its own for that long."""
        threads = torch.get_num_threads()
        if self.leads and self.size > 1:
            torch.set_num_threads(max(threads, min(threads * self.size, cores())))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


ALONE = Team()
"""One process that learns by itself."""
