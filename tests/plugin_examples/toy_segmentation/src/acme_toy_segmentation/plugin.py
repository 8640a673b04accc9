"""What the entry point names; light, as the kernel imports it before it knows whether to use it."""

from rv_core import hookimpl


@hookimpl
def rv_backend(key, kernel):
    if key != "TOY_SEGMENTATION":
        return None
    from acme_toy_segmentation.backend import ToySegmentation

    return ToySegmentation
