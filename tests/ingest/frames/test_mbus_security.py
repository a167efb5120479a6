"""Security of M-Bus."""

from __future__ import annotations

import pytest

from ingest.frames.mbus_link import LinkFrame, wireless_frame
from ingest.frames.mbus_security import address_of, clear
from lake.errors import DecodingError
from tests.ingest.decoders.frames import link_address, mode_7, wireless
from tests.ingest.frames.test_mbus_link import OMS

# OMS Specification Vol. 2, Annex N: the same gas meter with security profiles A and B, and what both hold.
KEY_A = bytes.fromhex("0102030405060708090A0B0C0D0E0F11")
OMS_B = bytes.fromhex(
    "434493157856341233038C2075900F002C25B30A000021924D4F2FB66E017A75002007109058475F4BC91DF878B80A1B0F98B629024AAC72"
    "7942BFC549233C0140829B93"
)
KEY_B = bytes(range(16))
CONTENT = "2f2f0c1427048502046d32371f1502fd1700002f2f2f2f2f2f2f2f2f2f2f2f2f"


@pytest.mark.parametrize(("frame", "key"), [(OMS, KEY_A), (OMS_B, KEY_B)])
def test_clear_published(frame: bytes, key: bytes) -> None:
    """The published frames of both security profiles hold what the specification says."""
    found = clear(wireless_frame(frame), key)

    assert (CONTENT, "12345678", "ELS", 0) == (
        found.content.hex(), found.address.device_id, found.address.manufacturer, found.status
    )  # fmt: skip


@pytest.mark.parametrize("frame", [OMS, OMS_B])
@pytest.mark.parametrize(
    ("key", "reason"), [(None, "no_key"), (b"\xff" * 16, "wrong_key"), (b"\xff" * 15, "wrong_key")]
)
def test_clear_without_the_key(frame: bytes, key: bytes | None, reason: str) -> None:
    """Without the key nothing is read, and it is said whether there is none or another one."""
    with pytest.raises(DecodingError) as caught:
        clear(wireless_frame(frame), key)

    assert reason == caught.value.reason


def test_clear_signature_covers_the_message() -> None:
    """A damaged signature or message of security mode 7 is refused, from the control byte to the last."""
    frame = wireless(mode_7(bytes.fromhex("041300000000"), KEY_B))
    for place in range(14, len(frame)):
        damaged = bytearray(frame)
        damaged[place] ^= 1
        with pytest.raises(DecodingError):
            clear(wireless_frame(bytes(damaged)), KEY_B)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not_frame"),
        ("72", "not_frame"),
        ("7A2A0000", "not_frame"),
        ("7A2A002005" + "00" * 31, "not_frame"),
        ("7A2A002007" + "00" * 33, "not_frame"),
        ("7A2A002006", "wrong_value"),
        ("A2", "not_frame"),
        ("8C20", "not_frame"),
        ("8D2011000000", "not_frame"),
        ("8D2011000000400000", "wrong_value"),
        ("8D20110000000000007A", "bad_checksum"),
        ("90", "not_frame"),
        ("9002004078", "not_frame"),
        ("9002000278", "not_frame"),
        ("9003002C2578", "not_frame"),
    ],
)
def test_clear_broken_layers(body: str, reason: str) -> None:
    """Layers that are cut short, fragments and unknown modes are refused."""
    frame = LinkFrame(wireless_frame(OMS).address, bytes.fromhex(body))
    with pytest.raises(DecodingError) as caught:
        clear(frame, KEY_B)

    assert reason == caught.value.reason


def test_address_of_extended_link_layer() -> None:
    """An extended link layer with an address names the meter behind a radio adapter, a long header before both."""
    meter, other = link_address("11111111"), link_address("22222222")
    ell = b"\x8e\x20\x11" + meter
    header = b"\x72" + other[2:6] + other[:2] + other[6:] + bytes(4)
    link = wireless_frame(wireless(b"\x78")).address

    assert "11111111" == address_of(LinkFrame(link, ell + b"\x78")).device_id
    assert "22222222" == address_of(LinkFrame(link, ell + header)).device_id
    assert "12345678" == address_of(LinkFrame(link, b"\x78")).device_id
