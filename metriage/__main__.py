"""``python -m metriage``."""

from metriage.command_line import main

main()
