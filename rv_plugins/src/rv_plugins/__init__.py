"""Local storage and the ``rv`` command."""

__all__: list[str] = []
