"""How many instructions the engine's hot path takes, against the counts in `benches/instructions.toml`.

Each case of `benches/engine` runs under callgrind twice, once with twice the repeats: the difference is what
the repeats cost, without start and end. Fails when a case takes over 5 % more than its count in the file,
which `--save` writes anew. Counts depend on the compilers and the C library, so with other ones they are not
compared. On one machine they differ by less than 0.3 % from run to run.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROGRAM = "target/release/genesis-engine-bench"
COUNTS = Path("benches/instructions.toml")
GROWTH = 0.05
HEADER = """\
# Instructions that one run of each case of benches/engine takes, by callgrind.
# `make instructions` fails when one grows by more than 5 %; `make instructions SAVE=1` writes them anew.
"""


def main() -> int:
    """Count, then save or compare."""
    if shutil.which("valgrind") is None:
        print("valgrind is missing: apt-get install valgrind")
        return 1
    wanted = sys.argv[1:] == ["--save"]
    made_with = toolchain()
    saved = tomllib.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if not wanted and saved.get("made_with") != made_with:
        print(f"Not compared: the counts were made with {saved.get('made_with')}, this is {made_with}.")
        return 0
    counts = count_all()
    if wanted:
        save(made_with, counts)
    return compare(saved.get("instructions", {}), counts, fails=not wanted)


def toolchain() -> str:
    """What counts depend on besides the code and its dependencies, which the lock file holds."""
    compilers = (output(name, "--version").splitlines()[0] for name in ("rustc", "cc"))
    return ", ".join((*compilers, platform.machine(), " ".join(platform.libc_ver())))


def count_all() -> dict[str, int]:
    """The instructions of every case, counted side by side."""
    cases = [line.split() for line in output(PROGRAM).splitlines()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(count, (name for name, _ in cases), (int(repeats) for _, repeats in cases))
        return {name: found for (name, _), found in zip(cases, counts, strict=True)}


def count(name: str, repeats: int) -> int:
    """The instructions of one run of a case."""
    return round((collected(name, 2 * repeats) - collected(name, repeats)) / repeats)


def collected(name: str, times: int) -> int:
    """The instructions of the whole program."""
    valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    result = subprocess.run(
        (*valgrind, PROGRAM, name, str(times)), stderr=subprocess.PIPE, text=True, check=False
    )
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode or found is None:
        sys.exit(f"{name} cannot be counted:\n{result.stderr}")
    return int(found[1])


def compare(saved: dict[str, int], counts: dict[str, int], *, fails: bool) -> int:
    """Show both; one if a case grew too much, or is on one side only."""
    bad = [name for name in saved if name not in counts]
    for name in bad:
        print(f"{name:18} is in the file but not among the cases")
    for name, found in counts.items():
        before = saved.get(name)
        if before is None:
            bad.append(name)
            print(f"{name:18} {found:>10,}  not in the file before")
            continue
        change = found / before - 1
        if change > GROWTH:
            bad.append(name)
        print(f"{name:18} {found:>10,}  {change:+.1%}{'  more than 5 %' if change > GROWTH else ''}")
    if bad and fails:
        print("Find out why. If it must be so: make instructions SAVE=1, and say why in the commit.")
    return int(bool(bad) and fails)


def save(made_with: str, counts: dict[str, int]) -> None:
    """Write the file, for people too."""
    lines = (f"{name} = {found:_}" for name, found in counts.items())
    text = f'{HEADER}made_with = "{made_with}"\n\n[instructions]\n' + "\n".join(lines) + "\n"
    COUNTS.write_text(text)


def output(*command: str) -> str:
    """What a program says."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
