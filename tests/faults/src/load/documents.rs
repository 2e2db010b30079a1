//! Small documents of several kinds. Each has a word that no other has, and a word of its tenant, in every paragraph.

use vectrion_testkit::pdf::Pdf;

/// A document that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub external_id: String,
    pub filename: String,
    pub bytes: Vec<u8>,
    pub marker: String,
}

/// The word of a tenant.
pub fn tenant_word(tenant: usize) -> &'static str {
    ["quayalpha", "quaybravo", "quaycharlie"][tenant % 3]
}

/// Whether a text holds the word of another tenant.
pub fn is_of_another(tenant: usize, text: &str) -> bool {
    (0..3).filter(|other| *other != tenant).any(|other| text.contains(tenant_word(other)))
}

/// The document of this number, under a name of its own or as a version of another.
pub fn make(tenant: usize, number: usize, external_id: Option<&str>) -> Made {
    let marker = format!("beacon{number:06}");
    let paragraphs: Vec<String> = (0..2 + number % 4).map(|n| paragraph(tenant, &marker, n)).collect();
    let (ending, bytes) = match number % 4 {
        0 => ("txt", paragraphs.join("\n\n").into_bytes()),
        1 => ("md", format!("# About {marker}\n\n{}\n", paragraphs.join("\n\n")).into_bytes()),
        2 => {
            let body: String = paragraphs.iter().map(|text| format!("<p>{text}</p>\n")).collect();
            let html = format!("<!doctype html><html><head><title>{marker}</title></head><body>{body}</body></html>");
            ("html", html.into_bytes())
        }
        _ => ("pdf", Pdf::of_paragraphs(paragraphs.iter().map(String::as_str)).build()),
    };
    let external_id = external_id.map_or_else(|| format!("doc-{number}"), str::to_owned);
    Made { filename: format!("{marker}.{ending}"), external_id, bytes, marker }
}

/// A text of so many paragraphs.
pub fn long_text(tenant: usize, number: usize, paragraphs: usize) -> Made {
    let marker = format!("beacon{number:06}");
    let text: Vec<String> = (0..paragraphs).map(|n| paragraph(tenant, &marker, n)).collect();
    let external_id = format!("doc-{number}");
    Made { filename: format!("{marker}.txt"), external_id, bytes: text.join("\n\n").into_bytes(), marker }
}

fn paragraph(tenant: usize, marker: &str, n: usize) -> String {
    let quay = tenant_word(tenant);
    format!(
        "Light {marker} stands at {quay}, {n} cables north of the skerries. Its keeper writes into the log of {marker} \
         every night which ships pass {quay}, how the wind is, and whether the lamp of {marker} was trimmed {n} times. \
         Whoever reads the log of {quay} learns of the storms of the year {}, of the boats that came in late, and of the \
         oil that was left in the store at the end of the watch of {marker}.",
        1800 + n
    )
}
