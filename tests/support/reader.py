"""Reads a report's page as a browser would: its elements, its words, its pictures."""

import base64
import re
import xml.etree.ElementTree as tree
from html.parser import HTMLParser


class Seen(HTMLParser):
    """tags: (name, attributes) in order. text: all that is not markup or style."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.words, self._inside = [], [], []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words)).replace("\u00a0", " ")

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        self._inside.append(f"/{tag}")

    def handle_data(self, data):
        if self._inside[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag):
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    """The page at this path, which must be sound: under 3 MB, self-contained, every picture with its text."""
    page = path.read_text(encoding="utf-8")
    seen = Seen(page)
    assert len(page.encode()) < 3_000_000
    assert not {"script", "iframe", "object", "embed", "form", "link"} & {
        tag for tag, attributes in seen.tags if attributes.get("rel") != "icon"
    }
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    pointers = [
        attributes[name] for _, attributes in seen.tags for name in ("src", "href", "srcset") if name in attributes
    ]
    assert all(pointer.startswith(("data:", "#")) for pointer in pointers)
    assert not re.search(r"url\(|@import", page)
    assert all(len(attributes.get("alt", "")) > 20 for attributes in seen.all("img"))
    for drawing in drawings(seen):
        names = {element.tag.rpartition("}")[2] for element in tree.fromstring(drawing).iter()}
        assert not names & {"script", "foreignObject", "a"}
    return seen


def drawings(seen):
    """The SVG pictures of a page as bytes."""
    start = "data:image/svg+xml;base64,"
    sources = [attributes["src"] for attributes in seen.all("img")]
    return [base64.b64decode(source.removeprefix(start)) for source in sources if source.startswith(start)]
