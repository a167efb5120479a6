"""``docs/simulation.md``: scenarios, vendors, causes and every parameter of simulated fleets."""

from __future__ import annotations

from metriage.definitions import markdown_table as _table
from simulation.fault_plan import BATCH_MODES, BATCH_SHARE, KINDS
from simulation.parameters import CONSTANTS, SECTIONS, Constant
from simulation.scenarios import SCENARIOS
from simulation.vendors import SIGNALS, VENDORS, Vendor

_NOTE = "<!-- Written by `python -m metriage.reference`; changes belong into the definitions it reads. -->"

_SIMULATION = """\
# Simulated fleets

{note}

`metriage simulate OUT` makes a labelled fleet from physics. Everything in it is synthetic and says so: meter ids begin
with `synthetic-`, every payload carries `"synthetic": true`, `fleet.json` and `README.md` say how it was made. The same
scenario, size, start and seed give the same bytes. **Figures found on it are figures from simulation.**

| file | holds |
|---|---|
| `readings.jsonl` | envelopes in order of receipt (docs/contract.md, section 1); late, doubled and lost ones included |
| `registry.csv` `weather.csv` `works.csv` `inspections.csv` `reports.csv` | what a site knows beside the readings |
| `truth.csv` | what is wrong with which meter (section 7); nothing else tells it |
| `truth_culprits.csv` | lots, firmwares and installers that are behind several faults |
| `fleet.json` | seed, scenario, ranges, counts, and how many messages are meant for quarantine |

**Detectable** is worked out from the messages that arrived between onset and 30 days after the fault was noticed: a
register that stands and shows nothing else is not told from an empty home, and such a fault is not detectable.

A scenario is a name, or a TOML file: `based_on = "standard"`, `start = "2023-10-15"`, and a table `[ranges]` with
`parameter = [low, high]`. What no public source says is marked assumed.
"""

_FAULT_KINDS = """\
As many faults as the incidence says are shared among these by weight (assumed: no public source splits failures by
cause), each among meters that the circumstance reaches. Pipes that freeze without having been planned are as true."""

_SENT = ("temperature", "load", "travel", "current", "amplitude", "snr", "coverage", "codes")


def simulation_page() -> str:
    """Return ``docs/simulation.md``: scenarios, vendors, causes and every parameter of labelled fleets."""
    lines = [_SIMULATION.format(note=_NOTE)]
    rows = [
        [f"`{each.name}`", each.meaning, str(each.start), each.zone, ", ".join(vendor.name for vendor in each.vendors)]
        for each in SCENARIOS.values()
    ]
    lines += ["## Scenarios", "", *_table(["name", "what", "starts", "zone", "module vendors"], rows), ""]
    moved = [
        [f"`{each.name}`", f"`{name}`", _span(low, high)]
        for each in SCENARIOS.values()
        for name, (low, high) in each.ranges.items()
    ]
    lines += ["Ranges that differ from those below:", "", *_table(["scenario", "parameter", "range"], moved), ""]
    lines += ["## Faults and their causes", "", _FAULT_KINDS, ""]
    kinds = [
        [
            f"`{each.fault}`",
            f"`{each.cause}`",
            f"{each.share:g}",
            ", ".join(dict.fromkeys(each.modes)),
            each.circumstance,
        ]
        for each in KINDS
    ]
    kinds += [
        [f"`{fault}`", "`production_batch`", f"{BATCH_SHARE:g} for all", _ways(modes), "its lot is bad"]
        for fault, modes in BATCH_MODES.items()
    ]
    lines += [*_table(["fault", "cause", "weight", "how it shows", "circumstance"], kinds), ""]
    lines += ["## Module vendors", "", "None of them exists.", ""]
    vendors = [
        [
            each.name,
            each.reporting,
            ", ".join(f"{m} ({s})" for m, s in each.models),
            f"{each.battery_step_v:g}",
            _lacks(each),
        ]
        for each in VENDORS
    ]
    lines += [*_table(["vendor", "reports", "models", "voltage step [V]", "does not send"], vendors), ""]
    left_out = ", ".join(f"`{name}`" for name in SIGNALS)
    lines += [f"`--without SIGNAL` takes one of {left_out} from all of them; the rest stays as it was.", ""]
    for section, parameters in SECTIONS.items():
        lines += [f"## {section}", ""]
        cells = [
            [f"`{each.name}`", _span(each.low, each.high), each.unit, each.drawn, each.meaning, each.source]
            for each in parameters
        ]
        lines += [*_table(["parameter", "range", "unit", "drawn once a", "meaning", "source"], cells), ""]
    lines += ["## Constants", "", "The same in every fleet.", ""]
    fixed = [[f"`{name}`", f"{each.value:g}", each.unit, each.meaning, each.source] for name, each in constants()]
    lines += [*_table(["constant", "value", "unit", "meaning", "source"], fixed), ""]
    return "\n".join(lines).rstrip() + "\n"


def constants() -> list[tuple[str, Constant]]:
    """Return what the modules put down once all of them are read."""
    import simulation.labelled_fleet  # noqa: F401, PLC0415 - it reads all modules of the physics

    return sorted(CONSTANTS.items())


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _ways(modes: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(modes))


def _models(vendor: Vendor) -> str:
    return ", ".join(f"{model} ({sensing})" for model, sensing in vendor.models)


def _lacks(vendor: Vendor) -> str:
    missing = [name for name in _SENT if not getattr(vendor, name)]
    return ", ".join([*missing, *(["flow"] if vendor.flow == "none" else [])])
