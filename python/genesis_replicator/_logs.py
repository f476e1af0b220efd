"""Gathers the pieces of a search for logs, and tells how far it is."""

from collections.abc import Callable
from typing import Any

from ._native import LogStream


async def collect(pieces: LogStream, on_progress: Callable[[int, int], object] | None) -> list[Any]:
    """Return all logs. `on_progress` is called with the blocks that are searched and with all there are."""
    logs: list[Any] = []
    try:
        async for blocks, found in pieces:
            logs += found
            if on_progress is not None and pieces.blocks is not None:
                on_progress(blocks.stop - pieces.blocks.start, len(pieces.blocks))
    finally:
        await pieces.aclose()
    return logs
