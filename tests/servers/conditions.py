"""What a test needs of the machine that runs it."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")


def required(found: T | None, variable: str, what: str) -> T:
    """What was found; without it the test is skipped, or fails where `variable` says that none may be."""
    if found is None:
        if os.environ.get(variable) == "1":
            pytest.fail(f"{variable}=1, but there is no {what}")
        pytest.skip(f"there is no {what}")
    return found
