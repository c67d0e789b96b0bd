"""The paths of the page, for an ASGI app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from palimpsest.server.page.files import PageFile, read_files

NOT_BUILT = "the page is not built; `make page` in a checkout builds it\n"
HEADERS: Mapping[str, str] = {
    # what is sent again is asked for again, and mostly answered with 304
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


def page_routes(folder: Path) -> list[Route]:
    """Of the files below `folder`, which are read now; its `index.html` is at `/`."""
    files = read_files(folder)
    if "index.html" not in files:
        return [Route("/", _not_built)]
    routes = {f"/{name}": file for name, file in files.items()}
    routes["/"] = routes.pop("/index.html")
    return [_route(path, file) for path, file in routes.items()]


def _route(path: str, file: PageFile) -> Route:
    async def send(request: Request) -> Response:
        headers = {**HEADERS, "content-type": file.content_type, "etag": file.etag}
        if _is_known(request.headers.get("if-none-match", ""), file.etag):
            return Response(status_code=304, headers=headers)
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(file.gzipped, headers={**headers, "content-encoding": "gzip"})
        return Response(file.plain, headers=headers)

    return Route(path, send)  # of GET and HEAD; the server leaves the body of HEAD's out


async def _not_built(_: Request) -> Response:
    return PlainTextResponse(NOT_BUILT, 404)


def _is_known(sent: str, etag: str) -> bool:
    """Whether `sent`, the value of if-none-match, names `etag`, weakly compared."""
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _takes_gzip(sent: str) -> bool:
    """Whether `sent`, the value of accept-encoding, allows gzip: by name, or else by `*`."""
    weights = {}
    for entry in sent.lower().split(","):
        name, _, parameters = entry.partition(";")
        weights[name.strip()] = parameters.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return weight.removeprefix("q=").strip("0.") != "" if weight else True
