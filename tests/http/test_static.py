"""Files of a folder: what is sent, what is refused, and that there is no way out."""

import errno
import gzip
import html.parser
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest

from yolanda.http import HttpRequest, HttpResponse, StaticFiles
from yolanda.reactor.dispatcher import DISPATCHERS

SECRET = "TOP SECRET"
LARGE = bytes(range(256)) * 2000  # more than is sent with its head
OLD = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

everywhere = pytest.mark.parametrize(
    ("dispatcher", "threads"), [(name, threads) for name in DISPATCHERS for threads in (0, 2)]
)
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to serve; what lies beside it is secret."""
    folder = tmp_path / "www"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "www-secret").mkdir()
    (tmp_path / "www-secret" / "secret.txt").write_text(SECRET)
    (folder / "index.html").write_text("<h1>home</h1>")
    (folder / "hello.txt").write_text("hello, static files\n")
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "empty.txt").touch()
    (folder / ".hidden").write_text(SECRET)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text(SECRET)
    (folder / ".well-known").mkdir()
    (folder / ".well-known" / "security.txt").write_text("contact")
    (folder / "docs" / "deep").mkdir(parents=True)
    (folder / "docs" / "a b&c.txt").write_text("odd name")
    (folder / "docs" / "中文.txt").write_text("文字")
    (folder / "docs" / "deep" / "page.html").write_text("<p>deep</p>")
    for path in (folder / "hello.txt", folder / "large.bin"):
        os.utime(path, (OLD, OLD))
    return folder


# ---- files -----------------------------------------------------------------------------------


@everywhere
def test_files(serve: Callable[..., Any], folder: Path, dispatcher: str, threads: int) -> None:
    served = serve(StaticFiles(folder), dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        for name in ("hello.txt", "large.bin", "empty.txt", "docs/deep/page.html"):
            for _ in range(2):
                answer = client.get(f"/{name}")
                assert answer.status == 200
                assert answer.body == (folder / name).read_bytes()
                assert answer.get("Accept-Ranges") == "bytes"
                assert answer.get("X-Content-Type-Options") == "nosniff"
                assert answer.get("Cache-Control") == "no-cache"
        # Small and large ones in one batch, in their order.
        names = ["large.bin", "hello.txt", "large.bin", "empty.txt", "hello.txt"]
        for name in names:
            client.send(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert [client.read().body for _ in names] == [(folder / n).read_bytes() for n in names]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/gzip"),
        ("a.pdf", "application/pdf"),
        ("a", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_content_types(
    serve: Callable[..., Any], folder: Path, name: str, content_type: str
) -> None:
    (folder / name).write_text("x")
    answer = serve(StaticFiles(folder)).get(f"/{name}")
    assert answer.get_all("Content-Type") == [content_type]
    assert answer.get("Content-Encoding") is None


def test_types_of_ones_own(serve: Callable[..., Any], folder: Path) -> None:
    types = {".html": "text/html; charset=gb18030", ".X": "text/x"}
    served = serve(StaticFiles(folder, types=types))
    (folder / "a.x").touch()
    assert served.get("/").get("Content-Type") == "text/html; charset=gb18030"
    assert served.get("/a.x").get("Content-Type") == "text/x"
    assert served.get("/hello.txt").get("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["hello.txt", "large.bin", "empty.txt"])
def test_head_has_the_fields_of_get(serve: Callable[..., Any], folder: Path, name: str) -> None:
    served = serve(StaticFiles(folder))
    with served.connect() as client:
        head = client.get(f"/{name}", method="HEAD")
        get = client.get(f"/{name}")  # nothing of a body came before it
        assert head.status == get.status == 200
        without_date = [f for f in head.fields if f[0] != "Date"]
        assert sorted(without_date) == sorted(f for f in get.fields if f[0] != "Date")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(serve: Callable[..., Any], folder: Path, method: str) -> None:
    served = serve(StaticFiles(folder))
    for path in ("/hello.txt", "/missing", "/../x"):
        answer = served.get(path, "Content-Length: 0", method=method)
        assert answer.status == 405
        assert answer.get("Allow") == "GET, HEAD, OPTIONS"
    assert (folder / "hello.txt").exists()


def test_options(serve: Callable[..., Any], folder: Path) -> None:
    answer = serve(StaticFiles(folder)).get("/hello.txt", method="OPTIONS")
    assert answer.status == 204
    assert answer.get("Allow") == "GET, HEAD, OPTIONS"


def test_odd_names(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder))
    assert served.get("/docs/a%20b%26c.txt").text == "odd name"
    assert served.get("/docs/a%20b&c.txt?query=x").text == "odd name"
    assert served.get("/docs/%E4%B8%AD%E6%96%87.txt").text == "文字"
    assert served.get("/docs/%e4%b8%ad%e6%96%87.txt").text == "文字"
    assert served.get("/%64ocs/deep/page%2Ehtml").text == "<p>deep</p>"
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.txt")).write_text("no UTF-8")
    assert served.get("/%ff%fe.txt").text == "no UTF-8"
    (folder / "50%41.txt").write_text("percent")
    assert served.get("/50%2541.txt").text == "percent"


def test_a_file_that_changes_is_sent_anew(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder))
    path = folder / "hello.txt"
    first = served.get("/hello.txt")
    assert first.get("Last-Modified") == OLD_DATE
    path.write_text("another")
    second = served.get("/hello.txt", f"If-None-Match: {first.get('ETag')}")
    assert (second.status, second.text) == (200, "another")
    # Replaced by one of the same size and time.
    status = path.stat()
    (folder / "new").write_text("AN0THER")
    os.utime(folder / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "new").replace(path)
    third = served.get("/hello.txt", f"If-None-Match: {second.get('ETag')}")
    assert (third.status, third.text) == (200, "AN0THER")
    path.unlink()
    assert served.get("/hello.txt").status == 404


def test_no_date_to_come_is_told(serve: Callable[..., Any], folder: Path) -> None:
    ahead = time.time() + 1_000_000
    os.utime(folder / "hello.txt", (ahead, ahead))
    served = serve(StaticFiles(folder))
    answer = served.get("/hello.txt")
    assert answer.get("Last-Modified") is None
    since = formatdate(ahead + 10, usegmt=True)
    assert served.get("/hello.txt", f"If-Modified-Since: {since}").status == 200
    assert served.get("/hello.txt", f"If-None-Match: {answer.get('ETag')}").status == 304


def test_cache_control(serve: Callable[..., Any], folder: Path) -> None:
    def choose(path: str) -> str | None:
        return "max-age=31536000, immutable" if path.startswith("docs/") else None

    served = serve(StaticFiles(folder, cache_control=choose))
    assert served.get("/docs/deep/page.html").get("Cache-Control") == "max-age=31536000, immutable"
    assert served.get("/hello.txt").get("Cache-Control") is None
    served = serve(StaticFiles(folder, cache_control=None))
    assert served.get("/hello.txt").get("Cache-Control") is None


def test_fields_of_the_caller_stay(serve: Callable[..., Any], folder: Path) -> None:
    files = StaticFiles(folder)

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        response.headers["X-Frame-Options"] = "DENY"
        files(request, response)

    served = serve(handler)
    for _ in range(2):
        answer = served.get("/hello.txt")
        assert answer.get_all("X-Frame-Options") == ["DENY"]
        assert answer.get("ETag")
    assert serve(files).get("/hello.txt").get("X-Frame-Options") is None


# ---- folders ---------------------------------------------------------------------------------


def test_the_index_of_a_folder(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder))
    assert served.get("/").text == "<h1>home</h1>"
    assert served.get("/?a=b").text == "<h1>home</h1>"
    assert served.get("/docs/").status == 404
    served = serve(StaticFiles(folder, index="hello.txt"))
    assert served.get("/").text == "hello, static files\n"
    assert serve(StaticFiles(folder, index="")).get("/").status == 404


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/docs", "/docs/"),
        ("/docs?a=b&c", "/docs/?a=b&c"),
        ("/docs?", "/docs/"),
        ("/docs?//evil.example", "/docs/?//evil.example"),
        ("/docs/deep", "/docs/deep/"),
        ("/%64ocs", "/docs/"),
        ("http://test/docs", "/docs/"),
        ("/odd%0d%0aX:%20y", "/odd%0D%0AX%3A%20y/"),
        ("/%5cevil.example", "/%5Cevil.example/"),
        ("/javascript:alert(1)", "/javascript%3Aalert%281%29/"),
        ("/evil.example", "/evil.example/"),
    ],
)
def test_a_folder_without_its_slash(
    serve: Callable[..., Any], folder: Path, target: str, place: str
) -> None:
    for name in ("odd\r\nX: y", "\\evil.example", "javascript:alert(1)", "evil.example"):
        (folder / name).mkdir()
    answer = serve(StaticFiles(folder)).get(target)
    assert answer.status == 301
    location = answer.get("Location")
    assert location is not None
    assert urljoin(urljoin("http://host", target.replace("http://test", "")), location) == (
        f"http://host{place}"
    )
    assert answer.get("X") is None


@pytest.mark.parametrize("target", ["//docs", "///docs", "//evil.example/docs", "/%2fdocs", "//"])
def test_no_redirect_to_another_host(serve: Callable[..., Any], folder: Path, target: str) -> None:
    answer = serve(StaticFiles(folder, listing=True)).get(target)
    assert answer.status == 404
    assert answer.get("Location") is None


def test_a_file_is_no_folder(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder, listing=True))
    assert served.get("/hello.txt/").status == 404
    assert served.get("/hello.txt/x").status == 404


class Links(html.parser.HTMLParser):
    """The links of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_listing(serve: Callable[..., Any], folder: Path) -> None:
    names = ["<img src=x>.txt", 'quo"te', "a:b", "a?b", "a#b", "%41", "Zebra", "apple"]
    for name in names:
        (folder / "docs" / name).write_text(name)
    (folder / "docs" / "link").symlink_to(folder / "hello.txt")
    os.mkfifo(folder / "docs" / "fifo")
    (folder / "docs" / ".secret").touch()
    served = serve(StaticFiles(folder, listing=True))
    answer = served.get("/docs/")
    assert answer.status == 200
    assert answer.get("Content-Type") == "text/html; charset=utf-8"
    page = Links(answer.text)
    assert "img" not in page.tags
    assert page.links[:2] == ["../", "./deep/"]
    shown = [unquote(link).removeprefix("./") for link in page.links[2:]]
    assert shown == sorted([*names, "a b&c.txt", "中文.txt"], key=lambda name: (name.lower(), name))
    for link, name in zip(page.links[2:], shown, strict=True):
        target = urljoin("/docs/", link)
        if name in names:
            assert served.get(target).text == name
    text = " ".join(page.words)
    assert "8 B" in text  # odd name
    assert time.strftime("%Y-%m-%d") in text
    assert ".secret" not in text
    # A folder with an index is not listed, and HEAD has no body.
    assert served.get("/").text == "<h1>home</h1>"
    with served.connect() as client:
        assert client.get("/docs/", method="HEAD").get("Content-Length") == str(len(answer.body))
        assert client.get("/hello.txt").status == 200


def test_a_listing_shows_what_would_be_served(serve: Callable[..., Any], folder: Path) -> None:
    (folder / "docs" / "link").symlink_to(folder / "hello.txt")
    (folder / "docs" / "broken").symlink_to("nowhere")
    (folder / "docs" / ".secret").touch()
    files = StaticFiles(folder, listing=True, follow_links=True, hidden=True)
    links = Links(serve(files).get("/docs/").text).links
    assert "./link" in links
    assert "./.secret" in links
    assert "./broken" not in links


def test_the_root_is_listed_without_a_way_up(serve: Callable[..., Any], folder: Path) -> None:
    (folder / "index.html").unlink()
    answer = serve(StaticFiles(folder, listing=True)).get("/")
    links = Links(answer.text).links
    assert "../" not in links
    assert "./docs/" in links


def test_a_large_folder_is_not_listed_whole(
    serve: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolanda.http.listing._MOST", 5)
    for number in range(10):
        (folder / "docs" / f"{number}").touch()
    answer = serve(StaticFiles(folder, listing=True)).get("/docs/")
    assert len(Links(answer.text).links) == 6
    assert "there are more" in answer.text


def test_a_prefix(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder, prefix="/static/v1"))
    assert served.get("/static/v1/hello.txt").status == 200
    assert served.get("/static/v1/").text == "<h1>home</h1>"
    assert served.get("/static/v1").get("Location") == "./v1/"
    assert served.get("/static/v1/docs").get("Location") == "./docs/"
    for target in (
        "/",
        "/static",
        "/static/",
        "/hello.txt",
        "/static/v1hello.txt",
        "/static/v1/../v1/hello.txt",
        "/static/v1/static/v1/hello.txt",
        "//static/v1/hello.txt",
    ):
        assert served.get(target).status == 404


def test_a_single_page_application(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder, fallback="index.html"))
    for target in ("/", "/users/17", "/users/", "/docs/"):
        answer = served.get(target)
        assert (answer.status, answer.text) == (200, "<h1>home</h1>")
        assert served.get(target, f"If-None-Match: {answer.get('ETag')}").status == 304
    for target in ("/app.js", "/.hidden", "/../secret", "//x", "/users/17.png"):
        assert served.get(target).status == 404
    (folder / "index.html").unlink()
    assert served.get("/users/17").status == 404


# ---- no way out ------------------------------------------------------------------------------

ATTACKS = [
    "/../secret.txt",
    "/../../../../../../../../etc/passwd",
    "/docs/../../secret.txt",
    "/docs/deep/../../../secret.txt",
    "/./../secret.txt",
    "/.../secret.txt",
    "/..",
    "/../",
    "/docs/..",
    "/docs/../hello.txt",
    "/./hello.txt",
    "/docs/.",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/docs%2f..%2f..%2fsecret.txt",
    "/docs%2fdeep%2fpage.html",
    "/%252e%252e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/%25252e%25252e/secret.txt",
    "/..%252fsecret.txt",
    "/..%255csecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/docs\\..\\..\\secret.txt",
    "/%5c..%5c..%5csecret.txt",
    "/..%c0%afsecret.txt",  # an overlong slash
    "/%c0%ae%c0%ae/secret.txt",  # overlong dots
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/..%ef%bc%8fsecret.txt",  # a full-width slash
    "/%ef%bc%8e%ef%bc%8e/secret.txt",
    "/%u002e%u002e/secret.txt",
    "/..;/secret.txt",
    "/..%00/secret.txt",
    "/hello.txt%00",
    "/hello.txt%00.html",
    "/%00",
    "/docs%00/deep",
    "/hello.txt%0a",
    "/ hello.txt".replace(" ", "%20"),
    "//etc/passwd",
    "///etc/passwd",
    "/%2fetc/passwd",
    "/%2fetc%2fpasswd",
    "//../secret.txt",
    "/docs//../../secret.txt",
    "/docs//deep/page.html",
    "/file:///etc/passwd",
    "/~root/.profile",
    "/C:/secret.txt",
    "/C%3a%5csecret.txt",
    "/../www-secret/secret.txt",
    "/../www/hello.txt",
    "/-secret/secret.txt",
    "/.hidden",
    "/%2ehidden",
    "/.git/config",
    "/%2egit/config",
    "/.git/",
    "/docs/.well-known/x",
    "/.well-known/../.hidden",
    "/.well-known/.hidden",
    "/out",
    "/out.txt",
    "/out/secret.txt",
    "/up/secret.txt",
    "/root/etc/passwd",
    "/inside.txt",
    "/loop",
    "/" + "a" * 300,
    "/" + "a/" * 3000,
    "http://a/../secret.txt",
    "http://a/%2e%2e/secret.txt",
    "http://a//etc/passwd",
    "/%",
    "/%2",
    "/%zz",
    "/fifo",
    "/socket",
    "/device",
]


@pytest.fixture
def trap(folder: Path) -> Path:
    """The folder with links out of it and with what is no plain file."""
    (folder / "out.txt").symlink_to("../secret.txt")
    (folder / "out").symlink_to("../www-secret")
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/")
    (folder / "inside.txt").symlink_to("hello.txt")
    (folder / "loop").symlink_to("loop")
    (folder / "device").symlink_to("/dev/zero")
    (folder / ".well-known" / ".hidden").write_text(SECRET)
    os.mkfifo(folder / "fifo")
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)  # its path is too long for a socket's
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("socket")
    finally:
        os.fchdir(here)
        os.close(here)
    return folder


@pytest.mark.parametrize("options", [{}, {"listing": True}, {"prefix": "/static"}])
def test_there_is_no_way_out(
    serve: Callable[..., Any],
    trap: Path,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    served = serve(StaticFiles(trap, **options))
    for attack in ATTACKS:
        target = attack
        if "prefix" in options:
            target = attack.replace("http://a", "http://a/static")
            target = target if target != attack else "/static" + attack
        answer = served.get(target)
        assert answer.status in (400, 404), target
        assert SECRET not in answer.text, target
        assert "root:" not in answer.text, target
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert "Traceback" not in caplog.text


@curl
def test_there_is_no_way_out_for_curl(serve: Callable[..., Any], trap: Path) -> None:
    served = serve(StaticFiles(trap, listing=True))
    targets = [a for a in ATTACKS if a[0] == "/" and len(a) < 1000 and "\\" not in a]
    urls = [f"http://{served.address}{target}" for target in targets]
    done = subprocess.run(
        ["curl", "-s", "--globoff", "--path-as-is", "-w", "\n%{http_code}\n", *urls],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.count("\n404\n") + done.stdout.count("\n400\n") == len(urls)
    assert SECRET not in done.stdout


def test_links_where_they_are_followed(serve: Callable[..., Any], trap: Path) -> None:
    served = serve(StaticFiles(trap, follow_links=True, listing=True))
    assert served.get("/out.txt").text == SECRET
    assert served.get("/out/secret.txt").text == SECRET
    assert served.get("/inside.txt").text == "hello, static files\n"
    assert served.get("/out").get("Location") == "./out/"
    assert "secret.txt" in served.get("/out/").text
    for target in ("/loop", "/device", "/fifo", "/socket", "/../secret.txt", "/out/../secret.txt"):
        assert served.get(target).status == 404


def test_hidden_names_where_they_are_served(serve: Callable[..., Any], trap: Path) -> None:
    served = serve(StaticFiles(trap, hidden=True))
    assert served.get("/.hidden").text == SECRET
    assert served.get("/.git/config").text == SECRET
    for target in ("/../secret.txt", "/.", "/..", "/%2e%2e/secret.txt"):
        assert served.get(target).status == 404


def test_well_known_names(serve: Callable[..., Any], folder: Path) -> None:
    assert serve(StaticFiles(folder)).get("/.well-known/security.txt").text == "contact"


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    serve: Callable[..., Any], folder: Path
) -> None:
    served = serve(StaticFiles(folder, listing=True), threads=2)
    outside = folder.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "page.html").write_text(SECRET)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "docs").rename(folder / "moved")
            (folder / "docs").symlink_to(outside)
            (folder / "docs").unlink()
            (folder / "moved").rename(folder / "docs")

    swapper = threading.Thread(target=swap)
    swapper.start()
    statuses = set()
    try:
        with served.connect() as client:
            for _ in range(1000):
                for target in ("/docs/deep/page.html", "/docs/deep/"):
                    answer = client.get(target)
                    assert SECRET not in answer.text
                    statuses.add(answer.status)
    finally:
        stop.set()
        swapper.join()
    assert statuses <= {200, 404}


def test_a_fifo_is_not_waited_for(serve: Callable[..., Any], trap: Path) -> None:
    served = serve(StaticFiles(trap))
    with served.connect() as client:
        assert client.get("/fifo").status == 404
        assert client.get("/hello.txt").status == 200
    os.close(os.open(trap / "fifo", os.O_RDONLY | os.O_NONBLOCK))


# ---- what cannot be opened ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, 404),
        (errno.ELOOP, 404),
        (errno.EACCES, 403),
        (errno.EPERM, 403),
        (errno.EMFILE, 503),
        (errno.ENFILE, 503),
        (errno.EIO, 500),
        (errno.ESTALE, 500),
    ],
)
def test_errors_of_the_system(
    serve: Callable[..., Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    status: int,
) -> None:
    served = serve(StaticFiles(folder, listing=True))
    open_it = os.open

    def refuse(path: Any, flags: int, *args: Any, **named: Any) -> int:
        if os.fspath(path).endswith(b"hello.txt"):
            raise OSError(number, os.strerror(number))
        return open_it(path, flags, *args, **named)

    monkeypatch.setattr("yolanda.http.static.os.open", refuse)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get("/hello.txt")
            assert answer.status == status
            assert str(folder) not in answer.text
            assert answer.get("Retry-After") == ("1" if status == 503 else None)
        assert client.get("/large.bin").status == 200
    assert "Traceback" not in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder, listing=True))
    (folder / "hello.txt").chmod(0)
    (folder / "docs").chmod(0)
    try:
        for target in ("/hello.txt", "/docs/", "/docs/deep/page.html"):
            assert served.get(target).status == 403
    finally:
        (folder / "docs").chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"directory": "missing"}, FileNotFoundError, "missing"),
        ({"directory": "hello.txt"}, NotADirectoryError, "hello.txt"),
        ({"prefix": "static"}, ValueError, "'static'"),
        ({"prefix": "/static/"}, ValueError, "'/static/'"),
        ({"index": "a/b"}, ValueError, "'a/b'"),
        ({"index": ".."}, ValueError, "index"),
        ({"fallback": "../x"}, ValueError, "fallback"),
        ({"cache_control": "a\r\nb"}, ValueError, "Cache-Control"),
        ({"types": {".x": "a\nb"}}, ValueError, "Content-Type"),
    ],
)
def test_what_makes_no_sense(
    folder: Path, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    directory = folder / arguments.pop("directory", ".")
    with pytest.raises(error, match=re.escape(text)):
        StaticFiles(directory, **arguments)


# ---- conditions and ranges -----------------------------------------------------------------------


def test_conditional_requests(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder))
    with served.connect() as client:
        for name in ("hello.txt", "large.bin"):
            first = client.get(f"/{name}")
            tag = first.get("ETag")
            assert tag is not None
            assert re.fullmatch(r'"[0-9a-f-]+"', tag)
            for field in (
                f"If-None-Match: {tag}",
                f"If-None-Match: W/{tag}",
                f"If-Modified-Since: {OLD_DATE}",
            ):
                for method in ("GET", "HEAD"):
                    answer = client.get(f"/{name}", field, method=method)
                    assert answer.status == 304
                    for kept in ("ETag", "Cache-Control", "Vary", "Last-Modified"):
                        assert answer.get(kept) == first.get(kept)
                    for dropped in ("Content-Type", "Content-Length", "Accept-Ranges"):
                        assert answer.get(dropped) is None
            for field in (
                f'If-Match: "x{tag[1:]}',
                "If-Unmodified-Since: " + OLD_DATE[:-5] + "6 GMT",
            ):
                answer = client.get(f"/{name}", field, "Range: bytes=0-0")
                assert answer.status == 412
            # What there is to say of a range comes after what there is to say of the whole.
            answer = client.get(f"/{name}", f"If-None-Match: {tag}", "Range: bytes=0-0")
            assert answer.status == 304
    assert client.data == b""


@pytest.mark.parametrize("name", ["hello.txt", "large.bin"])
def test_one_range(serve: Callable[..., Any], folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    size = len(data)
    served = serve(StaticFiles(folder))
    with served.connect() as client:
        for text, part in (
            ("0-0", slice(0, 1)),
            ("5-9", slice(5, 10)),
            ("5-", slice(5, None)),
            ("-5", slice(-5, None)),
            (f"0-{size + 100}", slice(0, None)),
            (f"{size - 1}-", slice(-1, None)),
            ("0-4,2-9", slice(0, 10)),
        ):
            answer = client.get(f"/{name}", f"Range: bytes={text}")
            assert answer.status == 206
            assert answer.body == data[part]
            first, end, _ = part.indices(size)
            assert answer.get("Content-Range") == f"bytes {first}-{end - 1}/{size}"
            assert answer.get("ETag")
        for text in (f"{size}-", "-0", f"{size + 5}-{size + 9}"):
            answer = client.get(f"/{name}", f"Range: bytes={text}")
            assert answer.status == 416
            assert answer.get("Content-Range") == f"bytes */{size}"
        for fields in (
            ["Range: bytes=9-5"],
            ["Range: bytes=x"],
            ["Range: pages=1-2"],
            ["Range: bytes=0-0", "Range: bytes=1-1"],
            ["Range: bytes=0-0", 'If-Range: "x"'],
            ["Range: bytes=0-0", "If-Range: " + OLD_DATE[:-5] + "8 GMT"],
            ["If-Range: " + OLD_DATE],
        ):
            answer = client.get(f"/{name}", *fields)
            assert answer.status == 200
            assert answer.body == data
            assert answer.get("Content-Range") is None
        for field in (f"If-Range: {OLD_DATE}", f"If-Range: {answer.get('ETag')}"):
            assert client.get(f"/{name}", "Range: bytes=0-0", field).status == 206
        # GET is the only method that has ranges.
        answer = client.get(f"/{name}", "Range: bytes=0-0", method="HEAD")
        assert answer.status == 200
        assert answer.get("Content-Length") == str(size)


@everywhere
def test_several_ranges(
    serve: Callable[..., Any], folder: Path, dispatcher: str, threads: int
) -> None:
    served = serve(StaticFiles(folder), dispatcher=dispatcher, threads=threads)
    with served.connect() as client:
        for _ in range(2):
            answer = client.get("/large.bin", "Range: bytes=100-299999, 0-4, -7")
            assert answer.status == 206
            assert answer.get("Content-Range") is None
            content_type = answer.get("Content-Type")
            assert content_type is not None
            kind, _, boundary = content_type.partition("; boundary=")
            assert kind == "multipart/byteranges"
            lead, *sections, end = (b"\r\n" + answer.body).split(b"\r\n--" + boundary.encode())
            assert (lead, end) == (b"", b"--\r\n")
            size = len(LARGE)
            for section, first, stop in zip(
                sections, (100, 0, size - 7), (300000, 5, size), strict=True
            ):
                head, _, content = section.partition(b"\r\n\r\n")
                assert content == LARGE[first:stop]
                assert f"Content-Range: bytes {first}-{stop - 1}/{size}".encode() in head
                assert b"Content-Type: application/octet-stream" in head


def test_many_ranges_cost_no_more_than_the_file(serve: Callable[..., Any], folder: Path) -> None:
    served = serve(StaticFiles(folder))
    for text in (
        ",".join(["0-"] * 1000),
        ",".join(f"{n}-" for n in range(60)),
        ",".join(f"{n}-{n}" for n in range(0, 2000, 2)),
    ):
        answer = served.get("/large.bin", f"Range: bytes={text}")
        assert len(answer.body) <= len(LARGE)
        assert answer.status in (200, 206)


def test_an_empty_file_has_no_range(serve: Callable[..., Any], folder: Path) -> None:
    answer = serve(StaticFiles(folder)).get("/empty.txt", "Range: bytes=0-")
    assert (answer.status, answer.body) == (200, b"")


# ---- precompressed -------------------------------------------------------------------------------


@pytest.fixture
def packed(folder: Path) -> Path:
    """A script in every coding; what is in them tells them apart."""
    (folder / "app.js").write_text("plain")
    (folder / "app.js.gz").write_bytes(gzip.compress(b"plain"))
    (folder / "app.js.br").write_bytes(b"brotli")
    (folder / "app.js.zst").write_bytes(b"zstd")
    (folder / "hello.txt.gz").write_bytes(gzip.compress(b"hello, static files\n"))
    (folder / "photo.png").write_bytes(b"png")
    (folder / "photo.png.gz").write_bytes(b"never sent for it")
    return folder


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("deflate", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0.5, br;q=0.501", "br"),
        ("gzip ; q=0.8 , br;Q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, br;q=0", None),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "zstd"),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.1", "gzip"),
        ("gzip;q=2, br;q=x, zstd;q=", None),
        ("gzip;level=9", None),
        (",,gzip,,", "gzip"),
        (";;;", None),
    ],
)
def test_what_a_client_accepts(
    serve: Callable[..., Any], packed: Path, accepted: str | None, coding: str | None
) -> None:
    served = serve(StaticFiles(packed))
    fields = [] if accepted is None else [f"Accept-Encoding: {accepted}"]
    answer = served.get("/app.js", *fields)
    ending = {"gzip": ".gz", "br": ".br", "zstd": ".zst", None: ""}[coding]
    assert answer.body == (packed / f"app.js{ending}").read_bytes()
    assert answer.get("Content-Encoding") == coding
    assert answer.get("Content-Type") == "text/javascript; charset=utf-8"
    assert answer.get("Vary") == "Accept-Encoding"


def test_every_coding_is_a_representation_of_its_own(
    serve: Callable[..., Any], packed: Path
) -> None:
    served = serve(StaticFiles(packed))
    plain = served.get("/app.js")
    zipped = served.get("/app.js", "Accept-Encoding: gzip")
    assert plain.get("ETag") != zipped.get("ETag")
    tag = f"If-None-Match: {zipped.get('ETag')}"
    assert served.get("/app.js", tag, "Accept-Encoding: gzip").status == 304
    assert served.get("/app.js", tag).status == 200
    part = served.get("/app.js", "Accept-Encoding: gzip", "Range: bytes=0-1")
    assert (part.status, part.body, part.get("Content-Encoding")) == (206, b"\x1f\x8b", "gzip")
    # Asked for by its own name it is a file like any other.
    itself = served.get("/app.js.gz", "Accept-Encoding: gzip")
    assert itself.get("Content-Type") == "application/gzip"
    assert itself.get("Content-Encoding") is None


def test_what_is_not_sent_compressed(serve: Callable[..., Any], packed: Path) -> None:
    served = serve(StaticFiles(packed))
    answer = served.get("/photo.png", "Accept-Encoding: gzip")
    assert (answer.body, answer.get("Vary")) == (b"png", None)
    (packed / "app.js").unlink()  # without the plain one there is none
    assert served.get("/app.js", "Accept-Encoding: gzip").status == 404
    (packed / "hello.txt.gz").unlink()
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(packed.parent / "secret.txt", path)):
        make(packed / "hello.txt.gz")
        answer = served.get("/hello.txt", "Accept-Encoding: gzip")
        assert (answer.text, answer.get("Content-Encoding")) == ("hello, static files\n", None)
        if make is os.mkdir:
            (packed / "hello.txt.gz").rmdir()
        else:
            (packed / "hello.txt.gz").unlink()
    served = serve(StaticFiles(packed, precompressed=False))
    answer = served.get("/hello.txt", "Accept-Encoding: gzip")
    assert (answer.get("Content-Encoding"), answer.get("Vary")) == (None, None)


def test_the_index_may_be_compressed(serve: Callable[..., Any], packed: Path) -> None:
    (packed / "index.html.gz").write_bytes(gzip.compress(b"zipped home"))
    answer = serve(StaticFiles(packed)).get("/", "Accept-Encoding: gzip")
    assert gzip.decompress(answer.body) == b"zipped home"
    assert answer.get("Content-Type") == "text/html; charset=utf-8"


# ---- with curl -----------------------------------------------------------------------------------


@curl
def test_with_curl(serve: Callable[..., Any], packed: Path, tmp_path: Path) -> None:
    url = f"http://{serve(StaticFiles(packed, listing=True)).address}"

    def ask(*arguments: str) -> bytes:
        command = ["curl", "-sS", "--fail", *arguments]
        return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout

    assert ask(f"{url}/hello.txt") == b"hello, static files\n"
    assert ask("--compressed", "-H", "Accept-Encoding: gzip", f"{url}/hello.txt") == (
        b"hello, static files\n"
    )
    assert ask("-r", "0-4", f"{url}/hello.txt") == b"hello"
    assert ask("-r", "-5", f"{url}/large.bin") == LARGE[-5:]
    assert b"Content-Range: bytes 0-0/" in ask("-r", "0-0,5-5", f"{url}/large.bin")
    assert b"deep" in ask("-L", f"{url}/docs")
    # A download that was broken off goes on where it ended.
    part = tmp_path / "part"
    part.write_bytes(LARGE[:123456])
    ask("-C", "-", "-o", str(part), f"{url}/large.bin")
    assert part.read_bytes() == LARGE
    # What it has it does not get again.
    code = ("-o", os.devnull, "-w", "%{http_code}")
    assert ask(*code, "-z", OLD_DATE, f"{url}/hello.txt") == b"304"
    assert ask(*code, "-I", f"{url}/hello.txt") == b"200"
