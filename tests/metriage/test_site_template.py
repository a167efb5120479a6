"""The generated ``metriage.toml`` is true: it loads, it shows the defaults, and it explains every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lake.errors import SiteFolderError
from metriage.definitions import description, fields, is_table, item_type
from metriage.settings import Settings, load_settings
from metriage.site_template import make_site, settings_text
from tickets.settings import WebhookSettings

DEFAULT = re.compile(r"^# (?=[a-z_0-9]+ = )", re.MULTILINE)


def loaded(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "metriage.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def parts() -> tuple[str, str, str]:
    """Return the template before, in and after its example of a webhook, which is not a default."""
    before, rest = settings_text().split("# [[webhook]]\n")
    inside, blank, after = rest.partition("\n\n")
    return before, f"# [[webhook]]\n{inside}", blank + after


def test_template_as_it_is_equals_the_defaults(tmp_path: Path) -> None:
    """A new site runs with the defaults."""
    assert Settings() == loaded(tmp_path, settings_text())


def test_template_with_every_default_uncommented_equals_the_defaults(tmp_path: Path) -> None:
    """Taking the "# " away from any line changes nothing by itself."""
    before, _, after = parts()
    text = DEFAULT.sub("", before + after)

    assert text.count("\n") > 300
    assert Settings() == loaded(tmp_path, text)


def test_each_line_uncommented_alone_stands_under_its_own_table() -> None:
    """A key never lands in the table above its own."""
    before, _, after = parts()
    text = before + after
    lines = sorted({line for line in text.splitlines() if DEFAULT.match(line)})

    for line in lines:
        alone = text.replace(f"\n{line}\n", f"\n{line.removeprefix('# ')}\n", 1)
        assert Settings() == msgspec.toml.decode(alone, type=Settings), line


def test_webhook_uncommented_has_the_defaults(tmp_path: Path) -> None:
    """Its example only needs an address and a secret."""
    before, webhook, after = parts()
    text = before + DEFAULT.sub("", webhook.replace("# [[webhook]]", "[[webhook]]")) + after

    expected = WebhookSettings(url="https://tickets.example.org/hooks/metriage", secret_file="webhook.secret")  # noqa: S106 - a name of a file
    assert (expected,) == loaded(tmp_path, text).webhook


def test_examples_of_unset_keys_are_toml() -> None:
    """What stands behind "#   " can be used after filling it in."""
    found = re.findall(r"^#   ([a-z_]+ = .*# not set)$", settings_text(), re.MULTILINE)

    expected = {
        "username", "username_env", "password_file", "password_env", "ca_file", "cert_file", "key_file",
        "key_password_file", "status_topic", "endpoint_url", "secret_key_file", "listen", "secret_env", "vendor",
        "keys_file",
    }  # fmt: skip
    assert expected == {line.split()[0] for line in found}
    assert msgspec.toml.decode("\n".join(found))
    assert "..." not in "\n".join(found)


def keys(kind: Any) -> Iterator[tuple[str, str]]:
    for field in fields(kind):
        inner = item_type(field.type) or field.type
        if is_table(inner):
            yield from keys(inner)
        else:
            yield field.encode_name, description(field.type)


def test_every_key_is_shown_with_its_description() -> None:
    """Rules included; a key without a description would be a bug in its definition."""
    text = settings_text()

    missing = [name for name, meaning in keys(Settings) if not meaning or meaning not in text or f"{name}" not in text]

    assert [] == missing


def test_every_rule_has_its_table() -> None:
    """A key uncommented stands under its own header."""
    rules = {field.encode_name: field.type for field in fields(Settings)}["rules"]
    expected = [
        f"[rules.{fault.encode_name}.{rule.encode_name}]"
        for fault in fields(rules)
        for rule in fields(fault.type)
        if is_table(rule.type)
    ]

    lines = settings_text().splitlines()
    assert [] == [header for header in expected if header not in lines]


def test_existing_settings_are_never_overwritten(tmp_path: Path) -> None:
    """Running init twice is safe."""
    make_site(tmp_path)
    (tmp_path / "metriage.toml").write_text("mine", encoding="utf-8")

    with pytest.raises(SiteFolderError, match="exists already; nothing was changed"):
        make_site(tmp_path)

    assert "mine" == (tmp_path / "metriage.toml").read_text(encoding="utf-8")


def test_folder_below_a_file_is_said(tmp_path: Path) -> None:
    """The path leads through a file."""
    (tmp_path / "file").touch()

    with pytest.raises(SiteFolderError, match=r"cannot be (made|read)"):
        make_site(tmp_path / "file" / "site")
