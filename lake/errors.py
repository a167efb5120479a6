"""Every error the product raises on purpose, in one tree.

::

    MetriageError
    ├── UsageError                 wrong command line or configuration (exit code 2)
    │   ├── SettingsError          a key of metriage.toml is missing, unknown or contradictory
    │   ├── SiteFolderError        the folder given by --dir is not a usable site folder
    │   └── SiteLockedError        another process holds the site folder
    ├── DecodingError              a payload that cannot become readings (goes to quarantine)
    ├── InputFileError             a file that cannot be read as what it was said to be
    ├── RowError                   a row of a file or of the registry that cannot be taken
    ├── LakeError                  a lake table cannot be read or written
    │   └── VersionConflictError   another commit came first; look again and try again
    ├── SpoolError                 the spool cannot be read or written
    ├── BrokerError                the MQTT broker refused us or cannot be reached
    └── DeliveryError              a webhook destination did not take an event
"""

from __future__ import annotations


class MetriageError(Exception):
    """Root of all errors the product raises on purpose; its message is meant for the user."""

    exit_code = 1


class UsageError(MetriageError):
    """The command line or the configuration is wrong; nothing was done."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is missing, unknown or contradictory.

    Parameters
    ----------
    message : str
        What is wrong and what is allowed.
    key : str, optional
        Dotted path of the offending key, e.g. ``broker[0].url``.
    file : str, optional
        The file the key was read from.
    """

    def __init__(self, message: str, *, key: str | None = None, file: str | None = None) -> None:
        self.key = key
        self.file = file
        where = " ".join(part for part in (f"{file}:" if file else "", f"{key}:" if key else "") if part)
        super().__init__(f"{where} {message}".strip())


class SiteFolderError(UsageError):
    """The folder given by ``--dir`` is not a usable site folder."""


class SiteLockedError(UsageError):
    """Another process holds the site folder.

    Parameters
    ----------
    message : str
        What happened, and what to do.
    holder : str
        Who holds it.
    """

    def __init__(self, message: str, holder: str = "another process") -> None:
        super().__init__(message)
        self.holder = holder


class DecodingError(MetriageError):
    """A payload that cannot become readings; the message goes to quarantine with ``reason``.

    Parameters
    ----------
    reason : str
        One of :data:`lake.vocabulary.QUARANTINE_REASONS`.
    detail : str
        What was wrong, where in the payload, in words.
    meter_id : str, optional
        The meter, where it could be told.
    """

    def __init__(self, reason: str, detail: str, *, meter_id: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.meter_id = meter_id
        super().__init__(f"{reason}: {detail}")


class InputFileError(MetriageError):
    """A file that cannot be read as what it was said to be.

    Parameters
    ----------
    file : str
        The file.
    message : str
        What is wrong and what to do.
    line : int, optional
        1-based line number, where one is known.
    """

    def __init__(self, file: str, message: str, *, line: int | None = None) -> None:
        self.file = file
        self.line = line
        super().__init__(f"{file}{f', line {line}' if line is not None else ''}: {message}")


class RowError(MetriageError):
    """A row of a file or of the registry that cannot be taken.

    Parameters
    ----------
    column : str
        The column that is wrong.
    message : str
        What is wrong and what to do.
    """

    def __init__(self, column: str, message: str) -> None:
        self.column = column
        self.message = message
        super().__init__(f"{column}: {message}")


class LakeError(MetriageError):
    """A lake table cannot be read or written."""


class VersionConflictError(LakeError):
    """Another commit came first: what this one was decided from no longer holds, and nothing of it is in the table."""


class SpoolError(MetriageError):
    """The spool cannot be read or written."""


class BrokerError(MetriageError):
    """The MQTT broker refused us or cannot be reached."""


class DeliveryError(MetriageError):
    """A webhook destination did not take an event.

    Parameters
    ----------
    message : str
        What the destination answered.
    retry : bool
        Whether trying again later can help.
    retry_after_s : float, optional
        How long the destination asked us to wait [s].
    """

    def __init__(self, message: str, *, retry: bool, retry_after_s: float | None = None) -> None:
        self.retry = retry
        self.retry_after_s = retry_after_s
        super().__init__(message)
