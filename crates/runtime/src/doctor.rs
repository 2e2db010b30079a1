//! What this machine has and lacks.

use std::{fmt, path::Path};

use crate::{config::Config, wiring};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    what: &'static str,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Note,
    Bad,
}

impl Finding {
    /// It is as it should be.
    #[must_use]
    pub fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, what, text: text.into() }
    }

    /// It may be as it should be.
    #[must_use]
    pub fn note(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, what, text: text.into() }
    }

    /// The program cannot work like this.
    #[must_use]
    pub fn bad(what: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, what, text: text.into() }
    }

    /// Whether the program cannot work like this.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.verdict == Verdict::Bad
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        write!(f, "{mark}  {:<12} {}", self.what, self.text)
    }
}

/// Looks at what the configuration names: models and libraries by loading them, directories by their room and rights. Does
/// not touch a data directory that a server is using.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.warnings().iter().map(|warning| Finding::note("configuration", warning.clone())).collect();
    findings.push(data_directory(config.data_dir()));
    findings.push(match crate::check(config) {
        Ok(()) => Finding::good("configuration", "consistent"),
        Err(error) => Finding::bad("configuration", error.to_string()),
    });
    findings.extend(wiring::examine_stores(config).await);
    findings.extend(wiring::examine_models(config).await);
    findings
}

fn data_directory(path: &Path) -> Finding {
    const WHAT: &str = "data";
    if !path.exists() {
        return Finding::note(WHAT, format!("{} will be made at the first start", path.display()));
    }
    match nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK) {
        Ok(()) => Finding::good(WHAT, path.display().to_string()),
        Err(error) => Finding::bad(WHAT, format!("{} cannot be written: {error}", path.display())),
    }
}
