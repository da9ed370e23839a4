# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from simulator import Device, Simulator
from simulator.packages import corrupted, package
from simulator.testing import Client, FakeClock

Start = Callable[..., Simulator]


def _bytes(size: int | None, action_id: str = "a", os_platform: str = "Windows11") -> bytes:
    return b"".join(package(1, action_id, "pc01", os_platform, size).chunks())


def _archive(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(data))


@pytest.mark.parametrize("size", [None, 100, 5_000, 1_000_000, 8 * 1024 * 1024, 20_000_001, 20_000_050])
def test_a_package_is_a_sound_archive_of_the_size_asked_for(size: int | None) -> None:
    data = _bytes(size)
    assert _archive(data).testzip() is None
    if size and size > 1000:
        assert len(data) == size
    assert data == _bytes(size)
    assert data != _bytes(size, "b")


def test_the_content_is_that_of_the_platform() -> None:
    assert "Autoruns/HKLM_Run.txt" in _archive(_bytes(None)).namelist()
    assert "Open files/open_files.txt" in _archive(_bytes(None, os_platform="macOS")).namelist()


@pytest.mark.parametrize(("layout", "separator"), [("seen", "/"), ("backslashes", "\\")])
def test_a_package_as_witnesses_saw_it(start: Start, clock: FakeClock, layout: str, separator: str) -> None:
    device = Device("pc01", package_layout=layout)
    client, action_id = _finished(start, clock, device)
    archive = _archive(client.download(client.link(action_id)).content)
    names = [entry.orig_filename for entry in archive.infolist()]
    assert archive.testzip() is None
    assert "Forensics Collection Summary.csv" in names and f"Autoruns{separator}Autoruns.txt" in names
    assert "CollectionSummaryReport.xls" not in names
    assert archive.read(f"Autoruns{separator}Autoruns.txt").startswith(b"\xff\xfe")
    assert b"pc01" in archive.read(f"System Information{separator}SystemInformation.txt")


def test_a_huge_package_costs_little_and_has_a_zip64_directory() -> None:
    size = 6 * 1024**3
    content = package(1, "a", "pc01", "Windows11", size)
    assert content.size == size
    assert len({id(part) for part in content.parts if len(part) > 1_000_000}) <= 2
    directory = b"".join(content.chunks(size - 200_000))
    # zipfile reads the directory from the end and never asks for the rest.
    with zipfile.ZipFile(_Tail(directory, size)) as archive:
        last = archive.infolist()[-1]
    assert last.header_offset > 2**32
    header = b"".join(content.chunks(last.header_offset, last.header_offset + 4))
    assert header == b"PK\x03\x04"


class _Tail(io.RawIOBase):
    """A file of which only the end is there."""

    def __init__(self, tail: bytes, size: int) -> None:
        super().__init__()
        self._tail, self._size, self._at = tail, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        start = self._at - (self._size - len(self._tail))
        assert start >= 0
        data = self._tail[start:] if count < 0 else self._tail[start : start + count]
        self._at += len(data)
        return data


@pytest.mark.parametrize("size", [None, 3_000_000])
def test_a_corrupt_package_keeps_its_length_and_opens(size: int | None) -> None:
    good = package(1, "a", "pc01", "Windows11", size)
    bad = b"".join(corrupted(good).chunks())
    assert len(bad) == good.size
    archive = _archive(bad)
    try:
        assert archive.testzip() is not None
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        pytest.fail(f"the damage must show in a checksum: {error}")


# Links and downloads


def _finished(start: Start, clock: FakeClock, device: Device, **settings: object) -> tuple[Client, str]:
    client = Client(start(device, **settings))
    action_id: str = client.collect(device).json()["id"]
    clock.advance(10)
    return client, action_id


def test_the_link_stands_in_literal_quotes(start: Start, clock: FakeClock) -> None:
    client, action_id = _finished(start, clock, Device("pc01"))
    body = client.get(f"/api/machineactions/{action_id}/getPackageUri").json()
    assert body["@odata.context"].endswith("$metadata#Edm.String")
    assert body["value"].startswith(f'"{client.simulator.api_url}/safedownload/WDATP_Investigation_Package.zip?token=')
    assert body["value"].endswith('%3D%3D"')
    assert body["value"] != client.get(f"/api/machineactions/{action_id}/GETPACKAGEURI").json()["value"]


def test_a_link_serves_the_package_without_a_bearer_until_it_expires(start: Start, clock: FakeClock) -> None:
    client, action_id = _finished(start, clock, Device("pc01"), link_lifetime=60.0)
    url = client.link(action_id)
    clock.advance(59.9)
    response = client.download(url)
    assert response.headers["Content-Type"] == "application/zip"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert _archive(response.content).testzip() is None
    clock.advance(0.1)
    expired = client.download(url)
    assert expired.status_code == 403 and "expired token" in expired.text
    assert client.download(url.partition("?")[0]).status_code == 403
    assert client.download(client.link(action_id)).content == response.content


def test_there_is_no_link_before_the_package(start: Start, clock: FakeClock) -> None:
    device = Device("pc01")
    client = Client(start(device))
    path = f"/api/machineactions/{client.collect(device).json()['id']}/getPackageUri"
    assert client.get(path).json()["error"]["code"] == "ResourceNotFound"
    clock.advance(10)
    assert client.get(path).status_code == 200


def test_ranges(start: Start, clock: FakeClock) -> None:
    client, action_id = _finished(start, clock, Device("pc01", package_size=100_000))
    url = client.link(action_id)
    whole = client.download(url)
    assert whole.headers["Accept-Ranges"] == "bytes"
    tag = whole.headers["ETag"]
    part = client.download(url, Range="bytes=60000-", **{"If-Range": tag})
    assert part.status_code == 206
    assert part.headers["Content-Range"] == "bytes 60000-99999/100000"
    assert part.content == whole.content[60000:]
    assert client.download(url, Range="bytes=10-19").content == whole.content[10:20]
    assert client.download(url, Range="bytes=-10").content == whole.content[-10:]
    assert client.download(url, Range="bytes=60000-", **{"If-Range": '"other"'}).status_code == 200
    past = client.download(url, Range="bytes=100000-")
    assert past.status_code == 416 and past.headers["Content-Range"] == "bytes */100000"


def test_a_device_without_ranges(start: Start, clock: FakeClock) -> None:
    client, action_id = _finished(start, clock, Device("pc01", ranges=False))
    response = client.download(client.link(action_id), Range="bytes=10-")
    assert response.status_code == 200 and "Accept-Ranges" not in response.headers


def test_link_tokens_are_secrets(start: Start, clock: FakeClock) -> None:
    client, action_id = _finished(start, clock, Device("pc01"))
    url = client.link(action_id)
    assert any(secret in url for secret in client.simulator.secrets)
