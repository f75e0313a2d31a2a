"""Random numbers of the composed functions: their ranges and means, and their errors."""

import pytest

import minigrad as mg


def test_samples_have_the_moments_of_their_distribution(device):
    mg.manual_seed(0)
    x = mg.zeros(100, 100, device=device)
    for sample, mean, std in [
        (mg.randn_like(x), 0, 1),
        (mg.rand_like(x), 0.5, 12**-0.5),
        (mg.normal(x + 2, 3.0), 2, 3),
        (mg.normal(1.0, 0.5, (100, 100), device=device), 1, 0.5),
        (mg.bernoulli(x + 0.25), 0.25, (3 / 16) ** 0.5),
        (x.clone().normal_(1, 2), 1, 2),
        (x.clone().uniform_(-1, 1), 0, 3**-0.5),
        (x.clone().bernoulli_(0.5), 0.5, 0.5),
        (x.clone().exponential_(2), 0.5, 0.5),
        (x.clone().random_(0, 2), 0.5, 0.5),
        (mg.randint_like(x, 0, 2), 0.5, 0.5),
    ]:
        assert sample.shape == (100, 100)
        assert str(sample.device) == str(mg.device(device))
        assert float(sample.mean()) == pytest.approx(mean, abs=0.1)
        assert float(sample.std()) == pytest.approx(std, rel=0.1)


def test_multinomial_draws_by_weight(device):
    mg.manual_seed(0)
    weights = mg.tensor([[1.0, 0.0, 3.0], [0.0, 5.0, 0.0]], device=device)
    draws = mg.multinomial(weights, 4000, replacement=True)
    assert draws.shape == (2, 4000)
    assert float((draws[0] == 2).float().mean()) == pytest.approx(0.75, abs=0.03)
    assert draws[1].unique().tolist() == [1]
    assert sorted(mg.multinomial(weights[0], 2).tolist()) == [0, 2]


def test_multinomial_rejects_wrong_weights():
    with pytest.raises(ValueError, match="expected 2 weights above 0; use replacement=True"):
        mg.multinomial(mg.tensor([1.0, 0.0]), 2)
    with pytest.raises(ValueError, match="expected finite weights of 0 or more"):
        mg.multinomial(mg.tensor([1.0, -1.0]), 1)
    with pytest.raises(ValueError, match=r"expected weights \(n,\) or \(m, n\)"):
        mg.multinomial(mg.ones(1, 1, 1), 1)


def test_as_tensor_shares_memory():
    x = mg.ones(2)
    assert mg.as_tensor(x) is x
    assert mg.as_tensor(x.numpy()).fill_(3).tolist() == x.tolist() == [3, 3]
    assert mg.as_tensor([1, 2], dtype=mg.float32).dtype == mg.float32
