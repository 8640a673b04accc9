"""What every FileSystem promises, as tests that its author subclasses."""

from __future__ import annotations

from typing import Any

from rv_core.testing._filesystem_contract._base import CAPABILITIES, Put, Remove, applies
from rv_core.testing._filesystem_contract._files import Files, Writing
from rv_core.testing._filesystem_contract._listing import Listing
from rv_core.testing._filesystem_contract._model import Model
from rv_core.testing._filesystem_contract._names import NAMES, Names
from rv_core.testing._filesystem_contract._sync import SyncDown, SyncUp
from rv_core.testing._filesystem_contract._transfers import Transfers

__all__ = ["NAMES", "FileSystemContract", "Put", "Remove"]


class FileSystemContract(Files, Writing, Names, Listing, Transfers, SyncDown, SyncUp, Model):
    """The promises of storage, tested on one system.

    Subclass it in a test module, under a name that begins with ``Test``, with two fixtures::

        class TestMyStorage(FileSystemContract):
            capabilities = FileSystemContract.capabilities - {"exclusive"}

            @pytest.fixture
            def fs(self):
                return MyFileSystem()

            @pytest.fixture
            def root(self):
                return f"my://bucket/{uuid.uuid4().hex}"

    ``fs`` is the system, ``root`` the URI of a folder that is empty, or not there yet, with no
    slash at its end. ``capabilities``: what the system can do, of ``any_key`` (`..`, empty parts
    and backslashes are names as any other, below ``root`` and a slash), ``constant_memory`` (it
    does not keep the files in this process), ``delete``, ``etag``, ``exclusive`` (mode ``"xb"``,
    for one of many at once), ``folders`` (a folder is told from a file of that name),
    ``last_modified``, ``list``, ``many_files`` (1,500 take less than some minutes), ``seek``
    (streams for reading) and ``write``. Tests of what is missing are not collected; in their
    place stand those of how it is refused.

    A read-only system overrides the fixtures ``put`` and ``remove`` too, which make
    (``put("a/b.txt", b"data")``, returning the URI) and take away a file on the server from
    behind. ``refused_names``: those of `NAMES`, or their titles there, that the system cannot hold
    by its own rules. ``secrets``: words of the credentials in use, which no log and no error may
    show. Tests that take long are marked ``slow``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if unknown := cls.capabilities - CAPABILITIES:
            raise TypeError(
                f"{cls.__name__}: no such capabilities: {', '.join(sorted(unknown))}; "
                f"there are {', '.join(sorted(CAPABILITIES))}"
            )
        for name in dir(FileSystemContract):
            if name.startswith("test") and name not in vars(cls):
                test = getattr(FileSystemContract, name)
                inherited = getattr(cls, name, None) or test
                # What is not callable is not collected.
                setattr(cls, name, inherited if applies(inherited, cls) else None)
