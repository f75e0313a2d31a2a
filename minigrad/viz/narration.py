"""From a recording to frames: for each moment of the step, what the page shows, and a caption.

A frame is complete: the page can show it without the frames before it. Captions mark numbers and names with backticks.
All numbers are those of the recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..backend import unravel
from .captions import Call, argument_name, at, caption, code, equation, largest, meanings
from .formatting import axis_list, formula_letters, listing, number, place, shape_text, signed
from .recorder import Recording, Update, VJPCall

PHASES = ("Predict", "Loss", "Gradients", "Update", "Reset")
PREDICT, LOSS, GRADIENTS, UPDATE, RESET = range(1, 6)
Panel = dict[str, Any]


@dataclass
class Frames:
    """The frames, and for each vertex a timeline: from which frame on it shows which array."""

    sequence: list[dict[str, Any]] = field(default_factory=list)
    values: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    gradients: dict[int, list[tuple[int, int | None, str]]] = field(default_factory=dict)  # None: no gradient


def sign(text: str) -> Panel:
    """A sign between two panels."""
    return {"panel": "sign", "text": text}


def table(label: str, head: list[str], rows: list[list[str]]) -> Panel:
    """A table as a panel."""
    return {"panel": "table", "label": label, "head": head, "rows": rows}


class Narrator:
    """Turns a recording into frames. `store` keeps an array for the page and returns its number there."""

    def __init__(
        self, recording: Recording, store: Callable[[Any, str], int], image: tuple[int, int] | None = None
    ) -> None:
        self.recording, self.store, self.image = recording, store, image
        self.vertices, self.values = recording.vertices, recording.values
        self.frames = Frames()

    def narrate(self) -> Frames:
        """The frames of all five phases; without an optimizer, of the first three."""
        self.introduction()
        self.forward()
        self.backward()
        if self.recording.updates:
            for update in self.recording.updates:
                if update.gradient.size:
                    self.update(update)
            self.reset()
        return self.frames

    # Parts of a frame
    def matrix(self, array: Any, label: str, meaning: str = "", scale: str = "gradient") -> Panel:
        """An array as a panel of coloured cells, under its letter and the meaning of the letter."""
        return {"panel": "matrix", "array": self.store(array, scale), "label": label, "meaning": meaning}

    def value(self, index: int, letter: str = "") -> Panel:
        """The value of a vertex as a panel."""
        name = self.vertices[index].name
        return self.matrix(self.values[index], letter or name, name if letter else "", "value")

    def formula(self, heading: str, formula: str, meaning_of: dict[str, str], *more: str) -> Panel:
        """A formula as a panel, with the meaning of its letters, and of `more`."""
        used = {*formula_letters(formula), *more}
        legend = [(letter, meaning) for letter, meaning in meaning_of.items() if letter in used]
        return {"panel": "formula", "heading": heading, "formula": formula.replace(" -", " −"), "legend": legend}

    def add(self, phase: int, title: str, text: str, focus: int, panels: list[Panel], **more: Any) -> int:
        """Append a frame; returns its number."""
        frame = {"phase": phase, "title": title, "caption": text, "focus": focus, "panels": panels}
        frame = {**frame, "edges": [], "letters": [], **more}
        self.frames.sequence.append(frame)
        return len(self.frames.sequence) - 1

    def show_value(self, index: int, frame: int, array: Any) -> None:
        """From `frame` on the vertex shows this value."""
        self.frames.values.setdefault(index, []).append((frame, self.store(array, "value")))

    def show_gradient(self, index: int, frame: int, array: Any | None, note: str = "") -> None:
        """From `frame` on the vertex shows this gradient, or none, and a note."""
        number = None if array is None else self.store(array, "gradient")
        self.frames.gradients.setdefault(index, []).append((frame, number, note))

    # Phases 1 and 2: predict, loss
    def introduction(self) -> None:
        """Before the first op: data and parameters."""
        leaves = [v for v in self.vertices if v.node is None]
        data = [v for v in leaves if v.kind == "data" and not self.vertices[v.users[0][0]].is_loss]
        trained = [v for v in leaves if v.tensor.requires_grad]
        count = sum(self.values[v.index].size for v in trained)
        shape = data[0].tensor.shape if data else ()
        panels: list[Panel] = []
        if self.image and len(shape) > 1 and math.prod(shape[1:]) == math.prod(self.image):
            for i, image in enumerate(self.values[data[0].index][:8]):
                panels.append(self.matrix(image.reshape(self.image), f"sample {i}", scale="value"))
        else:
            panels += [self.value(v.index) for v in data[:2]]
        if not self.image:
            panels += [self.value(v.index) for v in trained[:4]]
        batch = f"The batch has {code(shape[0])} samples. " if len(shape) > 1 else ""
        text = f"{batch}There are {code(count)} parameters, the numbers to be learned. " + (
            "One training step changes each of them a little, in the direction in which the loss decreases."
            if self.recording.updates
            else "The gradient is the derivative of the loss with respect to each of them."
        )
        frame = self.add(PREDICT, "One training step", text, leaves[0].index, panels)
        for vertex in leaves:
            self.show_value(vertex.index, frame, self.values[vertex.index])

    def forward(self) -> None:
        """A frame for each op, in the order of computation."""
        for vertex in self.vertices:
            if vertex.op is None:
                continue
            call = Call(self.recording, vertex)
            letters, output = call.letters, call.output_letter
            text = caption(call)
            if not vertex.users:
                text += " This is the loss: one number for how wrong the predictions are."
            formula = self.formula(vertex.op_name, vertex.op.formula or vertex.op_name, meanings(call))
            inputs = [self.value(i, letters[p]) for p, i in vertex.inputs]
            panels = [*inputs, sign("→"), formula, sign("→"), self.value(vertex.index, output)]
            title = vertex.name if vertex.name.startswith(vertex.op_name) else f"{vertex.name}: {vertex.op_name}"
            edges = [(i, vertex.index) for _, i in vertex.inputs]
            shown = [*((i, "value", letters[p]) for p, i in vertex.inputs), (vertex.index, "value", output)]
            phase = LOSS if vertex.is_loss else PREDICT
            frame = self.add(phase, title, text, vertex.index, panels, edges=edges, letters=shown)
            self.show_value(vertex.index, frame, self.values[vertex.index])

    # Phase 3: gradients
    def backward(self) -> None:
        """The backward pass as it was recorded: a frame for each VJP call, accumulation and undone broadcasting."""
        recording, loss = self.recording, self.vertices[-1]
        initial = recording.gradients[loss.index]
        text = (
            f"The backward pass starts at the loss, with dL/dL = {code(initial.item())}, and processes the ops in "
            "reverse order. The chain rule: the gradient of an op's output, times the op's local derivative, is the "
            "gradient of its input. For arrays this product is called a VJP (vector-Jacobian product)."
        )
        frame = self.add(GRADIENTS, "Backward from the loss", text, loss.index, [self.matrix(initial, "dL/dL")])
        self.show_gradient(loss.index, frame, initial)
        for index, earlier in recording.earlier_grads.items():
            self.show_gradient(index, 0, earlier, "earlier")
        received = dict.fromkeys(recording.earlier_grads, 1)
        processed: set[int] = set()
        for vjp in recording.vjp_calls:
            if vjp.vertex not in processed:
                processed.add(vjp.vertex)
                self.accumulation(vjp.vertex)
            frame = self.vjp(vjp)
            target, is_leaf = vjp.target, self.vertices[vjp.target].node is None
            received[target] = received.get(target, 0) + 1
            expected = len(recording.contributions(target))
            if expected == 1:
                self.show_gradient(target, frame, vjp.result)
            elif received[target] < expected or not is_leaf:
                self.show_gradient(target, frame, None, f"{received[target]} of {expected}")
            if received[target] == expected and is_leaf:
                self.accumulation(target)
        self.summarize_gradients()

    def accumulation(self, index: int) -> None:
        """The frame of the sum at a Tensor that has more than one contribution to its gradient."""
        contributions = self.recording.contributions(index)
        if len(contributions) < 2:
            return
        gradient, vertex = self.recording.gradients[index], self.vertices[index]
        panels: list[Panel] = []
        for i, g in enumerate(contributions[:6]):
            if i:
                panels.append(sign("+"))
            panels.append(self.matrix(g, f"contribution {i + 1}"))
        if len(contributions) > 6:
            panels.append(sign(f"+ … {len(contributions)} in all"))
        panels += [sign("="), self.matrix(gradient, "sum", f"gradient of {vertex.name}")]
        peak = largest(gradient)
        users = listing([code(name) for name in sorted({self.vertices[user].name for user, _ in vertex.users})])
        earlier = ", and the `.grad` of an earlier backward" if index in self.recording.earlier_grads else ""
        text = (
            f"The gradient of {code(vertex.name)} has {code(len(contributions))} contributions: one for each use, in "
            f"{users}{earlier}. The loss depends on it along every path, and by the chain rule the contributions of "
            f"all paths add up: {equation([g[peak] for g in contributions], gradient[peak])}{at(peak)}."
        )
        edges = [(index, user) for user, _ in vertex.users]
        title = f"{vertex.name}: accumulation"
        frame = self.add(GRADIENTS, title, text, index, panels, edges=edges, accumulation=True)
        self.show_gradient(index, frame, gradient)

    def vjp(self, vjp: VJPCall) -> int:
        """The frame of one VJP call, and that of undone broadcasting; returns the number of the last one."""
        vertex, target = self.vertices[vjp.vertex], self.vertices[vjp.target]
        call, position = Call(self.recording, vertex, vjp), vjp.position
        gradients, letters = call.op.gradients, call.letters
        formula = gradients.get(argument_name(call.op, position)) or next(iter(gradients.values()), "its VJP")
        used = formula_letters(formula)
        g, dx = "G" if "G" in used else "g", f"dL/d{letters[position]}"
        legend = {g: f"gradient of {vertex.name}", **meanings(call), dx: f"gradient of {target.name}"}
        values = [(i, letters[p]) for p, i in vertex.inputs] + [(vertex.index, call.output_letter)]
        values = [(i, letter) for i, letter in values if letter in used]
        panels = [
            self.matrix(vjp.g, g, legend[g]),
            *(self.value(i, letter) for i, letter in values),
            sign("→"),
            self.formula(f"VJP of {vertex.op_name}", formula, legend, letters[position]),
            sign("→"),
            self.matrix(vjp.raw, dx, legend[dx]),
        ]
        title, bias = f"{vertex.name} → {target.name}", call.op.name == "linear" and position == 2
        if bias:
            title = f"{target.name}: why a sum over the batch"
            panels[0]["column"] = panels[-1]["column"] = call.at[0]
        shown = [(vertex.index, "gradient", g), (target.index, "gradient", dx), *((i, "value", a) for i, a in values)]
        edges = [(target.index, vertex.index)]
        more = {"edges": edges, "letters": shown, "batch": bias, "target": target.index}
        frame = self.add(GRADIENTS, title, caption(call), vertex.index, panels, **more)
        return frame if vjp.raw.shape == vjp.result.shape else self.unbroadcast(vjp, edges)

    def unbroadcast(self, vjp: VJPCall, edges: list[tuple[int, int]]) -> int:
        """The frame where broadcasting is undone."""
        raw, result, target = vjp.raw, vjp.result, self.vertices[vjp.target]
        added = raw.ndim - result.ndim
        axes = [*range(added), *(added + i for i, n in enumerate(result.shape) if n == 1 != raw.shape[added + i])]
        over = axis_list(axes)
        peak = largest(result)
        copies = raw[tuple(slice(None) if axis in axes else peak[axis - added] for axis in range(raw.ndim))].ravel()
        text = (
            f"{code(target.name)} was broadcast from shape `{result.shape}` to `{raw.shape}`: each of its numbers was "
            f"used {code(copies.size)} times. So its gradient is the sum of {code(copies.size)} contributions, over "
            f"{code(over)}: {equation(copies, result[peak])}{at(peak)}."
        )
        panels = [
            self.matrix(raw, "one for each use"),
            sign(f"Σ over {over}"),
            self.matrix(result, f"gradient of {target.name}"),
        ]
        title, more = f"{target.name}: broadcasting undone", {"broadcast_axes": axes, "target": vjp.target}
        return self.add(GRADIENTS, title, text, vjp.vertex, panels, edges=edges, **more)

    def summarize_gradients(self) -> None:
        """The end of the backward pass: the gradients of the leaves are kept, the others are not."""
        gradients = self.recording.gradients
        leaves = [v for v in self.vertices if v.node is None and v.index in gradients]
        names = listing([code(v.name) for v in leaves[:6]]) + " …" * (len(leaves) > 6)
        have = "has its gradient" if len(leaves) == 1 else "have their gradients"
        text = (
            f"The backward pass is complete. {names} {have} in `.grad`, in the same shape. The gradients of "
            "intermediate results are freed once they are used."
        )
        panels = [self.matrix(gradients[v.index], f"{v.name}.grad") for v in leaves[:8]]
        frame = self.add(GRADIENTS, "Every parameter has its gradient", text, leaves[0].index, panels)
        for vertex in self.vertices:
            if vertex.node is not None and vertex.index in gradients:
                self.show_gradient(vertex.index, frame, None)

    # Phases 4 and 5: update, reset
    def update(self, update: Update) -> None:
        """The frame of one parameter: before, the step, after."""
        name, peak, lr = self.vertices[update.vertex].name, largest(update.gradient), number(update.lr)
        old, g, new = update.before[peak], update.gradient[peak], update.after[peak]
        element = code(name + place(peak))
        before = self.matrix(update.before, "w", name, "value")
        after = self.matrix(update.after, "new w", scale="value")
        columns = {"w": update.before, "gradient": update.gradient}
        if update.step is not None:
            panels = [before, sign("−"), self.matrix(update.step, "step", f"{lr} × {name}.grad"), sign("=")]
            columns["step"] = update.step
            text = (
                f"Gradient descent: each number of {code(name)} takes a small step against its gradient, with learning "
                f"rate {code(lr)}. For {element}: {code(f'{number(old)} − {lr} × {signed(g)} = {number(new)}')}."
            )
            text += " Its gradient is positive, so it decreases." if g > 0 else ""
            text += " Its gradient is negative, so it increases." if g < 0 else ""
        else:
            optimizer = self.recording.optimizer
            panels = [before, sign("and"), self.matrix(update.gradient, "gradient", f"{name}.grad")]
            panels += [sign(f"{optimizer} →")]
            text = (
                f"{optimizer} updates each number of {code(name)}, with learning rate {code(lr)}. {element} has the "
                f"gradient {code(g)} and changes from {code(old)} to {code(new)}."
            )
        columns["new w"] = update.after
        rows = []
        for i in (-abs(update.gradient)).ravel().argsort(kind="stable")[:3]:
            index = place(unravel(int(i), update.gradient.shape))
            rows.append([index or name, *(number(array.flat[i], 6) for array in columns.values())])
        linked = [panel["array"] for panel in [*panels, after] if panel["panel"] == "matrix"]
        panels += [after, table("Largest gradients", [name if peak else "", *columns], rows)]
        frame = self.add(UPDATE, f"Update {name}", text, update.vertex, panels, linked=linked)
        self.show_value(update.vertex, frame, update.after)

    def reset(self) -> None:
        """The last frame: no gradients."""
        updates = self.recording.updates
        text = (
            f"`zero_grad` sets all {code(len(updates))} gradients to None; otherwise the next backward would "
            "accumulate into them. The step is complete. The next one predicts the next batch with the new parameters."
        )
        rows = [[self.vertices[u.vertex].name, shape_text(u.gradient.shape), "None"] for u in updates]
        panels = [table("Gradients", ["parameter", ".grad before", ".grad after"], rows)]
        frame = self.add(RESET, "Ready for the next step", text, updates[0].vertex, panels)
        for update in updates:
            self.show_gradient(update.vertex, frame, None)
