"""Storage on the disks of this machine."""

from rv_plugins.local._filesystem import LocalFileSystem
from rv_plugins.local._paths import is_local, path_of, uri_of

__all__ = ["LocalFileSystem", "is_local", "path_of", "uri_of"]
