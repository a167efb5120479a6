from __future__ import annotations

from datetime import timedelta

import polars as pl

from diagnostics.facts import Facts
from tests.diagnostics.frames import START, chained, codes, judged, readings

DAYS = 30
FROST = range(20, 24)


def winter(hourly_m3: list[float], *, frost_c: float = -8.0, told: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return daily rows of 30 days with frost on four of them; `hourly_m3` is the flow of each day [m³/h]."""
    registers, total = [], 100.0
    warmth = []
    for day, flow in enumerate(hourly_m3):
        for hour in range(24):
            total += flow if flow > 0.1 or hour in (7, 19) else 0.0
            registers.append(round(total, 3))
            warmth.append(frost_c if day in FROST else 6.0)
    times = [START + timedelta(hours=hour) for hour in range(24 * len(hourly_m3))]
    seen = readings({"ts": times, "volume_m3": registers, "ambient_temperature_c": warmth})
    return chained(seen, told)


def test_flow_that_never_stops_after_thaw_is_act() -> None:
    """Cold, zero, thaw, burst."""
    row = judged(winter([0.06] * 20 + [0.0] * 4 + [0.8] * 6))["low_temperature"]

    assert (row["verdict"], row["severity"], row["cause"]) == ("act", 1, "low_temperature")
    assert "flow_after_thaw" in [seen["what"] for seen in row["evidence"]]


def test_leak_from_before_the_frost_is_no_burst() -> None:
    """What ran before the frost was not broken by it."""
    assert "low_temperature" not in judged(winter([0.8] * 30))


def test_register_that_stands_from_mild_frost_on_is_watch_with_code_act() -> None:
    """A home that always uses water stops in the frost: people may have left, a freeze code says more."""
    flows = [0.06] * 20 + [0.0] * 10
    told = codes((START + timedelta(days=21), "low_temperature", 2, "freeze"))

    assert judged(winter(flows, frost_c=-6.0))["low_temperature"]["verdict"] == "watch"
    assert judged(winter(flows, frost_c=-6.0, told=told))["low_temperature"]["verdict"] == "act"


def test_stop_in_hard_frost_is_watched_and_act_once_somebody_tells_of_it() -> None:
    """People leave in frost, too; whoever reports no water did not."""
    daily = winter([0.06] * 20 + [0.0] * 3)
    reported = {"meter_id": "m1", "reported_at": START + timedelta(days=22), "symptom": "no water"}

    assert "watch" == judged(daily)["low_temperature"]["verdict"]
    assert "act" == judged(daily, facts=Facts(reports=pl.DataFrame([reported])))["low_temperature"]["verdict"]


def test_stop_in_frost_that_ends_with_warmth_is_watched_afterwards() -> None:
    """Four days of frost without flow, and the first warm day brings it back."""
    row = judged(winter([0.06] * 20 + [0.0] * 4 + [0.06] * 3, frost_c=-6.0))["low_temperature"]

    assert "watch" == row["verdict"]
    assert "resumed_with_warmth" in [seen["what"] for seen in row["evidence"]]


def test_cold_that_the_pipe_bore_before_explains_no_stop() -> None:
    """It was colder ten days ago, and water flowed."""
    daily = winter([0.06] * 20 + [0.0] * 4)
    colder = pl.col("day") == (START + timedelta(days=10)).date()
    borne = daily.with_columns(
        pl.when(colder).then(-15.0).otherwise(name).alias(name) for name in ("ambient_min_c", "ambient_mean_c")
    )

    assert "stopped_in_frost" in [seen["what"] for seen in judged(daily)["low_temperature"]["evidence"]]
    assert "low_temperature" not in judged(borne)


def test_burst_that_people_stopped_within_the_day_is_act_by_its_volume() -> None:
    """No day without standstill, yet fifty times the usual water."""
    daily = winter([0.06] * 20 + [0.0] * 2 + [0.06] * 4)
    day = pl.col("day") == (START + timedelta(days=23)).date()
    burst = daily.with_columns(
        pl.when(day).then(9.0).otherwise("consumption_m3").alias("consumption_m3"),
        pl.when(day).then(1.5).otherwise("greatest_flow_m3h").alias("greatest_flow_m3h"),
    )
    in_summer = burst.with_columns(pl.lit(12.0).alias("ambient_min_c"))

    row = judged(burst)["low_temperature"]

    assert ("act", 1) == (row["verdict"], row["severity"])
    assert "burst_volume" in [seen["what"] for seen in row["evidence"]]
    assert "low_temperature" not in judged(in_summer)


def test_alarm_that_it_is_cold_is_no_code_of_ice() -> None:
    """Many meters tell of the cold; only graver codes say that something froze."""
    flows = [0.06] * 20 + [0.0] * 10
    told = codes((START + timedelta(days=21), "low_temperature", 3, "LOW_AMBIENT_TEMPERATURE"))

    assert "watch" == judged(winter(flows, frost_c=-6.0, told=told))["low_temperature"]["verdict"]


def test_holiday_that_only_begins_in_frost_is_no_act() -> None:
    """It goes on for long after the frost."""
    row = judged(winter([0.06] * 18 + [0.0] * 2 + [0.0] * 8 + [0.06] * 2, frost_c=-6.0))

    assert "act" != row.get("low_temperature", {}).get("verdict")


def test_home_that_stands_on_many_days_says_nothing_by_standing() -> None:
    flows = [0.06, 0.0] * 10 + [0.0] * 10

    assert "low_temperature" not in judged(winter(flows))


def test_frost_reaches_meters_without_a_thermometer_by_the_weather() -> None:
    """The region's air and the kind of installation stand in."""
    flows = [0.06] * 20 + [0.0] * 3
    blind = winter(flows).with_columns(pl.lit(None, pl.Float64).alias(name) for name in
                                       ("ambient_min_c", "ambient_mean_c", "ambient_max_c"))  # fmt: skip
    air = [{"region": "r", "date": (START + timedelta(days=day)).date(), "min_c": -14.0 if day in FROST else 4.0,
            "max_c": -9.0 if day in FROST else 9.0, "forecast": False} for day in range(DAYS)]  # fmt: skip

    def said(kind: str) -> str | None:
        meters = pl.DataFrame([{"meter_id": "m1", "region": "r", "installation": kind}])
        found = judged(blind, facts=Facts(meters=meters, weather=pl.DataFrame(air)))
        return found.get("low_temperature", {}).get("verdict")

    assert ("watch", None) == (said("outdoor"), said("indoor"))


def test_exposure_alone_is_at_most_watch() -> None:
    """Hard frost, or a freeze code, without any symptom is a risk and no fault."""
    told = codes(*((START + timedelta(days=day), "low_temperature", 1, "freeze") for day in FROST))

    assert judged(winter([0.06] * 24, frost_c=-12.0))["low_temperature"]["verdict"] == "watch"
    assert judged(winter([0.06] * 24, told=told))["low_temperature"]["verdict"] == "watch"


def test_vacant_home_in_frost_is_no_finding() -> None:
    """It stood before the frost, too."""
    assert judged(winter([0.0] * 30)) == {}


def test_silence_from_hard_frost_on_is_watch_and_then_act() -> None:
    """Dead after frost, or its radio: someone should look."""
    daily = winter([0.06] * 24)

    verdicts = [judged(daily, START + timedelta(days=day))["low_temperature"]["verdict"] for day in (28, 30)]

    assert ["watch", "act"] == verdicts


def test_meter_at_the_edge_of_its_network_that_falls_silent_in_frost_is_watch() -> None:
    daily = winter([0.06] * 24).with_columns(pl.lit(-118.0).alias("rssi_median_dbm"))

    assert "watch" == judged(daily, START + timedelta(days=30))["low_temperature"]["verdict"]
