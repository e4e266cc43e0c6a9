"""The page: one file that needs nothing else, neither a network nor a server."""

from __future__ import annotations

import base64
import pathlib
import re

from tools.hakmem_lib.maps import model, store

_HERE = pathlib.Path(__file__).resolve().parent
_DATA = re.compile(rb'<script type="application/gzip" id="data">([A-Za-z0-9+/=]*)</script>')


def build(heap: model.Map) -> bytes:
    """The page of a map, or of a difference."""
    page = (_HERE / "page.html").read_text()
    for mark, text in (
        ("/* page.css */", (_HERE / "page.css").read_text()),
        ("/* page.js */", (_HERE / "page.js").read_text()),
        ("PAGE-DATA", base64.b64encode(store.pack(heap)).decode("ascii")),
    ):
        before, found, after = page.partition(mark)
        if not found:
            raise AssertionError(f"page.html has no {mark}")
        page = before + text + after
    return page.encode()


def data_of(page: bytes) -> model.Map:
    """The map that a page was made of."""
    found = _DATA.search(page)
    if found is None:
        raise AssertionError("no page of hakmem map")
    return store.unpack("the page", base64.b64decode(found.group(1)))
