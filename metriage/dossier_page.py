"""The dossier as a folder: a page with pictures, CSV for people, Parquet of the raw evidence, and what is in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from diagnostics.batches.cohort import REASONS
from lake.errors import UsageError
from metriage import __version__
from metriage.batch_pictures import funnel_picture, group_timeline, places_picture
from metriage.batch_sentences import cause_sentence, observations, sentences, title_of
from metriage.batch_texts import cause_title, fault_title, said, scope_title, stratum_title, stratum_value
from metriage.dossier import MOST_METERS, RANK, Dossier
from metriage.dossier_texts import dossier_texts
from metriage.labels import Language, cell, evidence_lines, moment
from metriage.safe_csv import write_safe_csv

_SHOWN = 100  # meters on the page; all are in the files
_LINES = 4  # of the evidence of one meter
_MANIFEST = "manifest.json"  # by which a folder is known to hold a dossier
_EPIDEMIC = 0.01  # share of a lot from which on the trade speaks of an epidemic failure
_NAMES = 5
_REPAIRED, _PRODUCTION = 5, 15  # sets: fewer are exchanged one by one, more go back to production

_PAGE = jinja2.Environment(
    loader=jinja2.PackageLoader("metriage", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
).get_template("dossier.html")


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Tell in words when a folder named by the user cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}") from error


def folder_name(finding: dict[str, Any]) -> str:
    """Return a name for the folder that no file system trips over, and that two groups never share."""
    key = str(finding["key"])
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", key).strip("._") or "group"
    mark = "" if plain == key else f"-{hashlib.sha256(key.encode()).hexdigest()[:6]}"
    return f"batch-{finding['scope']}-{plain[:60]}{mark}-{finding['fault']}-{finding['as_of']:%Y%m%d}"


def write_dossier(dossier: Dossier, folder: Path, language: Language) -> Path:
    """Write the dossier into a folder and return its page.

    Parameters
    ----------
    dossier : Dossier
        What is known.
    folder : Path
        Made where it is not there; files of an earlier dossier are replaced.
    language : {"en", "zh"}

    Raises
    ------
    UsageError
        The folder holds other files, or cannot be written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / _MANIFEST).is_file():
        raise UsageError(
            f"{folder} holds other files, which a dossier might replace: name an empty folder, a new one, or one that"
            " holds an earlier dossier"
        )
    with writable(folder):
        return _written(dossier, folder, language)


def _written(dossier: Dossier, folder: Path, language: Language) -> Path:
    told = _failures_table(dossier, language)
    tables = {
        "failures.csv": told,
        "registry.csv": dossier.meters,
        "excluded.csv": dossier.excluded,
        "comparison.csv": dossier.same_scope.drop("evidence"),
        "timeline.csv": dossier.weeks,
        "findings.parquet": dossier.findings,
        "daily.parquet": dossier.daily,
        "readings.parquet": dossier.readings,
    }
    for name, rows in tables.items():
        if name.endswith(".csv"):
            write_safe_csv(rows, folder / name)
        else:
            rows.write_parquet(folder / name)
    page = folder / "index.html"
    page.write_text(_page(dossier, language, {name: rows.height for name, rows in tables.items()}), encoding="utf-8")
    _write_manifest(dossier, folder, tables)
    return page


def _write_manifest(dossier: Dossier, folder: Path, tables: dict[str, pl.DataFrame]) -> None:
    """Write what the folder holds with digests, so that whoever gets it can tell that it is whole."""
    finding = dossier.finding
    names = [*tables, "index.html"]
    manifest = {
        **{name: finding[name] for name in ("diagnosis_id", "mode", "scope", "key", "fault", "verdict", "cause")},
        "as_of": finding["as_of"].isoformat(),
        "metriage": __version__,
        "files": [
            {"name": name, "rows": tables[name].height if name in tables else None,
             "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
            for name in names
        ],
    }  # fmt: skip
    (folder / _MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _page(dossier: Dossier, language: Language, rows: dict[str, int]) -> str:
    finding, texts = dossier.finding, dossier_texts(language)
    pictures = _pictures(dossier, language)
    failures = _failures(dossier, language, texts)
    count = dossier.failures.height
    return _PAGE.render(
        language="zh-CN" if language == "zh" else "en",
        t=texts,
        title=title_of(finding, language),
        finding=finding,
        as_of=moment(finding["as_of"]),
        synthetic=dossier.synthetic,
        sentences=sentences(finding, language),
        epidemic=_epidemic(finding, language),
        **pictures,
        faults=list(_faults(dossier, language)),
        strata=list(_strata(finding, language)),
        ahead=list(_ahead(dossier, texts)),
        spares=list(_spares(dossier)),
        failures=failures,
        failures_more=texts["failed_more"].format(shown=len(failures), all=count) if count > len(failures) else "",
        excluded=list(_excluded(dossier, language)),
        eight_d=list(_eight_d(dossier, language, texts)),
        files=[{"name": name, "rows": f"{number:,}", "holds": texts[name].format(most=MOST_METERS)}
               for name, number in rows.items()],
        version=__version__,
    )  # fmt: skip


def _epidemic(finding: dict[str, Any], language: Language) -> str:
    if finding["scope"] != "production_batch" or finding["verdict"] not in {"act", "watch"} or not finding["meters"]:
        return ""
    share = finding["observed"] / finding["meters"]
    if share < _EPIDEMIC:
        return ""
    return said("epidemic", language).format(share=f"{100 * share:.1f} %", meters=f"{finding['meters']:,}")


def _pictures(dossier: Dossier, language: Language) -> dict[str, str]:
    finding = dossier.finding
    with tempfile.TemporaryDirectory(prefix="metriage-dossier-") as name:
        place = Path(name)
        funnel = funnel_picture(dossier.same_scope, place / "funnel.png", scope=finding["scope"],
                                fault=finding["fault"], key=finding["key"], language=language)  # fmt: skip
        weeks = dossier.weeks
        timeline = group_timeline(
            weeks["day"].to_list(), weeks["observed"].to_list(), weeks["expected"].to_list(), place / "timeline.png",
            title=title_of(finding, language), language=language,
        )  # fmt: skip
        regions = _regions(finding)
        shown = [_encoded(funnel), _encoded(timeline)]
        if len(regions) > 1:
            title = title_of(finding, language)
            shown.append(_encoded(places_picture(regions, place / "places.png", title=title, language=language)))
    return {"funnel": shown[0], "timeline": shown[1], "places_picture": shown[2] if len(shown) > 2 else ""}


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _regions(finding: dict[str, Any]) -> list[dict[str, Any]]:
    listed = next((item.get("places") for item in observations(finding) if item.get("what") == "batch_places"), None)
    rows = listed if isinstance(listed, list) else []
    return [row | {"place": row.get("place") or "?"} for row in rows if isinstance(row, dict)]


def _faults(dossier: Dossier, language: Language) -> Iterator[dict[str, Any]]:
    for row in dossier.same_key.iter_rows(named=True):
        yield {
            "own": row["fault"] == dossier.finding["fault"],
            "fault": fault_title(row["fault"], language),
            "verdict": said(row["verdict"], language),
            "meters": f"{row['meters']:,}",
            "observed": f"{row['observed']:,}",
            "expected": _number(row["expected"]),
            "ratio": _number(row["ratio"]),
            "interval": _interval(row["ratio_low"], row["ratio_high"]),
            "q": f"{row['q_value']:.2g}" if row["q_value"] is not None else "",
        }


def _strata(finding: dict[str, Any], language: Language) -> Iterator[dict[str, Any]]:
    listed = next((item.get("strata") for item in observations(finding) if item.get("what") == "batch_strata"), None)
    for row in listed if isinstance(listed, list) else []:
        days, failures = row.get("others_days") or 0, row.get("others_failures") or 0
        yield {
            "stratum": _stratum(str(row.get("stratum") or ""), language),
            "days": f"{row.get('days') or 0:,.0f}",
            "observed": f"{row.get('observed') or 0:,.0f}",
            "expected": _number(row.get("expected")),
            "rate": f"{1000 * failures / days:.3f} ({failures:,.0f} / {days:,.0f})" if days else "–",
        }


def _stratum(text: str, language: Language) -> str:
    """Return what a stratum is, its names in the language."""
    parts = (part.partition("=") for part in text.split(", "))
    named = [
        f"{stratum_title(name, language)} {cell(stratum_value(name, value, language))}".strip()
        for name, _, value in parts
    ]
    return ("，" if language == "zh" else ", ").join(named)


def _ahead(dossier: Dossier, texts: dict[str, str]) -> Iterator[dict[str, str]]:
    for row in dossier.forecasts.filter(pl.col("kind") == "failures").sort("until").iter_rows(named=True):
        yield {
            "within": texts["within_days"].format((row["until"] - row["from"]).days),
            "value": _number(row["value"]),
            "interval": _interval(row["value_low"], row["value_high"], 0),
        }


def _spares(dossier: Dossier) -> Iterator[dict[str, str]]:
    for row in dossier.forecasts.filter(pl.col("kind") == "spares").iter_rows(named=True):
        rests = next(iter(observations(row)), {})
        level = rests.get("service_level")
        yield {
            "key": row["key"],
            "value": f"{row['value']:,.0f}",
            "waiting": f"{rests.get('waiting', 0):,}",
            "expected": _number(rests.get("value")),
            "level": f"{100 * level:.0f} %" if isinstance(level, int | float) else "",
        }


def _failures_table(dossier: Dossier, language: Language) -> pl.DataFrame:
    """Return the failed meters for a spreadsheet: evidence in sentences."""
    rows = dossier.failures
    seen = ["; ".join(evidence_lines(text, language)) if text else "" for text in rows["evidence"].to_list()]
    return rows.drop("evidence").with_columns(pl.Series("what_was_seen", seen, dtype=pl.String))


def _failures(dossier: Dossier, language: Language, texts: dict[str, str]) -> list[dict[str, Any]]:
    shown = []
    for row in dossier.failures.head(_SHOWN).iter_rows(named=True):
        lines = evidence_lines(row["evidence"], language) if row["evidence"] else []
        if row["told_by"] == "inspection":
            lines = [texts["by_inspection"]]
        kind = row["installation"]
        places = [row["region"], row["site"], stratum_value("installation", kind, language) if kind else None]
        ends = f" ({row['warranty_ends_on']:%Y-%m-%d})" if row["warranty_ends_on"] else ""
        shown.append(
            {
                "meter_id": row["meter_id"],
                "failed": f"{row['failed']:%Y-%m-%d}",
                "place": " · ".join(cell(place) for place in places if place),
                "installed": f"{row['installed_on']:%Y-%m-%d}" if row["installed_on"] else "",
                "warranty": f"{texts[row['warranty'] or 'unknown']}{ends}",
                "cause": cause_title(row["cause"], language),
                "seen": lines[:_LINES] + ["…"] * (len(lines) > _LINES),
            }
        )
    return shown


def _excluded(dossier: Dossier, language: Language) -> Iterator[dict[str, str]]:
    rows = dossier.excluded.group_by("why").agg(pl.len().alias("count"), pl.col("meter_id").sort().head(3))
    for row in rows.sort("count", "why", descending=[True, False]).iter_rows(named=True):
        yield {
            "why": REASONS[row["why"]][language == "zh"],
            "count": f"{row['count']:,}",
            "example": ", ".join(cell(meter) for meter in row["meter_id"]),
        }


def _eight_d(dossier: Dossier, language: Language, texts: dict[str, str]) -> Iterator[dict[str, Any]]:
    finding, meters, failed = dossier.finding, dossier.meters, dossier.failures
    told = sentences(finding, language)
    yield {"title": texts["d1"], "known": [], "open": [texts["d1_open"]]}
    known = told[:1]
    if failed.height:
        known.append(
            texts["d2_since"].format(
                first=_day(failed["failed"].min()), last=_day(failed["failed"].max()),
                installed=_day(meters["installed_on"].min()) or "?", regions=_names(failed, "region", texts),
            )
        )  # fmt: skip
    known.append(
        texts["d2_what"].format(
            models=_names(meters, "model", texts), vendors=_names(meters, "module_vendor", texts),
            firmware=_names(meters, "firmware", texts), lots=_names(meters, "production_batch", texts),
        )
    )  # fmt: skip
    yield {"title": texts["d2"], "known": known, "open": [texts["d2_open"]]}
    yield {"title": texts["d3"], "known": list(_containment(dossier, texts)), "open": [texts["d3_open"]]}
    yield {"title": texts["d4"], "known": _root(finding, language), "open": [texts["d4_open"]]}
    yield {"title": texts["d5"], "known": [], "open": [texts["d5_open"]]}
    yield {"title": texts["d6"], "known": [], "open": [texts["d6_open"]]}
    yield {"title": texts["d7"], "known": [_related(dossier, language, texts)], "open": [texts["d7_open"]]}
    yield {"title": texts["d8"], "known": [texts["d8_watch"]], "open": [texts["d8_open"]]}


def _root(finding: dict[str, Any], language: Language) -> list[str]:
    """Return what is known of the cause and the comparisons behind it; where nothing stands out there is none."""
    if finding["verdict"] == "normal":
        return [said("normal", language)]
    told = sentences(finding, language)[1:]
    cause = cause_sentence(finding["cause"], language)
    return [*told[:-1], cause] if told and told[-1] == cause else [*told, cause]


def _containment(dossier: Dossier, texts: dict[str, str]) -> Iterator[str]:
    meters = dossier.meters
    hanging = meters.filter(pl.col("ended") != "removed")
    waiting = hanging.filter(pl.col("open").fill_null(value=False)).height
    states = dossier.failures.group_by(pl.col("warranty").fill_null("unknown")).len().sort("len", descending=True)
    listed = ", ".join(f"{texts[state]} {number}" for state, number in states.iter_rows()) or texts["none"]
    living = hanging.filter(pl.col("failed").is_null()).height
    yield texts["d3_living"].format(living=living, waiting=waiting, warranty=listed)
    ahead = dossier.forecasts.filter(pl.col("kind") == "failures").sort("until")
    for row in ahead.iter_rows(named=True):
        days = (row["until"] - row["from"]).days
        yield texts["d3_ahead"].format(days=days, value=_number(row["value"]), low=f"{row['value_low']:.0f}",
                                       high=f"{row['value_high']:.0f}")  # fmt: skip
    kind = "single" if waiting < _REPAIRED else "repair" if waiting <= _PRODUCTION else "production"
    yield texts["d3_route"].format(waiting=waiting, route=texts[f"route_{kind}"])


def _related(dossier: Dossier, language: Language, texts: dict[str, str]) -> str:
    """Return which other groups of the scope stand out with the fault."""
    finding = dossier.finding
    others = dossier.same_scope.filter(pl.col("verdict").is_in(["act", "watch"]), pl.col("key") != finding["key"])
    if others.is_empty():
        return texts["d7_none"]
    order = pl.col("verdict").replace_strict(RANK, default=9, return_dtype=pl.Int64)
    names = [
        f"{scope_title(row['scope'], language)} {cell(row['key'])} ({said(row['verdict'], language)})"
        for row in others.sort(order, "key").head(_NAMES).iter_rows(named=True)
    ]
    return texts["d7_related"].format(others=_joined(names, others.height))


def _names(rows: pl.DataFrame, column: str, texts: dict[str, str]) -> str:
    counts = rows.drop_nulls(column).group_by(column).len().sort("len", column, descending=[True, False])
    if counts.is_empty():
        return texts["unknown"]
    return _joined([f"{cell(name)} ({number})" for name, number in counts.head(_NAMES).iter_rows()], counts.height)


def _joined(names: Sequence[str], every: int) -> str:
    return ", ".join(names) + (" …" if every > len(names) else "")


def _day(value: Any) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, date | datetime) else ""


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def _interval(low: object, high: object, digits: int | None = None) -> str:
    if not (isinstance(low, int | float) and isinstance(high, int | float)):
        return "–"
    return f"{low:,.0f} – {high:,.0f}" if digits == 0 else f"{_number(low)} – {_number(high)}"
