"""The page ``docs/profiles.md``: the format of vendor profiles from its definition, and the shipped ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from ingest.profiles.format import Match, ProfileFile
from ingest.profiles.matching import KEYS
from ingest.profiles.vendor_profile import VendorProfile, shipped_names, shipped_profile
from metriage.definitions import (
    default,
    description,
    fields,
    is_table,
    item_type,
    kind_name,
    markdown_table,
    toml_value,
    words,
)

_PAGE = """\
# Vendor profiles · 厂家配置

<!-- Written by `python -m metriage.reference`; changes belong into the definitions it reads. -->

A vendor profile says what a vendor's codes, status word and numbers mean. It is one TOML file, no code, and carries its
own test cases. Those in the table at the end are shipped. Your own lie in the folder `profiles/` of the site; one there
stands for the shipped one of the same id. Decoders deliver what the vendor calls a code as it came; what it means is
said here and nowhere else, so that stored codes can be translated again after a profile was put right.

厂家配置说明某厂家的代码、状态字和数值的含义：一个 TOML 文件，无需编程，自带测试用例。自带配置见文末表格；站点自己的放在
`profiles/` 目录，同名者优先。解码器只原样保存代码，含义只在这里定义，因此改正配置后可重新翻译已保存的代码。

**Which profile a meter has:** the one that topic or source name in `metriage.toml`; else the most specific `[[match]]`
against the registry (the more keys, then the more without `*` and `?`; two equally specific ones are a configuration
error); else the one its payload shape names; else `generic`.

**What becomes of codes:** a word is looked up without regard to case, blanks, hyphens and underscores, first here,
then in `generic` unless `falls_back = false`. A status word of zero says nothing. Bits that no entry looks at are kept
one by one as `unknown` under their own name (`status:0x40`), so are values of an enum that nobody lists, and words that
nobody knows: nothing is dropped, `metriage profile learn` counts them. A status of several bytes has the first byte in
its lowest bits unless the profile says otherwise.

**What severity does:** 1 means act at once, 2 act when it comes on several days, 3 watch, 4 mild
(`[rules.FAULT.codes]`). A freeze code is never more than `watch` by itself.

```toml
id = "example"
version = 1
description = "Example meters"
description_zh = "示例水表"
source = "manual, page 12"

[[match]]
manufacturer = ["Example*"]

[[code]]
words = ["E1", "SENSOR BROKEN"]
family = "coil"
severity = 2
meaning = "the pick-up coil is open"
meaning_zh = "发讯圈断线"

[[bits]]
mask = 0x03                 # two bits that are a number
values = [0x01]
valve_state = "closed"
meaning = "valve closed"
meaning_zh = "阀门关"

[[battery]]
fields = ["voltage"]        # a field of the payload that no decoder knows
unit = "V/100"

[[case]]
codes = ["e1"]
status = 0x01
extra = {voltage = 361}
gives = [["e1", "coil", 2]]
becomes = {valve_state = "closed", battery_v = 3.61}
```

`metriage profile check FILE` looks for wrong keys and words, overlapping bits and ties with other profiles, and runs
the cases. Copy facts from manuals, not their text, and name the source.
"""

_SHIPPED = """\
## Shipped profiles

Templates translate nothing: the vendor has published no table. Each says in English and Chinese how to fill it.
"""


def profiles_page() -> str:
    """Return ``docs/profiles.md``."""
    lines = [_PAGE, "## The file", "", *_keys(ProfileFile), ""]
    for field in fields(ProfileFile):
        table = item_type(field.type)
        if is_table(table):
            lines += [f"## `[[{field.encode_name}]]`", "", *_about(table), "", *_keys(table), ""]
    lines += [_SHIPPED]
    rows = [_row(shipped_profile(name)) for name in shipped_names()]
    head = ["id", "for", "用途", "matches", "words", "bits", "numbers", "source"]
    return "\n".join([*lines, *markdown_table(head, rows)]) + "\n"


def _about(table: Any) -> Iterator[str]:
    yield from (line.strip().replace("``", "`") for line in (table.__doc__ or "").strip().splitlines())


def _keys(table: Any) -> list[str]:
    plain = [field for field in fields(table) if not is_table(item_type(field.type))]
    rows = [[f"`{field.encode_name}`", _kind(field.type), _default(field), description(field.type)] for field in plain]
    return markdown_table(["key", "value", "default", "meaning"], rows)


def _kind(kind: Any) -> str:
    item = item_type(kind)
    if get_origin(item) is tuple and Ellipsis not in get_args(item):
        return f"list of [{', '.join(kind_name(part) for part in get_args(item))}]"
    allowed = words(kind)
    return ", ".join(f"`{word}`" for word in allowed) if allowed else kind_name(kind)


def _default(field: FieldInfo) -> str:
    value = default(field)
    if value is msgspec.NODEFAULT:
        return "required"
    return "none" if value in (None, (), {}, "") else f"`{toml_value(value)}`"


def _row(profile: VendorProfile) -> list[str]:
    file = profile.definition
    bits = 0
    for entry in file.bits:
        bits |= entry.mask
    numbers = {name: len(getattr(file, name)) for name in ("battery", "sentinel", "valve", "refusal", "flags")}
    return [
        f"`{file.id}`" + (" (template)" if file.template else ""),
        file.description,
        file.description_zh,
        "; ".join(map(_matched, file.match)),
        str(sum(len(entry.words) for entry in file.code)),
        f"`{bits:#x}`" if bits else "",
        ", ".join(f"`{name}`" for name, count in numbers.items() if count),
        file.source,
    ]


def _matched(match: Match) -> str:
    parts = [
        f"{name} {' or '.join(f'`{pattern}`' for pattern in patterns)}"
        for name in KEYS
        if (patterns := getattr(match, name))
    ]
    if match.module_encrypted is not None:
        parts.append(f"module_encrypted {str(match.module_encrypted).lower()}")
    return ", ".join(parts)
