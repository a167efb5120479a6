"""Groups of devices that fail more often than their exposure explains; made to stand alone, for any device table.

>>> from datetime import date
>>> import polars as pl
>>> from diagnostics import batches
>>> devices = pl.DataFrame({
...     "device": [f"m{number}" for number in range(600)],
...     "group": ["A"] * 100 + ["B"] * 250 + ["C"] * 250,
...     "cold": [number % 4 == 0 for number in range(600)],
...     "entered": date(2026, 1, 1),
...     "left": date(2026, 7, 1),
...     "failed": [date(2026, 5, 1) if number < 14 or number % 100 == 99 else None for number in range(600)],
... })
>>> found = batches.assess(devices, strata=["cold"])
>>> found.select("group", "devices", "observed", pl.col("expected").round(1), "verdict").row(0)
('A', 100, 15, 1.1, 'act')
"""

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.assessment import VERDICTS, assess, assess_many, rank
from diagnostics.batches.carriers import ANSWERS, carriers, comparisons
from diagnostics.batches.exposure import exposure
from diagnostics.batches.looks import Look
from diagnostics.batches.regression import poisson_regression, regression_ratios

__all__ = [
    "ANSWERS", "VERDICTS", "BatchSettings", "Look", "assess", "assess_many", "carriers", "comparisons", "exposure",
    "poisson_regression", "rank", "regression_ratios",
]  # fmt: skip
