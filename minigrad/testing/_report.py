"""The result of a check: how many slopes of each input agree, which are wrong, and where the kinks are."""

from __future__ import annotations

import math
from typing import NamedTuple


class GradcheckError(AssertionError):
    """A check that did not pass; the message is the report, also available as `.report`."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class Fault(NamedTuple):
    """A wrong gradient: where it is worst, by how much, and the likely cause."""

    name: str
    place: str
    analytic: float
    numeric: float
    uncertainty: float
    interval: tuple[float, float] | None  # the slopes from left and right, where they differ
    wrong: str  # how many slopes, "3 of 12"
    cause: str

    @property
    def absolute(self) -> float:
        """|analytic - numeric|"""
        return abs(self.analytic - self.numeric)

    @property
    def relative(self) -> float:
        """The absolute error relative to the larger of the two."""
        return self.absolute / (max(abs(self.analytic), abs(self.numeric)) or 1.0)

    def __str__(self) -> str:
        between = "\n    a kink: slopes from {:.6g} to {:.6g}".format(*self.interval) if self.interval else ""
        return (
            f"  {self.wrong} slopes are wrong, the worst {self.place}\n"
            f"    analytic {self.analytic:.10g}, numeric {self.numeric:.10g} ± {self.uncertainty:.0e}, "
            f"absolute error {self.absolute:.2e}, relative error {self.relative:.2e}{between}\n"
            f"    likely cause: {self.cause}"
        )


class Kink(NamedTuple):
    """A place where the slopes from left and right differ, and the analytic value lies between them."""

    place: str
    analytic: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"  kink {self.place}: analytic {self.analytic:.6g} lies in [{self.low:.6g}, {self.high:.6g}]"


class InputSummary(NamedTuple):
    """The slopes of one input: how many agree, are zero, are kinks, are below the noise, are wrong."""

    name: str
    shape: tuple[int, ...]
    agree: int
    zero: int
    kinks: int
    below_noise: int
    wrong: int
    worst: float  # the largest relative error of those that agree


class Report:
    """The result of a check: true if it passed; as text, the report.

    Attributes:
        verdict: "passed", "failed", or "cannot judge" if no slope could be measured well enough.
        inputs: an InputSummary for each checked input and parameter.
        faults: a Fault for each input with wrong gradients.
        misuse: what is wrong with the VJPs apart from their values, such as a cotangent that is written to.
        kinks: the Kinks.
        problem: why there is no verdict.
        convergence: (step, error, order); the order is infinite if only rounding is left.
        second_order: the report on second derivatives, for order=2.
    """

    def __init__(self, title: str, problem: str = "") -> None:
        self.title, self.problem = title, problem
        self.inputs: list[InputSummary] = []
        self.faults: list[Fault] = []
        self.misuse: list[str] = []
        self.kinks: list[Kink] = []
        self.convergence: list[tuple[float, float, float | None]] = []
        self.second_order: Report | None = None

    def __bool__(self) -> bool:
        return self.passed

    @property
    def verdict(self) -> str:
        """The verdict on this order."""
        return "failed" if self.faults or self.misuse else "cannot judge" if self.problem else "passed"

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong and something was checked, in each order."""
        return self.verdict == "passed" and (self.second_order is None or self.second_order.passed)

    def __str__(self) -> str:
        verdict = {"failed": "FAILED", "cannot judge": "CANNOT JUDGE"}.get(self.verdict, self.verdict)
        text = [f"gradcheck of {self.title}: {verdict}"]
        text += [f"  {self.problem}"] * bool(self.problem)
        text += [f"  {misuse}" for misuse in self.misuse]
        text += map(str, self.faults)
        if self.inputs:
            width = max(len(line.name) for line in self.inputs)
            wide = max(5, *(len(str(line.shape)) for line in self.inputs))
            text.append(f"  {'':{width}}  {'shape':{wide}}    agree   zero  kinks  below noise  wrong  worst error")
        for n in self.inputs:
            worst = f"{n.worst:.1e}" if n.agree else "-"
            counts = f"{n.agree:7}{n.zero:7}{n.kinks:7}{n.below_noise:13}{n.wrong:7}{worst:>13}"
            text.append(f"  {n.name:{width}}  {n.shape!s:{wide}}  {counts}")
        text += map(str, self.kinks[:3])
        text += [f"  ... and {len(self.kinks) - 3} more kinks"] * (len(self.kinks) > 3)
        if self.convergence:
            text.append("  |numeric - analytic| along one direction (order 2: half of h, a quarter of the error)")
        for h, error, order in self.convergence:
            tail = "" if order is None else "   rounding" if order == math.inf else f"   order {order:.2f}"
            text.append(f"    h {h:.4f}   error {error:.1e}{tail}")
        text += [str(self.second_order)] * (self.second_order is not None)
        return "\n".join(text)
