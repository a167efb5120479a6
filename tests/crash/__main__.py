"""``python -m tests.crash``: do everything to the line that must not lose a reading, and count.

Prints what it does and a Markdown table at the end; exits with 1 and keeps the folder when anything was lost, doubled
or counted wrongly. The same seed sends the same messages; moments are seeded, but a machine is never twice as fast.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.crash.line import Outcome
from tests.crash.scenarios import SCENARIOS, Plan


def run(names: Sequence[str], folder: Path, *, seed: int, kills: int, rounds: int, rate: float) -> list[Outcome]:
    """Run scenarios one after the other and return what they showed."""
    outcomes = []
    for name in names:
        begun = time.monotonic()
        outcome = Outcome(name)

        def say(text: str, name: str = name, begun: float = begun) -> None:
            print(f"[{name} {time.monotonic() - begun:6.1f} s] {text}", flush=True)

        place = folder / name
        place.mkdir(parents=True)
        try:
            SCENARIOS[name](Plan(place, seed, kills, rounds, rate, say), outcome)
        except Exception as error:  # noqa: BLE001 - the other scenarios are still to be run; this one has failed
            traceback.print_exc()
            outcome.verdict.problems.append(f"the scenario broke off: {type(error).__name__}: {str(error)[-800:]}")
        outcome.seconds = time.monotonic() - begun
        for problem in outcome.verdict.problems:
            say(f"WRONG: {problem}")
        outcomes.append(outcome)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the Markdown table of docs/durability.md."""
    lines = [
        "| scenario | runs | messages acknowledged | lost by the broker | redelivered | lost | doubled | account |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        verdict = outcome.verdict
        summary = (SCENARIOS[outcome.scenario].__doc__ or "").partition(":")[0].rstrip(".")
        lines.append(
            f"| `{outcome.scenario}`: {summary} | {outcome.runs:,} | {outcome.acknowledged:,} | {outcome.excused:,} | "
            f"{verdict.redelivered:,} | {verdict.lost:,} | {verdict.doubled:,} | "
            f"{'WRONG' if verdict.problems else 'exact'} |"
        )
    return lines


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of messages and moments [default: 1]")
    parser.add_argument("--kills", type=int, default=200, help="random moments to kill at [default: 200]")
    parser.add_argument("--rounds", type=int, default=5, help="how often all other harm is done [default: 5]")
    parser.add_argument("--rate", type=float, default=1000, help="messages a second [default: 1000]")
    parser.add_argument("--keep", type=Path, help="folder to work in, kept; default: a temporary one")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="metriage-crash-"))
    outcomes = run(
        options.names or list(SCENARIOS), folder,
        seed=options.seed, kills=options.kills, rounds=options.rounds, rate=options.rate,
    )  # fmt: skip
    print("\n" + "\n".join(table(outcomes)))
    wrong = [outcome for outcome in outcomes if outcome.verdict.problems]
    for outcome in wrong:
        print(f"\n{outcome.scenario} (seed {options.seed}), everything is kept in {folder / outcome.scenario}:")
        print("\n".join(f"- {problem}" for problem in outcome.verdict.problems))
    if not wrong and options.keep is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
