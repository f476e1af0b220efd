"""The tables, as Markdown: short enough in width to be read on a terminal too."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from goals import GOALS, Results
from results import Result, Spread, cpu, python_cpu, rate

INTRODUCTION = """
Made by `{command}`: {rounds} rounds of {seconds:g} s for each client, taking turns.
Medians, with the smallest and the largest round; a ratio is always that of the same round.
Client and node share the machine.
""".strip()


def document(results: Results, command: str, rounds: int, seconds: float) -> str:
    """All of it."""
    parts = [
        "# Benchmark",
        INTRODUCTION.format(command=command, rounds=rounds, seconds=seconds),
        f"{machine()}\n{python()}",
        *goals(results),
        *(scenario(result) for result in results.values()),
        *failures(results.values()),
    ]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """What it ran on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"- {os.cpu_count()} processors ({model}), {platform.system()} {platform.release()}"


def python() -> str:
    """Which Python, and how it was built: that makes more of a difference than most libraries."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        build = "built with PGO"
    elif sys.base_prefix == "/usr" and Path("/etc/debian_version").exists():
        build = "Debian's, which is built with PGO (CONFIG_ARGS does not say so)"
    else:
        build = "built without PGO"
    return f"- {platform.python_implementation()} {platform.python_version()}, {build}"


def goals(results: Results) -> list[str]:
    """What must hold, as far as it was measured."""
    rows = []
    for goal in GOALS:
        spread = goal.spread(results)
        if spread:
            sign = "≤" if goal.below else "≥"
            verdict = "yes" if goal.holds(spread) else "NO"
            rows.append(
                (
                    goal.work,
                    goal.against,
                    f"{spread.shown('.2f')} {goal.unit}",
                    f"{sign} {goal.least:g}",
                    f"{goal.aim:g}",
                    verdict,
                )
            )
    if not rows:
        return []
    return ["## What must hold", table(("work", "against", "measured", "asked", "aim", "holds"), rows)]


def scenario(result: Result) -> str:
    """One scenario: a row for each client."""
    ours = next((client for client in result.rounds if client.startswith("ours")), None)
    rows = [row(result, client, ours) for client in result.rounds]
    names = (
        "client",
        "requests/s",
        f"{ours or 'ours'} / it",
        "CPU µs",
        "Python µs",
        "p50 µs",
        "p99 µs",
        "RSS MB",
    )
    return f"## {result.scenario.title}\n\n{table(names, rows)}"


def row(result: Result, client: str, ours: str | None) -> tuple[str, ...]:
    """What a client needed, and how far ahead of it we are."""

    def median(form: str, values: list[float]) -> str:
        return f"{Spread.of(values).median:{form}}"

    native = result.rounds[client][0].python_cpu is None
    return (
        client,
        Spread.of(result.each(client, rate)).shown(",.0f"),
        Spread.of(result.ratios(ours, [client])).shown(".2f") if ours else "",
        median(",.1f", result.each(client, cpu)),
        "" if native else median(",.1f", result.each(client, python_cpu)),
        median(",.0f", result.each(client, lambda figures: figures.p50)),
        median(",.0f", result.each(client, lambda figures: figures.p99)),
        median(",.1f", result.each(client, lambda figures: figures.rss / 1024)),
    )


def failures(results: Iterable[Result]) -> list[str]:
    """Who could not take part."""
    lines = [
        f"- {client}, {result.scenario.title}: {why}"
        for result in results
        for client, why in result.failures.items()
    ]
    return ["## Left out", "\n".join(lines)] if lines else []


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width; the first is for names, the others for numbers."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "| " + " | ".join([f"{first[0]:<{first[1]}}", *(f"{c:>{w}}" for c, w in others)]) + " |"

    return "\n".join([line(names), line(ruler), *map(line, rows)])
