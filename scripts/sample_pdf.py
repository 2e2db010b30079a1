"""A small writer of PDF files: text in the standard fonts, lines, filled areas. Python's standard library only."""
import zlib

# Widths of the characters 32 to 255 in WinAnsiEncoding, in thousandths of the size (Adobe's font metrics).
WIDTHS = {
    "Helvetica": """278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556
        278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667
        944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500
        278 556 500 722 500 500 500 334 260 334 584 350 556 350 222 556 333 1000 556 556 333 1000 667 333 1000 350 611 350
        350 222 222 333 333 350 556 1000 333 1000 500 333 944 350 500 667 278 333 556 556 556 556 260 556 333 737 370 556 584
        333 737 333 400 584 333 333 333 556 537 278 333 333 365 556 834 834 834 611 667 667 667 667 667 667 1000 722 667 667
        667 667 278 278 278 278 722 722 778 778 778 778 778 584 778 722 722 722 722 667 667 611 556 556 556 556 556 556 889
        500 556 556 556 556 278 278 278 278 556 556 556 556 556 556 556 584 611 556 556 556 556 500 556 500""",
    "Helvetica-Bold": """278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556
        556 333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 722 778 667 778 722 667 611 722
        667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 556 333 611 611 278 278 556 278 889 611 611 611 611 389
        556 333 611 556 778 556 556 500 389 280 389 584 350 556 350 278 556 500 1000 556 556 333 1000 667 333 1000 350 611
        350 350 278 278 500 500 350 556 1000 333 1000 556 333 944 350 500 667 278 333 556 556 556 556 280 556 333 737 370 556
        584 333 737 333 400 584 333 333 333 611 556 278 333 333 365 556 834 834 834 611 722 722 722 722 722 722 1000 722 667
        667 667 667 278 278 278 278 722 722 778 778 778 778 778 584 778 722 722 722 722 667 667 611 556 556 556 556 556 556
        889 556 556 556 556 556 278 278 278 278 611 611 611 611 611 611 611 584 611 611 611 611 611 556 611 556""",
}
WIDTHS = {font: [int(width) for width in widths.split()] for font, widths in WIDTHS.items()}
NAMES = {font: f"F{number}" for number, font in enumerate(WIDTHS, 1)}

A4 = (595.28, 841.89)


def encode(text):
    """The text as WinAnsiEncoding; a character that it lacks is an error in the source."""
    return text.encode("cp1252")


def width(text, font, size):
    widths = WIDTHS[font]
    return sum(widths[byte - 32] for byte in encode(text)) * size / 1000


def literal(data):
    for byte in (b"\\", b"(", b")"):
        data = data.replace(byte, b"\\" + byte)
    return b"(" + data + b")"


class Page:
    """A page to be drawn on; the origin is at the bottom left."""

    def __init__(self):
        self.operations = []

    def text(self, x, y, text, font="Helvetica", size=10, colour=(0.13, 0.13, 0.15)):
        self.operations.append(
            b"BT /%s %.4g Tf %s rg %.2f %.2f Td %s Tj ET"
            % (NAMES[font].encode(), size, rgb(colour), x, y, literal(encode(text)))
        )

    def area(self, x, y, w, h, colour):
        self.operations.append(b"%s rg %.2f %.2f %.2f %.2f re f" % (rgb(colour), x, y, w, h))

    def line(self, x0, y0, x1, y1, colour=(0.7, 0.7, 0.72), thickness=0.5):
        self.operations.append(
            b"%s RG %.2f w %.2f %.2f m %.2f %.2f l S" % (rgb(colour), thickness, x0, y0, x1, y1)
        )


def rgb(colour):
    return b"%.3g %.3g %.3g" % tuple(colour)


def write(path, pages, title, language):
    """Writes the file; the same pages give the same bytes."""
    objects = [None, None]  # catalogue and page tree, once the numbers of the others are known
    fonts = {}
    for font, name in NAMES.items():
        objects.append(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % font.encode()
        )
        fonts[name] = len(objects)
    resources = b"<< /Font << %s >> >>" % b" ".join(b"/%s %d 0 R" % (n.encode(), at) for n, at in fonts.items())
    kids = []
    for page in pages:
        stream = zlib.compress(b"\n".join(page.operations), 9)
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Resources %s /Contents %d 0 R >>"
            % (*A4, resources, len(objects))
        )
        kids.append(len(objects))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R /Lang (%s) /ViewerPreferences << /DisplayDocTitle true >> >>" % (
        language.encode()
    )
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids))
    name = b"\xfe\xff" + title.encode("utf-16-be")
    objects.append(b"<< /Title <%s> /Producer (vectrion sample writer) >>" % name.hex().encode())

    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        len(objects),
        start,
    )
    path.write_bytes(out)
