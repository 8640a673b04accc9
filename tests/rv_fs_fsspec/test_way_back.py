"""RV's storage for those who read through fsspec: its own tests, and pandas and zarr."""

from __future__ import annotations

import errno
import io
import pickle
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.tests import abstract

from rv_core import Kernel
from rv_fs_fsspec import FsspecFileSystem, RVFileSystem


class _OverRV(abstract.AbstractFixtures):
    """RV has no empty folders, as object stores have none."""

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)


class TestOverAKernel(
    _OverRV,
    abstract.AbstractCopyTests,
    abstract.AbstractGetTests,
    abstract.AbstractPutTests,
    abstract.AbstractOpenTests,
    abstract.AbstractPipeTests,
):
    """Over whatever is installed."""

    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls) -> RVFileSystem:
        return RVFileSystem(Kernel())

    @pytest.fixture
    def fs_path(self) -> str:
        return f"memory/{uuid.uuid4().hex}"


@pytest.mark.slow
class TestOverOneSystem(_OverRV, abstract.AbstractCopyTests):
    """Over one FileSystem, by which files are copied in another way."""

    test_copy_glob_edge_cases = None  # of names alone

    @pytest.fixture
    def fs(self) -> RVFileSystem:
        return RVFileSystem(FsspecFileSystem("memory"))

    @pytest.fixture
    def fs_path(self) -> str:
        return f"memory/{uuid.uuid4().hex}"


def test_a_server_far_away_is_asked_by_a_uri_that_holds_a_password(
    kernel: Kernel, sftp_server: Any, tmp_path: Path
) -> None:
    fs, top = RVFileSystem(kernel), f"rv://{sftp_server.url}/{uuid.uuid4().hex}"
    (tmp_path / "up" / "deep").mkdir(parents=True)
    (tmp_path / "up" / "deep" / "a b#.txt").write_bytes(b"1")
    fs.put(str(tmp_path / "up"), f"{top}/there", recursive=True)
    fs.copy(f"{top}/there", f"{top}/again", recursive=True)
    assert fs.glob(f"{top}/*/deep/*.txt") == [
        f"{fs._strip_protocol(top)}/{name}/deep/a b#.txt" for name in ("again", "there")
    ]
    fs.get(f"{top}/again", str(tmp_path / "down"), recursive=True)
    assert (tmp_path / "down" / "deep" / "a b#.txt").read_bytes() == b"1"
    fs.rm(top, recursive=True)
    assert not fs.exists(top)


# Paths


@pytest.mark.parametrize(
    ("given", "path", "uri"),
    [
        ("rv://s3://bucket/a/b", "s3/bucket/a/b", "s3://bucket/a/b"),
        ("s3://bucket/a/b", "s3/bucket/a/b", "s3://bucket/a/b"),
        ("s3/bucket/a/b", "s3/bucket/a/b", "s3://bucket/a/b"),
        ("rv://s3/bucket/a//b#?", "s3/bucket/a//b#?", "s3://bucket/a//b#?"),
        ("S3://bucket/a/", "s3/bucket/a", "s3://bucket/a"),
        ("https://host:80/x?y=1", "https/host:80/x?y=1", "https://host:80/x?y=1"),
        ("/data/x y.csv", "file/data/x y.csv", "/data/x y.csv"),
        ("/a:b.csv", "file/a:b.csv", "/a:b.csv"),
        ("rv:///data/x.csv", "file/data/x.csv", "/data/x.csv"),
        ("file:///data/x%20y.csv", "file/data/x y.csv", "/data/x y.csv"),
        ("zip://a::s3://b/c.zip", "zip/a::s3://b/c.zip", "zip://a::s3://b/c.zip"),
    ],
)
def test_a_uri_is_a_path_that_can_be_taken_apart(given: str, path: str, uri: str) -> None:
    assert RVFileSystem._strip_protocol(given) == path
    assert RVFileSystem._strip_protocol(path) == path
    assert RVFileSystem.uri_of(given) == RVFileSystem.uri_of(path) == uri
    assert RVFileSystem._strip_protocol(Path("/data/x.csv")) == "file/data/x.csv"
    assert RVFileSystem._parent(given) == path.rpartition("/")[0]


# Promises


@pytest.fixture
def fs() -> RVFileSystem:
    return RVFileSystem(Kernel())


@pytest.fixture
def place() -> str:
    return f"memory://{uuid.uuid4().hex}/place"


@pytest.mark.parametrize("mode", ["wb", "w", "xb"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_block_that_is_left_by_an_exception_writes_nothing(
    fs: RVFileSystem, place: str, mode: str, compression: str | None
) -> None:
    data: Any = b"half" if "b" in mode else "half"
    with pytest.raises(LookupError), fs.open(place, mode, compression=compression) as stream:
        stream.write(data)
        raise LookupError
    assert not fs.exists(place)
    stream = fs.open(place, mode, compression=compression)
    stream.write(data)
    del stream  # forgotten
    assert not fs.exists(place)
    with fs.open(place, mode, compression=compression) as stream:
        stream.write(data)
    with fs.open(place, mode.replace("w", "r").replace("x", "r"), compression=compression) as back:
        assert back.read() == data


def test_a_transaction_publishes_all_at_its_end_or_nothing(fs: RVFileSystem, place: str) -> None:
    with fs.transaction:
        fs.pipe_file(f"{place}/a", b"1")
        assert not fs.exists(f"{place}/a")
    assert fs.cat_file(f"{place}/a") == b"1"
    with pytest.raises(LookupError), fs.transaction:
        fs.pipe_file(f"{place}/b", b"2")
        raise LookupError
    assert not fs.exists(f"{place}/b")


def test_a_transaction_holds_back_uploads_and_copies_too(
    fs: RVFileSystem, place: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    fs.pipe_file(f"{place}/old", b"old")
    with pytest.raises(LookupError), fs.transaction:
        fs.put_file(tmp_path / "a", f"{place}/a")
        fs.cp_file(f"{place}/old", f"{place}/b")
        raise LookupError
    assert fs.find(place) == [f"{fs._strip_protocol(place)}/old"]
    with fs.transaction:
        fs.put_file(tmp_path / "a", f"{place}/a")
        fs.cp_file(f"{place}/old", f"{place}/b")
        assert len(fs.find(place)) == 1
    assert [fs.cat_file(path) for path in fs.find(place)] == [b"1", b"old", b"old"]


def test_errors_are_those_that_users_of_fsspec_expect(fs: RVFileSystem, place: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        fs.open(place)
    fs.pipe_file(place, b"1")
    with pytest.raises(FileExistsError):
        fs.pipe_file(place, b"2", mode="create")
    with pytest.raises(OSError, match="read-only") as caught:
        fs.pipe_file(f"zip://a::{place}", b"2")
    assert caught.value.errno == errno.EROFS
    with pytest.raises(ValueError, match="xyzzy"):
        fs.cat_file("xyzzy://a/b")
    fsspec.register_implementation("bare", "no_such_package.FileSystem", clobber=True)
    with pytest.raises(ImportError, match=r"bare:// needs .*pip install no-such-package"):
        fs.cat_file("bare://a/b")
    with pytest.raises(ValueError, match="whole chain"):
        RVFileSystem(fo="memory://b", target_protocol="memory")


def test_listings_are_by_folder(fs: RVFileSystem, place: str) -> None:
    for name in ("a.txt", "bus", "bush/a", "bush/deep/b"):
        fs.pipe_file(f"{place}/{name}", name.encode())
    path = fs._strip_protocol(place)
    assert fs.ls(place, detail=False) == [f"{path}/a.txt", f"{path}/bus", f"{path}/bush"]
    assert {told["name"]: told["type"] for told in fs.ls(place)} == {
        f"{path}/a.txt": "file",
        f"{path}/bus": "file",
        f"{path}/bush": "directory",
    }
    assert fs.find(f"{place}/bush") == [f"{path}/bush/a", f"{path}/bush/deep/b"]
    assert fs.glob(f"{place}/*/a") == [f"{path}/bush/a"]
    assert fs.du(place) == sum(map(len, ("a.txt", "bus", "bush/a", "bush/deep/b")))
    assert [folder for folder, _, _ in fs.walk(place)] == [
        path,
        f"{path}/bush",
        f"{path}/bush/deep",
    ]
    assert fs.isdir(f"{place}/bush")
    assert not fs.isdir(f"{place}/bus")
    assert fs.info(f"{place}/bus")["size"] == 3
    assert fs.modified(f"{place}/bus").tzinfo is not None
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{place}/nothing")
    fs.rm(f"{place}/bush", recursive=True)
    assert fs.ls(place, detail=False) == [f"{path}/a.txt", f"{path}/bus"]


def test_what_is_listed_in_an_archive_can_be_read(fs: RVFileSystem, place: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.txt", "one")
        made.writestr("deep/b.txt", "two")
    fs.pipe_file(f"{place}.zip", archive.getvalue())
    top = f"zip://::{place}.zip"
    assert [fs.cat_file(path) for path in fs.find(top)] == [b"one", b"two"]
    (folder,) = (told["name"] for told in fs.ls(top) if told["type"] == "directory")
    assert [fs.cat_file(path) for path in fs.ls(folder, detail=False)] == [b"two"]


def test_the_top_is_a_folder(fs: RVFileSystem) -> None:
    assert fs.exists("rv://")
    assert fs.isdir("")
    assert not fs.isfile("")


def test_parts_of_files_are_read(fs: RVFileSystem, place: str) -> None:
    fs.pipe_file(place, bytes(range(100)))
    assert fs.cat_file(place, 10, 20) == bytes(range(10, 20))
    assert fs.cat_file(place, -10) == bytes(range(90, 100))
    assert fs.cat_file(place, 5, -5) == bytes(range(5, 95))
    assert fs.head(place, 3) == b"\0\1\2"
    assert fs.tail(place, 3) == bytes([97, 98, 99])
    assert fs.read_block(place, 50, 5) == bytes(range(50, 55))
    with fs.open(place) as stream:
        assert stream.size == 100


def test_it_goes_to_other_processes(fs: RVFileSystem, place: str) -> None:
    fs.pipe_file(place, b"1")
    assert pickle.loads(pickle.dumps(fs)).cat_file(place) == b"1"
    assert pickle.loads(pickle.dumps(RVFileSystem())).cat_file(place) == b"1"
    with fsspec.open(f"rv://{place}") as stream:
        assert stream.read() == b"1"


# Those who read through it


@pytest.mark.slow
def test_pandas_reads_and_writes(place: str) -> None:
    import pandas as pd

    table = pd.DataFrame({"id": [1, 2, 3], "class": ["car", "bus", "bush"]})
    table.to_csv(f"rv://{place}/table.csv", index=False)
    table.to_csv(f"rv://{place}/table.csv.gz", index=False)
    assert pd.read_csv(f"rv://{place}/table.csv").equals(table)
    assert pd.read_csv(f"rv://{place}/table.csv.gz").equals(table)
    assert Kernel().files.read_str(f"{place}/table.csv").startswith("id,class\n1,car\n")


def test_zarr_reads_and_writes(place: str) -> None:
    import numpy as np
    import zarr

    pixels = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    array = zarr.create_array(
        f"rv://{place}/image.zarr", shape=pixels.shape, chunks=(16, 32), dtype=pixels.dtype
    )
    array[:] = pixels
    again = zarr.open_array(f"rv://{place}/image.zarr", mode="r")
    assert (again[10:50, 20:60] == pixels[10:50, 20:60]).all()
    assert Kernel().files.file_exists(f"{place}/image.zarr/zarr.json")


@pytest.mark.slow
def test_xarray_and_dask_read_and_write(place: str) -> None:
    import dask.array
    import dask.bag
    import numpy as np
    import xarray as xr

    pixels = (("y", "x"), np.arange(64 * 64, dtype="uint16").reshape(64, 64))
    scene = xr.Dataset({"red": pixels}, coords={"y": np.arange(64), "x": np.arange(64)})
    scene.chunk({"y": 16}).to_zarr(f"rv://{place}/cube.zarr", consolidated=False)
    again = xr.open_zarr(f"rv://{place}/cube.zarr", consolidated=False)
    assert again.load().identical(scene)
    red = dask.array.from_zarr(f"rv://{place}/cube.zarr", component="red")
    assert red.sum().compute() == pixels[1].sum()
    files = Kernel().files
    for n in range(3):
        files.write_str(f"{place}/{n}.txt", f"{n}\n{n}\n")
    lines = dask.bag.read_text(f"rv://{place}/*.txt")
    assert lines.compute(scheduler="threads") == ["0\n", "0\n", "1\n", "1\n", "2\n", "2\n"]
