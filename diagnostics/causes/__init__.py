"""The causes; importing this package registers them all."""

from diagnostics.causes import age, cold, drain, groups, handling, moisture, sediment
from diagnostics.causes.cause import CAUSE_RULES, Cases, Cause
from diagnostics.causes.judge import with_causes

__all__ = [
    "CAUSE_RULES", "Cases", "Cause", "age", "cold", "drain", "groups", "handling", "moisture", "sediment",
    "with_causes",
]  # fmt: skip
