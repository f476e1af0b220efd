"""The one wheel in an empty environment of every Python here.

It installs, the whole public API is there, and it lists what it is made of.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TEST = "tests/test_public_api.py"


def main() -> int:
    """Check each version; one that is not here is named."""
    (wheel,) = Path("dist").glob("genesis_replicator-*.whl")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
    missing = unlisted(wheel)
    if missing:
        print(f"Not in the wheel's bill of materials: {', '.join(sorted(missing))}")
        return 1
    outcomes = [check(version, wheel) for version in VERSIONS]
    return int(not any(outcomes) or False in outcomes)


def unlisted(wheel: Path) -> set[str]:
    """The crates that the package names and its bill of materials does not."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".cyclonedx.json"))
        listed = {component["name"] for component in json.loads(files.read(name))["components"]}
    return set(tomllib.loads(Path("Cargo.toml").read_text())["dependencies"]) - listed


def check(version: str, wheel: Path) -> bool | None:
    """Whether all is well under this version, `None` where it is missing."""
    python = shutil.which(f"python{version}")
    if python is None or run(python, "-c", "import ensurepip", quiet=True):
        print(f"Python {version}: not on this machine")
        return None
    with tempfile.TemporaryDirectory() as folder:
        run(python, "-m", "venv", folder)
        inside = str(Path(folder) / "bin" / "python")
        run(inside, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel))
        run(inside, "-m", "pip", "install", "--quiet", "pytest==9.2.0")
        status = run(inside, "-m", "pytest", "-q", "-c", "/dev/null", "--noconftest", TEST)
    print(f"Python {version}: {'good' if status == 0 else 'FAILED'}", flush=True)
    return status == 0


def run(*command: str, quiet: bool = False) -> int:
    """One program, and how it ended."""
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
