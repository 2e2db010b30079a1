//! The only door to pdfium: a thin, safe skin over its C interface. All of the crate's calls into it are in this file.
//!
//! pdfium is not thread-safe; nothing in here is `Send`. Handles borrow what they came from, so that none outlives its
//! document or page. pdfium checks indexes and handles' emptiness itself and answers with a failure value.

use std::{
    ffi::{c_int, c_uchar, c_ulong, c_void},
    fs::File,
    io,
    marker::PhantomData,
    os::unix::fs::FileExt as _,
    path::Path,
    ptr::NonNull,
};

use pdfium_render::prelude::{Pdfium as Loader, PdfiumError, PdfiumLibraryBindings};

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
        let mut source = Source::new(file).map_err(|_| OpenError::File)?;
        let mut access =
            Box::new(FileAccess { len: source.len, get_block, param: std::ptr::from_mut(source.as_mut()).cast() });
        // SAFETY: `access` has the layout of FPDF_FILEACCESS; it and `source` are boxed and live in the document until
        // after FPDF_CloseDocument.
        let handle = unsafe { self.api.FPDF_LoadCustomDocument(std::ptr::from_mut(access.as_mut()).cast(), None) };
        match NonNull::new(handle.cast()) {
            Some(handle) => Ok(Document { pdfium: self, handle, _access: access, _source: source }),
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

/// FPDF_FILEACCESS.
#[repr(C)]
struct FileAccess {
    len: c_ulong,
    get_block: unsafe extern "C" fn(*mut c_void, c_ulong, *mut c_uchar, c_ulong) -> c_int,
    param: *mut c_void,
}

/// The file behind a document: small ones are read whole, of large ones a window is kept.
struct Source {
    file: File,
    len: u64,
    window: Vec<u8>,
    start: u64,
}

impl Source {
    const READ_WHOLE: u64 = 32 << 20;
    const WINDOW: u64 = 1 << 20;

    fn new(file: File) -> io::Result<Box<Self>> {
        let len = file.metadata()?.len();
        let mut source = Box::new(Self { file, len, window: Vec::new(), start: 0 });
        source.fill(0, if len <= Self::READ_WHOLE { len } else { Self::WINDOW })?;
        Ok(source)
    }

    fn fill(&mut self, start: u64, len: u64) -> io::Result<()> {
        let len = len.min(self.len - start);
        self.window.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        self.start = start;
        self.file.read_exact_at(&mut self.window, start).inspect_err(|_| self.window.clear())
    }

    fn read(&mut self, position: u64, out: &mut [u8]) -> io::Result<()> {
        let end = position.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if position < self.start || end > self.start + self.window.len() as u64 {
            if out.len() as u64 >= Self::WINDOW {
                return self.file.read_exact_at(out, position);
            }
            // Half a window back: the parser of the cross-reference walks towards the front.
            self.fill(position.saturating_sub(Self::WINDOW / 2).min(position), Self::WINDOW)?;
            if end > self.start + self.window.len() as u64 {
                self.fill(position, Self::WINDOW)?;
            }
        }
        let at = usize::try_from(position - self.start).map_err(io::Error::other)?;
        out.copy_from_slice(&self.window[at..at + out.len()]);
        Ok(())
    }
}

unsafe extern "C" fn get_block(param: *mut c_void, position: c_ulong, buffer: *mut c_uchar, size: c_ulong) -> c_int {
    let Ok(len) = usize::try_from(size) else { return 0 };
    // SAFETY: `param` is the document's boxed source, which nothing else refers to during a call into pdfium; `buffer`
    // has room for `size` bytes by FPDF_FILEACCESS's contract.
    let (source, out) = unsafe { (&mut *param.cast::<Source>(), std::slice::from_raw_parts_mut(buffer, len)) };
    c_int::from(source.read(position, out).is_ok())
}

/// An open document.
pub(crate) struct Document<'p> {
    pdfium: &'p Pdfium,
    handle: Handle,
    _access: Box<FileAccess>,
    _source: Box<Source>,
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
        NonNull::new(handle.cast()).map(|handle| Page { api: self.api(), handle })
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

/// A loaded page.
pub(crate) struct Page<'d> {
    api: &'d dyn PdfiumLibraryBindings,
    handle: Handle,
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and text pages borrow the page, so none is left.
        unsafe { self.api.FPDF_ClosePage(self.handle.as_ptr().cast()) }
    }
}

/// A rectangle of pdfium: the origin is at the bottom left.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

/// What sort of thing stands on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Text,
    Path,
    Image,
    Shading,
    Form,
    Unknown,
}

impl Page<'_> {
    /// Width and height in points as displayed.
    pub(crate) fn size(&self) -> (f32, f32) {
        let page = self.handle.as_ptr();
        // SAFETY: the page is open.
        unsafe { (self.api.FPDF_GetPageWidthF(page.cast()), self.api.FPDF_GetPageHeightF(page.cast())) }
    }

    /// Quarter turns clockwise.
    pub(crate) fn quarter_turns(&self) -> u8 {
        // SAFETY: the page is open.
        let turns = unsafe { self.api.FPDFPage_GetRotation(self.handle.as_ptr().cast()) };
        u8::try_from(turns.rem_euclid(4)).unwrap_or(0)
    }

    /// The part of the page that is displayed, in its own coordinates.
    pub(crate) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        // SAFETY: the page is open; `Bounds` has the layout of FS_RECTF.
        unsafe {
            self.api.FPDF_GetPageBoundingBox(self.handle.as_ptr().cast(), std::ptr::from_mut(&mut bounds).cast());
        }
        bounds
    }

    /// The page's text; none if it cannot be read.
    pub(crate) fn text(&self) -> Option<TextPage<'_>> {
        // SAFETY: the page is open.
        let handle = unsafe { self.api.FPDFText_LoadPage(self.handle.as_ptr().cast()) };
        NonNull::new(handle.cast()).map(|handle| TextPage { api: self.api, handle })
    }

    /// Whether something may be drawn over the page's content.
    pub(crate) fn has_annotations(&self) -> bool {
        // SAFETY: the page is open.
        unsafe { self.api.FPDFPage_GetAnnotCount(self.handle.as_ptr().cast()) > 0 }
    }

    /// Calls the function with each object of the page, and of the forms in it, at most `limit` of them; forms come before
    /// what is in them. The second argument says how the object's coordinates become the page's.
    pub(crate) fn for_each_object(&self, limit: usize, mut visit: impl FnMut(&Object<'_>, &Matrix)) {
        const DEPTH: usize = 8;
        let page = self.handle.as_ptr();
        let mut seen = 0;
        // SAFETY: the page is open.
        let count = unsafe { self.api.FPDFPage_CountObjects(page.cast()) };
        for index in 0..count {
            // SAFETY: the page is open; pdfium answers null for an index that is out of range.
            let object = unsafe { self.api.FPDFPage_GetObject(page.cast(), index) };
            let Some(object) = NonNull::new(object.cast()) else { continue };
            self.visit_object(object, &Matrix::IDENTITY, DEPTH, limit, &mut seen, &mut visit);
        }
    }

    fn visit_object(
        &self,
        handle: Handle,
        matrix: &Matrix,
        depth: usize,
        limit: usize,
        seen: &mut usize,
        visit: &mut impl FnMut(&Object<'_>, &Matrix),
    ) {
        if *seen >= limit {
            return;
        }
        *seen += 1;
        let object = Object { api: self.api, handle, page: PhantomData };
        visit(&object, matrix);
        if depth == 0 || object.kind() != ObjectKind::Form {
            return;
        }
        let form = handle.as_ptr();
        let inner = object.matrix().then(matrix);
        // SAFETY: the object is a form of the open page.
        let count = unsafe { self.api.FPDFFormObj_CountObjects(form.cast()) };
        for index in 0..count {
            let Ok(index) = c_ulong::try_from(index) else { break };
            // SAFETY: as above; pdfium answers null for an index that is out of range.
            let child = unsafe { self.api.FPDFFormObj_GetObject(form.cast(), index) };
            if let Some(child) = NonNull::new(child.cast()) {
                self.visit_object(child, &inner, depth - 1, limit, seen, visit);
            }
        }
    }

    /// Draws the page as displayed in grey, one byte a pixel, rows from the top. False if there is no memory for it.
    pub(crate) fn render_grey(&self, width: u32, height: u32, pixels: &mut Vec<u8>) -> bool {
        const GREY: c_int = 1;
        const WITH_ANNOTATIONS: c_int = 1;
        const NO_NATIVE_TEXT: c_int = 4;
        let (Ok(w), Ok(h)) = (c_int::try_from(width), c_int::try_from(height)) else { return false };
        let len = width as usize * height as usize;
        pixels.clear();
        if pixels.try_reserve_exact(len).is_err() {
            return false;
        }
        pixels.resize(len, 0xFF);
        // SAFETY: the buffer holds `height` rows of `width` bytes and outlives the bitmap; the page is open.
        unsafe {
            let bitmap = self.api.FPDFBitmap_CreateEx(w, h, GREY, pixels.as_mut_ptr().cast(), w);
            if bitmap.is_null() {
                return false;
            }
            let flags = WITH_ANNOTATIONS | NO_NATIVE_TEXT;
            self.api.FPDF_RenderPageBitmap(bitmap, self.handle.as_ptr().cast(), 0, 0, w, h, 0, flags);
            self.api.FPDFBitmap_Destroy(bitmap);
        }
        true
    }
}

/// An affine map: (x, y) becomes (a x + c y + e, b x + d y + f).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) a: f32,
    pub(crate) b: f32,
    pub(crate) c: f32,
    pub(crate) d: f32,
    pub(crate) e: f32,
    pub(crate) f: f32,
}

impl Matrix {
    pub(crate) const IDENTITY: Self = Self { a: 1.0, b: 0.0, c: 0.0, d: 1.0, e: 0.0, f: 0.0 };

    /// This map, then the other.
    pub(crate) fn then(&self, next: &Self) -> Self {
        Self {
            a: self.a * next.a + self.b * next.c,
            b: self.a * next.b + self.b * next.d,
            c: self.c * next.a + self.d * next.c,
            d: self.c * next.b + self.d * next.d,
            e: self.e * next.a + self.f * next.c + next.e,
            f: self.e * next.b + self.f * next.d + next.f,
        }
    }

    pub(crate) fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)
    }
}

/// A thing on a page.
pub(crate) struct Object<'g> {
    api: &'g dyn PdfiumLibraryBindings,
    handle: Handle,
    page: PhantomData<&'g ()>,
}

impl Object<'_> {
    pub(crate) fn kind(&self) -> ObjectKind {
        // SAFETY: the object belongs to a page that is open.
        match unsafe { self.api.FPDFPageObj_GetType(self.handle.as_ptr().cast()) } {
            1 => ObjectKind::Text,
            2 => ObjectKind::Path,
            3 => ObjectKind::Image,
            4 => ObjectKind::Shading,
            5 => ObjectKind::Form,
            _ => ObjectKind::Unknown,
        }
    }

    /// Whether it is drawn from now on.
    pub(crate) fn set_active(&self, active: bool) {
        // SAFETY: the object belongs to a page that is open.
        unsafe { self.api.FPDFPageObj_SetIsActive(self.handle.as_ptr().cast(), c_int::from(active)) };
    }

    /// Bounds in the coordinates of what holds the object.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        let mut bounds = Bounds::default();
        // SAFETY: the object belongs to a page that is open; the four places are valid.
        let ok = unsafe {
            self.api.FPDFPageObj_GetBounds(
                self.handle.as_ptr().cast(),
                &mut bounds.left,
                &mut bounds.bottom,
                &mut bounds.right,
                &mut bounds.top,
            )
        };
        (ok != 0).then_some(bounds)
    }

    fn matrix(&self) -> Matrix {
        let mut matrix = Matrix::IDENTITY;
        // SAFETY: the object belongs to a page that is open; `Matrix` has the layout of FS_MATRIX.
        unsafe {
            self.api.FPDFPageObj_GetMatrix(self.handle.as_ptr().cast(), std::ptr::from_mut(&mut matrix).cast());
        }
        matrix
    }
}

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
