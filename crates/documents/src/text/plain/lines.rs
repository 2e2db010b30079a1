//! What the lines of a paragraph are: wrapped prose, lines that stand for themselves, or rows of a table.

/// How lines belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One text, broken where the width of the page ended.
    Wrapped,
    /// Lines that stand for themselves.
    Broken,
    /// Rows of a table.
    Rows {
        /// Columns are told apart by runs of spaces, not by a character.
        by_spaces: bool,
    },
}

/// The lines of a text, whichever way they end.
pub(super) fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let is_old_mac = !text.contains('\n');
    text.split(move |c| matches!(c, '\n' | '\u{c}') || (is_old_mac && c == '\r'))
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// How these lines belong together.
pub(super) fn layout_of(lines: &[&str]) -> Layout {
    if lines.len() < 2 {
        return Layout::Wrapped;
    }
    if is_delimited(lines) {
        return Layout::Rows { by_spaces: false };
    }
    if is_aligned(lines) {
        return Layout::Rows { by_spaces: true };
    }
    let lengths: Vec<usize> = lines.iter().map(|line| line.trim().chars().count()).collect();
    let width = lengths.iter().copied().max().unwrap_or(0);
    // A line was wrapped if the word behind its end had no room in it.
    let breaks = lines.len() - 1;
    let forced = (0..breaks)
        .filter(|&at| {
            let next = lines[at + 1].trim();
            let first = next.split(' ').next().unwrap_or(next);
            lengths[at] + 1 + first.chars().count() > width
        })
        .count();
    if width >= MIN_WRAP_WIDTH && forced * 5 >= breaks * 4 { Layout::Wrapped } else { Layout::Broken }
}

/// Nobody wraps prose into lines shorter than this.
const MIN_WRAP_WIDTH: usize = 40;

/// The same number of tabs, pipes, semicolons or commas in each line.
fn is_delimited(lines: &[&str]) -> bool {
    let alike = |delimiter: char, least: usize| {
        let mut counts = lines.iter().map(|line| line.trim().matches(delimiter).count());
        let first = counts.next().unwrap_or(0);
        first >= least && counts.all(|count| count == first)
    };
    alike('\t', 1)
        || alike('|', 1)
        || alike(';', 2)
        || (alike(',', 2) && (lines.len() > 2 || lines.iter().all(|line| !line.contains(", "))))
}

/// Runs of spaces inside nearly every line that are not gaps between sentences.
fn is_aligned(lines: &[&str]) -> bool {
    let has_columns = |line: &&&str| {
        let line = line.trim();
        line.match_indices("  ").any(|(at, _)| !line[..at].ends_with(['.', '!', '?', ':', ' ']))
    };
    lines.len() >= 3 && lines.iter().filter(has_columns).count() * 5 >= lines.len() * 4
}

/// Whether the text is the source of a program: most lines end or begin as prose never does.
pub(super) fn is_source_code(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(text.len().min(64 * 1024))];
    let (mut all, mut code) = (0_usize, 0_usize);
    for line in split_lines(head).filter(|line| !line.trim().is_empty()) {
        let trimmed = line.trim();
        all += 1;
        let ends = trimmed.ends_with(['{', '}', ';', '(', '[', ']', '=', '\\']) || trimmed.ends_with("),");
        let begins =
            ["//", "/*", "*/", "#include", "import ", "from ", "def ", "fn ", "let ", "const ", "return ", "</", "}"]
                .iter()
                .any(|start| trimmed.starts_with(start));
        code += usize::from(ends || begins);
    }
    all >= 5 && code * 2 > all
}

/// Scripts without spaces between words.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}'
        | '\u{20000}'..='\u{3ffff}')
}
