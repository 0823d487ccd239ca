"""The Content-Type of a file, by its name.

It does not depend on what a machine's ``/etc/mime.types`` says: the same folder is served in the
same way everywhere.
"""

import mimetypes

# What Python's own table lacks, or what has been registered otherwise since (IANA, RFC 9239).
_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".aac": "audio/aac",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".cjs": "text/javascript",
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".ini": "text/plain",
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".jxl": "image/jxl",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/matroska",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".rtf": "application/rtf",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
_ALL = {**mimetypes.MimeTypes(filenames=()).types_map[True], **_TYPES}

_UNKNOWN = "application/octet-stream"

# What gains nothing by being compressed once more; the rest may.
_COMPRESSED = ("image/", "audio/", "video/", "font/woff", "application/zip", "application/gzip")
_COMPRESSED_TYPES = frozenset(
    _TYPES[suffix] for suffix in (".7z", ".bz2", ".docx", ".epub", ".pptx", ".xlsx", ".xz", ".zst")
)
_UNCOMPRESSED_IMAGES = frozenset({"image/svg+xml", "image/bmp", "image/x-icon"})


def media_type_of(name: str) -> str:
    """The media type of a file called ``name``, without a charset.

    Only the last ending counts: ``a.tar.gz`` is a gzip file, and not a tar file on its way.
    """
    return _ALL.get(suffix_of(name), _UNKNOWN)


def content_type_of(name: str) -> str:
    """The Content-Type of a file called ``name``, in which text is UTF-8."""
    media_type = media_type_of(name)
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def suffix_of(name: str) -> str:
    """The ending of ``name`` from its last dot on, in lower case; empty if it has none."""
    name = name[name.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def is_compressible(content_type: str) -> bool:
    """Whether a file of this type may be worth compressing."""
    media_type = content_type.partition(";")[0].rstrip()
    if media_type in _UNCOMPRESSED_IMAGES:
        return True
    return not media_type.startswith(_COMPRESSED) and media_type not in _COMPRESSED_TYPES
