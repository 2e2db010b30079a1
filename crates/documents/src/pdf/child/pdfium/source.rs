//! The file behind a document, as pdfium asks for it.

use std::{
    ffi::{c_int, c_uchar, c_ulong, c_void},
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    ptr::NonNull,
};

/// FPDF_FILEACCESS.
#[repr(C)]
struct FileAccess {
    len: c_ulong,
    get_block: unsafe extern "C" fn(*mut c_void, c_ulong, *mut c_uchar, c_ulong) -> c_int,
    param: *mut c_void,
}

/// A file that pdfium may ask for. It must outlive the document that is loaded from it.
pub(super) struct OpenFile(NonNull<FileAccess>);

impl OpenFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let source = Source::new(file)?;
        let len = source.len;
        let access = FileAccess { len, get_block, param: Box::into_raw(Box::new(source)).cast() };
        Ok(Self(NonNull::from(Box::leak(Box::new(access)))))
    }

    /// What FPDF_LoadCustomDocument takes.
    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // SAFETY: both were boxes, given up in `new` and not freed since; nobody asks for the file any more.
        unsafe {
            let access = Box::from_raw(self.0.as_ptr());
            drop(Box::from_raw(access.param.cast::<Source>()));
        }
    }
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

    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut source = Self { file, len, window: Vec::new(), start: 0 };
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
    // SAFETY: `param` is the source that `OpenFile` owns, which nothing else refers to; `buffer`
    // has room for `size` bytes by FPDF_FILEACCESS's contract.
    let (source, out) = unsafe { (&mut *param.cast::<Source>(), std::slice::from_raw_parts_mut(buffer, len)) };
    c_int::from(source.read(position, out).is_ok())
}
