//! A document, page by page.

use std::fs::File;

use vectrion_core::{document::Warning, extraction::Extracted, text::normalise};

use super::{
    glyphs::{self, Reading},
    hidden::Search,
    pdfium::{Document, ObjectKind, OpenError, Page, Pdfium},
};
use crate::{
    layout::{DocumentLayout, OutlineEntry, PageText, restore_spaces},
    pdf::protocol::{Failure, Request},
};

/// Entries of an outline that are looked at.
const MAX_BOOKMARKS: usize = 5000;

/// What became of the pages.
#[derive(Default)]
struct Tally {
    unreadable: u32,
    /// Pages that hold pictures and no text.
    pictures: u32,
    hidden: u32,
    unmapped: u64,
    characters: u64,
}

/// Reads a document. `progress` hears of each page: how many are read, and how many there are.
pub(super) fn read_document(
    pdfium: &Pdfium,
    file: File,
    request: &Request,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<Extracted, Failure> {
    let document = pdfium.open(file).map_err(|error| match error {
        OpenError::Password => Failure::PasswordRequired,
        OpenError::Security => Failure::UnsupportedEncryption,
        OpenError::File | OpenError::Format => Failure::Malformed,
    })?;
    let pages = document.page_count();
    if pages == 0 {
        return Err(Failure::NoPages);
    }
    if pages > request.max_pages {
        return Err(Failure::TooManyPages { pages, max: request.max_pages });
    }
    let mut layout = DocumentLayout::default();
    let mut reading = Reading::default();
    let mut search = Search::default();
    let mut tally = Tally::default();
    for index in 0..pages {
        match document.page(index) {
            Some(page) => read_page(&page, request, &mut reading, &mut search, &mut tally)?,
            None => {
                tally.unreadable += 1;
                reading.text = PageText::default();
            }
        }
        restore_spaces(&mut reading.text);
        layout.add(&reading.text);
        progress(index + 1, pages);
    }
    if tally.unreadable == pages {
        return Err(Failure::Malformed);
    }
    if layout.text_len() == 0 {
        let (images, unmapped) = (tally.pictures > 0, tally.unmapped > 0);
        return Err(Failure::NoText { images, hidden: tally.hidden, unmapped });
    }
    let mut extracted = layout.finish(&document.property("Title"), &outline(&document));
    extracted.warnings = warnings(&tally, search.unchecked, pages);
    Ok(extracted)
}

fn read_page(
    page: &Page<'_>,
    request: &Request,
    reading: &mut Reading,
    search: &mut Search,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let Some(source) = page.text() else {
        tally.unreadable += 1;
        reading.text = PageText::default();
        return Ok(());
    };
    let left = request.max_characters - tally.characters;
    if !glyphs::read(page, &source, left, reading) {
        return Err(Failure::TooManyCharacters { max: request.max_characters });
    }
    tally.characters += reading.text.glyphs.len() as u64;
    tally.unmapped += u64::from(reading.unmapped);
    tally.hidden += reading.invisible;
    if reading.text.glyphs.is_empty() {
        tally.pictures += u32::from(has_picture(page));
    } else if request.find_hidden_text {
        tally.hidden += search.drop_hidden(page, reading, request.max_pixels);
    }
    Ok(())
}

fn has_picture(page: &Page<'_>) -> bool {
    const MAX_OBJECTS: usize = 10_000;
    let mut found = false;
    page.for_each_object(MAX_OBJECTS, |object, _| found |= object.kind() == ObjectKind::Image);
    found
}

fn outline(document: &Document<'_>) -> Vec<OutlineEntry> {
    document
        .outline(MAX_BOOKMARKS)
        .into_iter()
        .map(|bookmark| OutlineEntry {
            title: normalise(&bookmark.title),
            page: bookmark.page.map(|page| page + 1),
            level: u8::try_from(bookmark.depth + 1).unwrap_or(u8::MAX),
        })
        .collect()
}

fn warnings(tally: &Tally, unchecked: u32, pages: u32) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |reason: &str, message: String| warnings.push(Warning { reason: reason.into(), message });
    if tally.hidden > 0 {
        warn(
            "HIDDEN_TEXT_DROPPED",
            format!(
                "{} characters that a person does not see (white, tiny, covered, off the page, or showing nothing) were left \
                 out",
                tally.hidden
            ),
        );
    }
    if unchecked > 0 {
        warn(
            "HIDDEN_TEXT_UNCHECKED",
            format!("{unchecked} of {pages} pages take too long to draw: hidden text in them may not have been found"),
        );
    }
    if tally.unreadable > 0 {
        warn("PAGES_UNREADABLE", format!("{} of {pages} pages are damaged and were left out", tally.unreadable));
    }
    if tally.pictures > 0 {
        warn(
            "PAGES_WITHOUT_TEXT",
            format!(
                "{} of {pages} pages hold pictures but no text; character recognition (OCR) is not available yet",
                tally.pictures
            ),
        );
    }
    if tally.unmapped > 0 && tally.unmapped * 20 > tally.characters {
        warn(
            "CHARACTERS_UNMAPPED",
            format!("{} characters are drawn without saying which they are, and were left out", tally.unmapped),
        );
    }
    warnings
}
