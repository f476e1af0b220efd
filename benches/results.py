"""What was measured, and what follows from it: medians, and ratios within the same round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scenarios import Scenario
from workers.task import Figures


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest of its rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of the values of all rounds."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def shown(self, form: str) -> str:
        """As text; `form` is the format of each number."""
        return f"{self.median:{form}} [{self.least:{form}} to {self.most:{form}}]"


@dataclass
class Result:
    """The rounds of all clients in a scenario."""

    scenario: Scenario
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    #: How many connections the node accepted in each of them.
    sockets: dict[str, list[int]] = field(default_factory=dict)
    #: Who could not take part, and why.
    failures: dict[str, str] = field(default_factory=dict)

    def each(self, client: str, measure: Callable[[Figures], float]) -> list[float]:
        """One figure of all rounds of a client."""
        return [measure(figures) for figures in self.rounds[client]]

    def ratios(
        self, ours: str, peers: Iterable[str], measure: Callable[[Figures], float] | None = None
    ) -> list[float]:
        """Ours by the best of the peers, round by round."""
        of = measure or rate
        best = (max(values) for values in zip(*(self.each(peer, of) for peer in peers), strict=True))
        return [mine / theirs for mine, theirs in zip(self.each(ours, of), best, strict=True)]


def rate(figures: Figures) -> float:
    """Requests a second."""
    return figures.requests / figures.seconds


def cpu(figures: Figures) -> float:
    """Microseconds of processor time for a request."""
    return figures.cpu / figures.requests * 1e6


def python_cpu(figures: Figures) -> float:
    """The part of it on the thread that runs Python."""
    return (figures.python_cpu or 0.0) / figures.requests * 1e6
