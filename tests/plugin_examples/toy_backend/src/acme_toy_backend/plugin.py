"""What the entry points name; light, as the kernel imports it before it knows whether to use it."""

from rv_core import hookimpl


@hookimpl
def rv_backend(key, kernel):
    if key != "TOY_CLASSIFICATION":
        return None
    from acme_toy_backend.backend import ToyBackend

    return ToyBackend


@hookimpl
def rv_model_defaults(backend, kernel):
    if backend != "TOY_CLASSIFICATION":
        return None
    return {"TOY_QUICK": {"num_steps": 50}, "TOY_THOROUGH": {"num_steps": 400}}
