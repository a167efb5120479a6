"""The command, the settings, the daemon and the report: the only place that puts the stages together."""

__version__ = "0.1.0"
