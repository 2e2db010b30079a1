//! Reading order, blocks, and where they stand.

use vectrion_core::extraction::{BlockKind, Extracted, Rect};
use vectrion_testkit::pdf::{Font, Page, Pdf, Text};

use super::{blocks, read, texts};

const LEFT: &str = "The left column tells how the harvest was brought in before the rain, how the carts were mended and who \
                    paid for the wheels that broke on the way to the mill beyond the river.";
const RIGHT: &str = "The right column speaks of the winter that followed, of the bread that was baked from the new flour, and \
                     of the neighbours who came to eat it by the fire until the snow was gone.";
const THIRD: &str = "The third column lists what was left in spring: two sacks of seed, one plough, a lame horse and the hope \
                     that the next year would be a better one for all of them.";

#[tokio::test]
async fn columns_are_read_one_after_the_other() {
    let page = Page::a4()
        .text(Text::at(72.0, 72.0, "A Heading Across Both Columns Of This Page").size(20.0).font(Font::HelveticaBold))
        .paragraph(72.0, 120.0, 210.0, 10.0, LEFT)
        .paragraph(315.0, 120.0, 210.0, 10.0, RIGHT)
        .paragraph(
            72.0,
            300.0,
            450.0,
            10.0,
            "Below the columns a sentence runs over the whole width of the page again, and is read last.",
        );
    let extracted = read(&Pdf::new().page(page)).await;
    let below = "Below the columns a sentence runs over the whole width of the page again, and is read last.";
    assert_eq!(texts(&extracted), ["A Heading Across Both Columns Of This Page", LEFT, RIGHT, below]);
}

#[tokio::test]
async fn three_columns_drawn_line_by_line_are_told_apart() {
    let columns = [(60.0, LEFT), (230.0, RIGHT), (400.0, THIRD)];
    let lines: Vec<Vec<String>> = columns.iter().map(|(_, text)| broken(text, 140.0)).collect();
    let mut page = Page::a4();
    for row in 0..lines.iter().map(Vec::len).max().unwrap_or(0) {
        for ((x, _), lines) in columns.iter().zip(&lines) {
            if let Some(line) = lines.get(row) {
                page = page.line(*x, 100.0 + 12.0 * row as f32, 9.0, line);
            }
        }
    }
    assert_eq!(texts(&read(&Pdf::new().page(page)).await), [LEFT, RIGHT, THIRD]);
}

/// Lines of Helvetica, 9 points, that fit the width.
fn broken(text: &str, width: f32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("at least one");
        let longer = if last.is_empty() { word.to_owned() } else { format!("{last} {word}") };
        if Font::Helvetica.width(&longer) * 9.0 > width { lines.push(word.to_owned()) } else { *last = longer }
    }
    lines
}

#[tokio::test]
async fn a_note_in_the_margin_does_not_tear_the_text() {
    let page = Page::a4().paragraph(200.0, 100.0, 320.0, 10.0, &format!("{LEFT} {RIGHT}")).paragraph(
        60.0,
        103.0,
        100.0,
        8.0,
        "A note in the margin that says something about it, at some length, in small letters.",
    );
    let extracted = read(&Pdf::new().page(page)).await;
    let body = format!("{LEFT} {RIGHT}");
    assert!(texts(&extracted).contains(&body.as_str()), "{:?}", texts(&extracted));
}

#[tokio::test]
async fn a_sentence_goes_on_in_the_next_column_and_on_the_next_page() {
    let page = |text: &str| Page::a4().paragraph(72.0, 72.0, 400.0, 11.0, text);
    let first = "The road went up through the pines, past the old quarry and the chapel, and where it came out of the wood it \
                 was so steep that the driver got down and";
    let second = "walked beside the horse; it turned to the north and followed the ridge for a mile or two before it went down to the village again.";
    let extracted = read(&Pdf::new().page(page(first)).page(page(second))).await;
    assert_eq!(texts(&extracted), [format!("{first} {second}")]);
    let block = &extracted.blocks[0];
    assert_eq!(block.lines.first().map(|line| line.page), Some(1));
    assert_eq!(block.lines.last().map(|line| line.page), Some(2));
    assert_eq!(&extracted.text[extracted.pages[1].range.clone()], second);
}

fn bounds(extracted: &Extracted, text: &str) -> Rect {
    let line = extracted
        .blocks
        .iter()
        .flat_map(|block| &block.lines)
        .find(|line| extracted.text[line.range.clone()].contains(text))
        .unwrap_or_else(|| panic!("no {text} in {:?}", extracted.text));
    line.bounds.expect("a box")
}

fn assert_near(what: &str, found: Rect, expected: [f32; 4]) {
    for (found, expected) in [found.x0, found.y0, found.x1, found.y1].into_iter().zip(expected) {
        assert!((found - expected).abs() < 6.0, "{what}: {found} is not {expected} (of {expected:?})");
    }
}

#[tokio::test]
async fn boxes_are_those_of_the_page_as_displayed() {
    // 100 by 12 points or so, its baseline 100 points from the top and 50 from the left of a page of 400 by 600.
    let width = Font::Helvetica.width("A line of text") * 12.0;
    let page = || Page::new(400.0, 600.0).line(50.0, 100.0, 12.0, "A line of text");
    let cases = [
        (0, [50.0, 90.0, 50.0 + width, 103.0], (400.0, 600.0)),
        (90, [600.0 - 103.0, 50.0, 600.0 - 90.0, 50.0 + width], (600.0, 400.0)),
        (180, [350.0 - width, 600.0 - 103.0, 350.0, 600.0 - 90.0], (400.0, 600.0)),
        (270, [90.0, 350.0 - width, 103.0, 350.0], (600.0, 400.0)),
    ];
    for (rotation, expected, size) in cases {
        let extracted = read(&Pdf::new().page(page().rotated(rotation))).await;
        assert_near(&format!("turned by {rotation}"), bounds(&extracted, "A line of text"), expected);
        let shown = &extracted.pages[0];
        assert_eq!((shown.width, shown.height, shown.rotation), (size.0, size.1, rotation));
    }
    let cropped = read(&Pdf::new().page(page().cropped(20.0, 30.0, 380.0, 590.0))).await;
    assert_near("cropped", bounds(&cropped, "A line of text"), [30.0, 60.0, 30.0 + width, 73.0]);
    let moved = read(&Pdf::new().page(page().with_origin(-77.0, 1000.0))).await;
    assert_near("moved", bounds(&moved, "A line of text"), [50.0, 90.0, 50.0 + width, 103.0]);
    let both = read(&Pdf::new().page(page().cropped(20.0, 30.0, 380.0, 590.0).rotated(90))).await;
    assert_near(
        "cropped and turned",
        bounds(&both, "A line of text"),
        [560.0 - 73.0, 30.0, 560.0 - 60.0, 30.0 + width],
    );
}

#[tokio::test]
async fn text_that_runs_up_the_page_is_read_in_its_own_direction() {
    let mut page = Page::a4();
    for (n, line) in broken(LEFT, 200.0).iter().enumerate() {
        page = page.text(Text::at(100.0 + 12.0 * n as f32, 700.0, line.as_str()).size(9.0).angle(90.0));
    }
    let extracted = read(&Pdf::new().page(page)).await;
    assert_eq!(texts(&extracted), [LEFT]);
    let first = extracted.blocks[0].lines[0].bounds.expect("a box");
    assert!(first.y1 - first.y0 > 100.0 && first.x1 - first.x0 < 20.0, "{first:?} stands upright");
}

/// Pages with a running header, a body of their own and a footer with the number.
fn book(pages: usize) -> Pdf {
    let words = ["harvest", "winter", "spring", "summer", "autumn", "market"];
    (0..pages).fold(Pdf::new(), |pdf, n| {
        let body =
            format!("On this page the {} is described, with all that belongs to it and a little more.", words[n % 6]);
        pdf.page(
            Page::a4()
                .line(72.0, 40.0, 9.0, "The Chronicle of the Valley")
                .paragraph(72.0, 150.0, 400.0, 11.0, &body)
                .line(290.0, 810.0, 9.0, &format!("Page {} of {pages}", n + 1)),
        )
    })
}

#[tokio::test]
async fn headers_footers_and_page_numbers_are_left_out() {
    let extracted = read(&book(6)).await;
    assert!(!extracted.text.contains("Chronicle"), "{}", extracted.text);
    assert!(!extracted.text.contains("Page"), "{}", extracted.text);
    assert_eq!(extracted.text.matches("is described").count(), 6);
    assert_eq!(extracted.pages.len(), 6);
    for page in &extracted.pages {
        assert!(extracted.text[page.range.clone()].starts_with("On this page"), "page {}", page.number);
    }
}

#[tokio::test]
async fn a_short_document_keeps_its_first_lines() {
    let extracted = read(&book(2)).await;
    assert_eq!(extracted.text.matches("Chronicle").count(), 1, "{}", extracted.text);
    assert!(extracted.text.starts_with("The Chronicle"));
    let extracted = read(&book(1)).await;
    assert!(extracted.text.contains("Page 1 of 1"));
}

#[tokio::test]
async fn edges_of_a_short_document_do_not_stand_in_the_middle_of_its_text() {
    let page = |n: usize, left: f32, body: &str| {
        Page::a4()
            .line(left, 40.0, 9.0, "Minutes of the council")
            .line(72.0, 100.0, 11.0, &format!("Item {n}"))
            .paragraph(72.0, 150.0, 400.0, 11.0, body)
            .line(72.0, 800.0, 9.0, "Printed on recycled paper")
            .line(72.0, 812.0, 9.0, &format!("Council {n} East"))
    };
    let extracted = read(&Pdf::new().page(page(1, 72.0, LEFT)).page(page(2, 72.0, RIGHT))).await;
    let text = &extracted.text;
    assert!(
        text.starts_with("Minutes of the council\n\nItem 1") && text.ends_with("Printed on recycled paper"),
        "{text}"
    );
    assert_eq!((text.matches("Minutes").count(), text.matches("Printed").count()), (1, 1));
    assert!(text.contains("Item 2") && !text.contains("East"), "{text}");
    let elsewhere = read(&Pdf::new().page(page(1, 72.0, LEFT)).page(page(2, 90.0, RIGHT))).await;
    assert_eq!(elsewhere.text.matches("Minutes").count(), 2, "not at the same place: {}", elsewhere.text);
}

#[tokio::test]
async fn words_broken_at_the_end_of_a_line_are_whole_again() {
    let page = Page::a4()
        .line(72.0, 100.0, 11.0, "The committee agreed that this was an exam-")
        .line(72.0, 114.0, 11.0, "ple of what it had meant by the term long-")
        .line(72.0, 128.0, 11.0, "term plan, and it kept the words long-term plan.");
    let extracted = read(&Pdf::new().page(page)).await;
    assert_eq!(
        extracted.text,
        "The committee agreed that this was an example of what it had meant by the term long-term plan, and it kept the words \
         long-term plan."
    );
    let lines: Vec<&str> = extracted.blocks[0].lines.iter().map(|line| &extracted.text[line.range.clone()]).collect();
    assert_eq!(lines[0], "The committee agreed that this was an exam");
    assert!(lines[1].starts_with("ple of what"));
}

#[tokio::test]
async fn ligatures_and_accents_become_letters() {
    let page =
        Page::a4().text(Text::at(72.0, 100.0, "The o\u{FB03}cial \u{FB02}oor, re\u{301}sume\u{301}").font(Font::Boxes));
    assert_eq!(read(&Pdf::new().page(page)).await.text, "The official floor, résumé");
}

#[tokio::test]
async fn headings_have_levels_by_their_size() {
    let page = Page::a4()
        .text(Text::at(72.0, 80.0, "Annual Report").size(24.0).font(Font::HelveticaBold))
        .text(Text::at(72.0, 130.0, "Results").size(16.0).font(Font::HelveticaBold))
        .paragraph(72.0, 160.0, 450.0, 10.0, LEFT)
        .text(Text::at(72.0, 230.0, "By region").size(10.0).font(Font::HelveticaBold))
        .paragraph(72.0, 250.0, 450.0, 10.0, RIGHT)
        .text(Text::at(72.0, 330.0, "Outlook").size(16.0).font(Font::HelveticaBold))
        .paragraph(72.0, 360.0, 450.0, 10.0, THIRD);
    let extracted = read(&Pdf::new().page(page)).await;
    let headings: Vec<(BlockKind, &str)> =
        blocks(&extracted).into_iter().filter(|(kind, _)| matches!(kind, BlockKind::Heading(_))).collect();
    assert_eq!(
        headings,
        [
            (BlockKind::Heading(1), "Annual Report"),
            (BlockKind::Heading(2), "Results"),
            (BlockKind::Heading(3), "By region"),
            (BlockKind::Heading(2), "Outlook"),
        ]
    );
    assert_eq!(extracted.title.as_deref(), Some("Annual Report"));
}

#[tokio::test]
async fn the_outline_names_headings_that_look_like_text() {
    let page = Page::a4()
        .line(72.0, 100.0, 10.0, "Scope of the agreement")
        .paragraph(72.0, 130.0, 450.0, 10.0, LEFT)
        .line(72.0, 220.0, 10.0, "Nothing to see here")
        .paragraph(72.0, 250.0, 450.0, 10.0, RIGHT);
    let extracted = read(&Pdf::new().page(page).bookmark("Scope of the Agreement", 1)).await;
    assert_eq!(blocks(&extracted)[0], (BlockKind::Heading(1), "Scope of the agreement"));
    assert_eq!(blocks(&extracted)[2].0, BlockKind::Paragraph);
}

#[tokio::test]
async fn the_title_in_the_properties_counts_if_it_is_one() {
    let page =
        || Page::a4().text(Text::at(72.0, 80.0, "The Heading").size(24.0)).paragraph(72.0, 130.0, 450.0, 10.0, LEFT);
    let title = async |title: &str| read(&Pdf::new().title(title).page(page())).await.title;
    assert_eq!(title("A Study of Harvests").await.as_deref(), Some("A Study of Harvests"));
    assert_eq!(title("Microsoft Word - harvest_v3.docx").await.as_deref(), Some("The Heading"));
}

#[tokio::test]
async fn items_of_a_list_stand_by_themselves() {
    let page = Page::a4()
        .line(72.0, 100.0, 11.0, "The committee decided:")
        .line(82.0, 116.0, 11.0, "• to mend the carts before the next harvest, whoever pays")
        .line(92.0, 130.0, 11.0, "for it in the end")
        .line(82.0, 144.0, 11.0, "• to buy seed")
        .line(82.0, 158.0, 11.0, "1. First of all")
        .line(82.0, 172.0, 11.0, "(b) or second");
    let extracted = read(&Pdf::new().page(page)).await;
    assert_eq!(
        blocks(&extracted),
        [
            (BlockKind::Paragraph, "The committee decided:"),
            (BlockKind::ListItem, "• to mend the carts before the next harvest, whoever pays for it in the end"),
            (BlockKind::ListItem, "• to buy seed"),
            (BlockKind::ListItem, "1. First of all"),
            (BlockKind::ListItem, "(b) or second"),
        ]
    );
}

#[tokio::test]
async fn rows_of_a_table_are_lines_with_cells() {
    let rows = [["Region", "2020", "2021"], ["North", "12.5", "14.0"], ["South", "7.1", "6.9"], ["East", "0.4", "0.6"]];
    let mut page = Page::a4().paragraph(72.0, 80.0, 450.0, 10.0, LEFT);
    for (n, row) in rows.iter().enumerate() {
        for (x, cell) in [72.0, 250.0, 350.0].into_iter().zip(row) {
            page = page.line(x, 180.0 + 14.0 * n as f32, 10.0, cell);
        }
    }
    let page = page.paragraph(72.0, 280.0, 450.0, 10.0, RIGHT);
    let extracted = read(&Pdf::new().page(page)).await;
    let table = "Region | 2020 | 2021\nNorth | 12.5 | 14.0\nSouth | 7.1 | 6.9\nEast | 0.4 | 0.6";
    assert_eq!(
        blocks(&extracted),
        [(BlockKind::Paragraph, LEFT), (BlockKind::Table, table), (BlockKind::Paragraph, RIGHT)]
    );
    assert_eq!(extracted.blocks[1].lines.len(), 4);
}

#[tokio::test]
async fn text_from_right_to_left_is_in_logical_order() {
    // As it stands on the page, from left to right.
    let visual: String = "שלום לכל העולם בשנת".chars().rev().collect();
    let page = Page::a4().text(Text::at(72.0, 100.0, format!("2021 {visual}")).font(Font::Boxes));
    assert_eq!(read(&Pdf::new().page(page)).await.text, "שלום לכל העולם בשנת 2021");
}

#[tokio::test]
async fn lines_of_chinese_are_joined_without_spaces() {
    let page = Page::a4()
        .text(Text::at(72.0, 100.0, "在这一年里人们收获了许多粮食").font(Font::Boxes))
        .text(Text::at(72.0, 116.0, "并且修好了所有的车").font(Font::Boxes));
    assert_eq!(read(&Pdf::new().page(page)).await.text, "在这一年里人们收获了许多粮食并且修好了所有的车");
}

#[tokio::test]
async fn every_range_is_what_it_says() {
    let extracted = read(&book(4)).await;
    let mut end = 0;
    for page in &extracted.pages {
        assert!(page.range.start >= end);
        end = page.range.end;
    }
    for block in &extracted.blocks {
        let first = block.lines.first().expect("a line");
        let last = block.lines.last().expect("a line");
        assert_eq!((first.range.start, last.range.end), (block.range.start, block.range.end));
        for line in &block.lines {
            let page = &extracted.pages[line.page as usize - 1];
            assert!(page.range.start <= line.range.start && line.range.end <= page.range.end);
            let bounds = line.bounds.expect("a box");
            assert!(bounds.x0 >= 0.0 && bounds.x1 <= page.width && bounds.y0 >= 0.0 && bounds.y1 <= page.height);
        }
    }
}
