"""The page that lists a folder."""

import contextlib
import html
import os
import stat
import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote

_MOST = 10_000
"""Names of a larger folder are left out, so that no loop is busy with one page for long."""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --quiet: #767676; --link: #0b57d0; }}
@media (prefers-color-scheme: dark) {{ :root {{ --quiet: #999; --link: #8ab4f8; }} }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1rem; }}
h1 {{ font-size: 1.25rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th {{ text-align: left; font-weight: normal; color: var(--quiet); }}
td, th {{ border-bottom: 1px solid var(--line); padding: .4rem .5rem; }}
td:first-child {{ overflow-wrap: anywhere; width: 100%; }}
td + td, th + th {{ color: var(--quiet); text-align: right; white-space: nowrap; }}
td + td {{ font-variant-numeric: tabular-nums; }}
a {{ color: var(--link); text-decoration: none; display: block; }}
a:hover, a:focus {{ text-decoration: underline; }}
p {{ color: var(--quiet); }}
@media (max-width: 36rem) {{ td:nth-child(3), th:nth-child(3) {{ display: none; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Modified (UTC)</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{note}</body>
</html>
"""  # noqa: E501

_ROW = '<tr><td><a href="{link}">{name}</a></td><td>{size}</td><td>{modified}</td></tr>'
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def make_listing(fd: int, names: Sequence[bytes], follow_links: bool, hidden: bool) -> str:
    """A page about the folder that is open as ``fd``, to which ``names`` have led.

    It shows what would be served: folders first, then plain files.  Raises `OSError` when the
    folder cannot be read.
    """
    entries: list[tuple[bytes, bool, int, int]] = []
    complete = True
    for entry in _scan(fd, follow_links, hidden):
        if len(entries) == _MOST:
            complete = False
            break
        entries.append(entry)
    entries.sort(key=lambda entry: (not entry[1], entry[0].lower(), entry[0]))
    rows = [_ROW.format(link="../", name="..", size="", modified="")] if names else []
    for name, is_folder, size, modified in entries:
        slash = "/" if is_folder else ""
        rows.append(
            _ROW.format(
                link=f"./{quote(name)}{slash}",
                name=_shown(name) + slash,
                size="" if is_folder else _size(size),
                modified=_date(modified),
            )
        )
    note = "" if complete else f"<p>The first {_MOST} names that were found; there are more.</p>\n"
    title = "/".join(["", *(_shown(name) for name in names), ""])
    return _PAGE.format(title=title, rows="\n".join(rows), note=note)


def _scan(fd: int, follow_links: bool, hidden: bool) -> Iterator[tuple[bytes, bool, int, int]]:
    """Names, whether they are folders, sizes, and times in seconds."""
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.name.startswith(".") and not hidden:
                continue
            with contextlib.suppress(OSError):  # gone meanwhile, or a link to nothing
                status = entry.stat(follow_symlinks=follow_links)
                is_folder = stat.S_ISDIR(status.st_mode)
                if is_folder or stat.S_ISREG(status.st_mode):
                    modified = status.st_mtime_ns // 10**9
                    yield os.fsencode(entry.name), is_folder, status.st_size, modified


def _shown(name: bytes) -> str:
    return html.escape(name.decode(errors="replace"))


def _size(size: float) -> str:
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def _date(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):  # some file systems keep any number
        return ""
