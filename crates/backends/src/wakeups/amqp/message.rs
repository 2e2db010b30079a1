//! What a wake-up looks like on the wire.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString},
};
use serde::Serialize;
use vectrion_core::{job::Stage, ports::wakeups::Announcement};

/// For people and tools who look into a queue. Who receives it relies on the queue alone.
#[derive(Serialize)]
struct Body {
    job_id: String,
    stage: Stage,
}

pub(super) fn body(announcement: &Announcement) -> Vec<u8> {
    let body = Body { job_id: announcement.job.to_string(), stage: announcement.stage };
    serde_json::to_vec(&body).expect("two texts are JSON")
}

pub(super) fn properties(announcement: &Announcement) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_type("vectrion.job.v1".into())
        .with_message_id(announcement.id.to_string().into());
    match traceparent(announcement) {
        Some(parent) => {
            let mut headers = FieldTable::default();
            headers.insert("traceparent".into(), AMQPValue::LongString(LongString::from(parent)));
            properties.with_headers(headers)
        }
        None => properties,
    }
}

/// The trace of the call that caused the job (W3C Trace Context). The span is this message's: the random half of its id.
fn traceparent(announcement: &Announcement) -> Option<String> {
    let trace = &announcement.trace_id;
    let valid = trace.len() == 32
        && trace.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && trace.bytes().any(|b| b != b'0');
    let id = announcement.id.0.simple().to_string();
    valid.then(|| format!("00-{trace}-{}-00", &id[16..]))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use vectrion_core::ids::{JobId, OutboxId};

    use super::*;

    fn announcement(trace_id: &str) -> Announcement {
        Announcement {
            id: OutboxId(Uuid::from_u128(0x0192_0000_0000_7000_8123_4567_89ab_cdef)),
            job: JobId(Uuid::from_u128(7)),
            stage: Stage::EmbedDocument,
            trace_id: trace_id.to_owned(),
        }
    }

    #[test]
    fn a_message_belongs_to_the_trace_of_its_job() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            traceparent(&announcement(trace)).unwrap(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-8123456789abcdef-00"
        );
        for malformed in ["", "4BF92F3577B34DA6A3CE929D0E0E4736", "00000000000000000000000000000000", "short"] {
            assert_eq!(traceparent(&announcement(malformed)), None, "{malformed:?}");
        }
    }

    #[test]
    fn a_message_says_what_it_is_about() {
        let text = String::from_utf8(body(&announcement(""))).unwrap();
        assert_eq!(text, r#"{"job_id":"00000000-0000-0000-0000-000000000007","stage":"embed_document"}"#);
    }
}
