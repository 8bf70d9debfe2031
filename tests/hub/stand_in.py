"""A stand-in for the Hugging Face Hub on this machine: what its own library asks of it to fetch and push models."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_ann"


@dataclass
class Repository:
    """One model's repository: contents by commit, commits by branch."""

    private: bool
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        seed = repr((self.branches.get(branch), len(self.commits), sorted(files))).encode()
        name = hashlib.sha1(seed).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Hub:
    """What there is on the hub, and what was asked of it."""

    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    answer: tuple[int, str] | None = None

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False, gated: bool = False) -> Repository:
        repository = self.repositories[name] = Repository(private, gated)
        repository.commit("main", files)
        return repository

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.branches[branch]]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _reply(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._reply(status, {"error": message or code}, {"X-Error-Code": code, "X-Error-Message": message or code})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    @property
    def _may(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _answer(self) -> None:
        path, body = urlsplit(self.path).path, self._body()  # still quoted: a branch may have a slash
        self.hub.requests.append((self.command, path))
        if self.hub.answer is not None:
            self._refuse(self.hub.answer[0], "", self.hub.answer[1])
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._reply(200, {"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/objects/(\w+)", path):
            self.hub.objects[found[1]] = body
            self._reply(200)
        elif found := re.fullmatch(r"/(?:api/models/)?([\w.-]+/[\w.-]+?)(?:\.git)?(?:/(.*))?", path):
            self._of(found[1], found[2] or "", body)
        else:
            self._refuse(404, "EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815  (the library calls them so)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may:
            self._refuse(401, "", "Invalid username or password.")
        elif asked["organization"] != "ann":
            self._refuse(403, "", f"You don't have the rights to create a model under the namespace {name}")
        else:
            self.hub.add(name, {".gitattributes": b""}, private=asked.get("visibility") == "private")
            self._reply(200, {"url": f"{self.hub.address}/{name}", "name": name})

    def _of(self, name: str, rest: str, body: bytes) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._may):
            self._refuse(404 if self._may else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and not self._may and rest:
            self._refuse(403, "GatedRepo", "Access is restricted")
        elif self.command in ("GET", "HEAD"):
            self._read(name, repository, rest)
        elif not self._may:
            self._refuse(401, "", "Invalid username or password.")
        else:
            self._write(repository, rest, body)

    def _read(self, name: str, repository: Repository, rest: str) -> None:
        kind, _, more = rest.partition("/")
        revision, _, file = more.partition("/") if kind == "resolve" else (more or "main", "", "")
        commit = repository.find(unquote(revision))
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return
        files = repository.commits[commit]
        if kind == "tree":
            self._reply(200, [{"type": "file", "path": each, "oid": "0", "size": len(files[each])} for each in files])
        elif kind == "resolve" and file in files:
            etag = hashlib.sha256(files[file]).hexdigest()
            self._reply(200, files[file], {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})
        elif kind == "resolve":
            self._refuse(404, "EntryNotFound")
        else:
            siblings = [{"rfilename": each} for each in files]
            self._reply(200, {"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def _write(self, repository: Repository, rest: str, body: bytes) -> None:
        kind, _, quoted = rest.partition("/")
        revision = unquote(quoted)
        asked = json.loads(body) if body[:1] == b"{" and kind != "commit" else {}
        if kind == "preupload":
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith((".safetensors", ".onnx")) else "regular",
                    "shouldIgnore": False,
                }
                for each in asked["files"]
            ]
            self._reply(200, {"files": modes})
        elif kind == "info":
            self._reply(200, {"transfer": "basic", "objects": [self._upload(each) for each in asked["objects"]]})
        elif kind == "branch" and revision in repository.branches:
            self._refuse(409, "", "Reference already exists")
        elif kind == "branch":
            repository.branches[revision] = repository.branches["main"]
            self._reply(200, {})
        elif kind == "commit":
            made = repository.commit(
                revision, self._committed(dict(repository.commits[repository.branches[revision]]), body)
            )
            self._reply(200, {"commitUrl": f"{self.hub.address}/ann/x/commit/{made}", "commitOid": made})
        else:
            self._refuse(404, "EntryNotFound")

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        target = {"href": f"{self.hub.address}/objects/{wanted['oid']}", "header": {}}
        return {**wanted, "actions": {"upload": target}}

    def _committed(self, files: dict[str, bytes], body: bytes) -> dict[str, bytes]:
        for line in body.splitlines():
            step = json.loads(line)
            key, value = step["key"], step["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        return files


@contextmanager
def hub_on_this_machine() -> Iterator[Hub]:
    """The stand-in, running; a token of the user `ann` may see and write all that is hers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"hub": hub})
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
