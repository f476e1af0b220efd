"""An awaitable with nothing to wait for: its value is `None`, and there at once."""

from collections.abc import Generator
from types import coroutine


def _end() -> Generator[None, None, None]:
    """End before anything happens."""
    return
    yield


# From now on what it gives may be awaited.
coroutine(_end)

#: Awaited to its end already, and then as often as anybody wants. One object serves everybody, and an await
#: of it calls nothing but the interpreter itself.
DONE = _end()
for _ in DONE:
    pass
