"""The pages people see: the playground at `/`, the interface at `/docs`. Nothing in them is inline."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from charloom.runtime import html
from charloom.serving.docs_page import interface_page
from charloom.serving.errors import json_response
from charloom.serving.schema import openapi

_HERE = Path(__file__).parent
_FRONT = Path(html.__file__).parent / "browser"  # what the playground shares with the exported page
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_pages(app: FastAPI) -> frozenset[str]:
    """Serve the pages and `/openapi.json`; return their addresses."""
    paths = [path for folder in (_FRONT, _HERE / "playground") for path in folder.iterdir() if path.suffix in _TYPES]
    files = {"/" if path.name == "index.html" else f"/{path.name}": path for path in paths}
    for address, path in files.items():
        _add_file(app, address, path)
    _add_description(app)
    _add_way_back(app)
    return frozenset({*files, "/openapi.json", "/docs", "/docs/"})


def _add_file(app: FastAPI, address: str, path: Path) -> None:
    async def page(request: Request) -> Response:
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})

    app.add_api_route(address, page, methods=["GET"], include_in_schema=False, response_model=None)


def _add_way_back(app: FastAPI) -> None:
    """`/docs/` leads to `/docs`, from where the page finds its parts, under whatever prefix a proxy shows it."""

    @app.get("/docs/", include_in_schema=False)
    async def way_back() -> Response:
        return Response(status_code=307, headers={"Location": "../docs"})


def _add_description(app: FastAPI) -> None:
    description = cache(lambda: openapi(app))  # not before all addresses are added

    @app.get("/openapi.json", include_in_schema=False)
    async def for_programs() -> Response:
        return json_response(description())

    @app.get("/docs", include_in_schema=False)
    async def for_people() -> Response:
        return HTMLResponse(interface_page(description()), headers={"Cache-Control": "no-cache"})
