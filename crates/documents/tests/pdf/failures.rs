//! Files that cannot be read, or only in part: each ends in a reason that a person understands.

use vectrion_core::ErrorKind;
use vectrion_documents::pdf::PdfExtractor;
use vectrion_testkit::pdf::{Image, Page, Pdf};

use super::{file, read_bytes, settings, warnings};

async fn reason_of(bytes: &[u8]) -> &'static str {
    let error = read_bytes(bytes).await.expect_err("not readable");
    assert!(!error.is_transient(), "{error:?} is final");
    assert!(error.message().len() > 15 && !error.message().contains("Error"), "{error}");
    error.reason()
}

fn long_document(pages: usize) -> Pdf {
    (0..pages).fold(Pdf::new(), |pdf, _| {
        pdf.page(Page::a4().paragraph(72.0, 300.0, 400.0, 11.0, "A paragraph of no use but to be read."))
    })
}

#[tokio::test]
async fn a_password_is_asked_for() {
    // Both were encrypted by qpdf, the first for opening, the second against copying only.
    assert_eq!(reason_of(include_bytes!("password.pdf")).await, "PDF_PASSWORD_REQUIRED");
    let protected = read_bytes(include_bytes!("protected.pdf")).await.expect("readable");
    assert_eq!(protected.text, "The locked words");
}

#[tokio::test]
async fn garbage_is_no_pdf() {
    assert_eq!(reason_of(b"").await, "PDF_MALFORMED");
    assert_eq!(reason_of(&[0xA5; 5000]).await, "PDF_MALFORMED");
    assert_eq!(reason_of(b"%PDF-1.7\nand then nothing of the kind").await, "PDF_MALFORMED");
}

#[tokio::test]
async fn a_truncated_file_is_read_as_far_as_it_goes_or_refused() {
    let bytes = long_document(20).build();
    for share in [1, 3, 5, 7, 9] {
        match read_bytes(&bytes[..bytes.len() * share / 10]).await {
            Ok(extracted) => assert!(extracted.text.contains("A paragraph"), "{share}/10"),
            Err(error) => assert!(!error.is_transient(), "{share}/10: {error:?}"),
        }
    }
    // Without its very end a file can be put together again.
    let mended = read_bytes(&bytes[..bytes.len() - 12]).await.expect("readable");
    assert_eq!(mended.pages.len(), 20);
}

#[tokio::test]
async fn a_document_without_pages_has_none() {
    assert_eq!(reason_of(&Pdf::new().build()).await, "PDF_NO_PAGES");
}

#[tokio::test]
async fn pictures_of_pages_hold_no_text() {
    let scan = Image::from_fn(60, 80, |x, y| if (x + y) % 7 < 3 { 30 } else { 240 });
    let error = read_bytes(&Pdf::new().page(Page::a4().image(0.0, 0.0, 595.0, 842.0, scan)).build())
        .await
        .expect_err("no text");
    assert_eq!(error.reason(), "PDF_NO_TEXT");
    assert!(error.message().contains("OCR"), "{error}");
    assert_eq!(reason_of(&Pdf::new().page(Page::a4()).build()).await, "PDF_NO_TEXT");
}

#[tokio::test]
async fn pages_without_text_are_told_of() {
    let scan = Image::from_fn(8, 8, |x, _| if x < 4 { 0 } else { 255 });
    let pdf = Pdf::new()
        .page(Page::a4().line(72.0, 72.0, 12.0, "The one page with words."))
        .page(Page::a4().image(0.0, 0.0, 595.0, 842.0, scan));
    let extracted = read_bytes(&pdf.build()).await.expect("readable");
    assert_eq!(warnings(&extracted), ["PAGES_WITHOUT_TEXT"]);
    assert_eq!(extracted.pages.len(), 2);
}

#[tokio::test]
async fn pages_that_are_damaged_are_left_out_and_told_of() {
    let page = |contents: usize| {
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents {contents} 0 R /Resources << /Font << /F 6 0 R >> \
             >> >>"
        )
    };
    let content = "BT /F 12 Tf 20 100 Td (Still here) Tj ET";
    let bytes = Pdf::from_objects([
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R 5 0 R 99 0 R] /Count 3 >>".to_owned(),
        page(4),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        page(4),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ]);
    let extracted = read_bytes(&bytes).await.expect("readable");
    assert_eq!(extracted.text.matches("Still here").count(), 2);
    assert_eq!(warnings(&extracted), ["PAGES_UNREADABLE"]);
    assert!(extracted.warnings[0].message.contains("1 of 3"), "{:?}", extracted.warnings);
    assert_eq!(extracted.pages.len(), 3);
}

#[tokio::test]
async fn limits_are_kept() {
    let bytes = file(&long_document(5).build());
    let mut few_pages = settings();
    few_pages.max_pages = 4;
    let mut few_characters = settings();
    few_characters.max_characters = 100;
    let mut short_answer = settings();
    short_answer.max_response_bytes = 300;
    for (what, limits) in [("pages", few_pages), ("characters", few_characters), ("answer", short_answer)] {
        let error = PdfExtractor::new(limits).extract(bytes.path(), &|_, _| {}).await.expect_err("over a limit");
        assert_eq!(
            (error.reason(), error.kind()),
            ("EXTRACTION_LIMIT", ErrorKind::FailedPrecondition),
            "{what}: {error}"
        );
    }
    assert!(PdfExtractor::new(settings()).extract(bytes.path(), &|_, _| {}).await.is_ok());
}

#[tokio::test]
async fn a_page_of_any_size_is_drawn_within_the_cap_of_pixels() {
    let mut coarse = settings();
    coarse.max_pixels = 100_000;
    let page = Page::new(14_000.0, 14_000.0)
        .line(100.0, 200.0, 150.0, "Large letters on a large page")
        .text(vectrion_testkit::pdf::Text::at(100.0, 900.0, "and some that nobody sees").size(150.0).white());
    let bytes = file(&Pdf::new().page(page).build());
    let extracted = PdfExtractor::new(coarse).extract(bytes.path(), &|_, _| {}).await.expect("readable");
    assert_eq!(extracted.text, "Large letters on a large page");
}

#[tokio::test]
async fn a_file_that_is_not_there_may_come_back() {
    let missing = std::path::Path::new("/nowhere/at-all.pdf");
    let error = PdfExtractor::new(settings()).extract(missing, &|_, _| {}).await.expect_err("not there");
    assert_eq!(error.reason(), "DOCUMENT_UNREADABLE");
    assert!(error.is_transient());
}
