"""Optimizers: from the gradients to new weights, in place. Names, arguments and results are torch's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from . import backend
from .autograd.tensor import Tensor, wrap
from .autograd.version_counter import bump_version
from .nn.module import zero_grad


class Optimizer:
    """Holds the parameters, in groups with options of their own, and a state for each; `step()` changes them.

    `params`: Tensors, or dicts {"params": Tensors, option: value, ...}. Raises ValueError for none, or one given twice.
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        if isinstance(params, Tensor):
            raise TypeError("optimizer: expected an iterable of Tensors, got one Tensor; write [tensor]")
        groups = list(params)
        if groups and not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        if not all(isinstance(group, Mapping) and "params" in group for group in groups):
            raise TypeError('optimizer: expected Tensors, or dicts {"params": Tensors, option: value, ...}')
        self.param_groups = [{**defaults, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[int, dict[str, Any]] = {}  # by the position of the parameter
        parameters = self._parameters()
        if not parameters:
            raise ValueError("optimizer: got no parameters; does the model have any?")
        for parameter in parameters:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"optimizer: expected Tensors, got {type(parameter).__name__}")
            if not parameter.is_leaf:
                raise ValueError("optimizer: expected leaf Tensors, got one that an op made")
        if len({id(parameter) for parameter in parameters}) < len(parameters):
            raise ValueError("optimizer: a parameter was given twice")
        for group in self.param_groups:
            self.check(group)

    def check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for an option out of range."""
        for name in ("lr", "momentum", "weight_decay", "eps"):
            if not 0 <= group.get(name, 0) < math.inf:
                raise ValueError(f"{name}: expected a number of 0 or more, got {group[name]}")

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset all gradients to None, or to zeros."""
        for group in self.param_groups:
            zero_grad(group["params"], set_to_none)

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        backend.ignore_fp_warnings(self._step)

    def _step(self) -> None:
        position = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter._grad
                if gradient is not None:
                    w = parameter.array
                    state = self.state.setdefault(position, {})
                    self.update(backend.namespace(w), w, gradient.array, group, state)
                    bump_version(w)
                position += 1

    def update(self, xp: Any, w: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Change the array w of one parameter in place, given its gradient g; `state` is kept between steps."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter by its position (arrays as Tensors that share memory), and the options."""
        groups, start = [], 0
        for group in self.param_groups:
            stop = start + len(group["params"])
            groups.append({**group, "params": list(range(start, stop))})
            start = stop
        state = {
            position: {name: value if isinstance(value, int) else wrap(value) for name, value in entries.items()}
            for position, entries in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state from `state_dict()`. Raises ValueError, with nothing changed, where it does not match."""
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError("load_state_dict: expected what state_dict() of an optimizer gives")
        groups = state_dict["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError("load_state_dict: the groups of parameters do not match those of this optimizer")
        parameters = self._parameters()
        state: dict[int, dict[str, Any]] = {}
        for position, entries in state_dict["state"].items():
            like = parameters[int(position)]
            for name, value in entries.items():
                if isinstance(value, Tensor) and value.shape != like.shape:
                    raise ValueError(
                        f"load_state_dict: {name} of parameter {position} has shape {value.shape}, not {like.shape}"
                    )
            state[int(position)] = {
                name: _copied_like(value, like) if isinstance(value, Tensor) else int(value)
                for name, value in entries.items()
            }
        self.state = state
        self.param_groups = [{**given, "params": own["params"]} for own, given in zip(self.param_groups, groups)]


def _copied_like(value: Tensor, parameter: Tensor) -> Any:
    """The elements of `value` in a new array on the device and with the layout of a parameter."""
    array = backend.namespace(parameter.array).empty_like(parameter.array)
    array[...] = value.to(parameter.device).array
    return array


class SGD(Optimizer):
    """Stochastic gradient descent: w ← w - lr v, where v = g, and with momentum v ← momentum v + (1 - dampening) g.

    g is the gradient, plus weight_decay · w; `nesterov` uses g + momentum v in place of v; `maximize` climbs instead.
    """

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
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov: needs a momentum above 0 and no dampening")

    def update(self, xp: Any, w: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * w
        if group["momentum"]:
            if "momentum_buffer" in state:
                v = state["momentum_buffer"]
                v *= group["momentum"]
                v += (1 - group["dampening"]) * g
            else:
                v = state["momentum_buffer"] = xp.zeros_like(w)
                v += g
            g = g + group["momentum"] * v if group["nesterov"] else v
        w -= group["lr"] * g


class Adam(Optimizer):
    """w ← w - lr m̂ / (√v̂ + eps), where m and v are running means of g and g², and ^ makes up for their start at 0.

    m ← β₁ m + (1 - β₁) g    v ← β₂ v + (1 - β₂) g²    m̂ = m / (1 - β₁ᵗ)    v̂ = v / (1 - β₂ᵗ) after t steps

    `weight_decay` · w is added to the gradient; `amsgrad` uses the largest v so far (Kingma and Ba 2015; Reddi et al.
    2018).
    """

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

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if not all(0 <= beta < 1 for beta in group["betas"]):
            raise ValueError(f"betas: expected two numbers from 0 to below 1, got {group['betas']}")

    def update(self, xp: Any, w: Any, g: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, exp_avg=xp.zeros_like(w), exp_avg_sq=xp.zeros_like(w))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = xp.zeros_like(w)
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        state["step"] += 1
        t, m, v = state["step"], state["exp_avg"], state["exp_avg_sq"]
        if group["maximize"]:
            g = -g
        if decay and self.decoupled:
            w *= 1 - group["lr"] * decay
        elif decay:
            g = g + decay * w
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if group["amsgrad"]:
            v = xp.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        w -= (group["lr"] / (1 - beta1**t)) * m / (xp.sqrt(v) / math.sqrt(1 - beta2**t) + group["eps"])


class AdamW(Adam):
    """Adam whose weight_decay shrinks the weights by lr · weight_decay each step, apart from the gradient
    (Loshchilov and Hutter 2019)."""

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
