"""What runs beside the receivers and the lake writer, as the daemon sees it; what it does is its own affair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Companion:
    """Begins when it is made, is looked after once a second, ends with the daemon; here it does nothing and is well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def run(self) -> None:
        """Do what is due; returns at once."""

    def wake(self) -> None:
        """Take note that a batch with hard codes is complete; called by a thread of its own."""

    def dead(self) -> Iterable[str]:
        """Return why the daemon is not whole; nothing while all its processes run."""
        return ()

    def hindered(self) -> Iterable[str]:
        """Return what keeps it from its work though it runs."""
        return ()

    def metrics(self) -> Iterable[Metric]:
        """Return what it counts, for Prometheus."""
        return ()

    def processes(self) -> Mapping[str, int | None]:
        """Return the numbers of its processes, by name."""
        return {}

    def report(self) -> Mapping[str, Any]:
        """Return what it tells ``metriage status``, by name."""
        return {}
