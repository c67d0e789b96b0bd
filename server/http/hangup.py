"""Work that is worth doing only while the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


class HungUp(Exception):
    """The client went away before its answer was whole."""


async def until_hangup(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, or cancel it when the client goes away. Raises HungUp.

    The body must have been read: what `receive` brings then is the end of the connection.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hangup(receive))
    tasks = (working, watching)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if working.cancelled():
        raise HungUp
    working.result()


async def _hangup(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
