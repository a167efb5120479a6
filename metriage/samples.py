"""The sample recordings, in a checkout and in an installed wheel."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

ALICANTE_TOPIC = "demo/alicante"
CELL_TOPIC = "demo/cell"


def samples_folder() -> Traversable:
    """Return the folder of the sample recordings: ``data/samples/`` of a checkout, or what the wheel carries."""
    checkout = Path(__file__).resolve().parent.parent / "data" / "samples"
    return checkout if checkout.is_dir() else resources.files("metriage.sample_data")


def sample_messages() -> Iterator[tuple[str, bytes]]:
    """Yield (topic, payload) of every sample message, each payload an envelope."""
    folder = samples_folder()
    for name, topic in (("alicante_cut.csv", ALICANTE_TOPIC), ("cell_cut.csv", CELL_TOPIC)):
        for line in folder.joinpath(name).read_text(encoding="utf-8").splitlines()[1:]:
            yield topic, msgspec.json.encode({"payload": line})
    for line in folder.joinpath("synthetic_valve_frost.jsonl").read_text(encoding="utf-8").splitlines():
        yield msgspec.json.decode(line)["topic"], line.encode()
