"""Which filter a topic matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from ingest.decoders import shapes
from ingest.topic_names import TopicNames

LEVELS = st.sampled_from(["a", "b.c", "$sys", "", "+", "#", "x\ny", "é"])
TOPICS = st.one_of(st.lists(LEVELS, min_size=1, max_size=4).map("/".join), st.text(max_size=8))
_STARTS = st.lists(st.sampled_from(["a", "b.c", "$sys", "", "+", "é"]), max_size=3)
FILTERS = st.builds(
    lambda levels, rest: "/".join(levels + rest) or "a", _STARTS, st.sampled_from([[], ["#"], ["+"], ["a"]])
)


@given(st.lists(FILTERS, max_size=4), TOPICS)
def test_find_is_what_the_broker_does(filters: list[str], topic: str) -> None:
    """The name found is that of the first filter which the client library takes for a match."""
    names = [(filter_, str(number)) for number, filter_ in enumerate(filters)]
    expected = next((name for filter_, name in names if topic_matches_sub(filter_, topic)), None)

    assert expected == TopicNames(names).find(topic)


@pytest.mark.parametrize(
    "topic",
    ["application/7/device/1/event/up", "zigbee2mqtt", "$oc/devices/1/sys/properties/report", "v3/a/devices/b/up",
     "v3/a/devices/b/join", "spBv1.0/g/DDATA/e", "wmbusmeters/a/b"],
)  # fmt: skip
def test_find_with_the_filters_of_the_shapes(topic: str) -> None:
    """The shapes' own filters are read as the client library reads them."""
    names = [(filter_, name) for name, shape in shapes().items() for filter_ in shape.topics]
    expected = next((name for filter_, name in names if topic_matches_sub(filter_, topic)), None)

    assert expected == TopicNames(names).find(topic)
