"""The reference pages of ``docs/``, written from the definitions themselves: ``python -m metriage.reference``.

Commands from their help, settings and glossary from their definitions, rules from the rules. A test compares the pages
with what this module would write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec.structs import FieldInfo

from diagnostics.causes import CAUSE_RULES
from diagnostics.rules import RULES
from diagnostics.rules.rule import Rule, Text
from lake import vocabulary
from lake.exchange import PLACE, SAME_WORK_DAYS
from lake.facts import KINDS
from lake.schemas import TABLES
from lake.vocabulary import CONDITIONS, FAULTS, Column
from lake.warranty import DEAD_ON_ARRIVAL_DAYS
from metriage.definitions import (
    bounds,
    default,
    description,
    fields,
    is_table,
    item_type,
    kind_name,
    summary,
    toml_value,
    words,
)
from metriage.definitions import markdown_table as _table
from metriage.input_file import NOTHING
from metriage.input_forms import FORMS
from metriage.labels import FAULTS_ZH, cause_name
from metriage.profile_reference import profiles_page
from metriage.registry_file import REGISTRY_FORM
from metriage.settings import Settings
from metriage.simulation_reference import simulation_page

_NOTE = "<!-- Written by `python -m metriage.reference`; changes belong into the definitions it reads. -->"


_COMMANDS = """\
# Commands

{note}

Every command takes `--help`. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done, but something was
quarantined or not delivered. `--dir` is the site folder; without it the current one.
"""

_SETTINGS = """\
# Settings

{note}

All keys of `metriage.toml`. Unknown keys are errors; `metriage doctor` checks. `metriage init DIR` writes the same as a
commented file.
"""

_GLOSSARY = """\
# Glossary

{note}

The columns of the lake's tables and the words that may stand in them. Times are UTC in microseconds; names that hold a
quantity end in its unit. A value outside its range is stored and flagged `out_of_range`.
"""

_RULES = """\
# Rules · 规则

{note}

One file a fault in `diagnostics/rules/`, and one page a rule here, with its thresholds and a picture of a recorded or
simulated meter where it spoke. A rule says `act` or `watch`; a condition that explains its symptom holds it at `watch`,
and the finding says what held it. An `act` is kept while its rule still watches. Severity is that of an `act`, 1 the
worst; a `watch` is one milder. What made the meter fail is asked afterwards: [causes](causes.md).
"""

_CAUSES = """\
# Causes · 原因

{note}

One file a kind in `diagnostics/causes/`. When a rule has found a symptom, each cause is weighed by what happened to the
meter and its neighbours around the onset; the heaviest is named, with its share in the weights of all and of *unknown*
as the confidence. `unknown` is said where nothing weighs as much as it. A cause's advice comes before that of the rule.
A weight is a belief: the share of such faults that the cause has where nothing is known, times the likelihood ratios of
its signs. Shares and ratios are set by judgement; they are keys of `[rules.causes.NAME]`.
"""

_REGISTRY = """\
# Meter registry · 水表台账

{note}

`metriage registry import FILE` takes CSV, XLSX or JSON, as [inputs.md](inputs.md#files) tells of all files. Only
`meter_id` is required.

- **Upsert by `meter_id`.** A file speaks of its own columns: the others stay as they are, and an empty cell empties. A
  row with `recorded_at` holds from then on, one without always; the newest row that speaks of a column holds.
- **Aliases** may stand in several columns, or in one with blanks or `,` `;` `|` `、` between them. An alias names one
  meter and is no other meter's id; upper and lower case are the same.
- **Numbers** may carry their unit: `DN20`, `20mm`, `19Ah`, `6年` of warranty.
- **`timezone`** makes the meter's days. Where it changes, the next diagnosis computes all of them anew. A changed
  `caliber_mm` holds for the days that are computed from then on.

`metriage registry list --unregistered` lists meters that report and are not registered; they are diagnosed too.

## Exchanged meters · 换表

A meter put up in another one's place is a new meter. The record of the old one ends on that day (`removed_on`), and the
new one has it as `installed_on` and inherits what the place is ({place}), where the registry itself does not say
otherwise. An exchange is told by

- an inspection with `action` exchanged, or with a `new_meter_id`;
- the registry alone: one meter was removed and, within {customer} days, one installed with the same `customer_ref`, or
  within {site} days at the same `site` (which does not pass the customer on). Where several come into question nothing
  is inherited.

A `removed_on` before `installed_on` is that of an earlier place: such a meter hangs. Readings of the old meter after
its end are kept and diagnosed; `diagnose` counts such meters and `metriage registry list --after-removal` lists them:
put up elsewhere, or a slip of the pen.

## Warranty · 质保

Counted from `installed_on`, else `shipped_on`, else `produced_on`, for `warranty_months`: `in_warranty` up to that day,
then `expired`; `unknown` without dates or months. A lead seal that an inspection found broken (`seal_intact` no) since
the installation and before that day makes it `void` for good. Tickets carry state, last day, basis, months and who
found the seal broken; and `dead_on_arrival`, where the fault began within {arrival} days of the installation.

## Columns
"""

_INPUTS = """\
# Inspections, customer reports, weather, works · 巡检、报修、天气、施工

{note}

`metriage inspections|reports|weather|works import FILE` takes what is known beside readings and registry;
`… list [--as-of TIME]` shows it. The same file again changes nothing.

## Files

- **CSV** with comma, semicolon or tab, in UTF-8, UTF-16 or GB18030 (found out); **XLSX**, its first visible sheet;
  **JSON**: a list of objects, an object that holds one (such as `list --json` prints), or one object a line.
- **The header** names the columns, in any order, by their name or by one of the other headers; a unit may stand behind
  in brackets. Titles above it, blank lines and headers repeated on every page are passed over. Columns with another
  header are left out and listed.
- **A file speaks of its own columns**: the others stay as they are. An empty cell (also {nothing}) empties.
- **Times** are ISO 8601 with offset, seconds or milliseconds since 1970, or local times of the site's zone
  (`[site] timezone`): `2024-07-09 08:30`, `2024/7/9 8:30`, `2024年7月9日8时30分`, cells of a spreadsheet; `24:00` ends
  a day. A day alone means its beginning, for `until` its end. A local time that the change to summer time skipped, or
  that comes twice when it ends, is refused: write the offset. So is an inspection or report of the future.
- **Dates** are `2024-07-09`, `2024/7/9`, `2024.7.9`, `20240709`, `2024年7月9日` or cells of a spreadsheet.
- **Meter numbers of more than 15 digits** belong into columns of text: a spreadsheet keeps 15 digits of a number. A
  number format of zeros (`00000000`) gives a meter number its leading zeros.

Every wrong cell is listed with row, column and reason; the rows without one are taken all at once, and the exit code
is 3. A file that cannot be read to its end changes nothing (exit code 1). Meters and regions that the registry does not
have are told: often they are slips of the pen.

## What is known when

A diagnosis as of a time sees what had happened and was known by then. A row with `recorded_at` is known from then on;
several with the same key are one story, of which the newest not after that time holds, whole. Without it:

- **Inspections and reports** are known since they were made. Meters may be named by an alias of the registry.
- **Weather**: a measured day is known when it is over in the site's zone. A forecast counts as ten days old at most,
  since that is how far single days are told ahead; give it `recorded_at` to tell better. It says nothing of a day of
  which the measurement is known.
- **Works** are facts without time. To call works off, give them an `until` that is their `from`.
"""


def commands_page() -> str:
    """Return ``docs/commands.md``: every command with its arguments and options."""
    lines = [_COMMANDS.format(note=_NOTE)]
    for name, command in _commands(_group(), "metriage"):
        arguments = [item for item in command.params if item.param_type_name == "argument"]
        options = [item for item in command.params if item.param_type_name == "option" and item.name != "help"]
        usage = " ".join([name, *(_argument(item) for item in arguments), "[OPTIONS]"])
        lines += [f"## `{name}`", "", _plain(command.help), "", f"`{usage}`", ""]
        rows = [[f"`{_argument(item)}`", _plain(item.help)] for item in arguments]
        rows += [[f"`{_option(item)}`", _plain(item.help)] for item in options]
        lines += [*_table(["argument or option", "meaning"], rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _group() -> Any:
    from metriage.command_line import app  # noqa: PLC0415 - it imports most of the product

    return typer.main.get_command(app)


def _commands(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def _argument(item: Any) -> str:
    return str(item.metavar or item.name.upper())


def _option(item: Any) -> str:
    name = str(item.opts[0])
    return name if item.is_flag else f"{name} {item.metavar or name.lstrip('-').upper()}"


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def settings_page() -> str:
    """Return ``docs/settings.md``: every key of ``metriage.toml``."""
    lines = [_SETTINGS.format(note=_NOTE)]
    for field in fields(Settings):
        lines += _settings_tables(field.encode_name, field.type)
    return "\n".join(lines).rstrip() + "\n"


def _settings_tables(name: str, kind: Any) -> Iterator[str]:
    inner = item_type(kind)
    is_map = kind_name(kind) == "table" and not is_table(kind)
    header = f"[{name}.NAME]" if is_map else f"[[{name}]]" if inner is not None else f"[{name}]"
    table = inner or kind
    plain = [field for field in fields(table) if not is_table(field.type)]
    if plain:
        yield from (f"## `{header}`", "", summary(table), "")
        rows = [
            [f"`{field.encode_name}`", _kind(field.type), _shown(field), description(field.type)] for field in plain
        ]
        yield from (*_table(["key", "value", "default", "meaning"], rows), "")
    for field in fields(table):
        if is_table(field.type):
            yield from _settings_tables(f"{name}.{field.encode_name}", field.type)


def _kind(kind: Any) -> str:
    allowed = words(kind)
    text = ", ".join(f"`{word}`" for word in allowed) if allowed else kind_name(kind)
    limits = bounds(kind)
    return f"{text}, {limits}" if limits else text


def _shown(field: FieldInfo) -> str:
    value = default(field)
    return "required" if value is msgspec.NODEFAULT else "not set" if value is None else f"`{toml_value(value)}`"


def glossary_page() -> str:
    """Return ``docs/glossary.md``: every column of every table, and every closed set of words."""
    lines = [_GLOSSARY.format(note=_NOTE)]
    for table in TABLES.values():
        partition = f", partitioned by `{table.partition}`" if table.partition else ""
        lines += [f"## Table `{table.name}`", "", f"In `lake/{table.name}/`{partition}.", ""]
        rows = [
            [f"`{column.name}`", column.dtype, column.unit, column.meaning, _range(column)]
            for column in table.columns.values()
        ]
        lines += [*_table(["column", "type", "unit", "meaning", "range"], rows), ""]
    lines += ["## Words", ""]
    sets: Mapping[str, tuple[str, ...]] = {
        "verdict": vocabulary.VERDICTS,
        "mode": vocabulary.MODES,
        "valve_state": vocabulary.VALVE_STATES,
        "valve_command": vocabulary.VALVE_COMMANDS,
        "valve_refusal": vocabulary.VALVE_REFUSALS,
    }
    lines += [*_table(["column", "words"], [[f"`{name}`", _codes(each)] for name, each in sets.items()]), ""]
    names = [[f"`{name}`", "fault" if name in FAULTS else "condition", FAULTS_ZH[name]] for name in FAULTS + CONDITIONS]
    lines += ["### Faults and conditions", "", *_table(["word", "kind", "中文"], names), ""]
    causes = [[f"`{name}`", cause_name(name, "zh")] for name in vocabulary.CAUSES]
    lines += ["### Causes", "", *_table(["word", "中文"], causes), ""]
    kinds = [[f"`{name}`", meaning] for name, meaning in vocabulary.FORECAST_KINDS.items()]
    lines += ["### Kinds of forecasts", "", *_table(["kind", "value"], kinds), ""]
    flags = [[f"`{name}`", meaning] for name, meaning in vocabulary.FLAGS.items()]
    lines += ["### Flags of a stored reading", "", *_table(["flag", "meaning"], flags), ""]
    reasons = [[f"`{name}`", meaning] for name, meaning in vocabulary.QUARANTINE_REASONS.items()]
    lines += ["### Reasons of quarantine", "", *_table(["reason", "meaning"], reasons), ""]
    return "\n".join(lines).rstrip() + "\n"


def _codes(each: tuple[str, ...]) -> str:
    return " ".join(f"`{word}`" for word in each)


def _range(column: Column) -> str:
    if column.low is None or column.high is None:
        return ""
    return f"{column.low:g} to {column.high:g}"


def rules_page() -> str:
    """Return ``docs/rules.md``: every rule by its fault, with its title and a link to its page."""
    lines = [_RULES.format(note=_NOTE)]
    for fault in (*FAULTS, *CONDITIONS):
        own = [rule for rule in RULES.values() if rule.fault == fault]
        if own:
            rows = [
                [f"[`{rule.id}`](rules/{rule.id}.md)", str(rule.severity), rule.texts["en"].title,
                 rule.texts["zh"].title]
                for rule in own
            ]  # fmt: skip
            lines += [f"## {fault} · {FAULTS_ZH[fault]}", "", *_table(["rule", "severity", "says", "含义"], rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def rule_page(rule: Rule) -> str:
    """Return the page of one rule: texts, source, what mutes it, thresholds and, where there is one, its picture."""
    lines = [f"# `{rule.id}` · {rule.texts['zh'].title}", "", _NOTE, ""]
    lines += _texts(rule.texts)
    held = f" Held at `watch` by: {_codes(rule.inhibited_by)}." if rule.inhibited_by else ""
    cause = f" Cause unless told better: `{rule.cause}`." if rule.cause != "unknown" else ""
    lines += ["", f"Severity {rule.severity}.{cause}{held} Source: {rule.source}.", ""]
    picture = PICTURES / f"{rule.id}.png"
    if picture.is_file():
        lines += [f"![{rule.texts['en'].title}](../pictures/rules/{rule.id}.png)", ""]
    lines += _thresholds(_settings_of(rule))
    return "\n".join(lines).rstrip() + "\n"


def causes_page() -> str:
    """Return ``docs/causes.md``: every cause in English and Chinese, with its weights."""
    lines = [_CAUSES.format(note=_NOTE)]
    for name, rule in CAUSE_RULES.items():
        lines += [f"## `{name}` · {cause_name(name, 'zh')}", "", *_texts(rule.texts), "", f"Source: {rule.source}.", ""]
        lines += [*_thresholds(rule.settings), ""]
    return "\n".join(lines).rstrip() + "\n"


def _texts(texts: Mapping[str, Text]) -> Iterator[str]:
    yield from _table(
        ["", "English", "中文"],
        [
            ["title 名称", texts["en"].title, texts["zh"].title],
            ["trigger 触发", texts["en"].trigger, texts["zh"].trigger],
            ["action 处理", texts["en"].action, texts["zh"].action],
        ],
    )


def _thresholds(settings: Any) -> Iterator[str]:
    rows = [[f"`{field.encode_name}`", _shown(field), description(field.type)] for field in fields(settings)]
    yield from _table(["threshold", "default", "meaning"], rows)


def _settings_of(rule: Rule) -> Any:
    kind: Any = Settings
    for name in ("rules", *rule.id.split(".")):
        kind = next(field.type for field in fields(kind) if field.encode_name == name)
    return kind


def registry_page() -> str:
    """Return ``docs/registry.md``: columns of the registry, the headers of files and the words of cells."""
    place = ", ".join(f"`{name}`" for name in PLACE)
    told = {"place": place, "customer": SAME_WORK_DAYS["customer_ref"], "site": SAME_WORK_DAYS["site"]}
    lines = [_REGISTRY.format(note=_NOTE, arrival=DEAD_ON_ARRIVAL_DAYS, **told)]
    rows = [
        [f"`{name}`", vocabulary.METER[name].unit, vocabulary.METER[name].meaning, " ".join(headers), words]
        for name, headers, words in REGISTRY_FORM.documented()
    ]
    lines += _table(["column", "unit", "meaning", "other headers", "words"], rows)
    return "\n".join(lines) + "\n"


def inputs_page() -> str:
    """Return ``docs/inputs.md``: what files may look like, and the columns of inspections, reports, weather, works."""
    nothing = " ".join(f"`{text}`" for text in NOTHING if text)
    lines = [_INPUTS.format(note=_NOTE, nothing=nothing)]
    for name, form in FORMS.items():
        key = ", ".join(f"`{column}`" for column in form.key)
        lines += [f"## {name}", "", f"Key: {key}; {_codes(KINDS[name].required)} may not be empty.", ""]
        rows = [
            [f"`{column}`", form.columns[column].unit, form.columns[column].meaning, " ".join(headers), words]
            for column, headers, words in form.documented()
        ]
        lines += [*_table(["column", "unit", "meaning", "other headers", "words"], rows), ""]
    return "\n".join(lines).rstrip() + "\n"


# Drawn by `python -m benchmarks rule_pictures`.
PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "rules"

PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "glossary.md": glossary_page,
    "rules.md": rules_page,
    "causes.md": causes_page,
    **{f"rules/{name}.md": partial(rule_page, rule) for name, rule in RULES.items()},
    "registry.md": registry_page,
    "inputs.md": inputs_page,
    "profiles.md": profiles_page,
    "simulation.md": simulation_page,
}


def main(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, page in PAGES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(page(), encoding="utf-8")
    for stale in sorted((folder / "rules").glob("*.md")):
        if f"rules/{stale.name}" not in PAGES:
            stale.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "docs")
