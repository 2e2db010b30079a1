//! PDF files, read by pdfium in a child process.
