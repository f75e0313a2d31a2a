"""What a check has to say: how many slopes of each input agree, which are wrong, and where the kinks are."""

from __future__ import annotations

import math
from typing import NamedTuple


class GradcheckError(AssertionError):
    """A check that failed; the message is the report, also to be had as `.report`."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class Fault(NamedTuple):
    """A gradient that is wrong: where it is worst, by how much, and which slip it looks like."""

    name: str
    place: str
    analytic: float
    numeric: float
    uncertainty: float
    interval: tuple[float, float] | None  # the slopes from the left and the right, where they differ
    wrong: str  # how many slopes, "3 of 12"
    slip: str

    @property
    def absolute(self) -> float:
        """|analytic - numeric|"""
        return abs(self.analytic - self.numeric)

    @property
    def relative(self) -> float:
        """The absolute error as part of the larger of the two."""
        return self.absolute / (max(abs(self.analytic), abs(self.numeric)) or 1.0)

    def __str__(self) -> str:
        between = "\n    a kink: slopes from {:.6g} to {:.6g}".format(*self.interval) if self.interval else ""
        return (
            f"  {self.wrong} slopes are wrong, the worst {self.place}\n"
            f"    analytic {self.analytic:.10g}, numeric {self.numeric:.10g} ± {self.uncertainty:.0e}, "
            f"absolute error {self.absolute:.2e}, relative error {self.relative:.2e}{between}\n"
            f"    looks like: {self.slip}"
        )


class Kink(NamedTuple):
    """A place where the slopes from the left and the right differ and the analytic value lies between them."""

    place: str
    analytic: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"  kink {self.place}: analytic {self.analytic:.6g} lies in [{self.low:.6g}, {self.high:.6g}]"


class Line(NamedTuple):
    """What was seen of one input: the number of slopes that agree, are zero, are kinks, lie in the noise, are wrong."""

    name: str
    shape: tuple[int, ...]
    agree: int
    zero: int
    kinks: int
    hidden: int
    wrong: int
    worst: float  # the largest relative error of those that agree


class Report:
    """What a check saw. True if it passed; as text, the report.

    `lines` and `faults` are by input, `refusal` says why there is no verdict, `convergence` has (step, error, order),
    where the order is infinite if only rounding is left, and `second` is the report on second derivatives.
    """

    def __init__(self, title: str, refusal: str = "") -> None:
        self.title, self.refusal = title, refusal
        self.lines: list[Line] = []
        self.faults: list[Fault] = []
        self.kinks: list[Kink] = []
        self.convergence: list[tuple[float, float, float | None]] = []
        self.second: Report | None = None

    def __bool__(self) -> bool:
        return self.passed

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong and something was seen, in each order that was checked."""
        return not self.faults and not self.refusal and (self.second is None or self.second.passed)

    def __str__(self) -> str:
        text = [f"gradcheck of {self.title}: {'FAILED' if self.faults or self.refusal else 'passed'}"]
        text += [f"  {self.refusal}"] * bool(self.refusal)
        text += map(str, self.faults)
        if self.lines:
            width = max(len(line.name) for line in self.lines)
            wide = max(5, *(len(str(line.shape)) for line in self.lines))
            text.append(f"  {'':{width}}  {'shape':{wide}}    agree   zero  kinks  hidden  wrong  worst error")
        for n in self.lines:
            worst = f"{n.worst:.1e}" if n.agree else "-"
            counts = f"{n.agree:7}{n.zero:7}{n.kinks:7}{n.hidden:8}{n.wrong:7}{worst:>13}"
            text.append(f"  {n.name:{width}}  {n.shape!s:{wide}}  {counts}")
        text += map(str, self.kinks[:3])
        text += [f"  ... and {len(self.kinks) - 3} kinks more"] * (len(self.kinks) > 3)
        if self.convergence:
            text.append("  along one direction, numeric less analytic (order 2: half of h, a quarter of the error)")
        for h, error, order in self.convergence:
            tail = "" if order is None else "   rounding" if order == math.inf else f"   order {order:.2f}"
            text.append(f"    h {h:.4f}   error {error:.1e}{tail}")
        text += [str(self.second)] * (self.second is not None)
        return "\n".join(text)
