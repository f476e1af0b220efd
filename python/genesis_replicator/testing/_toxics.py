"""What a `ToxicProxy` does to the bytes that pass through it. The names are those of Shopify's toxiproxy.

A toxic's fields may be changed while it works, and count from the next bytes on.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genesis_replicator.testing._link import Link


@dataclass(eq=False)
class Toxic:
    """Lets everything through: the base of the others."""

    _removed: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:  # noqa: ARG002
        """What becomes of some bytes on their way."""
        yield data

    async def live(self, link: "Link") -> None:
        """What happens to a connection whether or not bytes come; begins with the connection or the toxic."""

    async def closing(self, link: "Link") -> None:
        """What happens before the end of one side is told to the other."""

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the toxic is removed; whether it was."""
        try:
            async with asyncio.timeout(seconds):
                return await self._removed.wait()
        except TimeoutError:
            return False

    @property
    def removed(self) -> bool:
        """Whether it was removed."""
        return self._removed.is_set()

    def remove(self) -> None:
        """Let go of whatever it holds."""
        self._removed.set()


@dataclass(eq=False)
class Latency(Toxic):
    """Delays everything by so many seconds, give or take the jitter; the order stays."""

    seconds: float
    jitter: float = 0.0

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:
        """Hold them back from when they came."""
        due = link.arrived + self.seconds + random.uniform(-self.jitter, self.jitter)  # noqa: S311
        await self.pause(max(0.0, due - asyncio.get_running_loop().time()))
        yield data


@dataclass(eq=False)
class Bandwidth(Toxic):
    """Lets through so many bytes a second."""

    rate: float

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:  # noqa: ARG002
        """Cut them so that twenty pieces go in a second."""
        while data:
            size = max(1, int(self.rate / 20))
            piece, data = data[:size], data[size:]
            yield piece
            await self.pause(len(piece) / self.rate)


@dataclass(eq=False)
class Slicer(Toxic):
    """Cuts everything into pieces of so many bytes, with seconds between them."""

    size: int
    delay: float = 0.0

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:  # noqa: ARG002
        """Cut them."""
        while data:
            piece, data = data[: self.size], data[self.size :]
            yield piece
            await self.pause(self.delay)


@dataclass(eq=False)
class LimitData(Toxic):
    """Closes a connection once so many bytes went through: what comes after them is cut off."""

    size: int

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:
        """Let through what is left."""
        passed = link.passed.get(self, 0)
        link.passed[self] = passed + len(data)
        if rest := data[: max(0, self.size - passed)]:
            yield rest
        if link.passed[self] >= self.size:
            link.close()


@dataclass(eq=False)
class ResetPeer(Toxic):
    """Resets connections, so many seconds after they or the toxic came."""

    after: float = 0.0

    async def live(self, link: "Link") -> None:
        """Wait and reset."""
        if not await self.pause(self.after):
            link.reset()


@dataclass(eq=False)
class Timeout(Toxic):
    """Lets nothing through. Bytes wait for its removal, or connections are closed after some seconds."""

    after: float | None = None

    async def pieces(self, data: bytes, link: "Link") -> AsyncIterator[bytes]:  # noqa: ARG002
        """Wait for the removal."""
        await self._removed.wait()
        yield data

    async def live(self, link: "Link") -> None:
        """Wait and close."""
        if self.after is not None and not await self.pause(self.after):
            link.close()


@dataclass(eq=False)
class SlowClose(Toxic):
    """Tells of the end of a connection so many seconds late."""

    seconds: float

    async def closing(self, link: "Link") -> None:  # noqa: ARG002
        """Wait."""
        await self.pause(self.seconds)
