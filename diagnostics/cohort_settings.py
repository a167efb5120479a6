"""How meters and findings become a cohort: who was at risk of a fault, since when, until when, and who failed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]


class CohortSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who counts as at risk, and what as a failure."""

    silent_days: Annotated[
        int, Meta(description="Silence after which a meter is no longer watched, so no longer at risk [days]", ge=1)
    ] = 4
    held_days: Annotated[
        int,
        Meta(description="An act that was over before it had stood so long, on a meter that went on, is no failure"
             " [days]", ge=0),
    ] = 5  # fmt: skip
    prior_days: Annotated[
        int,
        Meta(description="A meter installed so long before it was first seen may have failed before: a fault that it"
             " had from the first day on is left out [days]", ge=0),
    ] = 30  # fmt: skip
    cold_c: Annotated[float, Meta(description="Lowest temperature at the meter that makes a cold day [°C]")] = -2.0
    some_cold: Annotated[Share, Meta(description="Share of cold days from which a meter stands in some cold [1]")] = (
        0.02
    )
    hard_cold: Annotated[Share, Meta(description="The same for hard cold [1]")] = 0.15
    weak_dbm: Annotated[float, Meta(description="Median signal strength below which radio is weak [dBm]")] = -108.0
    fair_dbm: Annotated[float, Meta(description="The same below which it is fair [dBm]")] = -95.0
