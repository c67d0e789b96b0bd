"""What kind of file some bytes are, by how they begin; all others are refused before any decoder
sees them. Signatures: the specifications of the formats.
"""

from __future__ import annotations

from dataclasses import dataclass

from palimpsest.engine.api import InvalidRequest

HEAD_BYTES = 16
"""So many first bytes tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A kind of file that is decoded."""

    name: str
    """Pillow's for images, FFmpeg's of the demuxer for videos."""
    shown: str
    mime_types: tuple[str, ...]
    """The usual one first."""


PNG = FileFormat(name="PNG", shown="PNG", mime_types=("image/png",))
JPEG = FileFormat(name="JPEG", shown="JPEG", mime_types=("image/jpeg", "image/jpg"))
WEBP = FileFormat(name="WEBP", shown="WebP", mime_types=("image/webp",))
GIF = FileFormat(name="GIF", shown="GIF", mime_types=("image/gif",))
BMP = FileFormat(name="BMP", shown="BMP", mime_types=("image/bmp", "image/x-ms-bmp"))
MP4 = FileFormat(
    name="mp4", shown="MP4", mime_types=("video/mp4", "video/quicktime", "video/x-m4v")
)
WEBM = FileFormat(name="webm", shown="WebM", mime_types=("video/webm", "video/x-matroska"))
IMAGES = (PNG, JPEG, WEBP, GIF, BMP)
VIDEOS = (MP4, WEBM)


def image_format(data: bytes, mime_type: str) -> FileFormat:
    """Raises InvalidRequest on `data` or `mime_type`."""
    return _told(_image(data[:HEAD_BYTES]), data, mime_type, IMAGES)


def video_format(data: bytes, mime_type: str) -> FileFormat:
    """Raises InvalidRequest on `data` or `mime_type`."""
    return _told(_video(data[:HEAD_BYTES]), data, mime_type, VIDEOS)


def _image(head: bytes) -> FileFormat | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    return BMP if head.startswith(b"BM") else None


def _video(head: bytes) -> FileFormat | None:
    if head[4:8] == b"ftyp":
        return MP4
    return WEBM if head.startswith(b"\x1a\x45\xdf\xa3") else None


def _told(
    found: FileFormat | None, data: bytes, mime_type: str, known: tuple[FileFormat, ...]
) -> FileFormat:
    if not data:
        raise InvalidRequest("data", "is empty")
    if found is None:
        names = ", ".join(each.shown for each in known)
        raise InvalidRequest("data", f"{len(data)} bytes begin like none of {names}")
    declared = mime_type.partition(";")[0].strip().lower()
    if declared and declared not in found.mime_types:
        reason = f"{mime_type[:80]!r} is not {found.mime_types[0]!r}, which the data is"
        raise InvalidRequest("mime_type", reason)
    return found
