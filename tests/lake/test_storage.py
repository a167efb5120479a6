"""Folder and object store: the same promises; conditional PUT; and keys that never show."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from lake.errors import LakeError, SettingsError
from lake.settings import LakeSettings
from lake.storage import FolderStorage, Storage, check_conditional_put, open_storage, site_storage
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(name="keys", autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture(name="storage", params=["folder", "s3"])
def _storage(request: pytest.FixtureRequest, tmp_path: Path, server: S3Server) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "lake")
    return open_storage(server.settings(tmp_path.name), tmp_path)


def test_s3_server_honours_if_none_match(server: S3Server) -> None:
    """Of four writers that create the same object at once exactly one is accepted, and his bytes are kept."""
    answers: Counter[int] = Counter()
    for number in range(50):
        key = f"probe/{number}"
        accepted: list[bytes] = []

        def put(body: bytes, key: str = key, accepted: list[bytes] = accepted) -> None:
            status, _ = server.request("PUT", key, body, {"If-None-Match": "*"})
            answers[status] += 1
            if status == 200:
                accepted.append(body)

        writers = [threading.Thread(target=put, args=(b"%d" % writer * 1000,)) for writer in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert [server.request("GET", key)[1]] == accepted
    assert {200: 50, 412: 150} == answers


def test_storage_create_only_once(storage: Storage) -> None:
    """A file is created once; the second writer is told, and changes nothing."""
    assert storage.create("t/_delta_log/0.json", b"one")
    assert not storage.create("t/_delta_log/0.json", b"two")
    assert storage.read("t/_delta_log/0.json") == b"one"
    check_conditional_put(storage)


def test_storage_lists_in_order(storage: Storage) -> None:
    """Files come with size and time, in the order of their paths; what is gone is gone."""
    for name in ("t/b/2", "t/a/1", "t/c", "other/1"):
        storage.create(name, b"123")
    listed = list(storage.list("t"))

    assert [("t/a/1", 3), ("t/b/2", 3), ("t/c", 3)] == [(file.path, file.size) for file in listed]
    assert all(file.modified.tzinfo is not None for file in listed)
    assert ["t/c"] == [file.path for file in storage.list("t", after="t/b/2")]
    storage.delete(["t/c", "t/never"])
    assert storage.read("t/c") is None
    assert not storage.exists("t/c")
    assert storage.exists("t/a/1")
    assert [] == list(storage.list("nothing"))


@pytest.mark.parametrize("lazy", [False, True])
def test_storage_parquet(storage: Storage, lazy: bool) -> None:
    """Frames, eager and lazy, come back through Polars' own reader."""
    frame = pl.DataFrame({"a": [1, 2, 3]})
    size = storage.write_parquet("t/day=1/part.parquet", frame.lazy() if lazy else frame)
    storage.sync(["t/day=1/part.parquet"])
    options = {"storage_options": dict(storage.options), "credential_provider": None} if storage.options else {}

    assert [size] == [file.size for file in storage.list("t")]
    assert frame.equals(
        pl.scan_parquet(storage.uri("t/day=1/part.parquet"), hive_partitioning=False, **options).collect()
    )


class _Overwriting(FolderStorage):
    """A store that takes If-None-Match and does not honour it."""

    def create(self, path: str, data: bytes) -> bool:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return True


def test_check_conditional_put_refuses_a_store_that_overwrites(tmp_path: Path) -> None:
    """A store on which writers would overwrite each other's commits is not used; the probe does not stay."""
    with pytest.raises(LakeError, match="does not honour If-None-Match"):
        check_conditional_put(_Overwriting(tmp_path))

    assert [] == list(_Overwriting(tmp_path).list(""))


def test_storage_unreachable(tmp_path: Path, server: S3Server) -> None:
    """A bucket that is not there is an error of ours, without the key."""
    storage = open_storage(LakeSettings(url="s3://elsewhere/x", endpoint_url=server.url, allow_http=True), tmp_path)

    with pytest.raises(LakeError, match="s3://elsewhere/x cannot be written") as caught:
        storage.create("a", b"")
    assert SECRET_KEY not in str(caught.value)
    assert SECRET_KEY not in repr(storage)


def test_open_storage_secret_from_file(tmp_path: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret key may lie in a file of the site instead."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "key").write_text("from-a-file\n")
    plain = server.settings("x")
    settings = LakeSettings(
        url=plain.url,
        endpoint_url=plain.endpoint_url,
        allow_http=True,
        secret_key_file="key",  # noqa: S106
    )

    assert open_storage(settings, tmp_path).options["aws_secret_access_key"] == "from-a-file"  # noqa: S105


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LakeSettings(url="ftp://x/y"), "no place for a lake"),
        (LakeSettings(url="s3:///y"), "no place for a lake"),
        (LakeSettings(url="s3://key:word@bucket/y"), "keys do not belong into the address"),
        (LakeSettings(url="s3://b", endpoint_url="http://h"), "allow_http"),
        (LakeSettings(url="s3://b", endpoint_url="h:9000"), "no address"),
        (LakeSettings(url="s3://b", access_key_env="NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (LakeSettings(url="s3://b", secret_key_file="missing"), "cannot be read"),  # noqa: S106
    ],
)
def test_open_storage_refuses(tmp_path: Path, settings: LakeSettings, message: str) -> None:
    """What cannot work is refused with the key that is wrong, and no secret."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_storage(settings, tmp_path)
    assert SECRET_KEY not in str(caught.value)
    assert "word" not in str(caught.value)


def test_site_storage(tmp_path: Path) -> None:
    """A site's own settings say where its lake lies; without any it is the folder lake/."""
    assert str(tmp_path / "lake") == site_storage(tmp_path).url
    (tmp_path / "metriage.toml").write_text('[lake]\nurl = "../shared"\n')
    assert str(tmp_path / "../shared") == site_storage(tmp_path).url
    (tmp_path / "metriage.toml").write_text('[lake]\nurls = "x"\n')
    with pytest.raises(SettingsError, match="urls"):
        site_storage(tmp_path)
