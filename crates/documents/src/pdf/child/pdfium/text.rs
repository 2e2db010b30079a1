//! The characters of a page and their fonts.

use std::ffi::c_void;

use pdfium_render::prelude::PdfiumLibraryBindings;

use super::{Handle, geometry::Matrix};

/// The characters of a page, in the order in which the file draws them.
pub(crate) struct TextPage<'g> {
    api: &'g dyn PdfiumLibraryBindings,
    handle: Handle,
}

impl Drop for TextPage<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open.
        unsafe { self.api.FPDFText_ClosePage(self.handle.as_ptr().cast()) }
    }
}

/// Which text object a character belongs to; good for comparing while the page is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectKey(*mut c_void);

impl ObjectKey {
    pub(crate) const NONE: Self = Self(std::ptr::null_mut());
}

/// Which font a character is set in; good for comparing while the page is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FontKey(*mut c_void);

/// What is known of a font.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FontFacts {
    pub(crate) name: String,
    /// Flags of the font descriptor.
    pub(crate) flags: i32,
    pub(crate) weight: i32,
    pub(crate) embedded: bool,
    /// Height above the baseline at size 1.
    pub(crate) ascent: f32,
    /// Depth below the baseline at size 1, negative.
    pub(crate) descent: f32,
}

impl<'g> TextPage<'g> {
    /// `handle` is an open text page, which this closes.
    pub(super) fn new(api: &'g dyn PdfiumLibraryBindings, handle: Handle) -> Self {
        Self { api, handle }
    }
}

impl TextPage<'_> {
    /// Number of characters, those that pdfium made up (spaces, line ends) included.
    pub(crate) fn len(&self) -> i32 {
        // SAFETY: the handle is open.
        unsafe { self.api.FPDFText_CountChars(self.handle.as_ptr().cast()) }.max(0)
    }

    #[inline]
    pub(crate) fn unicode(&self, index: i32) -> u32 {
        // SAFETY: the handle is open; an index out of range gives 0.
        unsafe { self.api.FPDFText_GetUnicode(self.handle.as_ptr().cast(), index) }
    }

    #[inline]
    pub(crate) fn object(&self, index: i32) -> ObjectKey {
        // SAFETY: the handle is open; an index out of range gives null.
        ObjectKey(unsafe { self.api.FPDFText_GetTextObject(self.handle.as_ptr().cast(), index) }.cast())
    }

    /// Tight box of the glyph: left, bottom, right, top.
    #[inline]
    pub(crate) fn glyph_box(&self, index: i32) -> [f64; 4] {
        let [mut left, mut bottom, mut right, mut top] = [0.0; 4];
        // SAFETY: the handle is open and the four places are valid; an index out of range leaves them as they are.
        unsafe {
            let page = self.handle.as_ptr().cast();
            self.api.FPDFText_GetCharBox(page, index, &mut left, &mut right, &mut bottom, &mut top);
        }
        [left, bottom, right, top]
    }

    /// Where the pen stood, on the baseline.
    pub(crate) fn origin(&self, index: i32) -> (f64, f64) {
        let (mut x, mut y) = (0.0, 0.0);
        // SAFETY: the handle is open and the places are valid.
        unsafe { self.api.FPDFText_GetCharOrigin(self.handle.as_ptr().cast(), index, &mut x, &mut y) };
        (x, y)
    }

    /// Font size before the text matrix.
    pub(crate) fn font_size(&self, index: i32) -> f32 {
        // SAFETY: the handle is open.
        unsafe { self.api.FPDFText_GetFontSize(self.handle.as_ptr().cast(), index) as f32 }
    }

    /// The text matrix, with that of the forms around it.
    pub(crate) fn matrix(&self, index: i32) -> Matrix {
        let mut matrix = Matrix::IDENTITY;
        // SAFETY: the handle is open; `Matrix` has the layout of FS_MATRIX.
        unsafe {
            let page = self.handle.as_ptr().cast();
            self.api.FPDFText_GetMatrix(page, index, std::ptr::from_mut(&mut matrix).cast());
        }
        matrix
    }

    /// The font of a text object that [`TextPage::object`] gave.
    pub(crate) fn font(&self, object: ObjectKey) -> FontKey {
        if object.0.is_null() {
            return FontKey(std::ptr::null_mut());
        }
        // SAFETY: the object belongs to the open page that this text was read from.
        FontKey(unsafe { self.api.FPDFTextObj_GetFont(object.0.cast()) }.cast())
    }

    /// Looks a font up. Costs microseconds: keep the answer while the page is open.
    pub(crate) fn font_facts(&self, font: FontKey) -> FontFacts {
        let mut facts =
            FontFacts { name: String::new(), flags: 0, weight: 0, embedded: false, ascent: 0.0, descent: 0.0 };
        if font.0.is_null() {
            return facts;
        }
        let mut name = [0_u8; 128];
        // SAFETY: the font belongs to the open page; `name` has the room that is told.
        unsafe {
            let handle = font.0;
            let len = self.api.FPDFFont_GetBaseFontName(handle.cast(), name.as_mut_ptr().cast(), name.len());
            if (1..=name.len()).contains(&len) {
                facts.name = String::from_utf8_lossy(&name[..len - 1]).into_owned();
            }
            facts.flags = self.api.FPDFFont_GetFlags(handle.cast());
            facts.weight = self.api.FPDFFont_GetWeight(handle.cast());
            facts.embedded = self.api.FPDFFont_GetIsEmbedded(handle.cast()) == 1;
            self.api.FPDFFont_GetAscent(handle.cast(), 1.0, &mut facts.ascent);
            self.api.FPDFFont_GetDescent(handle.cast(), 1.0, &mut facts.descent);
        }
        facts
    }
}
