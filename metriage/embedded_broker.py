"""A small MQTT 3.1.1 broker on loopback, for the demonstration: ``python -m metriage.embedded_broker PORT``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Serve until told to stop; say ``ready`` on standard output when clients can connect.

    Parameters
    ----------
    port : int
        TCP port on 127.0.0.1.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    print("ready", flush=True)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # it complains at length about clients that hang up
    asyncio.run(serve(int(sys.argv[1])))
