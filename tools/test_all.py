"""The suite with every Python here from 3.11 on, each with asyncio's own event loop and with uvloop.

Each has an environment of its own in `.venvs`, with the wheel of `dist`; PATH and pyenv are searched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLDEST = (3, 11)
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
#: Tells its version, if it can make environments.
PROBE = "import ensurepip, sys; print(*sys.version_info[:2])"


def candidates() -> Iterator[str]:
    """Commands that may be a Python, the preferred first."""
    for minor in range(OLDEST[1], 30):
        command = shutil.which(f"python3.{minor}")
        if command:
            yield command
    yield from map(str, sorted(PYENV.glob("3.*/bin/python"), reverse=True))


def pythons() -> dict[tuple[int, int], str]:
    """One command for each minor version."""
    found: dict[tuple[int, int], str] = {}
    for command in candidates():
        answer = subprocess.run([command, "-c", PROBE], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            major, minor = map(int, answer.stdout.split())
            if (major, minor) >= OLDEST:
                found.setdefault((major, minor), command)
    return dict(sorted(found.items()))


def prepared(name: str, python: str) -> str:
    """The Python of an environment with the tools and the wheel."""
    folder = ROOT / ".venvs" / name
    if not folder.exists():
        run(python, "-m", "venv", str(folder))
    inside = str(folder / "bin/python")
    pip = (inside, "-m", "pip", "install", "--quiet")
    run(*pip, "--requirement", "requirements-dev.txt")
    (wheel,) = (ROOT / "dist").glob("*.whl")
    run(*pip, "--force-reinstall", "--no-deps", str(wheel))
    return inside


def run(*command: str) -> bool:
    """One program in the project's folder, and whether it ended well."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run them all; 1 if a suite failed."""
    outcomes: dict[str, bool] = {}
    for version, python in pythons().items():
        name = ".".join(map(str, version))
        inside = prepared(name, python)
        for options in ((), ("--uvloop",)):
            outcomes[" ".join([name, *options])] = run(inside, "-m", "pytest", "-q", *options)
    for name, passed in outcomes.items():
        print(f"Python {name}: {'good' if passed else 'FAILED'}")
    return int(not outcomes or False in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
