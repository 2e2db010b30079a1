//! Pages and the things on them.

use std::{
    ffi::{c_int, c_ulong, c_void},
    marker::PhantomData,
    ptr::NonNull,
    time::Instant,
};

use pdfium_render::prelude::PdfiumLibraryBindings;

use super::{
    Handle,
    geometry::{Bounds, Matrix},
    text::TextPage,
};

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

impl<'d> Page<'d> {
    /// `handle` is an open page, which this closes.
    pub(super) fn new(api: &'d dyn PdfiumLibraryBindings, handle: Handle) -> Self {
        Self { api, handle }
    }
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
        NonNull::new(handle.cast()).map(|handle| TextPage::new(self.api, handle))
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

    /// Draws the page as displayed in grey, one byte a pixel, rows from the top. False if there is no memory for it, or it is
    /// not done in time.
    pub(crate) fn render_grey(&self, width: u32, height: u32, pixels: &mut Vec<u8>, until: Instant) -> bool {
        const GREY: c_int = 1;
        const WITH_ANNOTATIONS: c_int = 1;
        const DONE: c_int = 2;
        let (Ok(w), Ok(h)) = (c_int::try_from(width), c_int::try_from(height)) else { return false };
        let len = width as usize * height as usize;
        pixels.clear();
        if pixels.try_reserve_exact(len).is_err() {
            return false;
        }
        pixels.resize(len, 0xFF);
        let mut until = until;
        let mut pause = Pause { version: 1, need_to_pause, user: std::ptr::from_mut(&mut until).cast() };
        let page = self.handle.as_ptr();
        // SAFETY: the buffer holds `height` rows of `width` bytes and outlives the bitmap; the page is open; `pause` has the
        // layout of IFSDK_PAUSE and, like what it points to, lives until rendering is closed.
        unsafe {
            let bitmap = self.api.FPDFBitmap_CreateEx(w, h, GREY, pixels.as_mut_ptr().cast(), w);
            if bitmap.is_null() {
                return false;
            }
            let pause = std::ptr::from_mut(&mut pause).cast();
            let state =
                self.api.FPDF_RenderPageBitmap_Start(bitmap, page.cast(), 0, 0, w, h, 0, WITH_ANNOTATIONS, pause);
            self.api.FPDF_RenderPage_Close(page.cast());
            self.api.FPDFBitmap_Destroy(bitmap);
            state == DONE
        }
    }
}

/// IFSDK_PAUSE.
#[repr(C)]
struct Pause {
    version: c_int,
    need_to_pause: unsafe extern "C" fn(*mut Pause) -> c_int,
    user: *mut c_void,
}

/// Whether the time for drawing is up; asked every hundred things or so.
unsafe extern "C" fn need_to_pause(pause: *mut Pause) -> c_int {
    // SAFETY: pdfium hands back the pointer that it was given by `render_grey`, whose `user` points to an `Instant`.
    let until = unsafe { *(*pause).user.cast::<Instant>() };
    c_int::from(Instant::now() >= until)
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
