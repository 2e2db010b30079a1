//! The table of a run.

use std::{
    any::Any,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// How a fault went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    /// Injected in part, or not at all: the row says what is missing.
    NotRun,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotRun => "not run",
        }
    }
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub number: u32,
    pub fault: &'static str,
    pub done: String,
    pub outcome: String,
    /// From the end of the fault to the last document where it is to be.
    pub recovery_s: Option<f64>,
    /// Those that were broken, with what was seen; none if all held.
    pub violations: Vec<String>,
    pub verdict: Verdict,
    pub took_s: f64,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub form: &'static str,
    pub index: String,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn has_failed(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Fail)
    }

    /// Writes the table as Markdown and as JSON, and gives where they are.
    pub fn write(&self, directory: &Path) -> Result<(PathBuf, PathBuf)> {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let (table, data) = (directory.join("report.md"), directory.join("report.json"));
        std::fs::write(&table, self.markdown())?;
        std::fs::write(&data, serde_json::to_vec_pretty(self)?)?;
        Ok((table, data))
    }

    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Faults\n\n{} form, seed {}, vector index: {}\n\n\
             | # | fault | what was done | outcome | recovery | invariants | result | took |\n\
             |---|---|---|---|---|---|---|---|\n",
            self.form, self.seed, self.index
        );
        for row in &self.rows {
            let recovery = row.recovery_s.map_or_else(String::new, |seconds| format!("{seconds:.1} s"));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {recovery} | {} | {} | {:.0} s |",
                row.number,
                row.fault,
                cell(&row.done),
                cell(&row.outcome),
                cell(&row.invariants()),
                row.verdict.as_str(),
                row.took_s
            );
        }
        text
    }
}

impl Row {
    fn invariants(&self) -> String {
        match (self.violations.is_empty(), self.verdict) {
            (true, Verdict::Pass) => "I1–I6 held".to_owned(),
            (true, _) => String::new(),
            (false, _) => {
                let mut broken: Vec<&str> =
                    self.violations.iter().filter_map(|what| what.split_once(':')).map(|(which, _)| which).collect();
                broken.dedup();
                format!("{} broken", broken.join(", "))
            }
        }
    }
}

fn cell(text: &str) -> String {
    let mut line: String = text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(400) {
        line.truncate(at);
        line.push('…');
    }
    line
}

pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// What a panic said.
pub fn panic_text(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
