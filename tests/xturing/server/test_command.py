"""`xturing api`, with a scripted engine in place of a real one."""

import socket

import pytest
import serving
import typer
from typer.testing import CliRunner

from xturing.cli import api
from xturing.core.errors import SettingsError
from xturing.models import inference
from xturing.server import serving as real


@pytest.fixture
def served(monkeypatch):
    """Have nothing served, and return what would have been."""
    told: dict = {}

    def open_engine(model, name, options):
        told.update(model=model, engine=name, options=options)
        return serving.ScriptedEngine()

    def serve(engine, settings, **named):
        told.update(settings=settings, **named)
        named["ready"](real.address(named["listener"]))

    monkeypatch.setattr(inference, "open_engine", open_engine)
    monkeypatch.setattr(api, "open_chosen", lambda *_, **__: serving.Model())
    monkeypatch.setattr("xturing.server.serve", serve)
    monkeypatch.delenv("XTURING_API_KEY", raising=False)
    return told


def run(*arguments: object):
    app = typer.Typer()
    app.command()(api.api)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_one_line_has_the_address_when_there_are_answers(served, tmp_path):
    result = run("-m", tmp_path, "--port", 0)
    assert result.exit_code == 0, result.exception
    assert served["model_name"] == tmp_path.name
    assert f"{tmp_path.name} answers at http://127.0.0.1:" in result.output


def test_options_reach_the_server_and_the_engine(served, tmp_path):
    options = ["--max-running", 3, "--max-waiting", 4, "--weights-scheme", "int8"]
    limits = ["--max-new-tokens", 9, "--max-prompt-tokens", 8, "--timeout", 7]
    named = ["--adapter", "fox=a", "--cors", "http://page", "--engine", "torch"]
    result = run("-m", tmp_path, "--port", 0, *options, *limits, *named)
    assert result.exit_code == 0, result.exception
    taken, settings = served["options"], served["settings"]
    assert (taken.max_running, taken.max_waiting, taken.weights) == (3, 4, "int8")
    assert {name: str(path) for name, path in taken.adapters.items()} == {"fox": "a"}
    assert (settings.max_new_tokens, settings.max_prompt_tokens) == (9, 8)
    assert (settings.request_seconds, settings.cors_origins) == (7, ("http://page",))
    assert served["engine"] == "torch"


def test_the_key_comes_from_the_environment(served, tmp_path, monkeypatch):
    monkeypatch.setenv("XTURING_API_KEY", "secret")
    result = run("-m", tmp_path, "--port", 0, "--host", "0.0.0.0")
    assert result.exit_code == 0, result.exception
    assert served["settings"].api_key == "secret"
    assert "secret" not in result.output


def test_a_port_in_use_is_told_before_the_model_is_opened():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("-m", "no such model", "--port", taken.getsockname()[1])
    assert isinstance(result.exception, SettingsError)
    assert "--port" in str(result.exception)


@pytest.mark.parametrize("text", ["fox", "=dir", "fox=", "m=dir"])
def test_an_adapter_has_a_name_of_its_own_and_a_folder(text):
    result = run("-m", "m", "--adapter", text)
    assert isinstance(result.exception, SettingsError)
