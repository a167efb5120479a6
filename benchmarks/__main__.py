"""``python -m benchmarks [--smoke] [NAME ...]``: run the benchmarks, or each once on little data.

One benchmark alone may be given options of its own: ``python -m benchmarks judge_rules --help``.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

NAMES = (
    "receive",
    "files_to_lake",
    "daily_profile",
    "long_history",
    "payload_shapes",
    "whole_line",
    "hot_path",
    "judge_rules",
)
TOOLS = ("judge_rules", "judge_alicante", "rule_pictures", "batch_study")  # with options of their own


def _measured(arguments: list[str]) -> bool:
    """Tell whether a name alone means the benchmark of that name and not the tool."""
    return len(arguments) == 1 and arguments[0] in NAMES


def main() -> None:
    """Run what the command line names."""
    if len(sys.argv) > 1 and sys.argv[1] in TOOLS and sys.argv[2:] != ["--smoke"] and not _measured(sys.argv[1:]):
        import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--smoke", action="store_true", help="little data, one run: only that they still work")
    arguments = parser.parse_args()
    for name in arguments.names or NAMES:
        print(f"\n{name}")
        for line in import_module(f"benchmarks.{name}").run(smoke=arguments.smoke):
            print(f"  {line}")


if __name__ == "__main__":
    main()
