"""Elements of a page or a picture, for tests that look at what is drawn."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements with their attributes and the text right in them; every element is closed by its own end."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[int] = []
        self.feed(str(html))
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        if self._open:
            self.elements[self._open[-1]][2].append(data)

    def of(self, tag: str, class_: str = "") -> list[tuple[dict[str, str], str]]:
        return [
            (given, "".join(text))
            for name, given, text in self.elements
            if name == tag and (not class_ or set(class_.split()) <= set(given.get("class", "").split()))
        ]
