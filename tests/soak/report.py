"""The table: a row for each thing that was watched, and whether it held."""

from __future__ import annotations

from dataclasses import dataclass, field

from soak.watch import Rests


@dataclass(frozen=True)
class Row:
    """One thing. `held` is None where it is only told."""

    what: str
    value: str
    held: bool | None


@dataclass
class Part:
    """What one part of the soak found."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def tell(self, what: str, value: str) -> None:
        """Something to know."""
        self.rows.append(Row(what, value, None))

    def must(self, held: object, what: str, value: str) -> None:
        """Something that must hold."""
        self.rows.append(Row(what, value, bool(held)))

    def rested(self, rests: Rests) -> None:
        """What there was at the rests."""
        samples = rests.samples
        self.tell("seconds", f"{samples[-1].at - samples[0].at:.0f}")
        wrong = f"{len(rests.wrong)} do not hold: {rests.wrong[0]}" if rests.wrong else "hold"
        self.must(not rests.wrong, f"invariants at {len(samples)} rests", wrong)
        for name in ("memory", "descriptors", "threads"):
            values = [getattr(sample, name) for sample in samples]
            text = f"{values[0]:,} first, {min(values):,} to {max(values):,}, {values[-1]:,} last"
            self.tell(f"{name}, KiB" if name == "memory" else name, text)

    @property
    def held(self) -> bool:
        """Whether all did that must."""
        return all(row.held is not False for row in self.rows)

    def __str__(self) -> str:
        """The table."""
        rows = [("what", "value", "held")]
        rows += [(row.what, row.value, {None: "", True: "yes", False: "NO"}[row.held]) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        return "\n".join([f"## {self.title}", "", *lines])
