"""``rv.SOME_KEY`` after ``import rv_core as rv``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rv_core


def run(code: str, *paths: Path) -> str:
    """Run code in a fresh process that sees the packages of these folders too."""
    extra = "".join(f"sys.path.insert(0, {str(path)!r}); " for path in paths)
    whole = f"import sys; {extra}import rv_core as rv; {code}"
    done = subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def acme(make_distribution):
    source = """
    from rv_core import hookimpl
    @hookimpl
    def rv_model_defaults(backend, kernel):
        return {"ACME_TINY": {"batch_size": 1}}
    """
    groups = {
        "rv.backends.v1": {"ACME_NET": "acme_net"},
        "rv.model_defaults.v1": {"ACME_NET": "acme_net"},
        "rv.tasks.v1": {"ACME_TASK": "acme_net"},
    }
    return make_distribution("acme-net", groups, {"acme_net.py": source})


def test_keys_of_backends_and_tasks_need_no_import(acme):
    code = "print(rv.ACME_NET, rv.ACME_TASK, 'acme_net' in sys.modules)"
    assert run(code, acme) == "ACME_NET ACME_TASK False"


def test_keys_of_models_come_from_the_defaults(acme):
    assert run("print(rv.ACME_TINY)", acme) == "ACME_TINY"


def test_there_is_one_default_kernel(acme):
    assert run("print(rv.default_kernel() is rv.default_kernel())", acme) == "True"


def test_a_key_that_is_not_installed_says_what_to_install(tmp_path):
    said = run("rv.default_kernel(); rv.ACME_NOT")
    assert said.startswith("AttributeError: no installed plugin serves key 'ACME_NOT'")


def test_a_close_match_is_offered(acme):
    assert "did you mean 'ACME_NET'?" in run("rv.ACME_NETT", acme)


def test_broken_plugins_are_named_with_an_unknown_key(acme):
    (acme / "acme_net.py").write_text("1/0")
    assert "broken: acme-net 1.0" in run("rv.ACME_TINY", acme)


def test_other_names_are_ordinary_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'kernle'"):
        _ = rv_core.kernle


def test_every_exported_name_is_there_and_the_list_is_in_order():
    for name in rv_core.__all__:
        assert getattr(rv_core, name) is not None
    assert rv_core.__all__ == sorted(
        rv_core.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )
    assert set(rv_core.__all__) <= set(dir(rv_core))
