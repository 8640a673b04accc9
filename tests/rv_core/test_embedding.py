"""Several kernels in one process, kernels in workers, and nothing of the process touched."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
from importlib import import_module
from pathlib import Path

import pytest

import rv_core as rv
from rv_core import Config, Kernel

WORKER = """
from rv_core import Kernel

def ask(spec, connection):
    kernel = Kernel.from_spec(spec)
    kernel.files.write_str("one://x", "from the worker")
    plugins = [p.distribution for p in kernel.plugins()]
    answer = (kernel.files.read_str("one://x"), plugins, kernel.config.get("s3", "secret_key"))
    connection.send(answer)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch, memory_storage):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plug_one.py").write_text(memory_storage("one"))
    (tmp_path / "plug_two.py").write_text(memory_storage("two"))
    (tmp_path / "plug_rival.py").write_text(memory_storage("one"))
    (tmp_path / "plug_worker.py").write_text(WORKER)
    yield [import_module(name) for name in ("plug_one", "plug_two", "plug_rival")]
    for name in ("plug_one", "plug_two", "plug_rival", "plug_worker"):
        sys.modules.pop(name, None)


def test_two_kernels_with_different_plugins_and_settings(modules):
    one, two, _ = modules
    first = Kernel(plugins=[one], config={"thing": {"size": 1}})
    second = Kernel(plugins=[two], config={"thing": {"size": 2}})
    first.files.write_str("one://x", "1")
    second.files.write_str("two://x", "2")
    with pytest.raises(rv.UnknownKeyError, match="this kernel was given plug_one"):
        first.filesystem("two://x")
    assert (first.config.get("thing", "size"), second.config.get("thing", "size")) == (1, 2)


def test_two_kernels_with_different_installed_plugins_and_settings(memory_plugin, tmp_path):
    path = memory_plugin("acme-one", "one", folder=tmp_path / "one")
    memory_plugin("acme-rival", "one", folder=tmp_path / "one")
    other = memory_plugin("acme-two", "two", folder=tmp_path / "two")
    first = Kernel(path=[path], config={"rv": {"pins": {"one": "acme-rival"}}})
    second = Kernel(path=[other])
    third = Kernel(path=[path], disable=["acme-rival"])
    first.files.write_str("one://x", "1")
    assert not third.files.file_exists("one://x")
    assert second.filesystem("two://x")
    with pytest.raises(rv.UnknownKeyError):
        second.filesystem("one://x")


def test_an_embedded_kernel_discovers_nothing(modules):
    kernel = Kernel(plugins=[modules[0]])
    assert [p.distribution for p in kernel.plugins()] == ["plug_one"]
    assert kernel.keys("backends") == []
    with pytest.raises(rv.UnknownKeyError):
        kernel.backend("KERAS_CLASSIFICATION")


def test_two_embedded_plugins_for_one_key_are_a_conflict_until_pinned(modules):
    one, _, rival = modules
    with pytest.raises(rv.PluginConflictError, match="plug_one and plug_rival"):
        Kernel(plugins=[one, rival]).filesystem("one://x")
    pinned = Kernel(plugins=[one, rival], config={"rv": {"pins": {"one": "plug_rival"}}})
    assert pinned.filesystem("one://x") is rival.STORAGE
    with pytest.raises(rv.ConfigError, match="pinned to ghost") as caught:
        Kernel(plugins=[one, rival], config={"rv": {"pins": {"one": "ghost"}}}).filesystem(
            "one://x"
        )
    assert "plug_one and plug_rival" in caught.value.hint
    assert Kernel(plugins=[one, rival], disable=["plug-rival"]).filesystem("one://x")


def test_an_embedded_plugin_may_wrap(modules):
    class Deny:
        @rv.hookimpl(wrapper=True)
        def rv_filesystem(self, uri, mode, kernel):
            if "secret" in uri:
                raise rv.AccessDeniedError(f"no {uri}")
            return (yield)

    kernel = Kernel(plugins=[modules[0], Deny()])
    kernel.files.write_str("one://x", "")
    with pytest.raises(rv.AccessDeniedError):
        kernel.filesystem("one://secret")


@pytest.mark.parametrize("kind", ["embedded", "discovered"])
def test_a_spawned_worker_resolves_the_same_plugins(kind, modules, memory_plugin, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hunter2")
    config = {"s3": {"secret_key": {"env": "MY_SECRET"}}}
    if kind == "embedded":
        kernel = Kernel(plugins=["plug_one"], config=config)
        names = ["plug_one"]
    else:
        path = memory_plugin("acme-one", "one")
        memory_plugin("acme-off", "one")
        kernel = Kernel(path=[path], disable=["acme-off"], config=config)
        names = ["acme-off", "acme-one"]
    spec = kernel.spec()
    assert b"hunter2" not in pickle.dumps(spec)
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=import_module("plug_worker").ask, args=(spec, theirs))
    worker.start()
    try:
        assert ours.poll(120), "the worker never answered"
        assert ours.recv() == ("from the worker", names, "hunter2")
    finally:
        worker.join(60)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"s3": {"secret_key": "hunter2"}}, "s3.secret_key"),
        ({"s3": {"work": {"secret_key": "hunter2"}}}, "s3.work.secret_key"),
        ({"s3": {"mirrors": ["https://me:hunter2@host/"]}}, "s3.mirrors"),
        ({"rv": {"model_defaults_uri": "https://h/x?X-Amz-Signature=hunter2"}}, "defaults_uri"),
    ],
)
def test_a_secret_is_never_put_into_a_spec(config, name):
    with pytest.raises(rv.ConfigError) as caught:
        Kernel(plugins=[], config=config).spec()
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_secret_in_variables_given_by_hand_is_never_put_into_a_spec():
    config = Config(environ={"RV_S3_SECRET_KEY": "hunter2", "HOME": "/x"})
    with pytest.raises(rv.ConfigError, match="RV_S3_SECRET_KEY holds a secret"):
        Kernel(plugins=[], config=config).spec()
    harmless = Config(environ={"RV_S3_REGION": "eu", "HOME": "/x"})
    spec = Kernel(plugins=[], config=harmless).spec()
    assert "HOME" not in repr(spec)
    assert Kernel.from_spec(spec).config.get("s3", "region") == "eu"


def test_a_spec_means_the_same_in_another_folder(memory_plugin, tmp_path, monkeypatch):
    path = memory_plugin("acme-mem", "mem")
    monkeypatch.chdir(path.parent)
    spec = Kernel(path=[path.name]).spec()
    monkeypatch.chdir("/")
    assert [p.distribution for p in Kernel.from_spec(spec).plugins()] == ["acme-mem"]


def test_a_plugin_without_an_importable_name_cannot_go_to_a_worker(modules):
    with pytest.raises(rv.ConfigError, match="no importable name"):
        Kernel(plugins=[object()]).spec()


def test_the_process_is_left_as_it_was(memory_plugin, tmp_path, monkeypatch):
    path = memory_plugin("acme-mem", "mem")
    (tmp_path / "rv.toml").write_text("[rv]\ncache_max_bytes = 5\n")
    monkeypatch.chdir(tmp_path)

    def state():
        root = logging.getLogger()
        return (
            dict(os.environ),
            list(sys.path),
            (root.level, list(root.handlers), logging.getLogger("rv_core").handlers),
            [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
            Path.cwd(),
        )

    before = state()
    kernel = Kernel(path=[path])
    kernel.files.write_str("mem://x", "x")
    kernel.spec()
    kernel.check()
    assert state() == before


def test_a_ready_made_config_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("RV_THING_SIZE", "5")
    assert Kernel(plugins=[], config=Config({})).config.get("thing", "size") is None
    assert Kernel(plugins=[]).config.get("thing", "size", 1) == 5
