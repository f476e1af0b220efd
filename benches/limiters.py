"""Rate limiters side by side: `make bench-limiters` writes `limiters.md`.

Each runs in a process of its own, and all take turns, so that whatever else the machine does meets all.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from limiter_clients import BLOCKS, CALLS, RATE, WAITERS

ROOT = Path(__file__).parent.parent
ROUNDS = 3
OURS, PEER = "genesis-replicator", "aiolimiter"
#: What does not limit a rate has nothing to wait for.
LIMITERS = [name for name in (*BLOCKS, *CALLS) if name != "asyncio.Semaphore"]

Figures = dict[str, list[dict[str, float]]]


def measure(name: str, work: str) -> dict[str, float]:
    """One turn."""
    command = [sys.executable, str(ROOT / "benches" / "limiter_clients.py"), name, work]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def rounds(names: list[str], work: str) -> Figures:
    """All turns of one kind of work."""
    turns = [{name: measure(name, work) for name in names} for _ in range(ROUNDS)]
    return {name: [turn[name] for turn in turns] for name in names}


def spread(values: list[float], form: str) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):{form}} [{min(values):{form}} to {max(values):{form}}]"


def ratio(figures: Figures, key: str, name: str) -> list[float]:
    """How much more than ours it takes, turn by turn."""
    return [it[key] / ours[key] for it, ours in zip(figures[name], figures[OURS], strict=True)]


def table(free: Figures, busy: Figures) -> list[str]:
    """The Markdown."""
    lines = [
        "| limiter | ns, room at once | it / ours | CPU ms, many wait | it / ours | fullest second | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, turns in free.items():
        cells = [
            name,
            spread([turn["ns"] for turn in turns], ",.0f"),
            spread(ratio(free, "ns", name), ",.1f"),
        ]
        if name in busy:
            cells += [
                spread([turn["cpu"] * 1000 for turn in busy[name]], ",.0f"),
                spread(ratio(busy, "cpu", name), ",.1f"),
                f"{max(turn['fullest'] for turn in busy[name]):,.0f}",
                f"{statistics.median(turn['took'] for turn in busy[name]):.2f}",
            ]
        lines.append("| " + " | ".join(cells + [""] * (7 - len(cells))) + " |")
    return lines


def main() -> int:
    """Measure, write, and compare with what is wanted."""
    free, busy = rounds([*BLOCKS, *CALLS], "uncontended"), rounds(LIMITERS, "waiting")
    faster = statistics.median(ratio(free, "ns", PEER))
    leaner = statistics.median(ratio(busy, "cpu", PEER))
    report = [
        "# Rate limiters side by side",
        "",
        f"CPU of one call that finds room, and of {WAITERS:,} calls that come at once where {RATE:,} a second",
        "may go on, with making their tasks. The fullest second is the most calls that any second saw. Medians",
        f"of {ROUNDS} rounds in which all take turns, range in brackets; Python {platform.python_version()}.",
        "",
        *table(free, busy),
        "",
        f"Against {PEER}: {faster:.1f} times faster with room (wanted: 5), {leaner:.1f} times less CPU where many",
        "wait (wanted: 10).",
    ]
    (ROOT / "benches" / "limiters.md").write_text("\n".join(report) + "\n")
    print("\n".join(report))
    return 0 if faster >= 5 and leaner >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
