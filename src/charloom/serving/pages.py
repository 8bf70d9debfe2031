"""The pages people see: the playground at `/`, the interface at `/docs`. Files, nothing inline."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from charloom.runtime import html
from charloom.serving.errors import json_response
from charloom.serving.schema import openapi

_HERE = Path(__file__).parent
_COLOURS = Path(html.__file__).parent / "browser" / "colours.css"  # one palette for both pages
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


def add_pages(app: FastAPI) -> frozenset[str]:
    """Serve the pages and `/openapi.json`; return their addresses."""
    files = {"/docs": _HERE / "pages" / "api.html"}
    files |= {f"/docs/{path.name}": path for path in sorted((_HERE / "pages").glob("api.*"))}
    playground = _HERE / "playground"
    if (playground / "index.html").is_file():
        files["/"] = playground / "index.html"
        for path in sorted(playground.rglob("*")):
            if path.is_file() and path.suffix != ".py":
                files["/" + path.relative_to(playground).as_posix()] = path
        files["/colours.css"] = _COLOURS
    for address, path in files.items():
        _add_file(app, address, path)
    _add_description(app)
    _add_way_back(app)
    return frozenset({*files, "/openapi.json", "/docs/"})


def _add_file(app: FastAPI, address: str, path: Path) -> None:
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"

    async def page(request: Request) -> Response:
        return FileResponse(path, media_type=media_type, headers={"Cache-Control": "no-cache"})

    app.add_api_route(address, page, methods=["GET"], include_in_schema=False, response_model=None)


def _add_way_back(app: FastAPI) -> None:
    """`/docs/` leads to `/docs`, from where the page finds its parts, under whatever prefix a proxy shows it."""

    @app.get("/docs/", include_in_schema=False)
    async def way_back() -> Response:
        return Response(status_code=307, headers={"Location": "../docs"})


def _add_description(app: FastAPI) -> None:
    made: list[dict[str, object]] = []

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> Response:
        if not made:
            made.append(openapi(app))
        return json_response(made[0])
