"""The rules of the architecture, checked against the source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUST = sorted((ROOT / "src").rglob("*.rs"))
BENCHES = sorted((ROOT / "benches").rglob("*.rs"))
PYTHON = [
    path
    for folder in ("python", "tests", "benches", "tools")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]
ENGINE = [path for path in RUST if "engine" in path.relative_to(ROOT).parts]


def code_of(path: Path) -> str:
    """The source without its comments and without its tests."""
    source = re.sub(r"(?m)^\s*//.*$", "", path.read_text())
    return source.split("#[cfg(test)]")[0]


def offenders(paths: list[Path], pattern: str, allowed: str) -> list[str]:
    """The files that match outside of the place where they may."""
    names = [path.relative_to(ROOT / "src").as_posix() for path in paths if re.search(pattern, code_of(path))]
    return [name for name in names if not re.match(allowed, name)]


def test_there_is_an_engine_and_there_are_bindings() -> None:
    assert ENGINE
    assert len(ENGINE) < len(RUST)


def test_the_engine_never_names_python() -> None:
    assert offenders(ENGINE, r"\bpyo3\b|\bPyErr\b|\bPyResult\b", r"$") == []


def test_only_the_transport_opens_sockets() -> None:
    sockets = r"\b(TcpStream|TcpSocket|UnixStream|UdpSocket|HttpConnector)\b"
    # The bridge may wake an event loop through a socket pair; that is no connection.
    assert offenders(ENGINE, sockets, r"engine/transport/") == []
    assert offenders(RUST, r"\b(TcpStream|TcpSocket|UdpSocket|HttpConnector)\b", r"engine/transport/") == []


def test_only_the_shared_limiter_talks_to_redis() -> None:
    # redis-rs opens its own sockets, for limits that are shared; that is no way to a node.
    assert offenders(RUST, r"\bredis::", r"engine/limiter/shared/") == []
    connects = r"Client::open|ClusterClient::builder|get_multiplexed_async_connection|get_async_connection"
    assert offenders(RUST, connects, r"engine/limiter/shared/servers\.rs$") == []


def test_only_the_runtime_makes_threads() -> None:
    threads = r"tokio::runtime::(Builder|Runtime)\b|thread::(spawn|Builder)\b|\"Thread\""
    tests = r"|engine/limiter/(model|properties|tests)\.rs$"
    assert offenders(RUST, threads, r"bindings/runtime(\.rs$|/)" + tests) == []


def test_only_one_file_turns_errors_into_exceptions() -> None:
    assert offenders(RUST, r"import_exception!|create_exception!", r"bindings/errors\.rs$") == []


@pytest.mark.parametrize("path", RUST + BENCHES + PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    if lines:
        opening = lines[1] if lines[0].startswith("#!") and path.suffix == ".py" else lines[0]
        assert opening.startswith("//! " if path.suffix == ".rs" else ('"""', "# "))


def test_no_source_file_is_empty_but_for_markers() -> None:
    assert [path.name for path in RUST + PYTHON if not path.read_text().strip()] == []
