"""What a worker is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

#: Calls of one `request_many`.
MANY = 10_000
#: Takes of a limiter or of a lease that are timed together: one is shorter than a look at the clock.
TAKES = 1_000
#: Milliseconds that answers take in a storm of cancellations: long enough to be cancelled in flight.
PAUSE = 5
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
    #: What is asked for: `small`, `block`, `batch`, `many`, `delay`, `pause`, `limiter` or `lease`.
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


@dataclass(frozen=True)
class Aftermath:
    """What is left of a client after a storm of cancellations."""

    answered: int
    cancelled: int
    #: Requests that ended otherwise, by the name of the exception.
    failed: dict[str, int]
    #: How many of the plain requests were served, and the seconds that the slowest of them took.
    served: int
    slowest: float | None
    #: None where a client does not tell.
    in_use: int | None
    waiting: int | None
    #: Those that are open after the client was closed, and were not before it was opened.
    descriptors: int


#: Makes a client ready. It is closed when the worker ends.
Open = Callable[[Task], AbstractAsyncContextManager[Ask]]


class WrongAnswerError(Exception):
    """A client handed out something else than the answer to its request."""


def check(correct: object) -> None:
    """Refuse a wrong answer."""
    if not correct:
        raise WrongAnswerError
