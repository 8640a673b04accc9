"""The rv command, run as people and scripts run it: in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rv_core import Kernel

pytestmark = pytest.mark.slow  # a process for each command

CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


class Rv:
    """Runs ``rv`` with distributions of the test on its path."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.cwd = folder / "work"
        self.cwd.mkdir()
        self.env = {**os.environ, "PYTHONPATH": str(self.site), "COLUMNS": "40", "LINES": "20"}
        # Whatever else is installed here is none of these tests' business.
        others = {plugin.distribution for plugin in Kernel().plugins()} - {"rv-plugins"}
        self.env["RV_DISABLE_PLUGINS"] = ",".join(sorted(others))

    def argv(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "rv_plugins", *map(str, args)]

    def __call__(self, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
        if "RV_DISABLE_PLUGINS" in env:
            env["RV_DISABLE_PLUGINS"] += "," + self.env["RV_DISABLE_PLUGINS"]
        done = subprocess.run(
            self.argv(*args), capture_output=True, cwd=self.cwd, env={**self.env, **env},
            timeout=60, check=False,
        )  # fmt: skip
        assert not CONTROL.search(done.stdout + done.stderr), "control codes in a pipe"
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def json(self, *args: object, **env: str) -> object:
        done = self(*args, "--json", **env)
        assert done.stderr == ""
        return json.loads(done.stdout)

    def fails(self, code: int, *args: object, **env: str) -> str:
        """What a failing command says; one line, or two with a hint."""
        done = self(*args, **env)
        assert done.returncode == code, done.stderr
        lines = done.stderr.splitlines()
        assert lines[0].startswith("Error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("Hint: ")), done.stderr
        return done.stderr


@pytest.fixture
def rv(tmp_path: Path) -> Rv:
    return Rv(tmp_path)


@pytest.fixture
def plugins(make_distribution: Callable[..., Path]) -> None:
    """A good plugin, a broken one, one that lacks a dependency, and two that quarrel."""
    make_distribution(
        "good-rv",
        {
            "rv.filesystems.v1": {"good": "good_rv"},
            "rv.commands.v1": {"greet": "good_rv.cli:greet", "badtype": "good_rv.cli:text"},
            "rv.backends.v1": {"GOOD": "good_rv"},
            "rv.model_defaults.v1": {"GOOD": "good_rv"},
        },
        {
            "good_rv/__init__.py": """
                import os, pathlib
                if os.environ.get("TRACE"):
                    pathlib.Path(os.environ["TRACE"]).write_text("imported")
                from rv_core import hookimpl
                @hookimpl
                def rv_model_defaults(backend, kernel):
                    return {"GOOD_NET": {"batch_size": 4, "pretrained_model": "https://h/w.h5"}}
            """,
            "good_rv/cli.py": """
                import logging
                import click
                from rv_core import Kernel
                text = "no command"
                @click.command()
                @click.option("--wrong", is_flag=True)
                @click.option("--interrupt", is_flag=True)
                @click.option("--log", is_flag=True)
                @click.pass_obj
                def greet(kernel, wrong, interrupt, log):
                    "Say hello."
                    assert isinstance(kernel, Kernel)
                    if wrong:
                        raise ValueError("two\\nlines")
                    if interrupt:
                        raise KeyboardInterrupt
                    if log:
                        logging.getLogger("rv_good").warning("take\\ncare")
                        logging.getLogger("rv_good").info("told")
                        logging.getLogger("noisy").warning("noise")
                    click.echo("hello " + kernel.config.get("good", "name", "you"))
            """,
        },
    )
    make_distribution(
        "broken-rv",
        {"rv.commands.v1": {"burst": "broken_rv:cli"}, "rv.backends.v1": {"BURST": "broken_rv"}},
        {"broken_rv.py": "raise RuntimeError('oh no')"},
    )
    make_distribution(
        "needy-rv", {"rv.backends.v1": {"NEEDY": "needy_rv"}}, {"needy_rv.py": "import not_there"}
    )
    make_distribution("left-rv", {"rv.backends.v1": {"BOTH": "left_rv"}}, {"left_rv.py": ""})
    make_distribution("right-rv", {"rv.backends.v1": {"BOTH": "right_rv"}}, {"right_rv.py": ""})


def test_the_version_names_rv_and_its_kernel(rv: Rv) -> None:
    import rv_core
    import rv_plugins

    done = rv("--version")
    assert done.stdout.startswith(f"rv {rv_plugins.__version__} (rv-core {rv_core.__version__}, ")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_package() -> None:
    import importlib.metadata

    import rv_plugins

    assert importlib.metadata.version("rv-plugins") == rv_plugins.__version__


def test_the_installed_script_is_the_same_command() -> None:
    script = Path(sys.executable).parent / "rv"
    if not script.exists():
        pytest.skip("rv-plugins is not installed here as a distribution")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rv ")


@pytest.mark.usefixtures("plugins")
def test_help_lists_the_commands_of_plugins_and_marks_the_broken(rv: Rv) -> None:
    done = rv("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name in ("plugins", "fs", "cache", "models", "config"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)
    assert re.search(r"^  greet +Say hello", done.stdout, re.MULTILINE)
    assert re.search(r"^  burst +\(broken", done.stdout, re.MULTILINE)


@pytest.mark.usefixtures("plugins")
def test_a_plugin_s_command_gets_the_kernel(rv: Rv) -> None:
    assert rv("greet").stdout == "hello you\n"
    assert rv("greet", RV_GOOD_NAME="all").stdout == "hello all\n"
    (rv.cwd / "rv.toml").write_text('[good]\nname = "project"\n')
    assert rv("greet").stdout == "hello project\n"
    profiles = rv.cwd / "config" / "rv"
    profiles.mkdir(parents=True)
    (profiles / "night.toml").write_text('[good]\nname = "night"\n')
    (rv.cwd / "rv.toml").unlink()
    config = {"XDG_CONFIG_HOME": str(rv.cwd / "config")}
    assert rv("--profile", "night", "greet", **config).stdout == "hello night\n"
    assert "night" in rv.fails(1, "--profile", "noon", "greet", **config)


@pytest.mark.usefixtures("plugins")
def test_a_broken_command_says_whose_fault_it_is(rv: Rv) -> None:
    said = rv.fails(1, "burst", "--any", "thing")
    assert "broken-rv 1.0" in said
    assert "oh no" in said
    assert "not a click.Command" in rv.fails(1, "badtype")


def test_listing_plugins_is_plain_and_never_cut(rv: Rv, plugins: None) -> None:
    done = rv("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert head == ["DISTRIBUTION", "VERSION", "STATUS", "KEYS", "LOCATION", "NOTES"]
    found = {row[0]: row for row in rows}
    assert found["good-rv"][1:3] == ["1.0", "ready"]
    assert "commands:badtype,greet" in found["good-rv"][3]
    assert found["good-rv"][4] == str(rv.site)
    assert found["left-rv"][2] == "conflict"
    assert "right-rv 1.0" in found["left-rv"][5]
    assert "filesystems:file" in found["rv-plugins"][3]


@pytest.mark.slow
def test_listing_plugins_imports_none(rv: Rv, plugins: None, tmp_path: Path) -> None:
    for args in (["plugins"], ["--version"], ["plugins", "--json"], ["plugins", "why", "GOOD"],
                 ["fs", "ls", "/etc/hostname"], ["config", "show"]):  # fmt: skip
        rv(*args, TRACE=str(tmp_path / "trace"))
        assert not (tmp_path / "trace").exists(), args
    rv("plugins", "check", TRACE=str(tmp_path / "trace"))
    assert (tmp_path / "trace").exists()


def test_plain_output_needs_no_rich_and_no_plugin(rv: Rv, plugins: None) -> None:
    for args in ("plugins", "--version"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "rv_plugins", args],
            capture_output=True, text=True, env=rv.env, check=True,
        )  # fmt: skip
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "click" in imported
        assert not imported & {"rich", "requests", "numpy", "rv_plugins.plugin", "good_rv"}


def test_listing_plugins_as_json(rv: Rv, plugins: None) -> None:
    found = {plugin["distribution"]: plugin for plugin in rv.json("plugins")}  # type: ignore[attr-defined]
    assert found["good-rv"]["version"] == "1.0"
    assert found["good-rv"]["location"] == str(rv.site)
    assert {
        "kind": "filesystems", "contract": 1, "key": "good", "target": "good_rv",
        "status": "ready", "detail": "",
    } in found["good-rv"]["keys"]  # fmt: skip
    off = {p["distribution"]: p for p in rv.json("plugins", RV_DISABLE_PLUGINS="good-rv")}  # type: ignore[attr-defined]
    assert off["good-rv"]["status"] == "disabled"
    assert "RV_DISABLE_PLUGINS" in off["good-rv"]["keys"][0]["detail"]


@pytest.mark.slow
def test_why_tells_who_answers(rv: Rv, plugins: None) -> None:
    assert "GOOD is served by good-rv 1.0 (backends)" in rv("plugins", "why", "GOOD").stdout
    assert "served by good-rv 1.0" in rv("plugins", "why", "good://x?sig=HUSH").stdout
    assert "HUSH" not in rv("plugins", "why", "good://x?sig=HUSH").stdout
    assert "rv-plugins" in rv("plugins", "why", "some/path.tif").stdout
    both = rv("plugins", "why", "BOTH").stdout
    assert "BOTH is served by nobody" in both
    assert "left-rv" in both
    assert "also claimed by left-rv" in both
    assert "good-rv" in rv("plugins", "why", "GOOD_NET").stdout
    disabled = rv("plugins", "why", "GOOD", RV_DISABLE_PLUGINS="good-rv").stdout
    assert "by nobody" in disabled
    assert "RV_DISABLE_PLUGINS" in disabled
    asked = rv.json("plugins", "why", "BOTH")
    assert [c["status"] for c in asked["claims"]] == ["conflict", "conflict"]  # type: ignore[index]


def test_why_of_what_nobody_serves(rv: Rv, plugins: None) -> None:
    assert "did you mean 'GOOD'" in rv.fails(1, "plugins", "why", "GOD")
    done = rv("plugins", "why", "nosuch://x")
    assert "nosuch" in done.stdout + done.stderr
    # Where a plugin for any scheme is installed, but disabled, it is listed.
    assert done.returncode == 1 or "nosuch://x is served by nobody" in done.stdout


def test_why_of_a_scheme_that_is_pinned_to_the_plugin_for_any(
    rv: Rv, plugins: None, make_distribution: Callable[..., Path]
) -> None:
    make_distribution("any-rv", {"rv.filesystems.v1": {"*": "rv_any"}})
    said = rv("plugins", "why", "other://x").stdout
    assert "other://x is served by any-rv 1.0 (filesystems), if it knows this scheme" in said
    said = rv("plugins", "why", "good://x", RV_PINS="good=any-rv").stdout
    assert "good://x is served by any-rv 1.0" in said
    assert "pinned to any-rv" in said


def test_check_imports_and_tells_what_is_broken(rv: Rv, plugins: None) -> None:
    done = rv("plugins", "check")
    assert done.returncode == 1
    lines = {tuple(re.split(r"  +", line)[:4]): line for line in done.stdout.splitlines()}
    assert "oh no" in lines["broken-rv", "1.0", "backends", "BURST"]
    assert "not_there" in lines["needy-rv", "1.0", "backends", "NEEDY"]
    assert "loaded" in lines["good-rv", "1.0", "backends", "GOOD"]
    assert "not a click.Command" in lines["good-rv", "1.0", "commands", "badtype"]
    assert "loaded" in lines["good-rv", "1.0", "commands", "greet"]


def test_check_succeeds_where_all_is_well(rv: Rv) -> None:
    done = rv("plugins", "check")
    assert done.returncode == 0, done.stdout


def test_models_are_listed_with_settings_and_origin(
    rv: Rv, plugins: None, write_json: Callable[[Path, object], Path]
) -> None:
    uri = write_json(rv.cwd / "own.json", {"GOOD": {"GOOD_NET": {"batch_size": 8}, "MINE": {}}})
    found = rv.json("models", "GOOD", RV_MODEL_DEFAULTS_URI=str(uri))
    assert isinstance(found, list)
    assert [entry["model"] for entry in found] == ["GOOD_NET", "MINE"]
    assert found[0]["settings"] == {"batch_size": 8, "pretrained_model": "https://h/w.h5"}
    assert found[0]["from"][0] == "good-rv 1.0"
    assert str(uri) in found[0]["from"][1]
    plain = rv("models", "GOOD").stdout
    assert "GOOD_NET  good-rv 1.0  ready" in plain
    assert "batch_size=4 pretrained_model=https://h/w.h5" in plain
    assert "did you mean 'GOOD'" in rv.fails(1, "models", "GOD")


def test_settings_are_shown_with_origin_and_without_secrets(rv: Rv) -> None:
    (rv.cwd / "rv.toml").write_text(
        '[rv]\ncache_dir = "/c"\n[s3]\nsecret_key = "HUSH"\nnested = {token = "HUSH", a = 1}\n'
        'from_env = {env = "MY_TOKEN"}\nurl = "https://me:HUSH@h/x?sig=HUSH"\n'
    )
    env = {"RV_S3_PASSWORD": "HUSH", "RV_CACHE_DIR": "/e", "MY_TOKEN": "fine"}
    done = rv("config", "show", **env)
    assert "HUSH" not in done.stdout + done.stderr
    assert re.search(r"^rv.cache_dir +/e +environment RV_CACHE_DIR", done.stdout, re.MULTILINE)
    assert re.search(r"^s3.url +https://h/x +project .*rv.toml", done.stdout, re.MULTILINE)
    found = {(s["section"], s["key"]): s for s in rv.json("config", "show", **env)}  # type: ignore[attr-defined]
    assert "HUSH" not in json.dumps(list(found.values()))
    assert found["s3", "nested"]["value"]["a"] == 1
    assert found["rv", "pins"]["origin"] == "default"


def test_broken_settings_are_one_line_with_the_place(rv: Rv) -> None:
    (rv.cwd / "rv.toml").write_text("[rv\n")
    assert "rv.toml" in rv.fails(1, "plugins")
    done = rv("--help")
    assert done.returncode == 0
    assert "rv.toml" in done.stderr


def test_wrong_usage_has_code_2(rv: Rv, plugins: None) -> None:
    assert "did you mean 'plugins'" in rv.fails(2, "plugin").lower()
    assert "--nope" in rv.fails(2, "plugins", "--nope")
    assert "--nope" in rv.fails(2, "--nope", "plugins")
    assert "uri" in rv.fails(2, "fs", "cat").lower()
    assert "rv fs cat --help" in rv.fails(2, "fs", "cat")
    assert "before the command: rv --debug fs ls" in rv.fails(2, "fs", "ls", "--debug", ".")
    assert rv("fs").returncode == 2
    assert rv().returncode == 2


def test_unknown_commands_of_ours_come_with_the_install_line(rv: Rv) -> None:
    from rv_core._resolution import known_plugins

    brings_run = known_plugins()["commands"]["run"]
    said = rv("run", RV_DISABLE_PLUGINS=brings_run).stderr
    assert brings_run in said


def test_debug_adds_the_traceback(rv: Rv, plugins: None) -> None:
    assert "two lines" in rv.fails(1, "greet", "--wrong")
    assert "ValueError" in rv.fails(1, "greet", "--wrong")
    done = rv("--debug", "greet", "--wrong")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert 'cli.py"' in done.stderr
    assert "Traceback" in rv("--debug", "fs", "cat", "nofile").stderr


def test_interrupted_is_130(rv: Rv, plugins: None) -> None:
    done = rv("greet", "--interrupt")
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_ctrl_c_ends_with_130_and_leaves_nothing(rv: Rv) -> None:
    os.mkfifo(rv.cwd / "pipe")
    with (
        subprocess.Popen(
            rv.argv("fs", "cp", "pipe", "out/target"),
            cwd=rv.cwd,
            env=rv.env,
            stderr=subprocess.PIPE,
        ) as process,
        (rv.cwd / "pipe").open("wb") as pipe,
    ):
        pipe.write(b"x" * 100_000)
        pipe.flush()
        deadline = time.monotonic() + 60
        while not list(rv.cwd.glob("out/.rv-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(rv.cwd.glob("out/*")) + list(rv.cwd.glob("out/.*")) == []


def test_warnings_are_one_line_each(rv: Rv, plugins: None) -> None:
    assert rv("greet", "--log").stderr == "Warning: take care\n"
    assert rv("-q", "greet", "--log").stderr == ""
    assert rv("-v", "greet", "--log").stderr == "Warning: take care\ntold\nWarning: noise\n"
    assert "Warning: rv_good: take care\n" in rv("-vv", "greet", "--log").stderr


def test_a_reader_that_goes_away_is_no_error(rv: Rv) -> None:
    (rv.cwd / "big").write_bytes(b"x" * 5_000_000)
    for n in range(1000):  # more than a pipe holds
        (rv.cwd / f"{'n' * 200}{n}").touch()
    for args in (["fs", "cat", "big"], ["fs", "ls"]):
        with subprocess.Popen(
            rv.argv(*args), cwd=rv.cwd, env=rv.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_a_failure(rv: Rv) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            rv.argv("plugins"), stdout=full, stderr=subprocess.PIPE, env=rv.env, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_the_shell_completes_commands_keys_and_options(rv: Rv, plugins: None) -> None:
    def completed(words: str, current: int) -> list[str]:
        done = rv(_RV_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(current))
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("rv pl", 1) == ["plugins"]
    assert "greet" in completed("rv g", 1)
    assert completed("rv plugins w", 2) == ["why"]
    assert completed("rv plugins why GO", 3) == ["GOOD"]
    assert completed("rv models G", 2) == ["GOOD"]
    assert "--json" in completed("rv models --", 2)
    assert "_RV_COMPLETE" in rv(_RV_COMPLETE="bash_source").stdout


def run_on_terminal(rv: Rv, *args: object) -> str:
    """What a terminal of 60 columns is sent."""
    main, side = pty.openpty()
    env = {**rv.env, "COLUMNS": "60", "TERM": "xterm-256color"}
    with subprocess.Popen(rv.argv(*args), cwd=rv.cwd, env=env, stdout=side, stderr=side):
        os.close(side)
        said = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break
            if not piece:
                break
            said += piece
    os.close(main)
    return said.decode()


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX systems")
def test_a_terminal_gets_colours_and_bars(rv: Rv, plugins: None) -> None:
    said = run_on_terminal(rv, "plugins")
    assert "\x1b[" in said
    assert "…" not in said  # folded, not cut
    (rv.cwd / "big").write_bytes(b"x" * 30_000_000)
    assert "30.0 MB" in run_on_terminal(rv, "fs", "cp", "big", "copy")
    assert run_on_terminal(rv, "-q", "fs", "cp", "big", "copy") == ""


def test_ctrl_c_while_rv_is_starting_is_heard_too(rv: Rv) -> None:
    rv.site.mkdir(exist_ok=True)
    (rv.site / "click.py").write_text("raise KeyboardInterrupt\n")
    done = rv("plugins")
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")
