"""How often something that is awaited gives the event loop its turn."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


class Watched:
    """Awaits something, and knows how often it gave the loop its turn without waiting for anything."""

    def __init__(self, awaited: Any) -> None:
        """Watch it."""
        self.awaited = awaited
        self.turns = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        """Go on with it."""
        inner = self.awaited.__await__()
        while True:
            try:
                yielded = inner.send(None)
            except StopIteration as end:
                return end.value
            self.turns += yielded is None
            yield yielded
