"""What the installed packages do together, found as a user finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import rv_core as rv
from rv_core import Kernel

PLUGIN_MODULES = [
    "rv_plugins.plugin",
    "rv_fs_http",
    "rv_learner",
    "rv_backend_keras",
    "rv_pipeline",
]
HEAVY = ["tensorflow", "keras", "numpy", "requests", "rasterio", "rich"]


def rv_command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rv_plugins", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize("words", [["plugins"], ["plugins", "--json"], ["--version"]])
def test_listing_imports_no_plugin(words, tmp_path):
    code = (
        "import sys, json\nfrom rv_plugins.cli import main\n"
        f"sys.argv = ['rv', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('LOADED', json.dumps([m for m in {PLUGIN_MODULES + HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.rpartition("LOADED")[2]) == []


def test_every_plugin_of_this_repository_is_sound():
    done = rv_command("plugins", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = {p.distribution: p.status for p in Kernel().check()}
    ours = {name: status for name, status in statuses.items() if name.startswith("rv-")}
    assert set(ours.values()) == {"loaded"}
    assert {"rv-plugins", "rv-fs-http", "rv-backend-keras", "rv-pipeline"} <= set(ours)


def test_keys_are_attributes():
    code = "import rv_core as rv; print(rv.KERAS_CLASSIFICATION, rv.RESNET50_IMAGENET)"
    code += "\nprint(rv.CHIP_CLASSIFICATION)\nimport sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [
        "KERAS_CLASSIFICATION", "RESNET50_IMAGENET", "CHIP_CLASSIFICATION", "False",
    ], done.stderr  # fmt: skip


def test_a_first_party_key_that_is_not_installed_says_what_to_install():
    code = "import rv_core as rv; rv.KERAS_CLASSIFICATION"
    environ = {**os.environ, "RV_DISABLE_PLUGINS": "rv-backend-keras"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ
    )
    assert "AttributeError" in done.stderr
    assert "pip install rv-backend-keras" in done.stderr


@pytest.fixture
def web(tmp_path):
    """A folder served over HTTP: (folder, URL)."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("where", ["path", "file", "http"])
def test_model_defaults_come_from_a_uri_of_any_kind(where, web, monkeypatch):
    folder, url = web
    entry = {"batch_size": 3}
    (folder / "my defaults.json").write_text(json.dumps({"KERAS_CLASSIFICATION": {"MINE": entry}}))
    path = folder / "my defaults.json"
    uri = {"path": str(path), "file": path.as_uri(), "http": f"{url}/my%20defaults.json"}[where]
    monkeypatch.setenv("RV_MODEL_DEFAULTS_URI", uri)
    kernel = Kernel()
    defaults = kernel.model_defaults("KERAS_CLASSIFICATION")
    assert defaults["MINE"] == entry
    assert "RESNET50_IMAGENET" in defaults
    resolved = kernel.resolve(kernel.backend_config("KERAS_CLASSIFICATION", model_defaults="MINE"))
    assert resolved.batch_size == 3

    said = json.loads(rv_command("models", "KERAS_CLASSIFICATION", "--json").stdout)
    assert "MINE" in json.dumps(said)


def test_model_defaults_that_are_not_there_name_the_uri(monkeypatch, tmp_path):
    monkeypatch.setenv("RV_MODEL_DEFAULTS_URI", str(tmp_path / "none.json"))
    with pytest.raises(rv.NotFoundError, match=r"none\.json"):
        Kernel().model_defaults("KERAS_CLASSIFICATION")
    done = rv_command("models")
    assert done.returncode == 1
    assert "none.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_travel_between_systems(web, tmp_path):
    folder, url = web
    (folder / "a b.txt").write_text("hello")
    kernel = Kernel()
    kernel.files.copy(f"{url}/a%20b.txt", str(tmp_path / "there" / "a b.txt"))
    assert (tmp_path / "there" / "a b.txt").read_text() == "hello"
    cached = kernel.files.local_path(f"{url}/a%20b.txt")
    assert cached.is_relative_to(Path(os.environ["RV_CACHE_DIR"]))
    with pytest.raises(rv.NotWritableError):
        kernel.files.copy(str(cached), f"{url}/new.txt")
