"""What the entry point names; light, as the kernel imports it before it knows whether to use it."""

from rv_core import hookimpl


@hookimpl
def rv_runner(key, kernel):
    if key != "TOY_PROCESSES":
        return None
    from acme_toy_runner.runner import ProcessRunner

    return ProcessRunner
