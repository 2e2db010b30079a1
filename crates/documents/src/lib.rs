//! Bytes to pages to chunks with positions; pdfium in a child process.
