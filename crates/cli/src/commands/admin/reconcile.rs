//! `vectrion admin reconcile`.

use std::{collections::BTreeMap, time::Instant};

use tonic::Code;
use vectrion::client::Client;
use vectrion::v1::{ReconcileFinding, ReconcileRemedy, ReconcileRequest, ReconcileSummary, reconcile_response::Event};

use crate::{
    args::ReconcileArgs,
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, args: ReconcileArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let mut request = ReconcileRequest {
        tenant: args.tenant.tenant.unwrap_or_default(),
        all_tenants: args.all_tenants,
        collection: args.collection.unwrap_or_default(),
        repair: args.repair,
        verify_objects: args.verify_objects,
        min_age_seconds: args.min_age,
        resume_token: String::new(),
    };
    let mut all = ReconcileSummary::default();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut is_right = true;
    loop {
        let mut seen = ReconcileSummary::default();
        let token = request.resume_token.clone();
        let mut stream = client.admin().reconcile(request.clone()).await?.into_inner();
        let ended = loop {
            let message = match stream.message().await {
                // Out of time: what is left is another call's, if this one came any further.
                Err(status) if status.code() == Code::DeadlineExceeded && request.resume_token != token => break None,
                message => message?,
            };
            match message.and_then(|message| message.event) {
                Some(Event::Finding(finding)) => {
                    *kinds.entry(name(finding.kind().as_str_name(), "RECONCILE_FINDING_KIND_")).or_default() += 1;
                    is_right &= matches!(finding.remedy(), ReconcileRemedy::Queued | ReconcileRemedy::Removed);
                    output.message("ReconcileFinding", &finding, describe)?;
                }
                Some(Event::Progress(progress)) => {
                    seen = ReconcileSummary {
                        versions: progress.versions,
                        points: progress.points,
                        objects: progress.objects,
                        findings: progress.findings,
                        ..seen
                    };
                    request.resume_token = progress.resume_token;
                }
                Some(Event::Summary(summary)) => break Some(summary),
                None => return Err(Failure::Other(anyhow::anyhow!("the server ended before it was done"))),
            }
        };
        let is_over = ended.is_some();
        let part = ended.unwrap_or(seen);
        all.versions += part.versions;
        all.points += part.points;
        all.objects += part.objects;
        all.findings += part.findings;
        all.remedied += part.remedied;
        if is_over {
            break;
        }
    }
    all.duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    output.message("ReconcileSummary", &all, |all| summarize(all, &kinds))?;
    if is_right { Ok(()) } else { Err(Failure::Partly) }
}

/// A finding in a line.
pub(super) fn describe(finding: &ReconcileFinding) -> String {
    let remedy = match finding.remedy() {
        ReconcileRemedy::Unspecified => "",
        ReconcileRemedy::Queued => "  (queued)",
        ReconcileRemedy::Removed => "  (removed)",
        ReconcileRemedy::Busy => "  (busy: compare again later)",
    };
    let kind = name(finding.kind().as_str_name(), "RECONCILE_FINDING_KIND_");
    let what = if !finding.object_key.is_empty() {
        format!("object {}", finding.object_key)
    } else if !finding.document_id.is_empty() {
        format!("document {}", finding.document_id)
    } else {
        format!("tenant {}", finding.tenant_id)
    };
    format!("{kind:<17}  {what}  {}{remedy}", finding.message)
}

fn summarize(summary: &ReconcileSummary, kinds: &BTreeMap<String, u64>) -> String {
    let of_kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let found = match summary.findings {
        0 => "everything fits".to_owned(),
        findings => {
            let counted = output::counted(usize::try_from(findings).unwrap_or(usize::MAX), "finding");
            format!("{counted} ({})", of_kinds.join(", "))
        }
    };
    format!(
        "{found}; {} versions, {} points, {} objects in {:.1} s",
        summary.versions,
        summary.points,
        summary.objects,
        summary.duration_ms as f64 / 1000.0
    )
}

fn name(text: &str, prefix: &str) -> String {
    text.trim_start_matches(prefix).to_lowercase()
}
