"""What a worker is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

#: Calls of one `request_many`.
MANY = 10_000
#: Takes of a limiter or of a lease that are timed together: one is shorter than a look at the clock.
TAKES = 1_000
#: How many requests a piece of work stands for, where it is not one.
UNITS = {"many": MANY, "limiter": TAKES, "lease": TAKES}

#: Does one piece of work. The number makes its requests unlike all others; what comes back is checked.
Ask = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Task:
    """The work of one client in one scenario."""

    client: str
    url: str
    ca: str
    #: What is asked for: `small`, `block`, `batch`, `many`, `delay`, `limiter` or `lease`.
    work: str
    #: Pieces of work at a time.
    in_flight: int
    #: The size of the client's pool.
    connections: int
    #: How the work is driven: `rate`, `busy`, `memory` or `cancel`.
    drive: str = "rate"
    #: Whether the native client shares connections by HTTP/2; the others find out for themselves.
    h2: bool = False


@dataclass(frozen=True)
class Figures:
    """What a round says. Times of single pieces of work are in microseconds, memory in kilobytes."""

    requests: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    rss: int
    #: Processor time of the thread that runs Python; a native client has none.
    python_cpu: float | None = None


#: Makes a client ready. It is closed when the worker ends.
Open = Callable[[Task], AbstractAsyncContextManager[Ask]]


class WrongAnswerError(Exception):
    """A client handed out something else than the answer to its request."""


def check(correct: object) -> None:
    """Refuse a wrong answer."""
    if not correct:
        raise WrongAnswerError
