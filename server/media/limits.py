"""What a file may cost at most, whoever sent it. `decoding.py` has the system enforce time and
memory, so that they hold inside of libraries too.
"""

from __future__ import annotations

MAX_IMAGES = 64
"""Of a prompt; what they take of its context is bounded besides."""
MAX_VIDEOS = 4
"""Of a prompt."""
MAX_PIXELS = 50_000_000
"""Of an image, read in its header."""
MAX_FRAME_PIXELS = 3840 * 2160
"""Of a video's frame."""
MAX_SECONDS = 60.0
"""Of a video."""
MAX_PACKETS = 60 * 240
"""Encoded frames of a video."""
IMAGE_S = 10
"""Seconds of a core to decode an image, and to cut it."""
VIDEO_S = 60
"""The same for a video."""
SLOWDOWN = 3
"""So many times as long it may take by the clock, where cores are busy."""
MEMORY_BYTES = 2**30
"""That decoding a file takes besides the libraries."""
HELD_BYTES = 2**29
"""Of the files of all requests in flight; with the messages they came in, twice as much memory."""
FILES_AT_ONCE = 2
"""Decoded at the same time, so twice MEMORY_BYTES are taken at most."""
