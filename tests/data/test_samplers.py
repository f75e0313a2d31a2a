"""Samplers, generators and the DataLoader's options that take them."""

import pytest

import minigrad as mg
from minigrad.utils import data


def test_samplers_yield_indices_of_one_epoch():
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    assert sorted(data.RandomSampler("abcd")) == [0, 1, 2, 3]
    assert len(list(data.RandomSampler("abc", num_samples=7))) == 7
    assert set(data.RandomSampler("ab", replacement=True, num_samples=50)) == {0, 1}
    assert sorted(data.SubsetRandomSampler([4, 7])) == [4, 7]
    assert list(data.WeightedRandomSampler(mg.tensor([0.0, 2.0, 0.0]), 3)) == [1, 1, 1]
    assert list(data.BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    for sampler, n in ((data.RandomSampler("abc"), 3), (data.BatchSampler(range(5), 2, False), 3)):
        assert len(sampler) == len(list(sampler)) == n


def test_generator_makes_orders_reproducible():
    def orders(seed):
        generator = mg.Generator().manual_seed(seed)
        loader = data.DataLoader(list(range(20)), 20, shuffle=True, generator=generator)
        return [batch.tolist() for _ in range(2) for batch in loader]

    assert orders(1) == orders(1) != orders(2)
    assert orders(1)[0] != orders(1)[1]
    first, second = (data.random_split(range(9), [6, 3], mg.Generator().manual_seed(3)) for _ in range(2))
    assert first[0].indices == second[0].indices
    assert mg.Generator().initial_seed() != mg.Generator().initial_seed()


def test_loader_takes_samplers(device):
    dataset = data.TensorDataset(mg.arange(6, device=device))
    loader = data.DataLoader(dataset, batch_size=2, sampler=[5, 1, 3], drop_last=True)
    assert [batch.tolist() for (batch,) in loader] == [[5, 1]]
    assert len(loader) == 1
    loader = data.DataLoader(dataset, batch_sampler=[[0, 2], [4]])
    assert [batch.tolist() for (batch,) in loader] == [[0, 2], [4]]
    assert len(loader) == 2


def test_collate_fn_gets_the_list_of_samples():
    dataset = data.TensorDataset(mg.arange(3))
    batches = list(data.DataLoader(dataset, 2, collate_fn=lambda samples: [x.item() for (x,) in samples]))
    assert batches == [[0, 1], [2]]
    assert data.default_collate([1, 2]).tolist() == [1, 2]


def test_iterable_dataset_is_batched_in_its_order():
    class Numbers(data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [x.tolist() for x in data.DataLoader(Numbers(), 2)] == [[0, 1], [2, 3], [4]]
    assert [x.tolist() for x in data.DataLoader(Numbers(), 2, drop_last=True)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="its own order"):
        data.DataLoader(Numbers(), shuffle=True)
    with pytest.raises(TypeError):
        len(data.DataLoader(Numbers()))


def test_datasets_can_be_joined():
    both = data.TensorDataset(mg.arange(3)) + data.TensorDataset(mg.arange(10, 12))
    assert [both[i][0].item() for i in range(-5, 5)] == [0, 1, 2, 10, 11] * 2
    with pytest.raises(IndexError, match="ConcatDataset: expected an index from -5 to 4, got 5"):
        both[5]
    with pytest.raises(ValueError, match="at least one dataset"):
        data.ConcatDataset([])
    assert [x.tolist() for (x,) in data.DataLoader(both, 4)] == [[0, 1, 2, 10], [11]]


def test_loader_arguments_that_exclude_each_other_raise():
    options = [{"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]], "batch_size": 2}]
    for each in options:
        with pytest.raises(ValueError, match="excludes"):
            data.DataLoader(range(3), **each)
