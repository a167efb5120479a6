"""The signed JSON of the contract, as it is: Standard Webhooks 1.0."""

from __future__ import annotations

from tickets.answers import judge
from tickets.receivers import Delivery, Request, Send, receiver
from tickets.signature import sign


@receiver("generic")
class Generic:
    """Sends the event body unchanged, with the three signature headers."""

    signs = True

    def deliver(self, delivery: Delivery, send: Send) -> None:
        """Post the event; any 2xx answer means that it was taken."""
        headers = {"content-type": "application/json"} | sign(
            delivery.secrets,
            message_id=delivery.event_id,
            timestamp_s=delivery.attempted_at_s,
            body=delivery.event,
        )
        judge(send(Request(delivery.event, headers)))
