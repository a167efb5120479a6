"""What is wrong with a setting is said with its key, its file and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.errors import SettingsError
from metriage.settings import Settings, load_settings

BAD = sorted((Path(__file__).parent / "bad_settings").glob("*.toml"))


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad_setting_says_key_file_and_what_is_allowed(file: Path) -> None:
    """Each file has one mistake; its first line is a part of the message."""
    expected = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")

    with pytest.raises(SettingsError) as caught:
        load_settings(file)

    message = str(caught.value)
    assert expected in message
    assert message.startswith(f"{file}:")
    assert str(file) == caught.value.file
    assert 2 == caught.value.exit_code


def test_password_in_a_url_is_not_repeated() -> None:
    """The message about it would end in logs and mails."""
    with pytest.raises(SettingsError) as caught:
        load_settings(Path(__file__).parent / "bad_settings" / "password_in_url.toml")

    assert "hunter2" not in str(caught.value)


def test_missing_file_is_said(tmp_path: Path) -> None:
    """No settings file."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings(tmp_path / "metriage.toml")


def test_file_in_another_encoding_is_said(tmp_path: Path) -> None:
    """Saved by an editor of another age."""
    file = tmp_path / "metriage.toml"
    file.write_bytes("[site]\n# 水表".encode("gb18030"))

    with pytest.raises(SettingsError, match="is no TOML"):
        load_settings(file)


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Every key has a default."""
    file = tmp_path / "metriage.toml"
    file.touch()

    assert Settings() == load_settings(file)


def test_secrets_are_not_in_repr(tmp_path: Path) -> None:
    """Settings hold names of files and variables; a token in a webhook's path is masked."""
    file = tmp_path / "metriage.toml"
    file.write_text(
        '[[webhook]]\nurl = "https://robot.example.org/send/s3cr3t?key=t0ken"\nsecret_file = "s"\n', encoding="utf-8"
    )

    shown = repr(load_settings(file))

    assert "robot.example.org" in shown
    assert "s3cr3t" not in shown
    assert "t0ken" not in shown
