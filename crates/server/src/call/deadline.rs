//! How long a call may take: the caller's `grpc-timeout`, capped by the server's own limits.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::{roles::Pace, settings::ServerSettings};

/// The server answers DEADLINE_EXCEEDED so much before the deadline: a caller whose own clock runs out first sees
/// CANCELLED instead, without details.
const AHEAD: Duration = Duration::from_millis(100);

/// Limits by pace.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    unary: Duration,
    upload: Duration,
    stream: Duration,
    watch: Duration,
}

impl Limits {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        Self {
            unary: Duration::from_secs(settings.unary_timeout_s),
            upload: Duration::from_secs(settings.upload_timeout_s),
            stream: Duration::from_secs(settings.stream_timeout_s),
            watch: Duration::from_secs(settings.watch_timeout_s),
        }
    }

    fn of(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Unary => self.unary,
            Pace::Upload => self.upload,
            Pace::Stream => self.stream,
            Pace::Watch => self.watch,
        }
    }
}

/// When a call must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// When the caller stops waiting.
    pub(crate) at: Instant,
    /// When the server ends the call. For a stream it is between `at` and the 100 ms before at which an answer says
    /// itself that it is out of time.
    pub(crate) answer_by: Instant,
}

impl Deadline {
    pub(crate) fn of(headers: &HeaderMap, pace: Pace, limits: &Limits) -> Self {
        let limit = limits.of(pace);
        let budget = headers
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok())
            .and_then(parse)
            .map_or(limit, |asked| asked.min(limit));
        let ahead = AHEAD.min(budget / 4) / if pace.streams_back() { 2 } else { 1 };
        let now = Instant::now();
        Self { at: now + budget, answer_by: now + (budget - ahead) }
    }
}

/// `grpc-timeout`: up to eight digits and a unit. None if it is malformed.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(value * 3600),
        'M' => Duration::from_secs(value * 60),
        'S' => Duration::from_secs(value),
        'm' => Duration::from_millis(value),
        'u' => Duration::from_micros(value),
        'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::defaults;

    #[test]
    fn timeouts_are_parsed_as_the_protocol_says() {
        for (text, duration) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("50m", Some(Duration::from_millis(50))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("+5S", None),
            ("123456789S", None),
            ("5s", None),
            ("5é", None),
        ] {
            assert_eq!(parse(text), duration, "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_limit_holds_for_a_longer_and_for_no_timeout() {
        let limits = Limits::new(&defaults());
        let budget = |timeout: Option<&str>, pace| {
            let mut headers = HeaderMap::new();
            if let Some(timeout) = timeout {
                headers.insert("grpc-timeout", timeout.parse().expect("a header value"));
            }
            let deadline = Deadline::of(&headers, pace, &limits);
            (deadline.at - Instant::now(), deadline.at - deadline.answer_by)
        };
        let hundred = Duration::from_millis(100);
        assert_eq!(budget(None, Pace::Unary), (Duration::from_secs(30), hundred));
        assert_eq!(budget(Some("5H"), Pace::Unary), (Duration::from_secs(30), hundred));
        assert_eq!(budget(Some("nonsense"), Pace::Unary).0, Duration::from_secs(30));
        assert_eq!(budget(Some("2S"), Pace::Unary), (Duration::from_secs(2), hundred));
        assert_eq!(budget(Some("2S"), Pace::Stream), (Duration::from_secs(2), hundred / 2));
        assert_eq!(budget(Some("40m"), Pace::Unary), (Duration::from_millis(40), Duration::from_millis(10)));
        assert!(budget(None, Pace::Watch).0 > budget(None, Pace::Stream).0);
    }
}
