//! W3C trace context: taken from the caller, or begun here.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// The trace that a call belongs to, and this server's span in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// 32 lower-case hex digits.
    pub(crate) id: String,
    span: String,
    sampled: bool,
}

impl Trace {
    /// The trace in the caller's `traceparent`; a new one without it, or if it is malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let own = Uuid::new_v4().simple().to_string();
        let span = own[..16].to_owned();
        let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse);
        match parent {
            Some((id, sampled)) => Self { id, span, sampled },
            None => Self { id: Uuid::new_v4().simple().to_string(), span, sampled: false },
        }
    }

    /// Tells the caller.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let flags = if self.sampled { "01" } else { "00" };
        let parent = format!("00-{}-{}-{flags}", self.id, self.span);
        for (name, value) in [(TRACE_ID, self.id.as_str()), (TRACEPARENT, parent.as_str())] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Trace id and whether it is sampled, of `version-traceid-parentid-flags` (W3C Trace Context, 3.2).
fn parse(text: &str) -> Option<(String, bool)> {
    let mut parts = text.trim().split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let valid = hex(version, 2)
        && version != "ff"
        && hex(id, 32)
        && id.bytes().any(|b| b != b'0')
        && hex(parent, 16)
        && parent.bytes().any(|b| b != b'0')
        && hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    valid.then(|| (id.to_owned(), sampled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(traceparent: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent.parse().expect("a header value"));
        Trace::of(&headers)
    }

    #[test]
    fn the_callers_trace_goes_on_in_a_span_of_its_own() {
        let trace = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(trace.id, "0af7651916cd43dd8448eb211c80319c");
        let mut headers = HeaderMap::new();
        trace.tell(&mut headers);
        assert_eq!(headers["trace-id"], "0af7651916cd43dd8448eb211c80319c");
        let parent = headers["traceparent"].to_str().expect("ascii");
        assert!(parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && parent.ends_with("-01"), "{parent}");
        assert!(!parent.contains("b7ad6b7169203331"));
    }

    #[test]
    fn a_later_version_may_have_more_parts() {
        assert_eq!(
            of("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").id,
            "0af7651916cd43dd8448eb211c80319c"
        );
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            let trace = of(bad);
            assert!(!bad.contains(&trace.id), "{bad}");
            assert_eq!(trace.id.len(), 32);
        }
        assert_ne!(Trace::of(&HeaderMap::new()).id, Trace::of(&HeaderMap::new()).id);
    }
}
