"""Downloads that go on where they broke off, and archives that stay inside their folder. The server is local."""

import errno
import hashlib
import http.server
import io
import os
import re
import tarfile
import threading

import pytest

from local.common import archives
from spkid.kaldi import InputError

BODY = bytes(range(256)) * 4000  # 1 MB


class Server(http.server.ThreadingHTTPServer):
    """Serves one body; breaks the connection after `break_after` bytes of an answer, as often as `breaks` says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.tag, self.ranges, self.break_after, self.breaks = BODY, '"one"', True, 0, 0
        self.asked: list[str | None] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/corpus.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        if asked and server.ranges and self.headers.get("If-Range") == server.tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        rest = server.body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", server.tag)
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: server.break_after]
            self.close_connection = True
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server, path, **options):
    return archives.fetch(server.url, path, pause_seconds=0, **options)


def test_a_file_arrives_with_its_checksum(server, tmp_path):
    checksum = fetch(server, tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_bytes() == BODY
    assert checksum == hashlib.sha256(BODY).hexdigest()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_broken_connection_is_resumed_from_where_it_broke(server, tmp_path):
    server.breaks, server.break_after = 2, 300_000
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_the_next_run_goes_on_after_all_attempts_failed(server, tmp_path):
    server.breaks, server.break_after = 2, 100_000
    with pytest.raises(InputError, match=r"200000 bytes are kept in .*file\.part.* again to go on"):
        fetch(server, tmp_path / "file", attempts=2)
    assert not (tmp_path / "file").exists()
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.asked[-1] == "bytes=200000-"


def test_a_file_that_changed_on_the_server_is_not_mixed_with_its_old_beginning(server, tmp_path):
    server.breaks, server.break_after = 1, 100_000
    with pytest.raises(InputError):
        fetch(server, tmp_path / "file", attempts=1)
    server.body, server.tag = BODY[::-1], '"two"'
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY[::-1]


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    server.ranges, server.breaks, server.break_after = False, 1, 100_000
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_wrong_checksum_leaves_no_file(server, tmp_path):
    with pytest.raises(InputError, match="SHA-256"):
        fetch(server, tmp_path / "file", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_not_asked_for_again(server, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match="404"):
        fetch(server, tmp_path / "file")
    assert len(server.asked) == 1


def test_no_server(tmp_path):
    with pytest.raises(InputError, match="refused"):
        archives.fetch("http://127.0.0.1:1/file", tmp_path / "file", attempts=2, pause_seconds=0)


def test_a_full_disk_is_not_taken_for_the_network(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archives, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, tmp_path / "file")
    assert len(server.asked) == 1


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_an_archive_is_unpacked_whole(tmp_path):
    write_tar(tmp_path / "a.tar.gz", [(member("corpus/one"), b"1"), (member("corpus/deep/two"), b"22")])
    archives.extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/corpus/deep/two").read_bytes() == b"22"


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped"),
        member("corpus/../../escaped"),
        member("/tmp/escaped"),
        member("corpus/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("corpus/link", tarfile.LNKTYPE, "one"),
        member("corpus/device", tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_an_archive_that_reaches_outside_is_refused_whole(tmp_path, bad):
    write_tar(tmp_path / "a.tar.gz", [(member("corpus/one"), b"1"), (bad, b"")])
    with pytest.raises(InputError, match=re.escape(bad.name)):
        archives.extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_cut_short_leaves_nothing(tmp_path):
    write_tar(tmp_path / "a.tar.gz", [(member("corpus/one"), hashlib.sha256(b"x").digest() * 9999)])
    whole = (tmp_path / "a.tar.gz").read_bytes()
    for length in (len(whole) // 2, 20, 0):
        (tmp_path / "a.tar.gz").write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged or cut short"):
            archives.extract(tmp_path / "a.tar.gz", tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]
