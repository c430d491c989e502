"""What the tests of an audit's page share."""

from html.parser import HTMLParser

ENCODINGS = ("rate", "poisson_burst")
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Read a page: its elements, the cells of its tables by heading, and its text in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.headings, self.tables, self.text = [], [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append((self.headings[-1], []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"{tag} closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if {"style", "svg"} & set(self.open):
            return
        self.text.append(data)
        for tag in reversed(self.open):
            if tag in ("td", "th"):
                self.tables[-1][1][-1][-1] += data
                return
            if tag in ("h1", "h2", "h3"):
                self.headings[-1] += data
                return

    def rows(self, heading, number=0):
        """Return the rows of the `number`-th table under a heading that starts so, by their first cell."""
        rows = [rows for found, rows in self.tables if found.startswith(heading)][number]
        return {row[0]: row[1:] for row in rows}
