"""The built files, as they are sent: read once, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).with_name("built")
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""By suffix; all others are sent as bytes of no known type."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, as it is and compressed."""

    content_type: str
    plain: bytes
    gzipped: bytes
    etag: str
    """Weak: both forms are the same file."""


def read_files(folder: Path) -> Mapping[str, PageFile]:
    """All files below `folder` by their paths in it; none if there is no such folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> PageFile:
    plain = path.read_bytes()
    return PageFile(
        content_type=CONTENT_TYPES.get(path.suffix, "application/octet-stream"),
        plain=plain,
        gzipped=gzip.compress(plain, compresslevel=9, mtime=0),
        etag=f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"',
    )
