"""Known holes and unwanted licences in what this project depends on.

Both audits need a database from the network. Where it is out of reach, the rest is checked, and a loud line
says what was not: silence would look like a clean result.
"""

import json
import subprocess
import sys
from pathlib import Path

CARGO_DENY = "target/tools/bin/cargo-deny"
REPORT = Path("target/pip-audit.json")
FETCH_SECONDS = 60


def main() -> int:
    """Run both audits, also when the first finds something."""
    return max(audit_rust(), audit_python())


def audit_rust() -> int:
    """Duplicates, licences and sources always; advisories and yanked crates where the database can be had."""
    try:
        fetched = run(CARGO_DENY, "fetch", "db", timeout=FETCH_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        fetched = False
    checks = () if fetched else ("bans", "licenses", "sources")
    status = run(CARGO_DENY, "check", "--hide-inclusion-graph", *checks).returncode
    if not fetched:
        shout("Rust crates: advisories and yanked versions")
    return int(status != 0)


def audit_python() -> int:
    """The pinned tools; the package itself depends on nothing."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.unlink(missing_ok=True)
    pins = ("--requirement", "requirements-dev.txt", "--disable-pip", "--no-deps")
    output = ("--progress-spinner", "off", "--format", "json", "--output", str(REPORT))
    result = run(sys.executable, "-m", "pip_audit", *pins, *output, stderr=subprocess.PIPE)
    if not REPORT.exists():
        print(result.stderr)
        shout("Python tools: all of them")
        return 0
    packages = json.loads(REPORT.read_text())["dependencies"]
    for package in packages:
        for hole in package.get("vulns", ()):
            print(f"{package['name']} {package['version']}: {hole['id']}, fixed in {hole['fix_versions']}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        shout("Python tools: " + ", ".join(skipped))
    return int(any(package.get("vulns") for package in packages))


def run(
    *command: str, timeout: float | None = None, stderr: int | None = None
) -> subprocess.CompletedProcess[str]:
    """One tool, which speaks for itself."""
    return subprocess.run(command, timeout=timeout, stderr=stderr, text=True, check=False)


def shout(what: str) -> None:
    """Say what nobody looked at."""
    print(f"\n!!! NOT AUDITED, the database is out of reach: {what}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
