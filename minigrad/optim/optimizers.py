"""Optimizers, in order of increasing complexity: SGD, Adagrad, RMSprop, Adam, AdamW. Names and results are torch's.

An optimizer defines `update`: from a weight w and its gradient g, the change dw that is subtracted from w.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, starmap
from numbers import Real
from typing import Any

from .. import backend
from ..autograd.commit import commit
from ..autograd.grad_mode import enable_grad
from ..autograd.tensor import Tensor, copied_like, wrap
from ..autograd.version_counter import bump_version
from ..creation import tensor
from ..nn.module import zero_grad

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]

State = dict[str, Any]  # of one parameter: arrays like it, and the number of steps
Options = Mapping[str, Any]  # a group of parameters


class Optimizer:
    """Base class: the parameters, in groups with options of their own, and a state for each parameter.

    Args:
        params: Tensors, or dicts {"params": Tensors, option: value, ...}.
        defaults: the options of groups that do not set them.

    Raises:
        TypeError: something else than Tensors, groups and numbers.
        ValueError: no parameters, one given twice, one that an op computed, or an option out of range.

    Attributes:
        param_groups: dicts of "params" and the options; an option may be changed between steps.
    """

    state_names: tuple[str, ...] | None = None  # what the state of a parameter has; None if that is not known

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        self.defaults = defaults
        self.param_groups = parameter_groups(self, params)
        self.state: dict[int, State] = {}  # by the position of the parameter

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """w ← w - dw for each w that has a gradient: all or, if Ctrl-C strikes, none. Returns closure(), run first."""
        loss = closure and enable_grad()(closure)()
        backend.ignore_fp_warnings(self._step)
        return loss

    def _step(self) -> None:
        weights, changes, states, position = [], [], [], -1
        for group in self.param_groups:
            for parameter in group["params"]:
                position += 1
                if parameter._grad is not None:
                    w = parameter.array
                    dw, state = self.update(w, parameter._grad.array, self.state.get(position, {}), group)
                    weights.append(w)
                    changes.append(dw)
                    if state:
                        arrays = {name: backend.as_array(value) for name, value in state.items()}
                        states.append((self.state, position, arrays))
        bump_version(*weights)
        commit(chain(starmap(operator.setitem, states), map(operator.isub, weights, changes)))

    def update(self, w: Any, g: Any, state: State, group: Options) -> tuple[Any, State]:
        """The change dw of one parameter with array w and gradient g, and its new state. The arguments stay unchanged.

        The options of the `group` may be NumPy's numbers or Tensors, which `float` makes Python numbers.
        """
        raise NotImplementedError(f"{type(self).__name__}: an Optimizer defines update()")

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group {"params": Tensors, option: value, ...}. Raises TypeError or ValueError as the constructor."""
        known = [{**group, "params": list(group["params"])} for group in self.param_groups]
        self.param_groups.append(parameter_groups(self, [*known, param_group])[-1])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset all gradients to None, or to zeros."""
        zero_grad([parameter for group in self.param_groups for parameter in group["params"]], set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter by its position, and the options. Arrays are Tensors that share memory."""
        groups, start = [], 0
        for group in self.param_groups:
            stop = start + len(group["params"])
            groups.append({**group, "params": list(range(start, stop))})
            start = stop
        state = {
            position: {
                name: value if isinstance(value, (int, float)) else wrap(value) for name, value in entries.items()
            }
            for position, entries in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy a state from `state_dict()` of the same kind of optimizer, here or in torch, and its options.

        Raises:
            ValueError: it does not match this optimizer, or holds options out of range. Nothing is changed then.
        """
        state, groups = matching_state(self, state_dict)
        commit(starmap(setattr, [(self, "state", state), (self, "param_groups", groups)]))

    def check(self, group: Options) -> None:
        """Raise TypeError or ValueError for an invalid option."""
        for name in NUMBERS:
            value = group.get(name, 0)
            if not isinstance(value, (int, float)):
                raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
            if not (value >= 0 or name == "dampening") or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number of 0 or more, got {value}")
        for name in FLAGS & group.keys():
            if group[name] not in (True, False):
                raise TypeError(f"{name}: expected True or False, got {group[name]!r}")


class SGD(Optimizer):
    """Stochastic gradient descent: w ← w - lr g

    With momentum, v replaces g: v ← momentum v + (1 - dampening) g, which starts as g. With `nesterov` g + momentum v
    replaces it. weight_decay · w is added to the gradient; `maximize` ascends.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = mg.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8, 1.6])
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, **options, nesterov=nesterov, maximize=maximize)

    def update(self, w: Any, g: Any, state: State, group: Options) -> tuple[Any, State]:
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + float(group["weight_decay"]) * w
        if group["momentum"]:
            momentum, v = float(group["momentum"]), state.get("momentum_buffer")
            v = copied_like(g, w) if v is None else momentum * v + (1 - float(group["dampening"])) * g
            state = {"momentum_buffer": v}
            g = g + momentum * v if group["nesterov"] else v
        return float(group["lr"]) * g, state

    def check(self, group: Options) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov: needs a momentum above 0 and no dampening")


class Adagrad(Optimizer):
    """w ← w - lr g / (√s + eps), with the sum s of all g²; the learning rate in step t is lr / (1 + (t - 1) lr_decay)

    The sum s starts as initial_accumulator_value. weight_decay · w is added to the gradient; `maximize` ascends;
    `foreach` has no effect.

    Reference: Duchi, Hazan and Singer 2011.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = mg.optim.Adagrad([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.5, 1.5])
    """

    state_names = ("step", "sum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, **options, initial_accumulator_value=initial_accumulator_value, maximize=maximize)

    def update(self, w: Any, g: Any, state: State, group: Options) -> tuple[Any, State]:
        xp = backend.namespace(w)
        g = -g if group["maximize"] else g
        if group["weight_decay"]:
            g = g + float(group["weight_decay"]) * w
        t = state.get("step", 0) + 1
        s = state.get("sum", float(self.defaults["initial_accumulator_value"])) + g * g
        lr = float(group["lr"]) / (1 + (t - 1) * float(group["lr_decay"]))
        return lr * g / (xp.sqrt(s) + float(group["eps"])), {"step": t, "sum": s}


class RMSprop(Optimizer):
    """w ← w - lr g / (√v + eps), with the running mean v of g²: v ← alpha v + (1 - alpha) g²

    Args:
        params: Tensors, or groups of them; see `Optimizer`.
        lr: the learning rate.
        alpha: from 0 to 1.
        eps: added to the denominator.
        weight_decay: weight_decay · w is added to the gradient.
        momentum: b ← momentum b + g / (√v + eps) replaces the quotient.
        centered: subtract the square of the running mean of g from v, which makes it a variance.
        maximize: ascend.
        capturable, foreach, differentiable: no effect.

    Reference: Hinton 2012; Graves 2013 for `centered`.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = mg.optim.RMSprop([w], lr=0.05)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.5, 1.5])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, **options, centered=centered, maximize=maximize)

    def update(self, w: Any, g: Any, state: State, group: Options) -> tuple[Any, State]:
        xp, alpha = backend.namespace(w), float(group["alpha"])
        g = -g if group["maximize"] else g
        if group["weight_decay"]:
            g = g + float(group["weight_decay"]) * w
        v = alpha * state.get("square_avg", xp.zeros_like(w)) + (1 - alpha) * (g * g)
        new, variance = {"step": state.get("step", 0) + 1, "square_avg": v}, v
        if group["centered"]:
            mean = state.get("grad_avg", xp.zeros_like(w))
            new["grad_avg"] = mean = mean + (1 - alpha) * (g - mean)
            variance = v - mean * mean
        dw = g / (xp.sqrt(variance) + float(group["eps"]))
        if group["momentum"]:
            new["momentum_buffer"] = dw = float(group["momentum"]) * state.get("momentum_buffer", 0.0) + dw
        return float(group["lr"]) * dw, new


class Adam(Optimizer):
    """w ← w - lr m̂ / (√v̂ + eps), with running means m of g and v of g², and ^ for the correction of their start at 0

    m ← β₁ m + (1 - β₁) g    v ← β₂ v + (1 - β₂) g²    m̂ = m / (1 - β₁ᵗ)    v̂ = v / (1 - β₂ᵗ) in step t

    Args:
        params: Tensors, or groups of them; see `Optimizer`.
        lr: the learning rate.
        betas: β₁ and β₂, from 0 to below 1.
        eps: added to the denominator.
        weight_decay: weight_decay · w is added to the gradient.
        amsgrad: use the largest v so far (Reddi et al. 2018).
        maximize: ascend.

    Reference: Kingma and Ba 2015.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = mg.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.9, 1.9])
    """

    state_names = ("step", "exp_avg", "exp_avg_sq")
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize
        )

    def update(self, w: Any, g: Any, state: State, group: Options) -> tuple[Any, State]:
        xp, lr, weight_decay = backend.namespace(w), float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        state = state or {"step": 0, "exp_avg": xp.zeros_like(w), "exp_avg_sq": xp.zeros_like(w)}
        if group["maximize"]:
            g = -g
        if weight_decay and not self.decoupled:
            g = g + weight_decay * w
        t, m, v = state["step"] + 1, state["exp_avg"], state["exp_avg_sq"]
        m = m + (1 - beta1) * (g - m) if beta1 > 0.5 else g - beta1 * (g - m)  # as torch's lerp, exact for beta1 = 0
        v = beta2 * v + (1 - beta2) * (g * g)
        new = {"step": t, "exp_avg": m, "exp_avg_sq": v}
        if group["amsgrad"]:
            v = new["max_exp_avg_sq"] = xp.maximum(state.get("max_exp_avg_sq", v), v)
        dw = (lr / (1 - beta1**t)) * m / (xp.sqrt(v) / math.sqrt(1 - beta2**t) + float(group["eps"]))
        if weight_decay and self.decoupled:
            dw = dw + lr * weight_decay * w
        return dw, new

    def check(self, group: Options) -> None:
        super().check(group)
        betas = group["betas"]
        if not (isinstance(betas, tuple) and len(betas) == 2 and all(isinstance(beta, (int, float)) for beta in betas)):
            raise TypeError(f"betas: expected two numbers, got {betas!r}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers from 0 to below 1, got {betas}")
        if group.get("decoupled_weight_decay", self.decoupled) != self.decoupled:  # torch has one class for both
            raise ValueError(f"decoupled_weight_decay: expected {self.decoupled}; use Adam without it, AdamW with it")


class AdamW(Adam):
    """Adam with decoupled weight decay: w ← w - lr (m̂ / (√v̂ + eps) + weight_decay w)

    The arguments are those of Adam. weight_decay shrinks the weights and does not enter m and v.

    Reference: Loshchilov and Hutter 2019.

    Example:
        >>> import minigrad as mg
        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = mg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.85, 1.80])
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


# Checks
NUMBERS = ["lr", "momentum", "dampening", "weight_decay", "eps", "alpha", "lr_decay", "initial_accumulator_value"]
FLAGS = {"nesterov", "amsgrad", "maximize", "centered"}  # options that are True or False; torch added some later


def python_number(name: str, value: Any) -> Any:
    """NumPy's numbers and Tensors as Python numbers: np.float64 would promote float32 weights to float64."""
    if type(value) in (int, float, bool):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(python_number(name, part) for part in value)
    if hasattr(value, "item"):
        try:
            return value.item()
        except (RuntimeError, ValueError):
            raise ValueError(f"{name}: expected a number, got shape {tuple(value.shape)}") from None
    return float(value) if isinstance(value, Real) else value


def parameter_groups(optimizer: Optimizer, params: Any) -> list[dict[str, Any]]:
    """The groups, each with all options, as Python numbers. Raises TypeError or ValueError if they are invalid."""
    name = type(optimizer).__name__
    given = as_list(name, params)
    if not given or not isinstance(given[0], Mapping):
        given = [{"params": given}]
    groups, seen = [], set()
    for group in given:
        if not (isinstance(group, Mapping) and "params" in group):
            raise TypeError(f'{name}: expected Tensors, or dicts {{"params": Tensors, option: value, ...}}')
        members = group["params"]
        members = [members] if isinstance(members, Tensor) else as_list(name, members)
        for parameter in members:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{name}: expected Tensors as parameters, got {type(parameter).__name__}")
            if not parameter.is_leaf:
                raise ValueError(f"{name}: expected leaf Tensors, got one that an op computed; use x.detach()")
            if id(parameter) in seen:
                raise ValueError(f"{name}: a parameter was given twice")
            seen.add(id(parameter))
        options = {**optimizer.defaults, **group}
        groups.append({key: python_number(key, options[key]) for key in options if key != "params"})
        groups[-1]["params"] = members
        optimizer.check(groups[-1])
    if not seen:
        raise ValueError(f"{name}: got no parameters; does the model have any?")
    return groups


def as_list(name: str, params: Any) -> list[Any]:
    """The elements of an iterable of parameters or groups."""
    if isinstance(params, Tensor):
        raise TypeError(f"{name}: expected an iterable of Tensors, got one Tensor; use [tensor]")
    if callable(params):  # a Module, or its method without brackets
        raise TypeError(f"{name}: expected an iterable of Tensors, got {type(params).__name__}; use model.parameters()")
    if isinstance(params, (str, Mapping, set, frozenset)) or not isinstance(params, Iterable):
        raise TypeError(f"{name}: expected an iterable of Tensors in a fixed order, got {type(params).__name__}")
    return list(params)


def matching_state(
    optimizer: Optimizer, state_dict: Mapping[str, Any]
) -> tuple[dict[int, State], list[dict[str, Any]]]:
    """The state and the groups of a `state_dict`, copied. Raises ValueError if it does not match the optimizer."""
    try:
        given_groups, given_state = list(state_dict["param_groups"]), dict(state_dict["state"])
        ids = [[str(parameter) for parameter in group["params"]] for group in given_groups]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("load_state_dict: expected the state_dict() of an optimizer") from None
    if [*map(len, ids)] != [len(group["params"]) for group in optimizer.param_groups]:
        raise ValueError("load_state_dict: the groups of parameters do not match those of this optimizer")
    groups: list[dict[str, Any]] = []
    places: dict[str, Any] = {}  # by the number of a parameter in `state_dict`
    for number, (given, group) in enumerate(zip(given_groups, optimizer.param_groups)):
        options = {**dict.fromkeys(FLAGS & optimizer.defaults.keys(), False), **given}
        missing = optimizer.defaults.keys() - options.keys()
        if missing:
            raise ValueError(
                f"load_state_dict: group {number} has no {', '.join(sorted(missing))}; "
                f"expected the state of {type(optimizer).__name__}"
            )
        try:
            options = {name: python_number(name, options[name]) for name in options if name != "params"}
            optimizer.check(options)
        except TypeError as error:
            raise ValueError(f"load_state_dict: {error}") from error
        for parameter, identity in zip(group["params"], ids[number]):
            places[identity] = len(places), parameter, options
        groups.append({**options, "params": group["params"]})
    state = {}
    for identity, entries in given_state.items():
        if str(identity) not in places:
            raise ValueError(f"load_state_dict: expected parameters 0 to {len(places) - 1}, got {identity!r}")
        position, parameter, options = places[str(identity)]
        state[position] = matching_entries(optimizer, f"parameter {position}", entries, parameter, options)
    return {position: entries for position, entries in state.items() if entries}, groups


def matching_entries(
    optimizer: Optimizer, where: str, entries: Mapping[str, Any], parameter: Tensor, options: Options
) -> State:
    """The state of one parameter, copied to its device, dtype and layout. Raises ValueError if it does not match."""
    if not isinstance(entries, Mapping):
        raise ValueError(f"load_state_dict: expected a dict as the state of {where}, got {type(entries).__name__}")
    entries = {name: value for name, value in entries.items() if value is not None}  # torch's unused momentum_buffer
    if entries and optimizer.state_names is not None:
        needed = {*optimizer.state_names} | ({"max_exp_avg_sq"} if options.get("amsgrad") else set())
        allowed = needed | ({"max_exp_avg_sq"} if "amsgrad" in options else set())
        if not needed <= entries.keys() <= allowed:
            raise ValueError(
                f"load_state_dict: expected {', '.join(sorted(needed))} of {where}, got {', '.join(sorted(entries))}"
            )
    state = {}
    for name, value in entries.items():
        try:
            found = tensor(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"load_state_dict: {name} of {where}: {error}") from error
        if name == "step":
            count = float(found) if found.numel() == 1 else -1.0
            if count < 0 or count != int(count):
                raise ValueError(f"load_state_dict: expected a number of steps of {where}, got {value!r}")
            state[name] = int(count)
        elif found.shape != parameter.shape:
            raise ValueError(
                f"load_state_dict: expected {name} of {where} of shape {parameter.shape}, got {found.shape}"
            )
        else:
            state[name] = copied_like(found.to(parameter.device).array, parameter.array)
    return state
