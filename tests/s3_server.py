"""A real S3 server process on the loopback interface: moto's, over HTTP, with signed requests and conditional PUT.

moto looks whether an object is there and then stores it; its own command serves each request in a thread, so two
writers could both find it missing. Here one request is served after the other, which makes the pair atomic, as S3 is.
``tests/lake/test_storage.py`` shows by raw HTTP requests of concurrent writers that exactly one of them succeeds.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from lake.settings import LakeSettings
from tests.processes import free_port, wait_until
from tests.recordings import ROOT

ACCESS_KEY = "metriage-tests"
SECRET_KEY = "a-secret-that-must-not-show"  # noqa: S105 - of a server that lives for one test
BUCKET = "lakes"


class S3Server(contextlib.AbstractContextManager["S3Server"]):
    """An S3 server with one empty bucket; without moto the test skips, under CI=true it fails.

    Parameters
    ----------
    folder : Path
        Where its log lies.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask_cors") is None:
            reason = "moto's S3 server is not installed: pip install -c constraints.txt -e '.[dev]'"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        self.port = free_port()
        self._log = folder / "s3.log"
        self.start()
        status, _ = self.request("PUT", "")
        assert status == 200

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, prefix: str) -> LakeSettings:
        """Return ``[lake]`` for a prefix of the bucket."""
        return LakeSettings(url=f"s3://{BUCKET}/{prefix}", endpoint_url=self.url, allow_http=True)

    def toml(self, prefix: str) -> str:
        """Return ``[lake]`` for ``metriage.toml``."""
        return f'[lake]\nurl = "s3://{BUCKET}/{prefix}"\nendpoint_url = "{self.url}"\nallow_http = true\n'

    def start(self) -> None:
        """Start it and wait until it answers; what it held before is gone."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.s3_server", str(self.port)], cwd=ROOT, stdout=log, stderr=log
            )
        wait_until(self._answers, "the S3 server to answer")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(self._log.read_text(encoding="utf-8"))
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        return False

    def request(
        self, method: str, key: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one raw HTTP request for an object of the bucket and return status and body."""
        credential = f"Credential={ACCESS_KEY}/20240601/us-east-1/s3/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, f"/{BUCKET}/{key}", body, signed | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def one_at_a_time(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application that serves one request after the other."""
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            return list(application(environ, start_response))

    return serve


def main(port: int) -> None:
    """Serve S3 until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    application = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, one_at_a_time(application), threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
