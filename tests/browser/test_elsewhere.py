"""The server in real browsers from elsewhere: under a proxy's prefix, from another origin, under a name led here."""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import charloom
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.watching import served, visit, watched, write
from tests.serving.proxy import proxied

OPENAI = "openai@6.49.0"
ASK = """async ([address, prompt]) => {
  const { default: OpenAI } = await import("/node_modules/openai/index.mjs");
  const options = { apiKey: "none", dangerouslyAllowBrowser: true, maxRetries: 0 };
  const client = new OpenAI({ ...options, baseURL: `${address}/v1` });
  const asked = { model: "model", prompt, max_tokens: 40, seed: 3 };
  const whole = await client.completions.create(asked);
  let streamed = "";
  for await (const event of await client.completions.create({ ...asked, stream: true })) {
    streamed += event.choices[0]?.text ?? "";
  }
  const refused = await client.completions.create({ ...asked, temperature: -1 }).catch((error) => error.status);
  return [whole.choices[0].text, streamed, refused];
}"""


@contextlib.contextmanager
def page_server(folder: Path) -> Iterator[int]:
    """A server of files, somebody else's; its port."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, under a name that tests can say."""
    copied = tmp_path_factory.mktemp("elsewhere") / "model"
    shutil.copytree(trained, copied)
    return copied


def check_pages(browser: Browser, folder: Path, shown: str) -> None:
    """The playground writes what the model writes, and the interface is described, at the address `shown`."""
    with watched(browser) as page:
        visit(page, shown)
        assert write(page, "The ") == charloom.load(folder).generate("The ", length=120, seed=7).text
        expect(page.locator("#curl")).to_contain_text(f"{shown}/v1/completions")
        page.get_by_text("Use from code").click()
        page.get_by_role("link", name="API reference").click()
        expect(page.locator("#operations")).to_contain_text("/v1/completions")
        assert page.url == f"{shown}/docs"


@pytest.mark.slow
@pytest.mark.parametrize("keep_host", [False, True])
def test_the_pages_work_under_a_prefix(browser: Browser, folder: Path, keep_host: bool) -> None:
    with served(folder) as address, proxied(address, "/user/me/proxy/8000/", keep_host=keep_host) as shown:
        check_pages(browser, folder, shown)


NGINX = """
daemon off; user root; pid {folder}/pid; error_log {folder}/errors; events {{}}
http {{
  access_log off; types {{ }} default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /llm/ {{ proxy_pass {address}/; }}
    location /kept/ {{ proxy_pass {address}/; proxy_set_header Host $http_host; }}
  }}
}}
"""


@pytest.mark.slow
def test_the_pages_work_behind_nginx(browser: Browser, folder: Path, tmp_path: Path) -> None:
    """As the guide has it; and with the name that was asked for passed on."""
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(folder) as address:
        (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, port=port, address=address))
        with subprocess.Popen([nginx, "-p", str(tmp_path), "-c", "conf"], stderr=subprocess.DEVNULL) as process:
            try:
                for place in ("llm", "kept"):
                    check_pages(browser, folder, f"http://127.0.0.1:{port}/{place}")
            finally:
                process.terminate()


def fetched(page: Page, address: str, options: dict[str, Any]) -> Any:
    """The status that a page gets to see, or that it sees none."""
    script = "([address, options]) => fetch(address, options).then((answer) => answer.status, () => 'nothing')"
    return page.evaluate(script, [address, options])


@pytest.mark.slow
def test_a_foreign_page_reads_and_makes_nothing(browser: Browser, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>foreign</title>")
    with served(folder) as address, page_server(tmp_path) as port, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        kinds: list[dict[str, Any]] = [
            {"method": "GET"},
            {"method": "POST", "body": '{"prompt": "a"}', "headers": {"Content-Type": "application/json"}},
            {"method": "POST", "body": '{"prompt": "a"}', "headers": {"Content-Type": "text/plain"}},
        ]
        for options in kinds:
            assert fetched(page, f"{address}/v1/completions", options) == "nothing"
        blind = {"method": "POST", "mode": "no-cors", "body": "9-The ", "headers": {"Content-Type": "text/plain"}}
        fetched(page, f"{address}/invocations", blind)  # its answer cannot be read; nothing was written for it
        answer = page.goto(f"{address}/metrics")
        assert answer is not None
        metrics = answer.text()
    read = [line for line in metrics.splitlines() if line.startswith("charloom_prompt_tokens_total{")]
    assert all(line.endswith(" 0.0") for line in read), read
    assert "charloom_prompt_tokens_total" in metrics


@pytest.mark.slow
def test_a_name_that_a_page_led_here_gets_nothing(browser: Browser, folder: Path) -> None:
    """DNS rebinding: Chromium sends the foreign name as Host, and no Sec-Fetch-Site, for that is no trusted address."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    led = browser.browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, rules])
    try:
        with served(folder) as address:
            page = led.new_page()
            answer = page.goto(address.replace("127.0.0.1", "evil.example") + "/v1/models")
            assert answer is not None
            assert answer.status == 403
            assert answer.json()["error"]["code"] == "host_not_allowed"
            assert page.goto(f"{address}/v1/models").status == 200  # type: ignore[union-attr]
    finally:
        led.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_openais_javascript_client(browser: Browser, folder: Path, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), OPENAI]
    if subprocess.run(command, capture_output=True, timeout=180, check=False).returncode:
        pytest.skip(f"npm cannot install {OPENAI}")
    (tmp_path / "index.html").write_text("<!doctype html><title>a page</title>")
    expected = charloom.load(folder).generate("The ", length=40, seed=3).text
    with page_server(tmp_path) as port:
        origin = f"http://127.0.0.1:{port}"
        with served(folder, options=["--cors-origin", origin]) as address, watched(browser) as page:
            page.goto(origin)
            assert page.evaluate(ASK, [address, "The "]) == [expected, expected, 400]
