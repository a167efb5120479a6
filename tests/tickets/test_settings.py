"""Settings: defaults, exact messages, secrets never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from lake.errors import SettingsError
from tickets.settings import TicketSettings, WebhookSettings, check_tickets, check_webhooks, read_secrets
from tickets.signature import Secret

URL = "https://tickets.example.org/hook"


def _webhook(**changes: Any) -> WebhookSettings:
    return WebhookSettings(**({"url": URL, "secret_file": "secret"} | changes))


def test_defaults_hold() -> None:
    """The documented defaults are those of the contract."""
    assert TicketSettings() == TicketSettings((), "propose", (1.0, 7.0, 30.0), 50.0)
    assert (_webhook().timeout_s, _webhook().allow_private, _webhook().receiver) == (15.0, False, "generic")
    assert _webhook().label == "tickets.example.org"


@pytest.mark.parametrize("kind", [TicketSettings, WebhookSettings])
def test_every_key_is_described(kind: type[msgspec.Struct]) -> None:
    """The configuration page is made of these descriptions."""
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]

    assert [name for name, field in schema.items() if not field.get("description")] == []


def test_unknown_key_is_an_error() -> None:
    """A misspelt key is named."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `secretfile`"):
        msgspec.toml.decode(f'url = "{URL}"\nsecretfile = "x"', type=WebhookSettings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret_env": "S"}, "webhook[0].secret_env: at most one of secret_file & secret_env"),
        (
            {"secret_file": None},
            "webhook[0].secret_file: receiver generic signs what it sends: one of secret_file & secret_env is needed",
        ),
        ({"receiver": "fax"}, "webhook[0].receiver: there is no receiver 'fax'; allowed are generic"),
        ({"url": "ftp://a"}, "webhook[0].url: not an address; allowed is https://host[:port]/path (or http://)"),
        ({"url": "https://a:b/"}, "webhook[0].url: not an address; allowed is https://host[:port]/path (or http://)"),
        ({"url": "https:///x"}, "webhook[0].url: not an address; allowed is https://host[:port]/path (or http://)"),
        ({"url": "https://u:p@a/"}, "webhook[0].url: user and password do not belong into the address"),
        ({"url": "https://a/#x"}, "webhook[0].url: an address of a webhook has no part after #"),
        (
            {"url": "https://a/x y"},
            "webhook[0].url: only printable ASCII is allowed; write other characters percent-encoded",
        ),
    ],
)
def test_check_webhooks_names_key_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    """Each contradiction has its own message."""
    with pytest.raises(SettingsError) as caught:
        check_webhooks([_webhook(**changes)])

    assert str(caught.value) == message


def test_check_webhooks_same_name_twice() -> None:
    """State is kept by name, so names are unique."""
    with pytest.raises(SettingsError) as caught:
        check_webhooks([_webhook(), _webhook(url=f"{URL}/2")])

    assert str(caught.value) == (
        "webhook[1].name: webhook[0] is called 'tickets.example.org' too; give each webhook a name of its own"
    )


def test_check_webhooks_good_ones_pass() -> None:
    """Two well-formed destinations are no error."""
    check_webhooks([_webhook(), _webhook(name="other", secret_file=None, secret_env="S")])  # noqa: S106 - a name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TicketSettings(conditions=("leak", "rust")), "tickets.conditions[1]: there is no condition 'rust'; allowed"),
        (TicketSettings(repeat_after_d=(7, 1)), "tickets.repeat_after_d: the waiting times must not become shorter"),
    ],
)  # fmt: skip
def test_check_tickets_names_key(settings: TicketSettings, message: str) -> None:
    """Each contradiction has its own message."""
    with pytest.raises(SettingsError) as caught:
        check_tickets(settings)

    assert str(caught.value).startswith(message)


def test_read_secrets_from_file_and_environment(tmp_path: Path) -> None:
    """Both places hold the same kind of text."""
    first, second = Secret.create(), Secret.create()
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(f"{first.text}\n{second.text}\n")

    assert read_secrets(_webhook(), tmp_path) == (first, second)
    by_name = _webhook(secret_file=None, secret_env="HOOK")  # noqa: S106 - a name
    assert read_secrets(by_name, tmp_path, environment={"HOOK": first.text}) == (first,)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660])
def test_read_secrets_open_file_is_refused(tmp_path: Path, mode: int) -> None:
    """A secret that others can read is none."""
    file = tmp_path / "secret"
    file.write_text(Secret.create().text)
    file.chmod(mode)

    with pytest.raises(SettingsError) as caught:
        read_secrets(_webhook(), tmp_path)
    assert str(caught.value) == (
        f"webhook.secret_file: {file} is open to others (mode {mode:04o}); allowed is 0600: chmod 600"
    )


def test_read_secrets_missing_places_are_named(tmp_path: Path) -> None:
    """A file or variable that is not there is named."""
    with pytest.raises(SettingsError, match="secret cannot be read: No such file or directory"):
        read_secrets(_webhook(), tmp_path)
    with pytest.raises(SettingsError, match=r"webhook\[1\]\.secret_env: the environment variable HOOK is not set"):
        read_secrets(
            _webhook(secret_file=None, secret_env="HOOK"), tmp_path, key="webhook[1]", environment={}  # noqa: S106
        )  # fmt: skip


def test_read_secrets_message_hides_the_secret(tmp_path: Path) -> None:
    """What is wrong with a secret is said without showing it."""
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("hunter2")

    with pytest.raises(SettingsError) as caught:
        read_secrets(_webhook(), tmp_path)
    assert str(caught.value) == "webhook.secret_file: line 1: a secret begins with whsec_"


def test_repr_masks_what_may_be_secret() -> None:
    """Tokens in an address do not reach logs."""
    webhook = _webhook(url="https://robot.example.org:8443/send/abc?access_token=hunter2", secret_env="HOOK")  # noqa: S106
    import rich.pretty

    for shown in (repr(webhook), rich.pretty.pretty_repr(webhook, max_width=400), f"{[webhook]}"):
        assert "hunter2" not in shown
        assert "abc" not in shown
        assert "https://robot.example.org:8443/…" in shown
