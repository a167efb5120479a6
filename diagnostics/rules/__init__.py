"""The rules, one file a fault; importing this package registers them all."""

from diagnostics.rules import actuator, battery, codes, coil, conditions, low_temperature, neighbourhood
from diagnostics.rules.rule import RULES, Rule, Text

__all__ = [
    "RULES",
    "Rule",
    "Text",
    "actuator",
    "battery",
    "codes",
    "coil",
    "conditions",
    "low_temperature",
    "neighbourhood",
]
