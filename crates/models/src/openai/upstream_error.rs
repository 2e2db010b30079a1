//! What may be kept of a server's error.

use std::fmt;

use serde_json::Value;

/// The machine-readable part of an error object. Its message is dropped: servers put parts of the prompt, of the
/// documents and of the key into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    /// Such as `context_length_exceeded`.
    pub(crate) code: Option<String>,
    /// A status inside the object, for errors within a stream.
    pub(crate) status: Option<u16>,
}

impl UpstreamError {
    /// Reads `{"error": {…}}` or the inner object.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(value.get("error").unwrap_or(&value)),
            Err(_) => Self::default(),
        }
    }

    pub(crate) fn from_value(error: &Value) -> Self {
        let number = |name: &str| {
            let value = error.get(name)?;
            value.as_u64().or_else(|| value.as_str()?.parse().ok()).and_then(|number| u16::try_from(number).ok())
        };
        Self {
            code: ["code", "type"].iter().find_map(|name| identifier(error.get(name)?.as_str()?)),
            status: ["code", "status", "status_code"].iter().find_map(|name| number(name)),
        }
    }

    /// Whether trying again is useless although the status says "too many requests".
    pub(crate) fn is_spent_quota(&self) -> bool {
        matches!(self.code.as_deref(), Some("insufficient_quota" | "billing_hard_limit_reached"))
    }

    /// The status that an error within a stream would have had as a response.
    pub(crate) fn as_status(&self) -> Option<u16> {
        self.status.filter(|status| (400..600).contains(status)).or_else(|| {
            Some(match self.code.as_deref()? {
                "rate_limit_exceeded" | "rate_limit_error" | "insufficient_quota" | "RateLimitError" => 429,
                "invalid_api_key" | "authentication_error" | "AuthenticationError" => 401,
                "context_length_exceeded" | "invalid_request_error" | "BadRequestError" | "model_not_found" => 400,
                _ => return None,
            })
        })
    }
}

/// An identifier, not prose: what has other characters may quote anything.
fn identifier(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let wordy = text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(allowed);
    wordy.then(|| text.to_owned())
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, self.status) {
            (Some(code), _) => f.write_str(code),
            (None, Some(status)) => write!(f, "status {status}"),
            (None, None) => f.write_str("no code"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_kept_and_prose_is_not() {
        let read = |value: Value| UpstreamError::from_value(&value);
        let openai = json!({ "message": "secret", "type": "invalid_request_error", "code": "context_length_exceeded" });
        assert_eq!(read(openai).code.as_deref(), Some("context_length_exceeded"));
        let vllm = read(json!({ "message": "secret", "type": "BadRequestError", "code": 400 }));
        assert_eq!((vllm.code.as_deref(), vllm.as_status()), (Some("BadRequestError"), Some(400)));
        assert_eq!(read(json!({ "code": "key sk-123 is wrong", "type": null })), UpstreamError::default());
        assert_eq!(read(json!("the prompt was: secret")), UpstreamError::default());
        assert_eq!(UpstreamError::from_body(b"<html>secret</html>"), UpstreamError::default());
    }

    #[test]
    fn an_error_in_a_stream_has_the_status_of_its_code() {
        let limited = UpstreamError::from_body(br#"{"error":{"type":"rate_limit_error"}}"#);
        assert_eq!(limited.as_status(), Some(429));
        let numbered = UpstreamError::from_body(br#"{"error":{"code":"503"}}"#);
        assert_eq!(numbered.as_status(), Some(503));
        assert_eq!(UpstreamError::from_body(br#"{"error":{"code":7}}"#).as_status(), None);
    }
}
