"""How groups of meters are compared: error budgets, tiers and what a comparison needs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(gt=0, lt=1)]


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Statistics of lots, modules, firmware, regions and installers."""

    act_false_share: Annotated[
        Share,
        Meta(description="Declared budget: share of false ones among the groups called `act`, over all looks [1]"),
    ] = 0.10
    watch_false_share: Annotated[Share, Meta(description="The same of the groups called `watch` or more [1]")] = 0.30
    horizon_looks: Annotated[
        int, Meta(description="Looks over which that budget is spent; 52 weekly ones are a year", ge=1, le=400)
    ] = 52
    look_days: Annotated[int, Meta(description="Days between two looks [days]", ge=1)] = 7
    least_cases: Annotated[int, Meta(description="Failures of a group below which nothing is called", ge=1)] = 3
    act_ratio: Annotated[float, Meta(description="Least shrunken ratio of observed to expected for act [1]", ge=1)] = (
        1.5
    )
    watch_ratio: Annotated[
        float, Meta(description="Least shrunken ratio of observed to expected for watch [1]", ge=1)
    ] = 1.2
    set_aside_p: Annotated[
        Share,
        Meta(description="Groups with an excess this improbable do not say what others are to expect [1]"),
    ] = 0.003
    set_aside_share: Annotated[
        Share, Meta(description="Largest share of the exposure that may be set aside so [1]")
    ] = 0.5
    others_expected: Annotated[
        float,
        Meta(
            description="Failures that others are expected to have in a stratum or place before it compares; as many as"
            " the group itself is expected to have there are enough, too [1]",
            gt=0,
        ),
    ] = 1.0
    confirm_p: Annotated[
        Share,
        Meta(description="Where others share the exposure, a called excess must be as improbable as this again [1]"),
    ] = 0.01
    lone_places: Annotated[
        int,
        Meta(description="Places where a group is alone that prove nothing if they hold most of its excess", ge=0),
    ] = 2
    power: Annotated[
        Share,
        Meta(description="Probability of being confirmed from which on a missing confirmation tells something [1]"),
    ] = 0.8
    dispersion: Annotated[
        float,
        Meta(description="Spread of ordinary groups to expect before data tell: variance of their rates to mean² [1]",
             gt=0),
    ] = 0.03  # fmt: skip
    place_dispersion: Annotated[float, Meta(description="The same of places, such as regions and sites [1]", gt=0)] = (
        0.1
    )
    stratum_dispersion: Annotated[float, Meta(description="The same of strata [1]", gt=0)] = 0.5
    carrier_confidence: Annotated[
        Share, Meta(description="Probability from which on something is said to carry an excess [1]")
    ] = 0.9
    interval: Annotated[Share, Meta(description="Probability of the intervals of the ratio [1]")] = 0.90
