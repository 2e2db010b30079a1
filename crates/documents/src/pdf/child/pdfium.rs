//! The only door to pdfium: a thin, safe skin over its C interface. All of the crate's calls into it are in this module.
//!
//! pdfium is not thread-safe; nothing in here is `Send`. Handles borrow what they came from, so that none outlives its
//! document or page. pdfium checks indexes and handles' emptiness itself and answers with a failure value.

mod geometry;
mod page;
mod source;
mod text;

use std::{
    ffi::{c_int, c_ulong, c_void},
    fs::File,
    path::Path,
    ptr::NonNull,
};

use pdfium_render::prelude::{Pdfium as Loader, PdfiumError, PdfiumLibraryBindings};

pub(crate) use geometry::{Bounds, Matrix};
pub(crate) use page::{ObjectKind, Page};
pub(crate) use text::{FontFacts, FontKey, ObjectKey, TextPage};

use source::OpenFile;

/// Handles are opaque pointers; the crate with the bindings keeps their types private, so they are cast at each call.
type Handle = NonNull<c_void>;

/// The loaded library.
pub(crate) struct Pdfium {
    api: Box<dyn PdfiumLibraryBindings>,
}

/// Why a document could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The bytes could not be read.
    File,
    /// Not a PDF, or damaged beyond repair.
    Format,
    /// A password is needed.
    Password,
    /// Encrypted in a way that pdfium does not know.
    Security,
}

impl Pdfium {
    /// Loads and initialises the library.
    pub(crate) fn load(path: &Path) -> Result<Self, PdfiumError> {
        let api = Loader::bind_to_library(path)?;
        // SAFETY: called once, before any other function of the library.
        unsafe { api.FPDF_InitLibrary() };
        Ok(Self { api })
    }

    /// Opens a document. The file is read as needed.
    pub(crate) fn open(&self, file: File) -> Result<Document<'_>, OpenError> {
        let file = OpenFile::new(file).map_err(|_| OpenError::File)?;
        // SAFETY: the pointer is to an FPDF_FILEACCESS, which lives in the document until after FPDF_CloseDocument.
        let handle = unsafe { self.api.FPDF_LoadCustomDocument(file.as_ptr().cast(), None) };
        match NonNull::new(handle.cast()) {
            Some(handle) => Ok(Document { pdfium: self, handle, _file: file }),
            // SAFETY: no arguments.
            None => Err(match unsafe { self.api.FPDF_GetLastError() } {
                2 => OpenError::File,
                4 => OpenError::Password,
                5 => OpenError::Security,
                _ => OpenError::Format,
            }),
        }
    }
}

/// An open document.
pub(crate) struct Document<'p> {
    pdfium: &'p Pdfium,
    handle: Handle,
    // Dropped after the document is closed: fields go after `drop`.
    _file: OpenFile,
}

impl Drop for Document<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and pages borrow the document, so none is left.
        unsafe { self.api().FPDF_CloseDocument(self.handle.as_ptr().cast()) }
    }
}

impl Document<'_> {
    fn api(&self) -> &dyn PdfiumLibraryBindings {
        self.pdfium.api.as_ref()
    }

    pub(crate) fn page_count(&self) -> u32 {
        // SAFETY: the handle is open.
        u32::try_from(unsafe { self.api().FPDF_GetPageCount(self.handle.as_ptr().cast()) }).unwrap_or(0)
    }

    /// The page, counted from 0; none if it cannot be read.
    pub(crate) fn page(&self, index: u32) -> Option<Page<'_>> {
        let index = c_int::try_from(index).ok()?;
        // SAFETY: the handle is open.
        let handle = unsafe { self.api().FPDF_LoadPage(self.handle.as_ptr().cast(), index) };
        NonNull::new(handle.cast()).map(|handle| Page::new(self.api(), handle))
    }

    /// An entry of the document's properties, such as `Title`; empty if there is none.
    pub(crate) fn property(&self, tag: &str) -> String {
        utf16(|buffer, len| {
            // SAFETY: the handle is open; `buffer` has room for `len` bytes.
            unsafe { self.api().FPDF_GetMetaText(self.handle.as_ptr().cast(), tag, buffer, len) }
        })
    }

    /// The outline in order, at most `limit` entries.
    pub(crate) fn outline(&self, limit: usize) -> Vec<Bookmark> {
        const DEPTH: usize = 8;
        let document = self.handle.as_ptr();
        // SAFETY: the handle is open; a null parent means the root.
        let first = unsafe { self.api().FPDFBookmark_GetFirstChild(document.cast(), std::ptr::null_mut()) };
        let mut found = Vec::new();
        let mut stack = vec![(first.cast::<c_void>(), 0)];
        // A loop of bookmarks in a hostile file ends at the limit.
        while let Some((bookmark, depth)) = stack.pop() {
            if bookmark.is_null() {
                continue;
            }
            if found.len() >= limit {
                break;
            }
            let title = utf16(|buffer, len| {
                // SAFETY: the bookmark belongs to the open document; `buffer` has room for `len` bytes.
                unsafe { self.api().FPDFBookmark_GetTitle(bookmark.cast(), buffer, len) }
            });
            // SAFETY: the bookmark belongs to the open document, and so do the destination and the action found through it.
            let (page, next, child) = unsafe {
                let mut destination = self.api().FPDFBookmark_GetDest(document.cast(), bookmark.cast());
                if destination.is_null() {
                    let action = self.api().FPDFBookmark_GetAction(bookmark.cast());
                    if !action.is_null() {
                        destination = self.api().FPDFAction_GetDest(document.cast(), action);
                    }
                }
                let page = if destination.is_null() {
                    -1
                } else {
                    self.api().FPDFDest_GetDestPageIndex(document.cast(), destination)
                };
                let next = self.api().FPDFBookmark_GetNextSibling(document.cast(), bookmark.cast());
                let child = self.api().FPDFBookmark_GetFirstChild(document.cast(), bookmark.cast());
                (page, next.cast::<c_void>(), child.cast::<c_void>())
            };
            stack.push((next, depth));
            if depth < DEPTH {
                stack.push((child, depth + 1));
            }
            found.push(Bookmark { title, page: u32::try_from(page).ok(), depth });
        }
        found
    }
}

/// An entry of a document's outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) title: String,
    /// Counted from 0.
    pub(crate) page: Option<u32>,
    /// 0 at the top.
    pub(crate) depth: usize,
}

/// Reads a text that the library writes as UTF-16 with a terminator; asked for its length in bytes first.
fn utf16(mut get: impl FnMut(*mut c_void, c_ulong) -> c_ulong) -> String {
    const LONGEST: c_ulong = 1 << 16;
    let bytes = get(std::ptr::null_mut(), 0).min(LONGEST);
    let mut units = vec![0_u16; usize::try_from(bytes / 2).unwrap_or(0)];
    if units.len() < 2 {
        return String::new();
    }
    get(units.as_mut_ptr().cast(), bytes);
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}
