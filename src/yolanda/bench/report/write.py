"""The files of a report: ``report.html``, ``report.md``, and the pictures of the latter."""

from pathlib import Path

from yolanda.bench.report import markdown
from yolanda.bench.report.document import Document
from yolanda.bench.report.html import to_html


def write_report(document: Document, folder: Path) -> tuple[list[Path], str]:
    """Write a report into ``folder``; return its files, and why it has no pictures, if it has none.

    Raises `OSError` if that cannot be written.
    """
    drawings: dict[str, tuple[str, str]] = {}
    without = ""
    try:
        from yolanda.bench.report.plots import NARROW, WIDE, draw, standalone
    except ImportError as error:
        without = f"There are no pictures: {error}"
    else:
        beside = folder / markdown.FOLDER
        beside.mkdir(exist_ok=True)
        for old in beside.glob("*.svg"):
            old.unlink()
        for section in document.sections:
            for picture in section.pictures:
                wide, narrow = (draw(picture, shape) for shape in (WIDE, NARROW))
                drawings[picture.name] = wide, narrow
                (beside / f"{picture.name}.svg").write_text(standalone(wide))
    page, text = folder / "report.html", folder / "report.md"
    page.write_text(to_html(document, drawings))
    text.write_text(markdown.to_markdown(document, drawings, without))
    return [page, text], without
