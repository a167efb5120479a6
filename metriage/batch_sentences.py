"""What a batch finding says, in sentences: how many, compared with whom, and what makes the group stand out.

Names in the evidence are those of registry files: foreign texts, which are cut and stripped here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metriage.batch_texts import cause_title, fault_title, scope_title
from metriage.labels import Language, cell

_TOLD_PLACES = 6
_DECIDED = ("itself", "other", "together", "open")

# By what is seen, in English and Chinese.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "excess": (
        ("{observed} of {meters} meters have the fault; at the rate of others in the same place {expected} would. After"
        " shrinking, {ratio} times as many (90 %: {low} to {high})."),
        (
            "{meters} 只表中有 {observed} 只出现该故障；按同等条件下其他表计的故障率预期为 {expected}"
            " 只。收缩后为 {ratio} 倍（90 % 区间 {low} 至 {high}）。"
        ),
    ),
    "chance": (
        ("By chance alone so many would come with a probability of {p}; corrected for everything that was looked at and"
        " for repeated looks, q = {q}. Without regard to place and exposure {crude} would be expected."),
        "仅凭偶然出现如此之多的概率为 {p}；按全部比较及重复检验校正后 q = {q}。若不计条件差异，预期为 {crude} 只。",
    ),
    "alone": (
        "Nobody else shares {share} % of its exposure; in the rest {observed} failed against {expected}.",
        "其暴露中有 {share} % 无可比对象；其余部分实际 {observed} 只，预期 {expected} 只。",
    ),
    "all_alone": ("Nobody else shares its exposure.", "其暴露无可比对象。"),
    "places": (
        "More than expected in {more} of {of} regions: {listed}.",
        "{of} 个区域中有 {more} 个高于预期：{listed}。",
    ),
    "place": ("{name} {observed} ({expected} expected)", "{name} {observed} 只（预期 {expected}）"),
    "overlap": (
        (
            "{inside} of its failures are of {scope} {name}. Others of that {scope}: {others} failed, {expected}"
            " expected{elsewhere}. {conclusion}"
        ),
        (
            "其中 {inside} 只故障同属{scope} {name}。该{scope}其他表计实际 {others} 只，预期 {expected} 只"
            "{elsewhere}。{conclusion}"
        ),
    ),
    "itself": ("So it is not the {scope}.", "问题不在该{scope}。"),
    "other": ("So it is the {scope}.", "问题在该{scope}。"),
    "together": ("Only the two together fail.", "仅二者同时具备时故障偏多。"),
    "open": ("That is too little to tell the two apart.", "不足以区分二者。"),
    "elsewhere": (
        "; the same group elsewhere: {observed} failed, {expected} expected",
        "；本组在其外实际 {observed} 只，预期 {expected} 只",
    ),
    "cold": (
        "{observed} failed; without regard to cold {expected} would be expected, in like cold {in_like_cold}.",
        "实际 {observed} 只；不计受冻时预期 {expected} 只，同等受冻条件下预期 {in_like_cold} 只。",
    ),
    "cause": ("Most likely: {cause}.", "最可能的原因：{cause}。"),
    "cause_unknown": (
        "What makes it so is not known. Say so: no conclusion before it is reported inside.",
        "原因未明。须如实说明：上报公司内部之前，不得下结论。",
    ),
    "not_separable": (
        "Group and place coincide: whether the group or its place is to blame cannot be told.",
        "该组与所处条件重合：无法判断是该组还是其所处条件所致。",
    ),
    "normal": ("It does not stand out.", "无异常。"),
    "watch": ("Not sure enough to act on; watch it.", "尚不足以采取行动，继续观察。"),
}  # fmt: skip

_CAUSES: Mapping[str, tuple[str, str]] = {
    "production_batch": ("the lot itself", "该批次本身"),
    "module": ("the module or its firmware, across lots", "模组或其固件（跨批次）"),
    "installation": ("how it was installed", "安装"),
    "sediment": ("sand or other impurities in the pipes of the zone", "片区管道内泥沙或杂质"),
    "low_temperature": ("the cold of the region", "区域低温"),
    "moisture": ("water at the meters' places", "表位积水受潮"),
    "coverage": ("bad radio coverage of the place", "当地信号覆盖差"),
}


def title_of(finding: Mapping[str, Any], language: Language) -> str:
    """Return what a batch finding is about, in a line."""
    colon = "：" if language == "zh" else ": "
    return f"{scope_title(finding['scope'], language)} {cell(finding['key'])}{colon}" + fault_title(
        finding["fault"], language
    )


def sentences(finding: Mapping[str, Any], language: Language) -> list[str]:
    """Return what a batch finding says.

    Parameters
    ----------
    finding : mapping
        A row of the table ``batch_findings``; evidence that is none of ours is passed over.
    language : {"en", "zh"}
    """
    zh = language == "zh"
    lines = [_excess(finding, zh)]
    verdict = finding["verdict"]
    seen = observations(finding)
    by_what = {str(item.get("what")): item for item in seen}
    if verdict != "normal":
        lines += [_chance(by_what.get("batch_chance"), zh), _alone(by_what.get("batch_alone"), zh)]
    for item in seen:
        lines.append(_told(item, language))
    if verdict in {"not_separable", "normal", "watch"}:
        lines.append(_SENTENCES[verdict][zh])
    if verdict in {"act", "watch"}:
        lines.append(cause_sentence(finding.get("cause"), language))
    return [line for line in lines if line]


def cause_sentence(cause: str | None, language: Language) -> str:
    """Return what makes the group stand out; that nobody knows it is said, too."""
    zh = language == "zh"
    if not cause or cause == "unknown":
        return _SENTENCES["cause_unknown"][zh]
    said = _CAUSES[cause][zh] if cause in _CAUSES else cause_title(cause, language)
    return _SENTENCES["cause"][zh].format(cause=said)


def observations(finding: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the evidence of a finding as a list of objects, whatever it holds."""
    try:
        listed = json.loads(finding.get("evidence") or "[]")
    except (ValueError, RecursionError):
        return []
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []


def _excess(finding: Mapping[str, Any], zh: bool) -> str:
    return _SENTENCES["excess"][zh].format(
        observed=_count(finding["observed"]), meters=_count(finding["meters"]), expected=_figure(finding["expected"]),
        ratio=_figure(finding["ratio"]), low=_figure(finding["ratio_low"]), high=_figure(finding["ratio_high"]),
    )  # fmt: skip


def _chance(item: Mapping[str, Any] | None, zh: bool) -> str:
    if item is None:
        return ""
    return _SENTENCES["chance"][zh].format(
        p=_small(item.get("value")), q=_small(item.get("q_value")), crude=_figure(item.get("crude_expected"))
    )


def _alone(item: Mapping[str, Any] | None, zh: bool) -> str:
    share = item.get("value") if item is not None else None
    if item is None or not isinstance(share, int | float) or share < 0.005:
        return ""
    if share > 0.995:
        return _SENTENCES["all_alone"][zh]
    return _SENTENCES["alone"][zh].format(
        share=f"{100 * share:.0f}", observed=_count(item.get("observed")), expected=_figure(item.get("expected"))
    )


def _told(item: Mapping[str, Any], language: Language) -> str:
    zh = language == "zh"
    what = item.get("what")
    if what == "batch_places":
        return _places(item, zh)
    if what == "batch_overlap":
        return _overlap(item, language)
    if what == "batch_cold":
        return _SENTENCES["cold"][zh].format(
            observed=_count(item.get("value")), expected=_figure(item.get("expected")),
            in_like_cold=_figure(item.get("in_like_cold")),
        )  # fmt: skip
    return ""


def _places(item: Mapping[str, Any], zh: bool) -> str:
    places: Sequence[Any] = item.get("places") or []
    listed = [
        _SENTENCES["place"][zh].format(
            name=cell(place.get("place") or "?"), observed=_count(place.get("observed")),
            expected=_figure(place.get("expected")),
        )
        for place in places[:_TOLD_PLACES]
        if isinstance(place, Mapping)
    ]  # fmt: skip
    more = "…" if len(places) > _TOLD_PLACES else ""
    return _SENTENCES["places"][zh].format(
        more=_count(item.get("value")), of=_count(item.get("of")), listed=("、" if zh else ", ").join(listed) + more
    )


def _overlap(item: Mapping[str, Any], language: Language) -> str:
    zh = language == "zh"
    scope = scope_title(str(item.get("scope")), language)
    decided = str(item.get("decided"))
    conclusion = _SENTENCES[decided if decided in _DECIDED else "open"][zh].format(scope=scope)
    elsewhere = (
        _SENTENCES["elsewhere"][zh].format(
            observed=_count(item.get("elsewhere_observed")), expected=_figure(item.get("elsewhere_expected"))
        )
        if item.get("elsewhere_keys")
        else ""
    )
    return _SENTENCES["overlap"][zh].format(
        scope=scope, name=cell(item.get("value")), inside=_count(item.get("inside_observed")),
        others=_count(item.get("others_observed")), expected=_figure(item.get("others_expected")),
        elsewhere=elsewhere, conclusion=conclusion,
    )  # fmt: skip


def _count(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "?"


def _figure(value: object) -> str:
    """Return a figure with the digits it deserves.

    Examples
    --------
    >>> _figure(0.034), _figure(4.25), _figure(1234.5), _figure(None)
    ('0.03', '4.2', '1,234', '?')
    """
    if not isinstance(value, int | float):
        return "?"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def _small(value: object) -> str:
    """Return a probability.

    Examples
    --------
    >>> _small(0.0341), _small(2.4e-7)
    ('0.034', '2.4e-07')
    """
    return f"{value:.2g}" if isinstance(value, int | float) else "?"
