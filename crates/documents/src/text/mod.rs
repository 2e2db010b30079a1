//! Formats that are text: plain text, Markdown and HTML.
