"""Link layers of M-Bus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.frames.mbus_link import Address, LinkFrame, crc16, wired_frames, wireless_frame
from lake.errors import DecodingError
from tests.ingest.decoders.frames import en13757_crc, format_a, format_b, link_address, wired, wireless

# OMS Specification Vol. 2, Annex N: a wireless frame of security profile A, with the CRCs of format A and without.
OMS = bytes.fromhex("2E4493157856341233037A2A0020255923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3")
OMS_A = bytes.fromhex(
    "2E44931578563412330333637A2A0020255923C95AAA26D1B2E7493BC2AD013EC4A6F6D3529B520EDFF0EA6DEFC955B29D6D69EBF3EC8A"
)


@given(st.binary(max_size=40))
def test_crc16_of_any_bytes(data: bytes) -> None:
    """The CRC is that of a division of polynomials."""
    assert en13757_crc(data) == crc16(data).to_bytes(2)


def test_wireless_frame_published() -> None:
    """The published frame gives the same content with its CRCs and without."""
    assert wireless_frame(OMS) == wireless_frame(OMS_A)
    assert OMS[10:] == wireless_frame(OMS).body


def test_address_parts() -> None:
    """Identification, manufacturer, version and device type are read from their bytes."""
    address = Address(link_address("76348799", "KAM", 0x1B, 0x16))

    assert ("76348799", "KAM", 0x1B, 0x16) == (
        address.device_id, address.manufacturer, address.version, address.device_type
    )  # fmt: skip


@given(st.binary(min_size=1, max_size=230), st.sampled_from([bytes, format_a, format_b]))
def test_wireless_frame_every_length(body: bytes, form: type[bytes]) -> None:
    """A frame of every length gives its content back in every format."""
    frame = wireless(body)

    assert LinkFrame(Address(link_address()), body) == wireless_frame(form(frame))


@pytest.mark.parametrize("data", [b"", b"\x09" + bytes(9), b"\x2e\x44", OMS + b"\x00", OMS_A[:-1], bytes(300)])
def test_wireless_frame_of_no_length(data: bytes) -> None:
    """Bytes whose number fits no format are no frame."""
    with pytest.raises(DecodingError) as caught:
        wireless_frame(data)

    assert "not_frame" == caught.value.reason


@given(st.lists(st.binary(min_size=1, max_size=250), min_size=1, max_size=3))
def test_wired_frames_every_length(bodies: list[bytes]) -> None:
    """Frames one behind the other give their contents."""
    assert [LinkFrame(None, body) for body in bodies] == list(wired_frames(b"".join(map(wired, bodies))))


def test_wired_frames_nothing() -> None:
    """Where there is nothing, that is said."""
    [error] = wired_frames(b"")

    assert isinstance(error, DecodingError)
    assert "not_frame" == error.reason
