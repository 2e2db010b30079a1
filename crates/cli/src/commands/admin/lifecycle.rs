//! `vectrion admin lifecycle`.

use vectrion::client::Client;
use vectrion::v1::{
    ApplyLifecyclePolicyRequest, GetLifecyclePolicyRequest, LifecycleAction, LifecyclePolicy, LifecycleRule,
    LifecycleSummary, SetLifecyclePolicyRequest, apply_lifecycle_policy_response::Event,
};

use super::reconcile;
use crate::{
    args::LifecycleCommand,
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: LifecycleCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    match command {
        LifecycleCommand::Show { collection, tenant } => {
            let request = GetLifecyclePolicyRequest { tenant: tenant.tenant.unwrap_or_default(), collection };
            let policy = admin.get_lifecycle_policy(request).await?.into_inner().policy;
            output.message("LifecyclePolicy", &policy.unwrap_or_default(), describe)
        }
        LifecycleCommand::Set {
            collection,
            retention_days,
            keep_versions,
            purge_failed_days,
            purge_orphans,
            tenant,
        } => {
            let request = SetLifecyclePolicyRequest {
                tenant: tenant.tenant.unwrap_or_default(),
                collection,
                retention_days: days(retention_days),
                keep_versions: days(keep_versions),
                purge_failed_days: days(purge_failed_days),
                purge_orphans,
                request_id: String::new(),
            };
            let policy = admin.set_lifecycle_policy(request).await?.into_inner().policy;
            output.message("LifecyclePolicy", &policy.unwrap_or_default(), describe)
        }
        LifecycleCommand::Apply { collection, dry_run, tenant } => {
            let request =
                ApplyLifecyclePolicyRequest { tenant: tenant.tenant.unwrap_or_default(), collection, dry_run };
            let mut stream = admin.apply_lifecycle_policy(request).await?.into_inner();
            while let Some(message) = stream.message().await? {
                match message.event {
                    Some(Event::Action(action)) => output.message("LifecycleAction", &action, describe_action)?,
                    Some(Event::Orphan(orphan)) => output.message("ReconcileFinding", &orphan, reconcile::describe)?,
                    Some(Event::Summary(summary)) => {
                        return output.message("LifecycleSummary", &summary, |summary| summarize(summary, dry_run));
                    }
                    None => {}
                }
            }
            Err(Failure::Other(anyhow::anyhow!("the server ended before it was done")))
        }
    }
}

fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn describe(policy: &LifecyclePolicy) -> String {
    let mut rules = Vec::new();
    if policy.retention_days > 0 {
        rules.push(format!("deletes documents after {} days", policy.retention_days));
    }
    if policy.keep_versions > 0 {
        rules.push(format!("keeps the newest {} versions", policy.keep_versions));
    }
    if policy.purge_failed_days > 0 {
        rules.push(format!("deletes failed documents after {} days", policy.purge_failed_days));
    }
    if policy.purge_orphans {
        rules.push("removes what no document refers to".to_owned());
    }
    let rules = if rules.is_empty() { "removes nothing by itself".to_owned() } else { rules.join("; ") };
    format!("{}  {rules}", policy.collection_id)
}

fn describe_action(action: &LifecycleAction) -> String {
    let rule = match action.rule() {
        LifecycleRule::Retention => "retention",
        LifecycleRule::Versions => "versions",
        LifecycleRule::Failed => "failed",
        LifecycleRule::Unspecified => "",
    };
    let version = if action.version > 0 { format!(" version {}", action.version) } else { String::new() };
    let queued = if action.queued { "  (removal queued)" } else { "" };
    let since = output::time(action.since_time.as_ref());
    format!("{rule:<9}  {}{version}  {}  since {since}{queued}", action.document_id, action.filename)
}

fn summarize(summary: &LifecycleSummary, dry_run: bool) -> String {
    let all = usize::try_from(summary.actions + summary.orphans).unwrap_or(usize::MAX);
    match dry_run {
        true => format!("{} would go; nothing was removed", output::counted(all, "thing")),
        false => format!("{} of {} removed, or queued to be", summary.removed, output::counted(all, "thing")),
    }
}
