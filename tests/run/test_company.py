"""Trainings of one process take turns: who is behind goes first, and nobody disturbs another."""

import random
import threading
from typing import Any

import numpy as np
import torch

from densekd.run.company import Company, Member, current_member


class Batches:
    """A loader that counts what is loaded."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def beginning_with(self, number: int) -> Any:
        def stream() -> Any:
            for batch in range(number, 6):
                self.loaded.append(batch)
                if batch == 3 and self.loaded.count(3) == 1:
                    raise ValueError("a broken file")
                yield {"images": torch.full((2,), batch)}

        return stream()


def trained(member: Member, loader: Any, first: int, seen: list[tuple[int, int]]) -> int:
    for number in range(first, 6):
        member.wait(number)
        batch = member.company.batch(number, loader)
        assert batch["images"].tolist() == [number, number]
        # What one makes of its batch, no other sees.
        batch["images"] += 100
        seen.append((member.number, number))
    return member.number


def test_who_is_behind_goes_first_and_a_batch_is_loaded_once() -> None:
    company, loader, seen = Company(2), Batches(), []
    outcomes = company.run(
        [lambda member: trained(member, loader, 2, seen), lambda member: trained(member, loader, 0, seen)]
    )
    # The second catches up; the first dies of the broken file, and the second reads it anew.
    assert seen == [(1, 0), (1, 1), (0, 2), (1, 2), (1, 3), (1, 4), (1, 5)]
    assert isinstance(outcomes[0], ValueError)
    assert outcomes[1] == 1
    assert loader.loaded == [0, 1, 2, 3, 3, 4, 5]


def test_what_is_global_belongs_to_whoever_has_the_turn() -> None:
    def draws(member: Member) -> list[float]:
        torch.manual_seed(member.number)
        np.random.seed(member.number)
        random.seed(member.number)
        torch.use_deterministic_algorithms(member.number == 1)
        found = []
        for number in range(3):
            member.wait(number)
            assert torch.are_deterministic_algorithms_enabled() == (member.number == 1)
            found += [float(torch.rand(())), float(np.random.rand()), random.random()]
        return found

    torch.manual_seed(7)
    expected = float(torch.rand(()))
    torch.manual_seed(7)
    together = Company(2).run([draws, draws])
    # The owner goes on as if nothing had happened.
    assert float(torch.rand(())) == expected
    assert not torch.are_deterministic_algorithms_enabled()
    alone = [Company(2).run([draws, lambda member: None])[0], Company(2).run([lambda member: None, draws])[1]]
    assert together == alone


def test_one_thread_computes_at_a_time_and_knows_its_member() -> None:
    busy = threading.Lock()

    def job(member: Member) -> bool:
        for number in range(20):
            assert busy.acquire(blocking=False)
            assert current_member() is member
            busy.release()
            member.wait(number)
        return True

    assert Company(3).run([job] * 3) == [True] * 3
    assert current_member() is None
