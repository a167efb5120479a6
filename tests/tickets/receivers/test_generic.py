"""The generic receiver: the contract's body, unchanged and signed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import standardwebhooks

from lake.errors import DeliveryError, SettingsError
from tickets.receivers import Answer, Delivery, Request, names, receiver_named
from tickets.signature import Secret

SECRET = Secret.create()
DELIVERY = Delivery("msg_1", "incident/battery/A", b'{"type": "ticket.opened"}', int(time.time()), (SECRET,))


def test_generic_sends_the_event_signed() -> None:
    """Body and address stay as they are; the reference verifier takes the signature."""
    sent: list[Request] = []

    def send(request: Request) -> Answer:
        sent.append(request)
        return Answer(204, {}, b"")

    # Verifiers refuse what is older than five minutes, and this module may have been imported before that.
    receiver_named("generic").deliver(replace(DELIVERY, attempted_at_s=int(time.time())), send)
    (request,) = sent

    assert (request.method, request.target, request.body) == ("POST", None, DELIVERY.event)
    assert standardwebhooks.Webhook(SECRET.text).verify(request.body, dict(request.headers))
    assert request.headers["webhook-id"] == "msg_1"


def test_generic_refusal_is_a_failure() -> None:
    """What the destination refuses it does not have."""
    with pytest.raises(DeliveryError, match="answered 422"):
        receiver_named("generic").deliver(DELIVERY, lambda _: Answer(422, {}, b""))


def test_receivers_are_found_by_their_files() -> None:
    """Every file of the folder registers a receiver under its own name; another name is a wrong setting."""
    for name in names():
        assert isinstance(receiver_named(name).signs, bool)
    with pytest.raises(SettingsError, match="there is no receiver 'fax'; allowed are generic"):
        receiver_named("fax")


def test_delivery_does_not_show_secrets_or_bodies() -> None:
    """A logged delivery holds neither."""
    assert SECRET.text not in repr(DELIVERY)
    assert "ticket.opened" not in repr(DELIVERY)
