//! The use cases' sections of the configuration.

use std::time::Duration;

use serde::Deserialize;
use vectrion_core::job::Stage;

/// `[ingest]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Bytes of a document at the most.
    pub max_document_bytes: u64,
    /// Seconds after which an upload in pieces that gets no bytes is given up.
    pub upload_ttl_s: u64,
    /// Tries of `process_document`.
    pub process_attempts: u32,
    /// Tries of `embed_document`.
    pub embed_attempts: u32,
    /// Tries of `delete_document`.
    pub delete_attempts: u32,
    /// Milliseconds before the second try; doubles with each further one.
    pub retry_base_ms: u64,
    /// Milliseconds between tries at the most.
    pub retry_max_ms: u64,
    /// Tries cut off by the death of a process at the most.
    pub max_interruptions: u32,
}

impl IngestSettings {
    /// Tries that a job of this stage may make.
    #[must_use]
    pub fn attempts(&self, stage: Stage) -> u32 {
        match stage {
            Stage::ProcessDocument => self.process_attempts,
            Stage::EmbedDocument => self.embed_attempts,
            Stage::DeleteDocument => self.delete_attempts,
        }
    }

    /// Wait after a number of tries: exponential, bounded, and spread by `jitter` (0 to 1) over its upper half, so that
    /// what failed together does not come back together.
    #[must_use]
    pub fn retry_delay(&self, tries: u32, jitter: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(63);
        let full = self.retry_base_ms.saturating_mul(1 << doublings).min(self.retry_max_ms);
        spread(Duration::from_millis(full), jitter)
    }

    /// Milliseconds after which an upload that gets no bytes is given up.
    #[must_use]
    pub fn upload_ttl_ms(&self) -> i64 {
        i64::try_from(self.upload_ttl_s.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

/// `[housekeeping]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HousekeepingSettings {
    /// Seconds between sweeps of what expired.
    pub sweep_s: u64,
    /// Seconds from which on what nobody refers to counts as left over.
    pub orphan_min_age_s: u64,
    /// Days that the receipts of deletions are kept.
    pub receipt_days: u32,
}

impl HousekeepingSettings {
    /// Age from which on what nobody refers to counts as left over.
    #[must_use]
    pub fn orphan_min_age(&self) -> Duration {
        Duration::from_secs(self.orphan_min_age_s)
    }

    /// Time between sweeps.
    #[must_use]
    pub fn sweep_every(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }
}

/// The wait, spread by `jitter` (0 to 1) over its upper half.
pub(crate) fn spread(wait: Duration, jitter: f64) -> Duration {
    let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
    wait.mul_f64(0.5 + 0.5 * jitter)
}

/// `[answer]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerSettings {
    /// Characters of a question at the most.
    pub max_question_chars: usize,
    /// Tokens of an answer at the most.
    pub max_tokens: u32,
    /// Tokens of the passages in a prompt at the most.
    pub max_context_tokens: u32,
    /// Cosine below which a passage that shares no telling word with the question does not fit it.
    pub min_dense_score: f32,
    /// Cosine below which a passage does not fit the question whatever words they share.
    pub min_dense_score_with_words: f32,
    /// Seconds that an answer takes at the most.
    pub timeout_s: u64,
    /// Seconds that an answer goes on being written after its connection was lost.
    pub resume_grace_s: u64,
    /// Days that questions and answers are kept.
    pub retention_days: u32,
    /// Price of a million prompt tokens, in millionths of a currency unit.
    pub prompt_price_micros: u64,
    /// Price of a million answer tokens, in millionths of a currency unit.
    pub completion_price_micros: u64,
}

impl AnswerSettings {
    /// Time that an answer takes at the most.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> IngestSettings {
        IngestSettings {
            max_document_bytes: 1,
            upload_ttl_s: 60,
            process_attempts: 3,
            embed_attempts: 4,
            delete_attempts: 5,
            retry_base_ms: 1000,
            retry_max_ms: 60_000,
            max_interruptions: 50,
        }
    }

    #[test]
    fn waits_double_up_to_the_bound() {
        let waits: Vec<u64> = (1..=8).map(|tries| settings().retry_delay(tries, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(settings().retry_delay(u32::MAX, 1.0).as_secs(), 60);
    }

    #[test]
    fn jitter_spreads_the_upper_half() {
        assert_eq!(settings().retry_delay(3, 0.0).as_millis(), 2000);
        assert_eq!(settings().retry_delay(3, 0.5).as_millis(), 3000);
        for jitter in [-1.0, f64::NAN, 7.0] {
            let wait = settings().retry_delay(3, jitter).as_millis();
            assert!((2000..=4000).contains(&wait), "{jitter}: {wait}");
        }
    }
}
