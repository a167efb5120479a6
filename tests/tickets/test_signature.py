"""Signatures: ours are taken by the reference verifier, and only genuine fresh ones by ours."""

from __future__ import annotations

import time

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from tickets.signature import Secret, parse_secrets, refusal, sign

BODY = '{"type": "ticket.opened", "发讯圈": 1}'.encode()


def test_sign_is_taken_by_the_reference_verifier() -> None:
    """The package of the specification's authors verifies what we sign."""
    secret = Secret.create()
    headers = sign([secret], message_id="msg_1", timestamp_s=int(time.time()), body=BODY)

    assert standardwebhooks.Webhook(secret.text).verify(BODY, headers)["发讯圈"] == 1


def test_sign_known_answer() -> None:
    """The example of the specification comes out to the letter."""
    secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(
        [secret], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=b'{"test": 2432232314}'
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_sign_with_two_secrets_is_taken_by_both() -> None:
    """While a key is exchanged, receivers with the old and with the new one both verify."""
    old, new = Secret.create(), Secret.create()
    headers = sign([new, old], message_id="msg_1", timestamp_s=int(time.time()), body=BODY)

    for secret in (old, new):
        assert standardwebhooks.Webhook(secret.text).verify(BODY, headers)
        assert refusal([secret], headers, BODY, now_s=time.time()) is None


@given(st.binary(max_size=200), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_refusal_takes_what_sign_makes(body: bytes, message_id: str) -> None:
    """Whatever the body, our own signature holds, and not for another body."""
    secret = Secret.create()
    headers = sign([secret], message_id=message_id, timestamp_s=1000, body=body)

    assert refusal([secret], headers, body, now_s=1000) is None
    assert refusal([secret], headers, body + b" ", now_s=1000) == "the signature does not match"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook-id": "msg_2"}, "the signature does not match"),
        ({"webhook-timestamp": "1001"}, "the signature does not match"),
        ({"webhook-timestamp": "soon"}, "the timestamp is not a number of seconds"),
        ({"webhook-timestamp": "١٢٣"}, "the timestamp is not a number of seconds"),
        ({"webhook-signature": ""}, "a webhook header is missing"),
        ({"webhook-signature": "v1,ÿ v2,x , ,,"}, "the signature does not match"),
    ],
)
def test_refusal_names_what_is_wrong(changes: dict[str, str], reason: str) -> None:
    """A forged or broken header is refused for its reason."""
    secret = Secret.create()
    headers = sign([secret], message_id="msg_1", timestamp_s=1000, body=BODY) | changes

    assert refusal([secret], headers, BODY, now_s=1000) == reason


@pytest.mark.parametrize("now_s", [699.0, 1301.0])
def test_refusal_of_an_old_or_early_request(now_s: float) -> None:
    """A genuine request outside the tolerance may be a replay."""
    secret = Secret.create()
    headers = sign([secret], message_id="msg_1", timestamp_s=1000, body=BODY)

    assert refusal([secret], headers, BODY, now_s=now_s) == "the timestamp is too far from the clock"


def test_secret_does_not_show() -> None:
    """Neither repr nor str of a secret holds it."""
    secret = Secret.create()

    assert repr(secret) == str(secret) == "Secret()"
    assert Secret.parse(secret.text) == secret


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no secret"),
        ("# only a remark\n\n", "there is no secret"),
        ("hunter2", "line 1: a secret begins with whsec_"),
        ("\nwhsec_!!!", "line 2: what follows whsec_ is not base64"),
        ("whsec_aHVudGVyMg==", "line 1: a secret has 24 to 64 bytes, this one has 7"),
    ],
)
def test_parse_secrets_wrong_text_is_named_not_shown(text: str, message: str) -> None:
    """The message says what is wrong without repeating the secret."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_secrets(text)
    assert "hunter2" not in str(caught.value)


def test_parse_secrets_reads_one_a_line() -> None:
    """Remarks and empty lines are skipped; the order stays."""
    first, second = Secret.create(), Secret.create()

    assert parse_secrets(f"# new\n{first.text}\n\n# old\n{second.text}\n") == (first, second)
