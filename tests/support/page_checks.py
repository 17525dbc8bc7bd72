"""Reading report pages as a browser would, for the report's tests."""

from html.parser import HTMLParser

_VOID = {"br", "col", "hr", "img", "link", "meta"}


class Page(HTMLParser):
    """A parsed page that refuses what is not well-formed.

    Args:
        text: The page.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.declaration = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_decl(self, declaration: str) -> None:
        self.declaration = declaration

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [key for key, _ in attributes]
        assert len(names) == len(set(names)), f"repeated attribute in <{tag}>: {names}"
        fields = {key: value or "" for key, value in attributes}
        self.elements.append((tag, fields))
        if "id" in fields:
            self.ids.append(fields["id"])
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        """Everything a reader reads."""
        return " ".join(" ".join(self.texts).split())

    def find(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a kind."""
        wanted = attributes.items()
        return [
            fields
            for name, fields in self.elements
            if name == tag and all(fields.get(key) == value for key, value in wanted)
        ]

    def check(self) -> "Page":
        """Check what makes a page whole and self-contained."""
        assert self.declaration.lower() == "doctype html"
        assert len(self.ids) == len(set(self.ids)), "an id is used twice"
        for tag, fields in self.elements:
            for key, value in fields.items():
                assert not key.startswith("on"), f"event handler {key}={value}"
                if (tag, key) == ("img", "src"):
                    # Pictures stand in the page itself, and every one is told in words.
                    assert value.startswith("data:image/png;base64,"), value
                    assert fields.get("alt"), "a picture without words"
                    continue
                assert key not in ("src", "srcset", "action", "data"), f"{key}={value}"
                if key == "href":
                    assert value.startswith("#") and value[1:] in self.ids, value
        forbidden = {"script", "iframe", "object", "embed", "link", "image", "form"}
        assert not forbidden & {tag for tag, _ in self.elements}
        return self
