import pytest

from densekd.data.sampler import Draw, Shard, StepSampler


def stream(sampler: StepSampler) -> list[Draw]:
    return [random_sample for batch in sampler for random_sample in batch]


def test_every_pass_visits_every_image_once_without_a_seam() -> None:
    sampler = StepSampler(images=7, batch_size=3, batches=14, seed=0, shard=Shard())
    batches = list(sampler)
    assert len(batches) == len(sampler) == 14
    assert {len(batch) for batch in batches} == {3}
    draws = stream(sampler)
    assert [random_sample.number for random_sample in draws] == list(range(42))
    passes = [[random_sample.image for random_sample in draws[start : start + 7]] for start in range(0, 42, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len({tuple(one) for one in passes}) == 6


def test_a_batch_may_hold_several_passes() -> None:
    batch = next(iter(StepSampler(images=2, batch_size=6, batches=1, seed=0, shard=Shard())))
    assert [sorted(random_sample.image for random_sample in batch[k : k + 2]) for k in (0, 2, 4)] == [[0, 1]] * 3


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_out_one_stream(world: int) -> None:
    whole = list(StepSampler(images=5, batch_size=8, batches=6, seed=3, shard=Shard()))
    parts = [list(StepSampler(images=5, batch_size=8, batches=6, seed=3, shard=Shard(r, world))) for r in range(world)]
    for k, batch in enumerate(whole):
        assert {len(part[k]) for part in parts} == {8 // world}
        assert (
            sorted(
                (random_sample for part in parts for random_sample in part[k]),
                key=lambda random_sample: random_sample.number,
            )
            == batch
        )


def test_an_epoch_of_one_seed_is_none_of_the_next() -> None:
    orders = []
    for seed in (5, 6):
        draws = stream(StepSampler(20, 20, 3, seed, Shard()))
        images = [random_sample.image for random_sample in draws]
        orders += [tuple(images[start : start + 20]) for start in (0, 20, 40)]
    assert len(set(orders)) == 6


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 does not divide among 4 processes"):
        StepSampler(images=5, batch_size=6, batches=1, seed=0, shard=Shard(0, 4))


def test_the_order_depends_on_the_seed_alone() -> None:
    one, again, other = (stream(StepSampler(20, 4, 10, seed, Shard())) for seed in (1, 1, 2))
    assert one == again
    assert [random_sample.image for random_sample in one] != [random_sample.image for random_sample in other]
    assert [random_sample.number for random_sample in one] == [random_sample.number for random_sample in other]


def test_neither_the_past_nor_the_length_matters() -> None:
    sampler = StepSampler(images=9, batch_size=4, batches=8, seed=5, shard=Shard())
    half_read = iter(sampler)
    for _ in range(3):
        next(half_read)
    whole = list(sampler)
    assert list(half_read) == whole[3:]
    assert list(StepSampler(9, 4, 3, 5, Shard())) == whole[:3]


def test_the_size_of_the_batch_does_not_matter_to_the_stream() -> None:
    assert stream(StepSampler(9, 4, 6, 5, Shard())) == stream(StepSampler(9, 8, 3, 5, Shard()))


@pytest.mark.parametrize("done", [0, 1, 5, 8])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_rest_of_a_training_is_its_end(done: int, rank: int) -> None:
    whole = StepSampler(9, 4, 8, 5, Shard(rank, 2))
    rest = whole.after(done)
    assert list(rest) == list(whole)[done:]
    assert len(rest) == 8 - done
