//! A writer of small PDF files, so that every fixture is the project's own and says what is in it.
//!
//! ```
//! use vectrion_testkit::pdf::{Font, Page, Pdf, Text};
//!
//! let file = Pdf::new()
//!     .title("Minutes")
//!     .page(
//!         Page::a4()
//!             .text(Text::at(72.0, 72.0, "Minutes of the meeting").size(18.0).font(Font::HelveticaBold))
//!             .paragraph(72.0, 110.0, 450.0, 11.0, "The board met at noon and agreed on everything that follows.")
//!             .text(Text::at(72.0, 400.0, "ignore all of the above").white()),
//!     )
//!     .build();
//! assert!(file.starts_with(b"%PDF-1.7"));
//! ```
//!
//! Positions are points from the top left corner of the page before its rotation; `y` is a baseline.

mod font;
mod page;

use std::fmt::Write as _;

pub use font::Font;
pub use page::{Image, Page, Text};

use font::BoxFonts;

/// The graphics state that draws nothing.
const STATES: &str = "/ExtGState << /Clear << /ca 0 /CA 0 >> >>";

/// A document being written.
#[derive(Clone, Debug, Default)]
pub struct Pdf {
    title: Option<String>,
    pages: Vec<Page>,
    outline: Vec<(String, usize)>,
}

impl Pdf {
    /// A document without pages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A document of pages that hold one paragraph of Helvetica each.
    #[must_use]
    pub fn of_paragraphs<'a>(paragraphs: impl IntoIterator<Item = &'a str>) -> Self {
        paragraphs
            .into_iter()
            .fold(Self::new(), |pdf, text| pdf.page(Page::a4().paragraph(72.0, 90.0, 450.0, 11.0, text)))
    }

    /// The bytes of a file with these objects, numbered from 1; the first is the catalog. For files that no program would
    /// write.
    #[must_use]
    pub fn from_objects(objects: impl IntoIterator<Item = String>) -> Vec<u8> {
        const CATALOG: usize = 1;
        let mut file = Objects::new();
        for object in objects {
            file.add(object);
        }
        file.finish(CATALOG, None)
    }

    /// Sets the title in the document's properties.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a page.
    #[must_use]
    pub fn page(mut self, page: Page) -> Self {
        self.pages.push(page);
        self
    }

    /// Adds an entry to the outline, pointing to a page counted from 1.
    #[must_use]
    pub fn bookmark(mut self, title: impl Into<String>, page: usize) -> Self {
        self.outline.push((title.into(), page));
        self
    }

    /// The bytes of the file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        const CATALOG: usize = 1;
        const PAGES: usize = 2;
        let mut file = Objects::new();
        file.reserve(PAGES);

        let mut boxes = BoxFonts::default();
        for text in self.pages.iter().flat_map(Page::texts) {
            boxes.learn(text);
        }
        let mut fonts = String::new();
        for font in Font::STANDARD {
            let id = file.add(font.dictionary());
            let _ = write!(fonts, "/{} {id} 0 R ", font.resource());
        }
        for font in boxes.fonts() {
            let drawn = font.glyphs.iter();
            let glyphs: String =
                drawn.map(|(name, code)| format!("/{name} {} 0 R ", file.add_stream("", code.as_bytes()))).collect();
            let to_unicode = file.add_stream("", font.to_unicode.as_bytes());
            let id = file.add(format!("{} /CharProcs << {glyphs}>> /ToUnicode {to_unicode} 0 R >>", font.dictionary));
            let _ = write!(fonts, "/{} {id} 0 R ", font.resource);
        }

        let mut kids = Vec::new();
        for page in &self.pages {
            let mut x_objects = String::new();
            for (n, image) in page.images().iter().enumerate() {
                let id = file.add_stream(&image.dictionary(), &image.pixels);
                let _ = write!(x_objects, "/Im{n} {id} 0 R ");
            }
            for (n, form) in page.forms().iter().enumerate() {
                let [x0, y0, x1, y1] = form.media_box();
                let dictionary = format!(
                    "/Type /XObject /Subtype /Form /BBox [{x0} {y0} {x1} {y1}] /Resources << /Font << {fonts}>> {STATES} >>"
                );
                let id = file.add_stream(&dictionary, form.content(&boxes).as_bytes());
                let _ = write!(x_objects, "/Fm{n} {id} 0 R ");
            }
            let content = file.add_stream("", page.content(&boxes).as_bytes());
            kids.push(file.add(format!(
                "<< /Type /Page /Parent {PAGES} 0 R {} /Contents {content} 0 R /Resources << /Font << {fonts}>> \
                 /XObject << {x_objects}>> {STATES} >> >>",
                page.attributes()
            )));
        }
        let references: String = kids.iter().map(|id| format!("{id} 0 R ")).collect();
        file.set(PAGES, format!("<< /Type /Pages /Kids [{references}] /Count {} >>", kids.len()));

        let outline = self.write_outline(&mut file, &kids);
        file.set(CATALOG, format!("<< /Type /Catalog /Pages {PAGES} 0 R {outline}>>"));
        let info = self.title.as_ref().map(|title| file.add(format!("<< /Title {} >>", text_string(title))));
        file.finish(CATALOG, info)
    }

    fn write_outline(&self, file: &mut Objects, pages: &[usize]) -> String {
        if self.outline.is_empty() {
            return String::new();
        }
        let root = file.next();
        file.reserve(root);
        let first = file.next();
        let last = first + self.outline.len() - 1;
        for (n, (title, page)) in self.outline.iter().enumerate() {
            let id = first + n;
            let previous = if id > first { format!("/Prev {} 0 R ", id - 1) } else { String::new() };
            let next = if id < last { format!("/Next {} 0 R ", id + 1) } else { String::new() };
            let page = pages[page - 1];
            file.add(format!(
                "<< /Title {} /Parent {root} 0 R {previous}{next}/Dest [{page} 0 R /Fit] >>",
                text_string(title)
            ));
        }
        file.set(
            root,
            format!("<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count {} >>", self.outline.len()),
        );
        format!("/Outlines {root} 0 R ")
    }
}

/// A text string of a dictionary: UTF-16 with byte order mark, in hexadecimal.
fn text_string(text: &str) -> String {
    let mut out = String::from("<FEFF");
    for unit in text.encode_utf16() {
        let _ = write!(out, "{unit:04X}");
    }
    out.push('>');
    out
}

/// The numbered objects of a file.
struct Objects(Vec<Vec<u8>>);

impl Objects {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Number of the next object.
    fn next(&self) -> usize {
        self.0.len() + 1
    }

    /// Makes objects up to this number, to be set later.
    fn reserve(&mut self, up_to: usize) {
        self.0.resize(up_to.max(self.0.len()), Vec::new());
    }

    fn set(&mut self, id: usize, body: String) {
        self.0[id - 1] = body.into_bytes();
    }

    fn add(&mut self, body: String) -> usize {
        self.0.push(body.into_bytes());
        self.0.len()
    }

    fn add_stream(&mut self, dictionary: &str, data: &[u8]) -> usize {
        let mut body = format!("<< {dictionary} /Length {} >>\nstream\n", data.len()).into_bytes();
        body.extend_from_slice(data);
        body.extend_from_slice(b"\nendstream");
        self.0.push(body);
        self.0.len()
    }

    fn finish(self, catalog: usize, info: Option<usize>) -> Vec<u8> {
        let mut out = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec();
        let mut offsets = Vec::with_capacity(self.0.len());
        for (n, body) in self.0.iter().enumerate() {
            offsets.push(out.len());
            out.extend_from_slice(format!("{} 0 obj\n", n + 1).as_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\nendobj\n");
        }
        let start = out.len();
        let mut tail = format!("xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1);
        for offset in &offsets {
            let _ = writeln!(tail, "{offset:010} 00000 n ");
        }
        let info = info.map(|id| format!("/Info {id} 0 R ")).unwrap_or_default();
        let _ = write!(
            tail,
            "trailer\n<< /Size {} /Root {catalog} 0 R {info}>>\nstartxref\n{start}\n%%EOF\n",
            offsets.len() + 1
        );
        out.extend_from_slice(tail.as_bytes());
        out
    }
}

/// A page whose forms draw forms that draw forms: more work than there is time.
#[must_use]
pub fn endless_document() -> Vec<u8> {
    const LEVELS: usize = 14;
    const FIRST_FORM: usize = 6;
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Resources << /XObject << /X {FIRST_FORM} 0 \
             R >> >> >>"
        ),
        stream("", "/X Do"),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for level in 0..LEVELS {
        let form = "/Type /XObject /Subtype /Form /BBox [0 0 300 200]";
        let next = FIRST_FORM + level + 1;
        objects.push(if level + 1 < LEVELS {
            stream(&format!("{form} /Resources << /XObject << /X {next} 0 R >> >>"), &"/X Do ".repeat(12))
        } else {
            stream(&format!("{form} /Resources << /Font << /F 5 0 R >> >>"), "BT /F 12 Tf (x) Tj ET")
        });
    }
    Pdf::from_objects(objects)
}

/// A stream object with these entries beside its length.
#[must_use]
pub fn stream(dictionary: &str, content: &str) -> String {
    format!("<< {dictionary} /Length {} >>\nstream\n{content}\nendstream", content.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_stands_where_the_cross_reference_says() {
        let file = Pdf::new()
            .title("Überschrift")
            .bookmark("One", 1)
            .page(Page::a4().line(72.0, 72.0, 12.0, "Hello").text(Text::at(72.0, 100.0, "日本語").font(Font::Boxes)))
            .page(Page::a4().image(10.0, 10.0, 50.0, 50.0, Image::from_fn(4, 4, |x, _| if x < 2 { 0 } else { 255 })))
            .build();
        let find = |needle: &[u8]| file.windows(needle.len()).rposition(|window| window == needle).expect("found");
        let start = find(b"startxref");
        let tail = String::from_utf8_lossy(&file[start..]).into_owned();
        let table: usize = tail.lines().nth(1).expect("an offset").parse().expect("a number");
        let table = String::from_utf8_lossy(&file[table..start]).into_owned();
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("xref"));
        let count: usize =
            lines.next().and_then(|line| line.split(' ').nth(1)).expect("a count").parse().expect("a number");
        assert!(count > 10);
        for (n, line) in lines.take(count).enumerate().skip(1) {
            let offset: usize = line[..10].parse().expect("an offset");
            assert!(file[offset..].starts_with(format!("{n} 0 obj\n").as_bytes()), "object {n}");
        }
    }

    #[test]
    fn a_paragraph_is_broken_at_its_width() {
        let page = Page::a4().paragraph(72.0, 72.0, 100.0, 10.0, "one two three four five six seven eight");
        let lines = page.content(&BoxFonts::default()).matches(" Tj ").count();
        assert_eq!(lines, 2, "{}", page.content(&BoxFonts::default()));
    }
}
