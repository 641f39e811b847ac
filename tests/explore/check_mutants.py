"""Build the explorer with each mutant of mutants.py and see that the cases catch it.

    check_mutants.py BUILD RING_C CC [--full]

BUILD holds the explorer's objects without ring.o; each mutant is compiled and linked there. Without --full only the
mutants marked as the sample are tried. The last line is "N passed, N failed".
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
from typing import Tuple

from mutants import MUTANTS, Mutant

TIME_LIMIT_S = 300  # of one mutant's exploration; the longest takes some 20 s here


def mutate(source: str, mutant: Mutant) -> str:
    """The text of ring.c with the mutant's replacement."""
    body = re.search(rf"^[a-z][^\n]*\b{mutant.function}\([^;{{]*\)\n\{{\n.*?^\}}\n", source, re.M | re.S)
    if not body:
        raise LookupError(f"ring.c has no function {mutant.function}")
    if body[0].count(mutant.old) != 1:
        raise LookupError(f"{mutant.function} does not have once: {mutant.old}")
    return source[: body.start()] + body[0].replace(mutant.old, mutant.new) + source[body.end() :]


def describe(mutant: Mutant) -> str:
    """One line to know the mutant by."""
    old, new = (" ".join(text.split()) for text in (mutant.old, mutant.new))
    return f"{mutant.function}: {old[:70]} -> {new[:70] or 'nothing'}"


def check(number: int, mutant: Mutant, build: pathlib.Path, source: pathlib.Path, compiler: str) -> Tuple[bool, str]:
    """Whether the mutant does what its entry says, and a line about it."""
    mutated, program = build / f"mutant{number}.c", build / f"mutant{number}"
    mutated.write_text(mutate(source.read_text(encoding="utf-8"), mutant), encoding="utf-8")
    own = pathlib.Path(__file__).parent
    subprocess.run(
        [
            compiler,
            "-std=c11",
            "-D_GNU_SOURCE",
            "-O2",
            "-w",
            f"-I{own}",
            f"-I{source.parent}",
            mutated,
            *build.glob("*.o"),
            "-o",
            program,
        ],
        check=True,
    )
    try:
        run = subprocess.run(
            [program, "--brief", *mutant.cases.split()],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        output, ended = run.stdout + run.stderr, run.returncode in (0, 1, 2)
    except subprocess.TimeoutExpired:
        output, ended = "", False
    finally:
        program.unlink(missing_ok=True)
        mutated.unlink()
    caught = re.search(r"^FAILED (\S+).*?broken:\s+([^\n]*)", output, re.M | re.S)
    passed = re.search(r"^[1-9]\d* passed, 0 failed$", output, re.M)
    if mutant.reason:
        good, verdict = bool(passed), "as good" if passed else "not as good as it was thought"
    else:
        endless = re.search(r"^\S+: (too many [^\n]*)", output, re.M)
        good = bool(caught or endless)
        verdict = (
            f"caught by {caught[1]}: {caught[2]}" if caught else f"caught: {endless[1]}" if endless else "NOT CAUGHT"
        )
    if not ended or (not caught and not passed and not good):
        good, verdict = False, "did not end: " + output[-200:]
    return good, f"{'ok    ' if good else 'FAILED'} {describe(mutant)}\n           {verdict}"


def main() -> int:
    build, source, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    full = "--full" in sys.argv
    chosen = [mutant for mutant in MUTANTS if full or mutant.sample]
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for good, line in pool.map(lambda item: check(item[0], item[1], build, source, compiler), enumerate(chosen)):
            print(line, flush=True)
            passed += good
    print(
        f"{sum(1 for mutant in chosen if not mutant.reason)} mutants to be caught, "
        f"{sum(1 for mutant in chosen if mutant.reason)} as good"
    )
    print(f"{passed} passed, {len(chosen) - passed} failed")
    return passed != len(chosen)


if __name__ == "__main__":
    sys.exit(main())
