//! `vectrion admin dead-letters`.

use clap::{Args, Subcommand};

use super::TenantArg;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List dead letters, newest first.
    List {
        #[command(flatten)]
        filter: DeadLetterFilterArgs,
        /// Dead letters at the most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// List why jobs were given up, the most frequent cause first.
    Causes {
        #[command(flatten)]
        filter: DeadLetterFilterArgs,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Show a dead letter.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Run jobs again: those of the dead letters named, or of all that match.
    Replay {
        /// Their ids.
        ids: Vec<String>,
        #[command(flatten)]
        filter: DeadLetterFilterArgs,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Forget dead letters: those named, or all that match. Their documents stay failed.
    Purge {
        /// Their ids.
        ids: Vec<String>,
        #[command(flatten)]
        filter: DeadLetterFilterArgs,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeadLetterFilterArgs {
    /// Only with this reason.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only of this stage.
    #[arg(long)]
    pub(crate) stage: Option<String>,
    /// Only of documents in this collection, by name or id.
    #[arg(long, value_name = "C")]
    pub(crate) collection: Option<String>,
    /// Only if at least so old, such as 90s, 30m, 12h or 7d.
    #[arg(long, value_name = "AGE", value_parser = seconds)]
    pub(crate) older_than: Option<i64>,
}

/// Seconds of an age such as `12h`.
fn seconds(text: &str) -> Result<i64, String> {
    let rule = || format!("{text:?} is not an age such as 90s, 30m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(rule)?;
    let in_seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(rule()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| rule())?;
    Ok(i64::from(number) * in_seconds)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        assert_eq!(["90s", "30m", "12h", "7d"].map(seconds), [Ok(90), Ok(1800), Ok(43_200), Ok(604_800)]);
        for wrong in ["", "7", "d", "-1d", "1w", "1.5h", "7é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
