"""Keys of encrypted meters: a file of mode 0600 that names each by meter or device id."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from lake.errors import SettingsError

_HEX = re.compile(r"[0-9a-fA-F]{2,128}")


class Keys:
    """Keys by meter or device id; they never show in texts.

    Parameters
    ----------
    keys : mapping of str to bytes
        Ids are compared without case.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {name.lower(): key for name, key in keys.items()}

    def of(self, *ids: str | None) -> bytes | None:
        """Return the key of the first of `ids` that has one; ``default`` in the file stands for all others."""
        for name in (*ids, "default"):
            key = self._keys.get(name.lower()) if name else None
            if key is not None:
                return key
        return None

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<{len(self._keys)} keys>"


NO_KEYS = Keys({})


def load_keys(file: Path) -> Keys:
    """Return the keys of a TOML file: one line ``"meter or device id" = "hexadecimal key"`` each.

    Raises
    ------
    SettingsError
        It cannot be read, others may read it, or a key is not hexadecimal; no key is ever shown.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise SettingsError(
                f"others may read it (mode {mode:04o}); run: chmod 600 {file}", key="ingest.keys_file", file=str(file)
            )
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot be read: {error.strerror or error}", key="ingest.keys_file", file=str(file)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # the parser's message may quote a key
        raise SettingsError(
            'is no TOML with lines "meter or device id" = "hexadecimal key"', key="ingest.keys_file", file=str(file)
        ) from None
    for name, value in plain.items():
        if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) % 2:
            raise SettingsError(
                f"the key of {name!r} is not a string of hexadecimal bytes", key="ingest.keys_file", file=str(file)
            )
    return Keys({name: bytes.fromhex(value) for name, value in plain.items()})
