//! Signatures of types that cannot be read, so that a refusal can say what the file is.

use super::find;

/// Signature at the start of a file, and what a person calls the type.
const AT_START: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an older Microsoft Office document (.doc, .xls, .ppt, .msg)"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"AT&TFORM", "a DjVu document"),
    (b"ITSF", "a compiled HTML help file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "an executable program"),
    (b"\xca\xfe\xba\xbe", "a compiled Java class"),
    (b"\0asm", "a WebAssembly module"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"PAR1", "a Parquet file"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
];

/// What kind of ZIP file it is, by a name that stands early in it.
const IN_ZIP: &[(&[u8], &str)] = &[
    (b"word/", "a Word document (.docx)"),
    (b"xl/", "an Excel workbook (.xlsx)"),
    (b"ppt/", "a PowerPoint presentation (.pptx)"),
    (b"mimetypeapplication/epub+zip", "an EPUB book"),
    (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file (.odt, .ods, .odp)"),
    (b"META-INF/", "a Java archive"),
    (b"[Content_Types].xml", "a Microsoft Office document"),
];

/// Signatures that are ordinary words too, so that they count only in a file that is not text.
const AT_START_OF_BINARY: &[(&[u8], &str)] =
    &[(b"MZ", "a Windows program"), (b"BM", "a BMP image"), (b"ID3", "an MP3 recording"), (b"BZh", "a bzip2 archive")];

/// What the file is, when it clearly is of a type that cannot be read.
pub(super) fn known(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let inside = IN_ZIP.iter().find(|(name, _)| find(head, name).is_some());
        return Some(inside.map_or("a ZIP archive", |(_, what)| what));
    }
    if head.len() >= 12 && head.starts_with(b"RIFF") {
        match &head[8..12] {
            b"WEBP" => return Some("a WebP image"),
            b"WAVE" => return Some("a WAV recording"),
            b"AVI " => return Some("an AVI video"),
            _ => {}
        }
    }
    if head.get(4..8) == Some(b"ftyp") {
        return Some("an MP4 video or HEIF image");
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    let starts = |table: &'static [(&[u8], &'static str)]| {
        table.iter().find(|(signature, _)| head.starts_with(signature)).map(|(_, what)| *what)
    };
    starts(AT_START)
        .or_else(|| if crate::text::decode::looks_like_text(head) { None } else { starts(AT_START_OF_BINARY) })
}
