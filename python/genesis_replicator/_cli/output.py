"""Aligned lines for a person to read."""

from collections.abc import Iterable

_LABEL_WIDTH = 13


def row(label: str, value: object) -> None:
    """One fact, shown at once."""
    print(f"{label:<{_LABEL_WIDTH}}{value}", flush=True)


def rows(pairs: Iterable[tuple[str, object]]) -> None:
    """A table of two columns, as wide as its longest label."""
    table = list(pairs)
    width = max((len(label) for label, _ in table), default=0) + 2
    for label, value in table:
        print(f"{label:<{width}}{value}")
