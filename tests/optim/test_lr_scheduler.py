"""Schedules of the learning rate, and the optimizers Adagrad and RMSprop, next to torch's."""

import numpy as np
import pytest

import minigrad as mg

SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 3, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5], gamma=0.1),
    "lambda": lambda s, o: s.LambdaLR(o, lr_lambda=lambda t: 0.9**t),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)]),
    "exponential": lambda s, o: s.ExponentialLR(o, gamma=0.8),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=6, eta_min=0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=2, T_mult=2),
    "linear": lambda s, o: s.LinearLR(o, 0.1, total_iters=4),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.5, total_iters=3),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=6, power=2.0),
    "one cycle": lambda s, o: s.OneCycleLR(o, max_lr=0.5, total_steps=12),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, [0.5, 1.0], epochs=3, steps_per_epoch=4, anneal_strategy="linear", pct_start=0.25, three_phase=True
    ),
}


def optimizers(torch, kind="SGD", **options):
    for library in (mg, torch):
        a, b = (library.ones(2, requires_grad=True) for _ in range(2))
        groups = [{"params": [a]}, {"params": [b], "lr": 0.4}]
        yield library.optim.lr_scheduler, getattr(library.optim, kind)(groups, lr=0.1, **options)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.filterwarnings("ignore")
def test_schedule_agrees_with_torch(name, kind, torch):
    curves = []
    for schedulers, optimizer in optimizers(torch, kind, **({"momentum": 0.9} if kind == "SGD" else {})):
        scheduler = SCHEDULES[name](schedulers, optimizer)
        curve = []
        for _ in range(11):
            group = optimizer.param_groups[0]
            curve.append([*scheduler.get_last_lr(), group.get("momentum") or group["betas"][0]])
            scheduler.step()
        curves.append(curve)
    np.testing.assert_allclose(*curves, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"mode": "max"}, {"cooldown": 1, "threshold_mode": "abs"}, {"min_lr": 0.05}])
def test_plateau_agrees_with_torch(options, torch):
    curves = []
    for schedulers, optimizer in optimizers(torch):
        scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, **options)
        curve = []
        for loss in (3.0, 2.0, 2.0, 2.0, 1.9999, 2.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0):
            scheduler.step(loss)
            curve.append([group["lr"] for group in optimizer.param_groups])
        curves.append(curve)
    np.testing.assert_allclose(*curves, rtol=1e-12)


def test_sequence_of_schedules_starts_each_anew():
    _, optimizer = next(optimizers(None))
    schedulers = mg.optim.lr_scheduler
    parts = [schedulers.ConstantLR(optimizer, 0.1, 100), schedulers.ExponentialLR(optimizer, 0.5)]
    scheduler = schedulers.SequentialLR(optimizer, parts, milestones=[2])
    curve = []
    for _ in range(5):
        curve.append(scheduler.get_last_lr()[0])
        scheduler.step()
    np.testing.assert_allclose(curve, [0.01, 0.01, 0.1, 0.05, 0.025])


def test_schedule_resumes_from_its_state():
    ((schedulers, first),) = [next(optimizers(None))]
    scheduler = schedulers.StepLR(first, 2, 0.5)
    for _ in range(3):
        scheduler.step()
    _, second = next(optimizers(None))
    resumed = schedulers.StepLR(second, 2, 0.5)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert resumed.get_last_lr() == scheduler.get_last_lr()
    resumed.step()
    assert [group["lr"] for group in second.param_groups] == [0.025, 0.1]


def test_schedules_reject_wrong_arguments():
    schedulers, optimizer = next(optimizers(None))
    with pytest.raises(TypeError, match="StepLR: expected an Optimizer, got int"):
        schedulers.StepLR(3, 1)
    with pytest.raises(ValueError, match="expected total_steps"):
        schedulers.OneCycleLR(optimizer, 0.1)
    scheduler = schedulers.OneCycleLR(optimizer, 0.1, total_steps=1, pct_start=0.5)
    scheduler.step()
    with pytest.raises(ValueError, match="expected 1 steps, got 2"):
        scheduler.step()
    with pytest.raises(ValueError, match="expected a factor below 1"):
        schedulers.ReduceLROnPlateau(optimizer, factor=1.0)
    with pytest.raises(ValueError, match="expected 2 functions"):
        schedulers.LambdaLR(optimizer, [abs])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RMSprop", {}),
        ("RMSprop", {"alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
        ("RMSprop", {"centered": True, "momentum": 0.9, "maximize": True}),
        ("Adagrad", {}),
        ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ],
)
def test_optimizer_agrees_with_torch(kind, options, device, torch):
    start, paths = np.array([1.0, -2.0, 0.5]), []
    for library in (mg, torch):
        w = library.tensor(start, **({"device": device} if library is mg else {})).requires_grad_()
        optimizer = getattr(library.optim, kind)([w], lr=0.05, **options)
        path = []
        for _ in range(6):
            optimizer.zero_grad()
            (w**2 * library.arange(1, 4).to(w.device)).sum().backward()
            optimizer.step()
            path.append(w.detach().cpu().numpy().copy())
        paths.append(path)
    np.testing.assert_allclose(*paths, rtol=1e-10, atol=1e-12)


def test_optimizer_state_is_loaded_from_torch(torch):
    for kind in ("RMSprop", "Adagrad"):
        ws = [library.tensor([1.0, 2.0], requires_grad=True) for library in (mg, torch)]
        ours, theirs = (getattr(lib.optim, kind)([w], lr=0.1) for lib, w in zip((mg, torch), ws))
        for optimizer, w in ((theirs, ws[1]), (theirs, ws[1])):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
        ws[0].data = mg.tensor(ws[1].detach().numpy())
        ours.load_state_dict(theirs.state_dict())
        for optimizer, w in ((ours, ws[0]), (theirs, ws[1])):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(ws[0].detach().numpy(), ws[1].detach().numpy(), rtol=1e-6)


def test_step_returns_the_loss_of_a_closure():
    w = mg.ones(2, requires_grad=True)
    optimizer = mg.optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 2.0
    np.testing.assert_allclose(w.tolist(), [0.8, 0.8], rtol=1e-6)
    assert optimizer.step() is None


def test_added_group_has_its_own_options():
    a, b = mg.ones(1, requires_grad=True), mg.ones(1, requires_grad=True)
    optimizer = mg.optim.SGD([a], lr=0.1)
    optimizer.add_param_group({"params": b, "lr": 0.5})
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(0.9), 0.5)
    with pytest.raises(ValueError, match="given twice"):
        optimizer.add_param_group({"params": [a]})
    assert len(optimizer.param_groups) == 2
