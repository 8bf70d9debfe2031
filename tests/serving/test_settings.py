"""Flag over environment over file over default, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from charloom.errors import UsageError
from charloom.serving.app import create_app
from charloom.serving.middleware import read_keys
from charloom.serving.models import named_paths
from charloom.serving.settings import ServeSettings, gather_settings, in_container


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nmax-rows = 2\nmax_queue = 3\ndrain = 7\ncors_origin = ["https://a.example"]\n')
    environment = {"CHARLOOM_SERVE_MAX_ROWS": "20", "CHARLOOM_SERVE_MAX_QUEUE": "30", "CHARLOOM_SERVE_API_KEY": "k"}
    found = gather_settings({"max_queue": 300}, environment, file, in_container=False)
    assert (found.port, found.max_rows, found.max_queue, found.max_samples) == (1, 20, 300, 64)
    assert float(found.drain) == 7
    assert found.cors_origin == ["https://a.example"]
    named = {"CHARLOOM_SERVE_CONFIG": str(file), "CHARLOOM_SERVE_CORS_ORIGIN": "https://b.example, https://c.example"}
    assert gather_settings({}, named, None, in_container=False).port == 1
    assert gather_settings({}, named, None, in_container=False).cors_origin == [
        "https://b.example",
        "https://c.example",
    ]


def test_in_a_container_others_may_come_in(tmp_path: Path) -> None:
    environment = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    assert not in_container([], environment)
    (tmp_path / "model").mkdir()
    assert in_container([], environment)
    assert not in_container(["runs/a"], environment)
    assert in_container(["runs/a"], {"SAGEMAKER_BIND_TO_PORT": "9000"})
    found = gather_settings({}, {}, None, in_container=True)
    assert (found.host, found.port, float(found.failure_linger)) == ("0.0.0.0", 8080, 30)
    assert gather_settings({"port": 7}, {"SAGEMAKER_BIND_TO_PORT": "9000"}, None, in_container=True).port == 7
    assert gather_settings({}, {"SAGEMAKER_BIND_TO_PORT": "9000"}, None, in_container=True).port == 9000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("port = -1", "port = -1"),
        ("prot = 1", "prot: there is no such setting"),
        ("port = ", "is not TOML"),
        ('drain = "soon"', "drain"),
        ("\xff", "is not TOML"),
        ("api_key = 'secret'", "there is no such setting"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(content, "latin-1")
    with pytest.raises(UsageError, match=message) as found:
        gather_settings({}, {}, file, in_container=False)
    assert "serve.toml" in str(found.value)
    assert "\n" not in str(found.value)


def test_an_environment_that_is_wrong() -> None:
    for name, value in (("MAX_ROWS", "many"), ("LOG_FORMAT", "xml")):
        with pytest.raises(UsageError, match=f"^CHARLOOM_SERVE_{name}: {name.lower()}"):
            gather_settings({}, {f"CHARLOOM_SERVE_{name}": value}, None, in_container=False)
    for name, near in (
        ("WHATEVER", ""),
        ("", ""),
        ("MAX_ROW", "; did you mean CHARLOOM_SERVE_MAX_ROWS?"),
        ("API_KEYS", "; did you mean CHARLOOM_SERVE_API_KEY?"),
    ):
        with pytest.raises(UsageError) as found:
            gather_settings({}, {f"CHARLOOM_SERVE_{name}": "1"}, None, in_container=False)
        assert str(found.value) == f"CHARLOOM_SERVE_{name}: there is no such setting{near}"
    with pytest.raises(UsageError, match="SAGEMAKER_BIND_TO_PORT"):
        gather_settings({}, {"SAGEMAKER_BIND_TO_PORT": "no"}, None, in_container=True)
    with pytest.raises(UsageError, match="cannot read CHARLOOM_SERVE_CONFIG /nowhere/at/all"):
        gather_settings({}, {"CHARLOOM_SERVE_CONFIG": "/nowhere/at/all"}, None, in_container=False)


@pytest.mark.parametrize("origin", ["page.example", "https://page.example/", "https://page.example/page", "https:"])
def test_an_origin_that_matches_no_page_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="cors-origin"):
        gather_settings({"cors_origin": ["http://127.0.0.1:3000", "*", "null", origin]}, {}, None, in_container=False)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in ServeSettings.model_fields.values())
    assert ServeSettings().host == "127.0.0.1"
    limits = ServeSettings()
    assert (limits.max_queue, limits.max_prompt, limits.max_tokens, limits.max_samples) == (256, 100_000, 10_000, 64)
    assert (limits.max_stops, limits.max_stop_length, limits.max_body) == (16, 256, 25 << 20)


def test_names_of_models(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert list(named_paths([f"{tmp_path}/one", "other=/x/y", str(odd)])) == ["one", "other", "a=b"]
    for wrong in (["a/m", "b/m"], ["=x"], ["a="], ["a/b=c"]):
        with pytest.raises(UsageError):
            named_paths(wrong)


def test_files_of_keys_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n\n")
    for name in ("empty", "missing"):
        with pytest.raises(UsageError, match=name):
            read_keys(tmp_path / name, {})
    assert read_keys(None, {}) == []


@pytest.mark.parametrize("given", ["", " ", ",", " , ,"])
def test_a_setting_of_keys_that_holds_none_is_an_error(trained: Path, tmp_path: Path, given: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key\n")
    for file in (None, keys):
        with pytest.raises(UsageError, match=r"^CHARLOOM_SERVE_API_KEY is set and holds no key"):
            read_keys(file, {"CHARLOOM_SERVE_API_KEY": given})
    with pytest.raises(UsageError, match="a key is empty"):
        create_app({"small": trained}, keys=["one", given.replace(",", "")])


def test_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("first\nsecond\n", "utf-8-sig")
    assert read_keys(tmp_path / "keys", {"CHARLOOM_SERVE_API_KEY": "third,,"}) == ["third", "first", "second"]
    (tmp_path / "serve.toml").write_text("max_rows = 7\n", "utf-8-sig")
    assert gather_settings({}, {}, tmp_path / "serve.toml", in_container=False).max_rows == 7


def test_what_one_text_may_be_a_request_may_ask_for() -> None:
    settings = gather_settings({"max_tokens": 9_000_000, "max_samples": 2000}, {}, None, in_container=False)
    assert (settings.max_request_tokens, settings.max_request_texts) == (9_000_000, 2000)
    given = gather_settings({"max_tokens": 9_000_000, "max_request_tokens": 50}, {}, None, in_container=False)
    assert given.max_request_tokens == 50
