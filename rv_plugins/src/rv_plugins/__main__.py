"""``python -m rv_plugins`` is ``rv``."""

from rv_plugins.cli import main

if __name__ == "__main__":
    main()
