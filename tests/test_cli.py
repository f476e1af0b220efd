"""`python -m genesis_replicator check` tells by its output and its exit status whether a node is usable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from genesis_replicator.testing import FaultServer
from servers.anvil import NETWORK_ID
from servers.guide import KEY


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "genesis_replicator", "check", *arguments]
    surroundings = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env=surroundings)


def test_check_of_a_real_node_prints_who_it_is(anvil: str) -> None:
    outcome = check(anvil)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert str(NETWORK_ID) in outcome.stdout


def test_check_of_a_port_that_refuses_fails_and_says_why(refused_port: int) -> None:
    outcome = check(f"http://127.0.0.1:{refused_port}", "--timeout", "5")
    assert outcome.returncode == 1
    assert f"127.0.0.1:{refused_port}" in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "not a url", ""])
def test_check_of_a_bad_url_is_a_usage_error(url: str) -> None:
    outcome = check(url)
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr


def test_check_sends_the_key_of_the_environment_and_never_prints_it(node: FaultServer) -> None:
    outcome = check(node.url, "--api-key-env", "NODE_KEY", NODE_KEY=KEY)
    assert outcome.returncode == 0
    assert node.seen[0].headers["x-api-key"] == KEY
    assert KEY not in outcome.stdout + outcome.stderr
