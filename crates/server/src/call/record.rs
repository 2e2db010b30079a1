//! One log line and one measurement per call.

use tokio::time::Instant;
use tonic::Code;
use vectrion_core::tenancy::Principal;

use crate::{
    roles::{Access, Rule},
    status,
};

/// The record of a call that is under way. It is written when the call ends, or, as cancelled, when it is dropped.
pub(super) struct Record {
    service: &'static str,
    method: &'static str,
    public: bool,
    began: Instant,
    trace_id: String,
    principal: Option<Principal>,
    in_flight: metrics::Gauge,
    written: bool,
}

impl Record {
    /// `rule`: none for a path that does not exist.
    pub(super) fn begin(rule: Option<&Rule>, trace_id: &str) -> Self {
        let (service, method) = rule.map_or(("unknown", "unknown"), |rule| (rule.service, rule.method));
        let in_flight = metrics::gauge!("vectrion_rpc_in_flight", "service" => service, "method" => method);
        in_flight.increment(1.0);
        Self {
            service,
            method,
            public: rule.is_some_and(|rule| rule.access == Access::Public),
            began: Instant::now(),
            trace_id: trace_id.to_owned(),
            principal: None,
            in_flight,
            written: false,
        }
    }

    pub(super) fn called_by(&mut self, principal: &Principal) {
        self.principal = Some(principal.clone());
    }

    /// The call ended with this code. Only the first time counts.
    pub(super) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        self.in_flight.decrement(1.0);
        let took = self.began.elapsed();
        metrics::histogram!(
            "vectrion_rpc_duration_seconds",
            "service" => self.service, "method" => self.method, "code" => status::name(code)
        )
        .record(took.as_secs_f64());

        let code = status::name(code);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Health is asked every few seconds: it would drown the rest.
        if self.public {
            tracing::debug!(
                service = self.service,
                method = self.method,
                code,
                duration_ms,
                trace_id = self.trace_id,
                "call"
            );
            return;
        }
        match &self.principal {
            Some(principal) => tracing::info!(
                service = self.service,
                method = self.method,
                tenant_id = %principal.tenant,
                key_id = %principal.key,
                role = principal.role.as_str(),
                code,
                duration_ms,
                trace_id = self.trace_id,
                "call"
            ),
            None => tracing::info!(
                service = self.service,
                method = self.method,
                code,
                duration_ms,
                trace_id = self.trace_id,
                "call"
            ),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
