"""What a page of HTML holds, and what every page has to hold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html.parser import HTMLParser

VOID = {"meta", "img"}  # elements without an end


class Markup(HTMLParser):
    """The tags, headings, pictures and text of some markup, which is well nested and loads nothing.

    Attributes:
        tags: the names of its elements.
        headings: (level, text) in order.
        pictures: the descriptions of its images.
        charts: the descriptions of its drawings.
        text: what a person reads.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.headings: list[tuple[int, str]] = []
        self.pictures: list[str] = []
        self.charts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = {name: value or "" for name, value in attrs}
        assert not {"href", "srcset"} & values.keys()
        assert not [name for name in values if name.startswith("on")]
        if tag == "html":
            assert values["lang"] == "en"
        if tag == "th":
            assert values["scope"] in ("col", "row")
        if tag == "img":
            assert values["src"].startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
            assert values["alt"]
            self.pictures.append(values["alt"])
        if tag == "svg" and "aria-hidden" not in values:
            assert values["role"] == "img"
            self.charts.append(values["aria-label"])
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append((int(tag[1:]), ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            assert "url(" not in data
            assert "@import" not in data
            return
        self.text += data
        if self._open and self._open[-1][0] == "h" and self._open[-1][1:].isdigit():
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)


class Page(Markup):
    """The markup of a whole page: one first heading, and below it no level is left out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        levels = [level for level, _ in self.headings]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(level <= before + 1 for before, level in itertools.pairwise(levels))
        assert {"html", "title", "main"} <= self.tags

    def sections(self) -> list[str]:
        """Lists the headings of the page's sections."""
        return [text for level, text in self.headings if level == 2]
