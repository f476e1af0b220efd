"""The picture: requests a second of all clients at 64 in flight."""

from __future__ import annotations

from pathlib import Path

from results import Result, Spread, rate

COLOURS = {"limit": "#b0b0b0", "ours": "#1f6f4a"}
OTHERS = "#8fb4d9"
NAMES = {
    "limit": "pure Rust (hyper), the limit",
    "ours": "genesis-replicator",
    "web3": "web3.py",
    "web3 pooled": "web3.py, pooled session",
}


def draw(result: Result, path: Path) -> None:
    """Bars, the longest on top, with the smallest and the largest round."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    spreads = {client: Spread.of(result.each(client, rate)) for client in result.rounds}
    clients = sorted(spreads, key=lambda client: spreads[client].median)
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(clients) + 1.4), layout="constrained")
    axes.barh(
        [NAMES.get(client, client) for client in clients],
        [spreads[client].median for client in clients],
        xerr=[
            [spreads[client].median - spreads[client].least for client in clients],
            [spreads[client].most - spreads[client].median for client in clients],
        ],
        color=[COLOURS.get(client, OTHERS) for client in clients],
        error_kw={"ecolor": "#555555", "capsize": 2, "linewidth": 1},
    )
    room = max(spread.most for spread in spreads.values()) / 100
    for place, client in enumerate(clients):
        axes.text(
            spreads[client].most + room, place, f"{spreads[client].median:,.0f}", va="center", fontsize=9
        )
    axes.set_title(f"Requests per second, {result.scenario.in_flight} small requests in flight")
    axes.set_xlim(0, room * 112)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
