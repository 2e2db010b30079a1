#!/usr/bin/env python3
"""Sets the sample documents in examples/documents from their sources in scripts/samples.

    python3 scripts/make_samples.py [--check]

A source begins with `key: value` lines (file, title, subtitle, language, columns, colour). Then come headings (`#`,
`##`), paragraphs, items (`-` or `1.`), rows of tables (`| … |`, the first is the head), and bar charts
(`chart: title | label value | …`). `**bold**` works in running text. `--check` says whether the committed files are
what the sources give. Python's standard library only.
"""
import re
import sys
from pathlib import Path

from sample_pdf import A4, Page, width, write

ROOT = Path(__file__).resolve().parent.parent
COMPANY = {"en": "Aldermoor Water Systems", "de": "Aldermoor Wassertechnik GmbH"}
PAGE_OF = {"en": "Page {} of {}", "de": "Seite {} von {}"}
MARGIN, TOP, BOTTOM, GUTTER = 62, 66, 62, 24
REGULAR, BOLD = "Helvetica", "Helvetica-Bold"
GREY = (0.42, 0.43, 0.46)


def parse(source):
    """The head of a source, and its blocks as (kind, content)."""
    head, body = source.split("\n\n", 1)
    meta = dict(line.split(": ", 1) for line in head.splitlines())
    blocks = []
    for part in body.strip().split("\n\n"):
        lines = part.splitlines()
        if lines[0].startswith("#"):
            marks, text = lines[0].split(" ", 1)
            blocks.append(("heading", (len(marks), text)))
        elif lines[0].startswith("|"):
            blocks.append(("table", [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]))
        elif lines[0].startswith("chart: "):
            title, *bars = lines[0][len("chart: "):].split(" | ")
            blocks.append(("chart", (title, [(bar.split()[0], float(bar.split()[1])) for bar in bars])))
        elif re.match(r"(-|\d+\.) ", lines[0]):
            blocks.extend(("item", line.split(" ", 1)) for line in lines)
        else:
            blocks.append(("paragraph", " ".join(lines)))
    return meta, blocks


def wrap(text, room, size):
    """Lines of words, each (word, font), that fit into the room."""
    words, spaced = [], True
    for number, piece in enumerate(text.split("**")):
        for index, word in enumerate(piece.split()):
            # A word behind a change of font belongs to the one before when no space is between them.
            glued = index == 0 and not spaced and not piece[0].isspace()
            words.append((word, BOLD if number % 2 else REGULAR, glued))
        spaced = not piece or piece[-1].isspace()
    lines, line, used = [], [], 0
    space = width(" ", REGULAR, size)
    for word, font, glued in words:
        advance = width(word, font, size) + (0 if glued or not line else space)
        if line and not glued and used + advance > room:
            lines.append(line)
            line, used, advance = [], 0, width(word, font, size)
        line.append((word, font, glued))
        used += advance
    return lines + [line] if line else lines


class Flow:
    """Puts blocks into the columns of pages, one below the other."""

    def __init__(self, meta):
        self.meta = meta
        self.columns = int(meta["columns"])
        self.colour = tuple(float(part) for part in meta["colour"].split())
        self.room = (A4[0] - 2 * MARGIN - GUTTER * (self.columns - 1)) / self.columns
        self.size = 10.9 if self.columns == 1 else 9.8
        self.leading = self.size * 1.45
        self.pages, self.column, self.ceiling = [], 0, 0
        self.new_page()

    def new_page(self):
        self.page = Page()
        self.pages.append(self.page)
        self.column = 0
        self.ceiling = A4[1] - TOP
        if len(self.pages) == 1:
            self.page.area(0, A4[1] - 118, A4[0], 118, self.colour)
            self.page.text(MARGIN, A4[1] - 68, self.meta["title"], BOLD, 25, (1, 1, 1))
            self.page.text(MARGIN, A4[1] - 92, self.meta["subtitle"], REGULAR, 10.5, (0.88, 0.91, 0.93))
            self.ceiling = A4[1] - 118 - 34
        self.y = self.ceiling

    @property
    def x(self):
        return MARGIN + self.column * (self.room + GUTTER)

    def need(self, height):
        """Goes on to the next column or page if this much does not fit."""
        if self.y - height >= BOTTOM:
            return
        if self.column + 1 < self.columns:
            self.column += 1
            self.y = self.ceiling
        else:
            self.new_page()

    def lines(self, lines, indent=0, marker=None):
        for number, line in enumerate(lines):
            # No single line of a paragraph alone at the foot of a column.
            self.need(self.leading * (2 if number == 0 and len(lines) > 1 else 1))
            self.y -= self.leading
            if marker and number == 0:
                self.page.text(self.x, self.y, marker, REGULAR, self.size)
            self.run(self.x + indent, self.y, line, self.size)

    def run(self, x, y, line, size):
        """Draws a line; neighbouring words of one font are one piece of text, as other programs write them."""
        pieces = []
        for word, font, glued in line:
            gap = "" if glued or not pieces else " "
            if pieces and pieces[-1][1] == font:
                pieces[-1][0] += gap + word
            else:
                if pieces:
                    pieces[-1][0] += gap
                pieces.append([word, font])
        for text, font in pieces:
            self.page.text(x, y, text, font, size)
            x += width(text, font, size)

    def paragraph(self, text):
        self.lines(wrap(text, self.room, self.size))
        self.y -= self.leading * 0.55

    def item(self, item):
        marker, text = item
        indent = 14 if marker == "-" else 17
        marker = "\u2022" if marker == "-" else marker
        self.lines(wrap(text, self.room - indent, self.size), indent, marker)
        self.y -= self.leading * 0.25

    def heading(self, heading, below=0):
        """Sets a heading; `below` is the height of what must stand on the same page."""
        level, text = heading
        size = (15.5, 11.8)[level - 1] if self.columns == 1 else (13, 10.4)[level - 1]
        lines = wrap(f"**{text}**", self.room, size)
        before = size * (1.0 if level == 1 else 0.7)
        # A heading never stands alone at the foot of a column.
        self.need(before + len(lines) * size * 1.25 + max(below, 3.2 * self.leading))
        if self.y < self.ceiling:
            self.y -= before
        for line in lines:
            self.y -= size * 1.2
            words = [(word, font, glued) for word, font, glued in line]
            text = " ".join(word for word, _, _ in words)
            self.page.text(self.x, self.y, text, BOLD, size, self.colour)
        self.y -= size * 0.45

    def table(self, rows):
        size, pad = self.size - 0.7, 5
        widest = [max(width(row[c], BOLD, size) for row in rows) + 2 * pad for c in range(len(rows[0]))]
        spare = self.room - sum(widest)
        widths = [w + spare / len(widest) for w in widest] if spare > 0 else [w * self.room / sum(widest) for w in widest]
        heights = []
        for row in rows:
            cells = [wrap(cell, w - 2 * pad, size) for cell, w in zip(row, widths)]
            heights.append((cells, max(map(len, cells)) * size * 1.3 + 6))
        self.y -= 4
        self.need(sum(height for _, height in heights[:3]))
        for number, (cells, height) in enumerate(heights):
            if self.y - height < BOTTOM:
                self.need(height + heights[0][1])
                self.row(heights[0], widths, size, pad, True)
            self.row((cells, height), widths, size, pad, number == 0)
        self.page.line(self.x, self.y, self.x + self.room, self.y, self.colour, 0.8)
        self.y -= self.leading * 0.8

    def row(self, row, widths, size, pad, is_head):
        cells, height = row
        if is_head:
            self.page.area(self.x, self.y - height, self.room, height, self.colour)
        else:
            self.page.line(self.x, self.y - height, self.x + self.room, self.y - height)
        x = self.x
        for lines, w in zip(cells, widths):
            for number, line in enumerate(lines):
                y = self.y - 3 - (number + 1) * size * 1.3 + 3
                text = " ".join(word for word, _, _ in line)
                colour = (1, 1, 1) if is_head else (0.13, 0.13, 0.15)
                self.page.text(x + pad, y, text, BOLD if is_head else REGULAR, size, colour)
            x += w
        self.y -= height

    def chart(self, chart):
        title, bars = chart
        height = 118
        self.need(height + 40)
        self.y -= self.leading
        self.page.text(self.x, self.y, title, BOLD, self.size, self.colour)
        base, step = self.y - height, self.room / len(bars)
        most = max(value for _, value in bars)
        for number, (label, value) in enumerate(bars):
            x, tall = self.x + number * step + step * 0.2, value / most * (height - 34)
            self.page.area(x, base + 14, step * 0.6, tall, self.colour)
            for text, y in ((f"{value:g}", base + 14 + tall + 4), (label, base + 2)):
                self.page.text(x + (step * 0.6 - width(text, REGULAR, 9)) / 2, y, text, REGULAR, 9)
        self.page.line(self.x, base + 14, self.x + self.room, base + 14)
        self.y = base - self.leading

    def finish(self):
        language = self.meta["language"][:2]
        for number, page in enumerate(self.pages, 1):
            if number > 1:
                page.text(MARGIN, A4[1] - 40, self.meta["title"], REGULAR, 8, GREY)
                page.line(MARGIN, A4[1] - 46, A4[0] - MARGIN, A4[1] - 46)
            page.text(MARGIN, 34, COMPANY[language], REGULAR, 8, GREY)
            text = PAGE_OF[language].format(number, len(self.pages))
            page.text(A4[0] - MARGIN - width(text, REGULAR, 8), 34, text, REGULAR, 8, GREY)
        return self.pages


def main():
    check = "--check" in sys.argv[1:]
    stale = []
    for source in sorted((ROOT / "scripts/samples").glob("*.txt")):
        meta, blocks = parse(source.read_text(encoding="utf-8"))
        flow = Flow(meta)
        for (kind, content), (following, _) in zip(blocks, blocks[1:] + [("end", None)]):
            if kind == "heading":
                flow.heading(content, {"heading": 90, "table": 80, "chart": 160}.get(following, 0))
            else:
                getattr(flow, kind)(content)
        target = ROOT / "examples/documents" / meta["file"]
        before = target.read_bytes() if target.exists() else None
        made = target.with_suffix(".new")
        write(made, flow.finish(), meta["title"], meta["language"])
        if made.read_bytes() != before:
            stale.append(target.name)
        if check:
            made.unlink()
        else:
            made.replace(target)
            print(f"{target.relative_to(ROOT)}: {len(flow.pages)} pages, {target.stat().st_size} bytes")
    if check and stale:
        sys.exit(f"not what their sources give: {', '.join(stale)}; run scripts/make_samples.py")


if __name__ == "__main__":
    main()
