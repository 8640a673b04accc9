"""Storage on the disks of this machine."""

from rv_plugins.local._filesystem import LocalFileSystem

__all__ = ["LocalFileSystem"]
