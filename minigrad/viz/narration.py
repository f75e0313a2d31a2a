"""From a recording to frames: what is seen at each moment of the step, and the sentence that goes with it.

A frame says everything about its moment, so a page can show any frame without the others. Sentences mark numbers and
names with backticks. All numbers are the recording's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .formatting import listing, number, place, shape_text
from .recorder import Pull, Recording, Update
from .trace import Vertex

ACTS = ("Predict", "Loss", "Gradients", "Adjust", "Reset")
Part = dict[str, Any]


@dataclass
class Film:
    """The frames, and for each vertex from which frame on it shows which array (None: nothing)."""

    frames: list[dict[str, Any]] = field(default_factory=list)
    values: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    gradients: dict[int, list[tuple[int, int | None, str]]] = field(default_factory=dict)


def code(value: Any, digits: int = 4) -> str:
    """A number, or a name, as a sentence shows it."""
    return f"`{value if isinstance(value, str) else f'{value:,}' if isinstance(value, int) else number(value, digits)}`"


def largest(array: Any) -> tuple[int, ...]:
    """The index of the element with the largest magnitude."""
    flat = abs(array).ravel()
    position = int(flat.argmax()) if flat.size else 0
    index = []
    for n in reversed(array.shape):
        index.append(position % n)
        position //= n
    return tuple(reversed(index))


def terms(numbers: list[Any], shown: int = 4) -> str:
    """`0.1 + 0.2 + (−0.3)`; of many terms the largest, and how many there are."""
    if len(numbers) > shown:
        numbers, more = sorted(numbers, key=abs, reverse=True)[: shown - 1], f" + … ({len(numbers)} terms)"
    else:
        more = ""
    return " + ".join(signed(v, 3) for v in numbers) + more


def signed(value: Any, digits: int = 4) -> str:
    """A number inside a formula: in brackets where it is negative."""
    return f"({number(value, digits)})" if value < 0 else number(value, digits)


def letter(vertex: Vertex, position: int) -> str:
    """The letter of an argument in the op's formula: `X` for a matrix, `x` for what may have any shape."""
    assert vertex.op is not None
    name = vertex.argument(position)
    gradient = vertex.op.gradients.get(name, "")
    return gradient[4 : 4 + len(name)] or name


def forward_formula(vertex: Vertex) -> list[str]:
    """What the op computes, as one line."""
    assert vertex.op is not None
    return [vertex.op.formula or vertex.op.name]


def backward_formula(vertex: Vertex, position: int) -> list[str]:
    """The gradient of one argument, as one line."""
    assert vertex.op is not None
    gradients = vertex.op.gradients
    return [gradients.get(vertex.argument(position)) or next(iter(gradients.values()), "the VJP of this op")]


class Director:
    """Turns a recording into a Film. `shelve` keeps an array for the page and returns its number there."""

    def __init__(
        self, recording: Recording, shelve: Callable[[Any, str], int], image: tuple[int, int] | None = None
    ) -> None:
        self.recording, self.shelve, self.image = recording, shelve, image
        self.vertices = recording.vertices
        self.film = Film()

    def direct(self) -> Film:
        """All five acts; without an optimizer the first three."""
        self.opening()
        self.forward()
        self.backward()
        if self.recording.updates:
            self.adjust()
        return self.film

    # Tools
    def name(self, index: int) -> str:
        """The name of a vertex, as sentences show it."""
        return code(self.vertices[index].name)

    def matrix(self, array: Any, label: str, scale: str = "value", text: str = "") -> Part:
        """A part of a frame: an array as heat cells."""
        return {"part": "matrix", "array": self.shelve(array, scale), "label": label, "text": text}

    def value(self, index: int, label: str = "") -> Part:
        """The value of a vertex as a part."""
        name = self.vertices[index].name
        return self.matrix(self.recording.values[index], label or name, "value", name if label else "")

    def rule(self, vertex: Vertex, lines: list[str], where: list[tuple[str, str]]) -> Part:
        """A formula as a part, with what its letters stand for."""
        return {"part": "rule", "op": vertex.op.name if vertex.op else "", "lines": lines, "where": where}

    def sign(self, text: str) -> Part:
        """A sign between two parts."""
        return {"part": "sign", "text": text}

    def letters(self, vertex: Vertex) -> list[tuple[str, str]]:
        """What the letters of an op's formula stand for."""
        known = [(letter(vertex, p), self.vertices[i].name) for p, i in vertex.inputs]
        return known + [(letter(vertex, p), number(c)) for p, c in vertex.constants if isinstance(c, (int, float))]

    def add(
        self, act: int, title: str, say: str, focus: int, parts: list[Part], edges: list[tuple[int, int]], **more: Any
    ) -> int:
        """Append a frame; returns its number."""
        frame = {"act": act, "title": title, "say": say, "focus": focus, "parts": parts, "edges": edges, **more}
        self.film.frames.append(frame)
        return len(self.film.frames) - 1

    def show_value(self, index: int, frame: int, array: Any) -> None:
        """From `frame` on the vertex shows this value."""
        self.film.values.setdefault(index, []).append((frame, self.shelve(array, "value")))

    def show_gradient(self, index: int, frame: int, array: Any | None, note: str = "") -> None:
        """From `frame` on the vertex shows this gradient, or none, and a note."""
        number = None if array is None else self.shelve(array, "gradient")
        self.film.gradients.setdefault(index, []).append((frame, number, note))

    # Act 1 and 2
    def opening(self) -> None:
        """What is there before anything is computed: data and parameters."""
        values = self.recording.values
        leaves = [v for v in self.vertices if v.node is None]
        data = [v for v in leaves if v.kind == "data" and not self.vertices[v.users[0][0]].is_loss]
        learned = [v for v in leaves if v.tensor.requires_grad]
        count = sum(values[v.index].size for v in learned)
        batch = data[0].tensor.shape[0] if data and data[0].tensor.ndim > 1 else 0
        parts: list[Part] = []
        if (
            self.image
            and data
            and data[0].tensor.ndim > 1
            and math.prod(data[0].tensor.shape[1:]) == math.prod(self.image)
        ):
            for i, sample in enumerate(values[data[0].index][:8]):
                parts.append(self.matrix(sample.reshape(self.image), f"sample {i}"))
        elif data:
            parts += [self.value(v.index) for v in data[:2]]
        parts += [] if self.image else [self.value(v.index) for v in learned[:4]]
        who = f"{code(batch)} samples wait at the start. " if batch else ""
        say = f"{who}There are {code(count)} numbers that training may change: the parameters. "
        say += (
            "One step now changes them all a little, so that the loss falls."
            if self.recording.updates
            else "How does the loss depend on each of them? Their gradients tell."
        )
        frame = self.add(1, "One training step", say, leaves[0].index, parts, [])
        for vertex in leaves:
            self.show_value(vertex.index, frame, values[vertex.index])

    def forward(self) -> None:
        """A frame for each op, in the order in which they ran."""
        for vertex in self.vertices:
            if vertex.op is None:
                continue
            output = self.recording.values[vertex.index]
            parts = [self.value(i, letter(vertex, p)) for p, i in vertex.inputs]
            letter_out = forward_formula(vertex)[0].split(" ")[0].rstrip("ᵢ")
            parts += [
                self.sign("→"),
                self.rule(vertex, forward_formula(vertex), self.letters(vertex)),
                self.sign("→"),
                self.value(vertex.index, letter_out if len(letter_out) == 1 else "y"),
            ]
            is_loss = vertex.is_loss
            edges = [(i, vertex.index) for _, i in vertex.inputs]
            heading = vertex.name if vertex.name.startswith(vertex.deed) else f"{vertex.name}: {vertex.deed}"
            frame = self.add(2 if is_loss else 1, heading, self.say_forward(vertex), vertex.index, parts, edges)
            self.show_value(vertex.index, frame, output)

    def say_forward(self, vertex: Vertex) -> str:
        """What an op did, in plain words with its numbers."""
        assert vertex.op is not None
        values, out = self.recording.values, self.recording.values[vertex.index]
        sources = [i for _, i in vertex.inputs]
        name, first = vertex.deed, sources[0]
        span = f"from {code(out.min())} to {code(out.max())}" if out.size else "none"
        end = f" This one number is the loss: how wrong the model is, {code(out.item())}." if not vertex.users else ""
        if name == "linear":
            rows, bias = out.size // out.shape[-1], len(sources) > 2
            what = f"{self.name(first)} is multiplied with the weights {self.name(sources[1])}"
            what += f" and {self.name(sources[2])} is added" if bias else ""
            return f"For each of {code(rows)} rows, {what}: {code(out.shape[-1])} numbers per row, {span}.{end}"
        if name == "relu":
            off = int((out <= 0).sum())
            return (
                f"relu keeps what is above 0 and makes the rest 0: {code(out.size - off)} of {code(out.size)} numbers "
                f"pass, {code(off)} are switched off.{end}"
            )
        if name == "cross_entropy" and out.size == 1 and values[first].ndim == 2:
            rows = code(values[first].shape[0])
            mean = " on average" * (vertex.node is not None and vertex.node.kwargs.get("reduction", "mean") == "mean")
            return (
                f"How surprised is the model by the right answers of {rows} samples? By {code(out.item())}{mean}.{end}"
            )
        if name == "cross_entropy" and out.ndim == 1 and out.size > 1:
            worst, best = int(out.argmax()), int(out.argmin())
            return (
                f"How surprised is the model by each right answer? Sample {code(best)} surprises it least "
                f"({code(out[best])}), sample {code(worst)} most ({code(out[worst])})."
            )
        if name == "mse_loss" and out.size:
            at = largest(out)
            return f"The error of each number, squared. The largest is {code(out[at])} at `{place(at)}`."
        if name in ("mean", "sum") and out.size == 1:
            count = code(values[first].size)
            return f"The {name} of the {count} numbers of {self.name(first)} is {code(out.item())}.{end}"
        known = [self.name(i) for i in sources] + [code(c) for _, c in vertex.constants if isinstance(c, (int, float))]
        if out.size == 1:
            given = [
                f"{self.name(i)} = {code(values[i].item())}" if values[i].size == 1 else self.name(i) for i in sources
            ]
            given += [code(c) for _, c in vertex.constants if isinstance(c, (int, float))]
            return f"{name} of {listing(given)} is {code(out.item())}.{end}"
        return f"{name} makes of {listing(known)} an array of {code(shape_text(out.shape))}, {span}.{end}"

    # Act 3
    def backward(self) -> None:
        """The walk back, as it was recorded: a frame for each rule, each sum, each broadcasting undone."""
        recording = self.recording
        last = self.vertices[-1]
        seed = recording.gradients[last.index]
        frame = self.add(
            3,
            "Backwards from the loss",
            f"Which way must each parameter go? The walk starts at the loss with dL/dL = {code(seed.item())}: a change "
            "of the loss changes the loss by just as much. From here each op hands its gradient on to what it was made "
            "from.",
            last.index,
            [self.matrix(seed, "dL/dL", "gradient")],
            [],
        )
        self.show_gradient(last.index, frame, seed)
        for index, earlier in recording.earlier.items():
            self.show_gradient(index, 0, earlier, "from before")
        came = dict.fromkeys(recording.earlier, 1)
        started: set[int] = set()
        for pull in recording.pulls:
            if pull.vertex not in started:
                started.add(pull.vertex)
                self.fork(pull.vertex)
            frame = self.pull(pull)
            came[pull.target] = came.get(pull.target, 0) + 1
            total = len(recording.arrivals(pull.target))
            if total == 1:
                self.show_gradient(pull.target, frame, pull.result)
            elif came[pull.target] < total or self.vertices[pull.target].node is not None:
                self.show_gradient(pull.target, frame, None, f"{came[pull.target]} of {total}")
            if came[pull.target] == total and self.vertices[pull.target].node is None:
                self.fork(pull.target)
        self.harvest()

    def fork(self, index: int) -> None:
        """The sum at a Tensor that was used more than once."""
        arrivals = self.recording.arrivals(index)
        if len(arrivals) < 2:
            return
        total, vertex = self.recording.gradients[index], self.vertices[index]
        parts: list[Part] = []
        for i, g in enumerate(arrivals[:6]):
            parts += [self.sign("+")] * (i > 0) + [self.matrix(g, f"gradient {i + 1}", "gradient")]
        parts += [self.sign(f"+ … {len(arrivals)} in all")] * (len(arrivals) > 6)
        parts += [self.sign("="), self.matrix(total, "the sum", "gradient")]
        at = largest(total)
        sums = terms([float(g[at]) for g in arrivals])
        users = sorted({self.vertices[user].name for user, _ in vertex.users})
        before = " (one is left from before this step)" if index in self.recording.earlier else ""
        say = (
            f"{self.name(index)} was used {code(len(vertex.users))} times, in {listing([code(u) for u in users])}, so "
            f"{code(len(arrivals))} gradients come to it{before}. A change of it acts on every way, so they are added: "
            f"`{sums} = {number(total[at])}`{f' at `{place(at)}`' if at else ''}."
        )
        edges = [(index, user) for user, _ in vertex.users]
        frame = self.add(3, f"{vertex.name}: the ways meet", say, index, parts, edges, fork=True)
        self.show_gradient(index, frame, total)

    def pull(self, pull: Pull) -> int:
        """The frame of one rule, and the one where broadcasting is undone; returns the last of them."""
        vertex, target = self.vertices[pull.vertex], self.vertices[pull.target]
        assert vertex.op is not None
        g = "G" if re.search(r"\bG\b", vertex.op.formula.replace("ᵀ", " ")) else "g"
        letters = [(g, f"what comes in, the gradient of {vertex.name}"), *self.letters(vertex)]
        lines = backward_formula(vertex, pull.position)
        used = [
            pair
            for pair in letters
            if re.search(rf"(?<!d)(?<!\w){pair[0]}(?![a-z])", " ".join(lines).partition(":")[0])
        ]
        edges = [(pull.target, pull.vertex)]
        incoming = self.matrix(pull.g, g, "gradient", f"gradient of {vertex.name}")
        outgoing = f"dL/d{letter(vertex, pull.position)}"
        batch = vertex.op.name == "linear" and pull.position == 2
        say = self.say_bias(pull) if batch else self.say_pull(pull)
        title = f"{vertex.name} → {target.name}"
        needed = [
            (name, i)
            for (p, i) in vertex.inputs
            for name in [letter(vertex, p)]
            if (name, self.vertices[i].name) in used
        ]
        beside = [self.value(i, name) for name, i in needed]
        parts = [incoming, *beside, self.sign("→"), self.rule(vertex, lines, used or letters), self.sign("→")]
        parts.append(self.matrix(pull.raw, outgoing, "gradient", f"gradient of {target.name}"))
        if batch:
            title = f"{target.name}: why a sum over the batch"
            for part in (parts[0], parts[-1]):
                part["column"] = largest(pull.result)[0]
        frame = self.add(3, title, say, pull.vertex, parts, edges, batch=batch, to=pull.target)
        if pull.raw.shape != pull.result.shape:
            frame = self.unbroadcast(pull, edges)
        return frame

    def unbroadcast(self, pull: Pull, edges: list[tuple[int, int]]) -> int:
        """The frame where the copies that broadcasting made are added up."""
        raw, result, target = pull.raw, pull.result, self.vertices[pull.target]
        added = raw.ndim - result.ndim
        axes = [*range(added), *(added + i for i, n in enumerate(result.shape) if n == 1 != raw.shape[added + i])]
        copies = math.prod(raw.shape[axis] for axis in axes)
        words = listing([str(axis) for axis in axes])
        at = largest(result)
        lines_of = raw
        for axis in range(raw.ndim - 1, -1, -1):
            if axis not in axes:
                lines_of = lines_of.take(at[axis - added], axis=axis)
        sums = f"`{terms([float(v) for v in lines_of.ravel()])} = {number(result[at])}`"
        every = code(copies)
        say = (
            f"{self.name(target.index)} of shape `{result.shape}` was stretched to `{raw.shape}`: each of its numbers "
            f"was used {every} times. So each gets the sum of {every} gradients, over axis {code(words)}: "
            f"{sums}{f' at `{place(at)}`' if at else ''}."
        )
        parts = [
            self.matrix(raw, "one for each use", "gradient"),
            self.sign(f"Σ over axis {words}"),
            self.matrix(result, f"gradient of {target.name}", "gradient"),
        ]
        return self.add(
            3, f"{target.name}: broadcasting undone", say, pull.vertex, parts, edges, undone=axes, to=pull.target
        )

    def say_bias(self, pull: Pull) -> str:
        """Why the gradient of a bias is a sum over the batch."""
        g, result = pull.g.reshape(-1, pull.g.shape[-1]), pull.result
        rows, (j,) = g.shape[0], largest(result)
        axes = listing([str(axis) for axis in range(pull.g.ndim - 1)]) if pull.g.ndim > 1 else "0"
        name = self.vertices[pull.target].name
        sums = f"`{terms([float(v) for v in g[:, j]])} = {number(result[j])}`"
        return (
            f"{code(name)} has one number per output, yet it was added to all {code(rows)} rows: one for each sample "
            f"of the batch. Move {code(f'{name}[{j}]')} and every sample's output moves. So its gradient is the sum of "
            f"what all samples say, over axis {code(axes)}: {sums}."
        )

    def say_pull(self, pull: Pull) -> str:
        """What a rule did, in plain words with its numbers."""
        vertex, to = self.vertices[pull.vertex], self.name(pull.target)
        assert vertex.op is not None
        name, g, out = vertex.deed, pull.g, pull.raw
        at = largest(out)
        peak = f"The largest is {code(out[at])} at `{place(at)}`." if out.ndim else ""
        values = self.recording.values
        inputs = dict(vertex.inputs)
        if name == "mean" and out.size and g.size == 1:
            return (
                f"{to} holds {code(out.size)} numbers, and each has an equal share in their mean: each gets "
                f"{code(g.item())} / {code(out.size)} = {code(out.ravel()[0])}."
            )
        if name == "sum" and g.size == 1:
            return f"Each number of {to} counts once in the sum, so each gets the whole gradient, {code(g.item())}."
        if name == "relu":
            off = int((values[vertex.index] <= 0).sum())
            return (
                f"Where relu let a number pass, the gradient passes too. At the {code(off)} of {code(out.size)} places "
                f"that were switched off, a small change changes nothing: there it is 0. {peak}"
            )
        if name == "cross_entropy" and pull.position == 0 and out.ndim == 2:
            right = int(values[inputs[1]][0].argmax())
            rest = [float(v) for c, v in enumerate(out[0]) if c != right]
            return (
                f"What the model believes minus what it should. In sample {code(0)} the right class is {code(right)}: "
                f"its score gets {code(out[0, right])}, for raising it lowers the loss; the others get up to "
                f"{code(max(rest))}, for raising them raises it."
            )
        if name == "linear" and pull.position == 1:
            x = values[inputs[0]].reshape(-1, out.shape[1])
            rows = g.reshape(-1, out.shape[0])
            products = [float(a) * float(b) for a, b in zip(rows[:, at[0]], x[:, at[1]])]
            which = code(self.vertices[pull.target].name + place(at))
            return (
                "A weight matters as much as what came through it. Its gradient: the gradient of its output times its "
                f"input, added over the {code(len(products))} samples. For {which}: "
                f"`{terms(products)} = {number(out[at])}`."
            )
        if name == "linear" and pull.position == 0:
            return (
                f"Each number of {to} went into all {code(g.shape[-1])} outputs of its row. Their gradients come back, "
                f"each times the weight it went through, and are added. {peak}"
            )
        slope = backward_formula(vertex, pull.position)[0]
        if out.size == 1 and g.size == 1:
            return f"{code(g.item())} comes in. The rule of {name}, `{slope}`, hands {code(out.item())} on to {to}."
        return (
            f"The gradient comes in, the rule of {name}, `{slope}`, is applied, and the result goes on to {to}. {peak}"
        )

    def harvest(self) -> None:
        """The end of backward: what is kept and what is not."""
        recording = self.recording
        leaves = [v for v in self.vertices if v.node is None and v.index in recording.gradients]
        say = (
            f"Backward is done. {listing([code(v.name) for v in leaves[:6]])}{' …' * (len(leaves) > 6)} "
            f"{'has its' if len(leaves) == 1 else 'have their'} gradient in `.grad`, each as large as itself. The "
            "gradients in between were only handed on: they are gone."
        )
        parts = [self.matrix(recording.gradients[v.index], f"{v.name}.grad", "gradient") for v in leaves[:8]]
        frame = self.add(3, "Every parameter has its gradient", say, leaves[0].index, parts, [])
        for vertex in self.vertices:
            if vertex.node is not None and vertex.index in recording.gradients:
                self.show_gradient(vertex.index, frame, None)

    # Act 4 and 5
    def adjust(self) -> None:
        """A frame for each parameter that moved, and the reset."""
        for update in self.recording.updates:
            self.update(update)
        names = [self.vertices[u.vertex].name for u in self.recording.updates]
        rows = [
            [name, shape_text(self.recording.gradients[u.vertex].shape), "None"]
            for name, u in zip(names, self.recording.updates)
        ]
        say = (
            f"All {code(len(names))} gradients are set to None. Left where they were, the next backward would add to "
            "them. The step is over: with the new weights the next batch begins at act 1."
        )
        frame = self.add(
            5,
            "Ready for the next step",
            say,
            self.recording.updates[0].vertex,
            [{"part": "table", "head": ["parameter", ".grad was", ".grad is"], "rows": rows}],
            [],
        )
        for u in self.recording.updates:
            self.show_gradient(u.vertex, frame, None)

    def update(self, update: Update) -> None:
        """The frame of one parameter: old, step, new."""
        name, at = self.vertices[update.vertex].name, largest(update.gradient)
        old, g, new = update.before[at], update.gradient[at], update.after[at]
        before = self.matrix(update.before, "w", "value", name)
        after = self.matrix(update.after, "new w", "value", name)
        order = sorted(range(update.gradient.size), key=lambda i: -abs(update.gradient.ravel()[i]))[:3]
        flat = [a.ravel() for a in (update.before, update.gradient, update.after)]
        if update.step is not None:
            lr, step = number(update.lr), update.step[at]
            middle = self.matrix(update.step, "lr × gradient", "gradient", f"{lr} × {name}.grad")
            parts = [before, self.sign("−"), middle, self.sign("="), after]
            flat.insert(2, update.step.ravel())
            head = ["", "w", "gradient", f"{lr} × gradient", "new w"]
            say = (
                f"Each number of {code(name)} takes a small step against its gradient; the learning rate is `{lr}`. "
                f"{code(name + place(at))}: `{number(old)} − {lr} × {signed(g)} = {number(new)}`. "
            )
            say += "The gradient is positive, so it goes down." if step > 0 else ""
            say += "The gradient is negative, so it goes up." if step < 0 else ""
        else:
            how = self.recording.optimizer
            middle = self.matrix(update.gradient, "gradient", "gradient", f"{name}.grad")
            parts = [before, self.sign("and"), middle, self.sign(f"{how} →"), after]
            head = ["", "w", "gradient", "new w"]
            say = (
                f"{how} moves each number of {code(name)}, with learning rate {code(update.lr)}. "
                f"{code(name + place(at))} has the gradient {code(g)} and goes from {code(old)} to {code(new)}."
            )
        rows = []
        for i in order:
            index: list[int] = []
            rest = i
            for n in reversed(update.gradient.shape):
                index.insert(0, rest % n)
                rest //= n
            rows.append([name + place(tuple(index)), *(number(column[i], 6) for column in flat)])
        parts.append({"part": "table", "head": head, "rows": rows})
        linked = [part["array"] for part in parts if part["part"] == "matrix"]
        frame = self.add(4, f"Adjust {name}", say.strip(), update.vertex, parts, [], linked=linked, name=name)
        self.show_value(update.vertex, frame, update.after)
