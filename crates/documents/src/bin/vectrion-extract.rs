//! Reads PDF files for its parent; see `vectrion_documents::pdf::child`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vectrion_documents::pdf::child::run(std::env::args().skip(1))
}
