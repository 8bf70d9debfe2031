from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from charloom.errors import CharloomError, CorpusError, MissingExtraError, StorageError, UsageError
from charloom.events import DownloadProgress, Event, Notice, Warned, ignore
from charloom.settings import CorpusSettings
from charloom.text import named
from charloom.text.corpus import build_vocabulary, load_corpus
from charloom.text.sources import Document, read_documents


def documents(*specs: str | Path) -> list[Document]:
    return list(read_documents([str(spec) for spec in specs], ignore))


def read(*specs: str | Path) -> list[tuple[str, bytes]]:
    return [(document.name, b"".join(document.chunks())) for document in documents(*specs)]


class Server(ThreadingHTTPServer):
    """Serves fixed answers on this machine alone, and counts what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.promised: dict[str, int] = {}  # a Content-Length that is not true
        self.asked: list[str] = []

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        page = self.server.pages.get(path)
        self.send_response(200 if page is not None else 404)
        content = page or b"not here"
        self.send_header("Content-Length", str(self.server.promised.get(path, len(content))))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello")
    assert read(tmp_path / "a.txt") == [("a.txt", b"hello")]


def test_an_absent_file_names_what_could_be_meant(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file or folder: .*absent\.txt .*python-docs"):
        read(tmp_path / "absent.txt")


@pytest.mark.parametrize("spec", ["word " * 200, "~no-such-user-of-this-machine/a.txt", "a\0b"])
def test_what_cannot_be_a_path_is_one_clear_line(spec: str) -> None:
    with pytest.raises(CharloomError):
        read(spec)


def test_a_folder_without_hidden_and_binary_files(tmp_path: Path) -> None:
    for name, content in {
        "b.txt": b"second",
        "a/z.txt": b"first",
        ".hidden.txt": b"no",
        ".git/config": b"no",
        "a/.cache/x": b"no",
        "picture.png": b"\x89PNG\0\0",
        "sub/late-zero.txt": b"x" * 9_000 + b"\0",
        "empty.txt": b"",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    events: list[Event] = []
    found = list(read_documents([str(tmp_path)], events.append))
    assert [document.name for document in found] == ["z.txt", "b.txt", "empty.txt", "late-zero.txt"]
    assert [type(event) for event in events] == [Notice]
    assert isinstance(events[0], Notice)
    assert "1 binary file in" in events[0].message
    assert "picture.png" in events[0].message


def test_links_that_lead_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"secret")
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"mine")
    (folder / "inward.txt").symlink_to(folder / "a.txt")
    (folder / "outward.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "sub/climbing.txt").symlink_to("../../secret.txt")
    (folder / "gone.txt").symlink_to(tmp_path / "absent")
    (folder / "itself").symlink_to("itself")
    (folder / "folder").symlink_to(tmp_path, target_is_directory=True)
    events: list[Event] = []
    found = list(read_documents([str(folder)], events.append))
    assert [document.name for document in found] == ["a.txt", "inward.txt"]
    (event,) = events
    assert isinstance(event, Notice)
    assert "passed over 2 outward links in" in event.message
    assert read(folder / "outward.txt") == [("outward.txt", b"secret")]  # who names it means it


def test_a_log_that_begins_with_zero_bytes_is_said_more_loudly(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"\0" * 800 + b"line\n")
    (tmp_path / "b.log").write_bytes(b"\0" * 80_000 + b"line\n")
    (tmp_path / "c.log").write_bytes(b"line\n")
    (tmp_path / "icon.ico").write_bytes(b"\0\0\1\0\1\0")
    events: list[Event] = []
    assert [document.name for document in read_documents([str(tmp_path)], events.append)] == ["c.log"]
    assert [isinstance(event, Warned) for event in events] == [True, True, False]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_your_own_file_comes_before_a_named_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("python-docs") == read("built-in:python-docs")
    if kind == "folder":
        Path("python-docs").mkdir()
    Path("python-docs/a.txt" if kind == "folder" else "python-docs").write_bytes(b"mine")
    events: list[Event] = []
    (document,) = read_documents(["python-docs"], events.append)
    assert b"".join(document.chunks()) == b"mine"
    (event,) = events
    assert isinstance(event, Notice)
    assert f"python-docs is your {kind} of that name; built-in:python-docs" in event.message
    assert len(read("built-in:python-docs")[0][1]) > 100_000
    with pytest.raises(CorpusError):
        read("built-in:nothing")


def test_a_folder_inside_a_hidden_one_can_be_named(tmp_path: Path) -> None:
    folder = tmp_path / ".notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"yes")
    assert read(folder) == [("a.txt", b"yes")]


def test_a_folder_without_text(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0")
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no text in the folder .*: a\.bin was passed over, name it itself"):
        read(tmp_path)


def test_globs(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "deep/er/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert [name for name, _ in read(tmp_path / "*.txt")] == ["a.txt", "b.txt"]
    assert [name for name, _ in read(tmp_path / "**" / "*.txt")] == ["a.txt", "b.txt", "d.txt"]
    with pytest.raises(CorpusError, match="no file matches"):
        read(tmp_path / "*.rst")


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_bytes(b"x")
    assert read(tmp_path / "a[1].txt") == [("a[1].txt", b"x")]


def test_several_are_joined_as_cat_joins_with_a_newline_where_one_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbftwo")
    (tmp_path / "c.txt").write_bytes(b"three\r\n")
    specs = [str(tmp_path / name) for name in ("b.txt", "a.txt", "c.txt")]
    corpus = load_corpus(specs, CorpusSettings())
    assert corpus.text == "two\none\nthree\n"
    assert corpus.sources == ("b.txt", "a.txt", "c.txt")
    assert corpus.sha256 == hashlib.sha256(b"two\none\nthree\n").hexdigest()


def test_a_model_records_names_and_never_where_they_stood(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    (folder / "a.txt").write_bytes(b"one")
    (folder / "b.txt").write_bytes(b"two")
    for specs, expected in (
        ([folder], "caf\ufffd/ (2 files)"),
        ([folder / "a.txt"], "a.txt"),
        ([folder / "*.txt"], "*.txt (2 files)"),
        ([folder, folder], "caf\ufffd/ (4 files)"),
    ):
        assert load_corpus([str(spec) for spec in specs], CorpusSettings()).sources == (expected,)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xc3\xa9"), "ascii"))
    assert read("-") == [("stdin", b"caf\xc3\xa9")]


def test_compressed_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"squeezed"))
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(b"squeezed" * 100)[:-10])
    assert read(tmp_path / "a.txt.gz") == [("a.txt.gz", b"squeezed")]
    with pytest.raises(CorpusError, match=r"cannot read .*bad\.txt\.gz"):
        read(tmp_path / "bad.txt.gz")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(CorpusError, match="Permission denied"):
        read(tmp_path / "a.txt")


def test_http(server: Server) -> None:
    server.pages = {"/texts/a.txt": b"from afar", "/b.txt.gz": gzip.compress(b"squeezed")}
    assert read(server.address("/texts/a.txt?key=1")) == [("a.txt", b"from afar")]
    assert read(server.address("/b.txt.gz")) == [("b.txt.gz", b"squeezed")]
    with pytest.raises(CorpusError, match=r"cannot read http://.*404") as caught:
        read(server.address("/absent.txt"))
    assert "\n" not in str(caught.value)


def test_http_that_breaks_off(server: Server) -> None:
    server.pages = {"/a.txt": b"only half"}
    server.promised = {"/a.txt": 18}
    with pytest.raises(CorpusError, match="cannot read"):
        read(server.address("/a.txt"))


def test_http_without_a_server() -> None:
    with Server() as server:
        address = server.address("/a.txt")
    with pytest.raises(CorpusError, match="cannot read"):
        read(address)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="texts")
        client.put_object(Bucket="texts", Key="deep/a.txt", Body=b"from a bucket")
        assert read("s3://texts/deep/a.txt") == [("a.txt", b"from a bucket")]
        with pytest.raises(CorpusError, match=r"cannot read s3://texts/absent\.txt") as caught:
            read("s3://texts/absent.txt")
        assert "\n" not in str(caught.value)


def test_s3_without_boto3_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match=r"charloom\[sagemaker\]"):
        read("s3://texts/a.txt")


def test_the_list_of_names_comes_with_charloom_and_with_its_licence(names: Path) -> None:
    assert read("names") == [("names", names.read_bytes())]
    corpora = Path(named.__file__).parents[1] / "corpora"
    assert "Copyright (c) 2022 Andrej Karpathy" in (corpora / "names.LICENSE").read_text("utf-8")


def test_python_docs() -> None:
    ((name, content),) = read("python-docs")
    text = content.decode()
    assert name == "python-docs"
    assert len(text) > 100_000
    assert topics["assert"] in text
    assert text.startswith(topics[min(topics)])


def test_python_docs_in_a_python_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="name a text file instead"):
        read("python-docs")


PLAYS = b"To be, or not to be.\n" * 10_000  # several chunks


def download_from(address: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let tiny-shakespeare be `PLAYS` at an address; returns where it is to be cached."""
    replacement = named.Download("tiny-shakespeare", address, hashlib.sha256(PLAYS).hexdigest(), len(PLAYS))
    monkeypatch.setattr(named, "TINY_SHAKESPEARE", replacement)
    return named.cache_folder() / "tiny-shakespeare.txt"


def test_a_named_text_is_downloaded_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages = {"/input.txt": PLAYS}
    cached = download_from(server.address("/input.txt"), monkeypatch)
    events: list[Event] = []
    for _ in range(2):
        (document,) = read_documents(["tiny-shakespeare"], events.append)
        assert (document.name, b"".join(document.chunks())) == ("tiny-shakespeare", PLAYS)
    assert server.asked == ["/input.txt"]
    assert cached.read_bytes() == PLAYS
    progress = [event for event in events if isinstance(event, DownloadProgress)]
    assert len(progress) > 1
    assert (progress[-1].received, progress[-1].total) == (len(PLAYS), len(PLAYS))


def test_a_damaged_cache_is_fetched_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages = {"/input.txt": PLAYS}
    cached = download_from(server.address("/input.txt"), monkeypatch)
    cached.write_bytes(PLAYS[:-1])
    assert read("tiny-shakespeare") == [("tiny-shakespeare", PLAYS)]
    assert cached.read_bytes() == PLAYS


@pytest.mark.parametrize("content", [PLAYS[:-1] + b"!", PLAYS + b"!" * 200_000, b""], ids=["other", "more", "none"])
def test_another_text_is_refused_and_nothing_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    server.pages = {"/input.txt": content}
    cached = download_from(server.address("/input.txt"), monkeypatch)
    with pytest.raises(CorpusError, match="checksum differs"):
        read("tiny-shakespeare")
    assert list(cached.parent.iterdir()) == []


def test_a_download_that_breaks_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages = {"/input.txt": PLAYS[:1000]}
    server.promised = {"/input.txt": len(PLAYS)}
    cached = download_from(server.address("/input.txt"), monkeypatch)
    with pytest.raises(CorpusError, match="cannot download tiny-shakespeare"):
        read("tiny-shakespeare")
    assert list(cached.parent.iterdir()) == []


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        cached = download_from(server.address("/input.txt"), monkeypatch)
    with pytest.raises(CorpusError, match="give its path, or use python-docs"):
        read("tiny-shakespeare")
    assert not cached.exists()


def test_a_cache_that_cannot_be_written(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.pages = {"/input.txt": PLAYS}
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "file"))
    download_from(server.address("/input.txt"), monkeypatch)
    with pytest.raises(StorageError, match="cannot write"):
        read("tiny-shakespeare")


def test_the_real_address_is_of_the_text_we_know(shakespeare: Path) -> None:
    content = shakespeare.read_bytes()
    assert named.TINY_SHAKESPEARE.size == len(content)
    assert named.TINY_SHAKESPEARE.sha256 == hashlib.sha256(content).hexdigest()


def test_corpus_settings_are_obeyed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Één: X\nTWEE\n".encode("latin-1"))
    corpus = load_corpus([str(tmp_path / "a.txt")], CorpusSettings(encoding="latin-1", clean=["article"]))
    assert corpus.text == "twee"
    assert corpus.cleaning == ("drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines")
    with pytest.raises(CorpusError, match=r"a\.txt is not UTF-8"):
        load_corpus([str(tmp_path / "a.txt")], CorpusSettings())
    with pytest.raises(UsageError, match="no such text encoding"):
        load_corpus([str(tmp_path / "a.txt")], CorpusSettings(encoding="utf-9"))


def test_nothing_left_after_cleaning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A: b")
    with pytest.raises(CorpusError, match="after cleaning with drop-speaker-lines"):
        load_corpus([str(tmp_path / "a.txt")], CorpusSettings(clean=["drop-speaker-lines"]))


def test_vocabularies(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aaab", "utf-8")
    corpus = load_corpus([str(tmp_path / "a.txt")], CorpusSettings())
    assert build_vocabulary(corpus, CorpusSettings()).size == 3
    assert build_vocabulary(corpus, CorpusSettings(vocabulary="bytes")).size == 256
    with pytest.raises(CorpusError, match="lower --min-count"):
        build_vocabulary(corpus, CorpusSettings(min_count=2))
    (tmp_path / "b.txt").write_text("aaaa", "utf-8")
    corpus = load_corpus([str(tmp_path / "b.txt")], CorpusSettings())
    for settings in (CorpusSettings(), CorpusSettings(vocabulary="bytes")):
        with pytest.raises(CorpusError, match="one character, 'a', 4 times"):
            build_vocabulary(corpus, settings)


def test_a_zstandard_file(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd", reason="Python 3.14 has it built in")
    (tmp_path / "a.txt.zst").write_bytes(zstd.compress(b"squeezed"))
    assert read(tmp_path / "a.txt.zst") == [("a.txt.zst", b"squeezed")]
