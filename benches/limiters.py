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
OURS, PEER, FLOOR = "genesis-replicator", "aiolimiter", "bare futures"
#: What does not limit a rate has nothing to wait for, and the floor of waiting is no limiter.
LIMITERS = [name for name in (*BLOCKS, *CALLS) if name != "asyncio.Semaphore"]
FREE = [name for name in (*BLOCKS, *CALLS) if name != FLOOR]

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


def spread(figures: Figures, key: str, name: str, form: str) -> str:
    """The median, and the range."""
    return shown([turn[key] for turn in figures[name]], form)


def spread_ratio(figures: Figures, key: str, name: str) -> str:
    """The same, of what it takes more than ours."""
    return shown(ratio(figures, key, name), ",.1f")


def shown(values: list[float], form: str) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):{form}} [{min(values):{form}} to {max(values):{form}}]"


def ratio(figures: Figures, key: str, name: str) -> list[float]:
    """How much more than ours it takes, turn by turn."""
    return [it[key] / ours[key] for it, ours in zip(figures[name], figures[OURS], strict=True)]


def table(free: Figures, busy: Figures) -> list[str]:
    """The Markdown."""
    lines = [
        "| limiter | ns, room | it / ours | CPU µs, all wait | it / ours | calls/s | fullest second |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in (*BLOCKS, *CALLS):
        cells = [name]
        if name in free:
            cells += [spread(free, "ns", name, ",.0f"), spread_ratio(free, "ns", name)]
        else:
            cells += ["", ""]
        if name in busy:
            cells += [spread(busy, "us", name, ",.1f"), spread_ratio(busy, "us", name)]
            cells += [f"{statistics.median(turn['rate'] for turn in busy[name]):,.0f}"]
            cells += [f"{max(turn['fullest'] for turn in busy[name]):,.0f}"]
        lines.append("| " + " | ".join(cells + [""] * (7 - len(cells))) + " |")
    return lines


def main() -> int:
    """Measure, write, and compare with what is wanted."""
    free, busy = rounds(FREE, "uncontended"), rounds(LIMITERS, "waiting")
    faster = statistics.median(ratio(free, "ns", PEER))
    leaner = statistics.median(ratio(busy, "us", PEER))
    report = [
        "# Rate limiters side by side",
        "",
        f"CPU of the process for one call that finds room, and for one call of {WAITERS:,} tasks that",
        f"always wait, on {RATE:,} calls a second. The fullest second is the most calls that any second saw.",
        f"Medians of {ROUNDS} rounds in which all take turns; Python {platform.python_version()}, asyncio.",
        "`limits` and `throttled-py` refuse, and are asked again when they say so.",
        "",
        *table(free, busy),
        "",
        f"Against {PEER}: {faster:.1f} times faster with room (wanted: 5); {leaner:.1f} times less CPU where",
        f"all wait (wanted: 10), of which `{FLOOR}` is what asyncio itself takes to wake a task.",
    ]
    (ROOT / "benches" / "limiters.md").write_text("\n".join(report) + "\n")
    print("\n".join(report))
    return 0 if faster >= 5 and leaner >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
