"""Schedules of the learning rate. A call of `step()` after each epoch, or batch, sets the rate of every group.

A schedule is a function of the epoch t and the initial rate of a group. Most of torch's compute a rate from the one
before, which gives the same as long as nothing else changes it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from .optimizers import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class LRScheduler:
    """Base class: a subclass defines `rate`.

    Attributes:
        last_epoch: the number of steps so far.
        base_lrs: the initial rate of each group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, base: float, t: int, group: int) -> float:
        """The learning rate in epoch t of a group with the initial rate `base`. Each subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__}: an LRScheduler defines rate(base, t, group)")

    def step(self) -> None:
        """Set the learning rates of the next epoch."""
        self.last_epoch += 1
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs)):
            group["lr"] = self.rate(base, self.last_epoch, i)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and functions."""
        state = {name: value for name, value in vars(self).items() if name not in ("optimizer", "_schedulers")}
        return {name: value for name, value in state.items() if not callable(value) and name != "lr_lambdas"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore attributes from `state_dict()`."""
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """base · lr_lambda(t), with one function, or one for each group.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (t + 1))
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        n = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lr_lambdas) != n:
            raise ValueError(f"LambdaLR: expected {n} functions, one for each group, got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · lr_lambda(t)"""
        return base * self.lr_lambdas[group](t)


class StepLR(LRScheduler):
    """base · gamma^⌊t / step_size⌋

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for epoch in range(4):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · gamma^⌊t / step_size⌋"""
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """base · gammaⁿ, where n of the milestones are t or less"""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · gammaⁿ"""
        return base * self.gamma ** bisect_right(self.milestones, t)


class ConstantLR(LRScheduler):
    """base · factor for t < total_iters, then base"""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · factor, or base"""
        return base * (self.factor if t < self.total_iters else 1)


class LinearLR(LRScheduler):
    """base times a factor that changes linearly from start_factor to end_factor in total_iters epochs"""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · factor"""
        part = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


class ExponentialLR(LRScheduler):
    """base · gammaᵗ"""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · gammaᵗ"""
        return base * self.gamma**t


class PolynomialLR(LRScheduler):
    """base · (1 - t / total_iters)^power, then 0"""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """base · (1 - t / total_iters)^power"""
        return base * (1 - min(t, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """From base to eta_min in T_max epochs, along half a cosine (Loshchilov and Hutter 2017)"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """eta_min + (base - eta_min) (1 + cos(π t / T_max)) / 2"""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines of T_0, T_0 T_mult, T_0 T_mult², ... epochs, each from base to eta_min"""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """The half cosine that t lies in."""
        period = self.T_0
        while t >= period:
            t, period = t - period, period * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / period)) / 2


class SequentialLR(LRScheduler):
    """One schedule after the other: the next begins at each of the milestones."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate of the schedule that t lies in."""
        which = bisect_right(self.milestones, t)
        return self._schedulers[which].rate(base, t - (self.milestones[which - 1] if which else 0), group)


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, then down to max_lr / (div_factor · final_div_factor); a step is a batch.

    The momentum, or β₁ of Adam, goes the other way.

    Args:
        optimizer: the optimizer.
        max_lr: the largest rate, one or one for each group.
        total_steps: the number of steps; or give `epochs` and `steps_per_epoch`.
        epochs, steps_per_epoch: their product is the number of steps.
        pct_start: the part of the steps in which the rate grows.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: False leaves the momentum as it is.
        base_momentum, max_momentum: its least and largest value.
        div_factor, final_div_factor: see above.
        three_phase: go down in two phases, of which the first mirrors the growth.
        last_epoch: the step to resume from.

    Raises:
        ValueError: the number of steps is missing, or more steps are made.

    Reference: Smith and Topin 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}")
        n = self.total_steps = total_steps or (epochs or 0) * (steps_per_epoch or 0)
        tops = list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * len(optimizer.param_groups)
        self.max_lrs, self.linear, self.cycle_momentum = tops, anneal_strategy == "linear", cycle_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        low, high = base_momentum, max_momentum
        start, top, end = 1 / div_factor, 1.0, 1 / (div_factor * final_div_factor)  # parts of max_lr
        self.phases = [(pct_start * n - 1, start, top, high, low), (n - 1, top, end, low, high)]
        if three_phase:
            middle = (2 * pct_start * n - 2, top, start, low, high)
            self.phases = [self.phases[0], middle, (n - 1, start, end, high, high)]
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops):
                group["initial_lr"] = top / div_factor
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate in step t."""
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: expected {self.total_steps} steps, got {t}")
        begin = 0.0
        for phase in self.phases:
            if t <= phase[0] or phase is self.phases[-1]:
                break
            begin = phase[0]
        end, lr0, lr1, m0, m1 = phase
        part = (t - begin) / (end - begin)
        between = lambda a, b: a + (b - a) * (part if self.linear else (1 - math.cos(math.pi * part)) / 2)
        if self.cycle_momentum:
            options = self.optimizer.param_groups[group]
            if "betas" in options:
                options["betas"] = (between(m0, m1), *options["betas"][1:])
            else:
                options["momentum"] = between(m0, m1)
        return self.max_lrs[group] * between(lr0, lr1)


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a metric has not improved for more than `patience` epochs.

    Args:
        optimizer: the optimizer.
        mode: "min" if the metric shall fall, "max" if it shall rise.
        factor: below 1.
        patience: the number of epochs without improvement that are accepted.
        threshold: how large an improvement must be.
        threshold_mode: "rel" for a part of the best value, "abs" for a difference.
        cooldown: the number of epochs after a reduction that do not count.
        min_lr: the least rate, one or one for each group.
        eps: smaller reductions are left out.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = mg.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     scheduler.step(loss)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: expected min or max, and rel or abs, got {mode}, {threshold_mode}")
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: expected a factor below 1, got {factor}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        groups = optimizer.param_groups
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in groups]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Note the metric of an epoch, a number or a Tensor, and reduce the rates if it is due."""
        metric = float(metrics)
        self.last_epoch += 1
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold * abs(self.best) if self.threshold_mode == "rel" else self.threshold
        if math.isinf(self.best) or sign * metric < sign * self.best - margin:
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs):
                new = max(group["lr"] * self.factor, least)
                if group["lr"] - new > self.eps:
                    group["lr"] = new
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
