"""The process that decodes: `python -m palimpsest.server.media.decoding --fd N --model FOLDER`.

Whatever a file does to a library happens in a process of its own, which is forked for it and which
the system ends when it takes too long; its memory is limited too. So nothing outlives the file,
and nobody else notices. The process that forks has loaded everything, and does nothing besides.
Ends when its socket closes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from palimpsest.engine.api import InvalidRequest, PictureCutter, VideoFrame, read_processing
from palimpsest.server.media import images, videos
from palimpsest.server.media.limits import IMAGE_S, MEMORY_BYTES, SLOWDOWN, VIDEO_S
from palimpsest.server.media.unreadable import Unreadable
from palimpsest.server.media.wire import LENGTHS, STARTED, Job, answer_message, message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited socket to the server")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    args = parser.parse_args()
    cutter = _loaded(args.model)
    # nobody waits for the children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=args.fd)
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                control.close()
                _work_and_exit(socket.socket(fileno=descriptor), cutter)
            os.close(descriptor)


def _loaded(folder: Path) -> PictureCutter:
    """With all that the first file would have to load."""
    # pictures are cut without torch, which takes seconds to load and has threads; they do not fork
    sys.modules["torch"] = None  # type: ignore[assignment]
    Image.preinit()
    with contextlib.suppress(Unreadable):
        videos.load_library().logging.set_level(None)
    cutter = PictureCutter(read_processing(folder))
    budget = cutter.processing.frame_budget
    with contextlib.suppress(InvalidRequest):
        cutter.cut(Image.new("RGB", (64, 64)), budget)
    return cutter


def _work_and_exit(sock: socket.socket, cutter: PictureCutter) -> None:
    """In the child; never returns."""
    try:
        _silence()
        said, data = _received(sock)
        job = Job(**json.loads(said))
        limit(VIDEO_S if job.is_video else IMAGE_S)
        sock.sendall(STARTED)
        sock.sendall(_answer(job, data, cutter))
    finally:
        os._exit(0)


def _answer(job: Job, data: bytes, cutter: PictureCutter) -> bytes:
    """The file's pictures, or what is wrong with it."""
    try:
        return answer_message(list(_frames(job, data, cutter)))
    except Unreadable as wrong:
        return message(str(wrong))
    except InvalidRequest as wrong:
        return message(f"cannot be cut: {wrong.reason}")
    except MemoryError:
        return message(f"needs more than {MEMORY_BYTES >> 20} MiB to be decoded")
    except Exception as wrong:
        # libraries raise anything for damaged files
        shown = " ".join(str(wrong).split())[:200]
        return message(f"is damaged: {type(wrong).__name__}: {shown}")


def _frames(job: Job, data: bytes, cutter: PictureCutter) -> Iterator[VideoFrame]:
    if not job.is_video:
        picture = images.rgb(data, job.format_name)
        yield VideoFrame(picture=cutter.cut(picture, job.budget), seconds=0.0)
        return
    found = videos.frames(data, job.format_name, rate_hz=job.rate_hz, most=job.frame_count)
    for seconds, picture in found:
        yield VideoFrame(picture=cutter.cut(picture, job.budget), seconds=seconds)


def _silence() -> None:
    """Libraries write to standard error what they think of a file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def limit(seconds: int) -> None:
    """The system ends this process after so many seconds of a core, or SLOWDOWN times as many by
    the clock, and gives it MEMORY_BYTES at most.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SLOWDOWN * seconds)
    _at_most(resource.RLIMIT_CPU, seconds)
    _at_most(resource.RLIMIT_CORE, 0)
    _at_most(resource.RLIMIT_DATA, _data_bytes() + MEMORY_BYTES)


def _at_most(limit: int, most: int) -> None:
    """Where less is allowed already, it stays so."""
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(limit, (most, most))


def _data_bytes() -> int:
    """Of memory that counts, taken so far; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _received(sock: socket.socket) -> tuple[bytes, bytes]:
    said, payload = LENGTHS.unpack(_exactly(sock, LENGTHS.size))
    return _exactly(sock, said), _exactly(sock, payload)


def _exactly(sock: socket.socket, count: int) -> bytes:
    received = bytearray(count)
    view = memoryview(received)
    while view:
        taken = sock.recv_into(view)
        if not taken:
            raise ConnectionError("the server left")
        view = view[taken:]
    return bytes(received)


if __name__ == "__main__":
    main()
