//! Lifecycle policies, on the profile of this run.

use bytes::Bytes;
use tonic::Code;
use vectrion::v1::{
    DeletionCause, GetDeletionReceiptRequest, ListDocumentVersionsRequest, SetLifecyclePolicyRequest, UploadHeader,
};
use vectrion_core::{ids::VersionId, ports::objects::ObjectKey};

use crate::support::{
    Client, PATIENCE,
    client::{header, reason},
    restorable::Restorable,
};

async fn versions(client: &Client, id: &str) -> Vec<i32> {
    let request = ListDocumentVersionsRequest { document_id: id.to_owned(), ..ListDocumentVersionsRequest::default() };
    let versions = client.ingestion.clone().list_document_versions(request).await.unwrap().into_inner().documents;
    versions.iter().map(|document| document.version).collect()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn cause(client: &Client, id: &str) -> DeletionCause {
    let request = GetDeletionReceiptRequest { document_id: id.to_owned() };
    let response = client.ingestion.clone().get_deletion_receipt(request).await.expect("a receipt");
    response.into_inner().receipt.expect("a receipt").cause()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_tried_out_then_applied_by_command_and_by_itself() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[]).await;
    let named = |name: &str| UploadHeader { external_id: name.to_owned(), ..header(&format!("{name}.txt")) };
    for number in 1..=4 {
        client.index("often.txt", format!("Edition {number} of the gazette.").as_bytes()).await;
    }
    let often = client.list().await.remove(0).document_id;
    let old = client.index("old.txt", b"An old almanac.").await.document_id;
    let new = client.index("new.txt", b"A new almanac.").await.document_id;
    let broken = client.try_upload(named("broken"), b"%PDF-1.7 and nothing else").await.unwrap();
    let broken = client.settled(&broken.document.unwrap().document_id).await.document_id;
    assert_eq!(versions(&client, &often).await, [4, 3, 2, 1]);
    let long = 40 * 24 * 60 * 60 * 1000_i64;
    for (table, id) in [
        ("document_versions SET create_time = create_time", &old),
        ("document_versions SET update_time = update_time", &broken),
    ] {
        installation.execute(&format!("UPDATE {table} - {long} WHERE document_id = {{id}}"), id).await;
    }

    let set = ["--retention-days", "30", "--keep-versions", "2", "--purge-failed-days", "7"];
    let shown = installation.call(&["admin", "lifecycle", "show", "default"]).await;
    assert!(shown.out.contains("removes nothing"), "{}", shown.out);
    let changed = installation.call(&[&["admin", "lifecycle", "set", "default"], &set[..]].concat()).await;
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    let shown = installation.call(&["admin", "lifecycle", "show", "default", "--json"]).await;
    assert_eq!((&shown.json()[0]["retentionDays"], &shown.json()[0]["keepVersions"]), (&30.into(), &2.into()));

    let dry = installation.call(&["admin", "lifecycle", "apply", "default", "--dry-run", "--json"]).await;
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    let mut would: Vec<(String, String)> = dry.json()[..dry.json().len() - 1]
        .iter()
        .map(|action| {
            assert_eq!(action.get("queued"), None, "a dry run");
            let rule = action["rule"].as_str().unwrap().trim_start_matches("LIFECYCLE_RULE_").to_owned();
            (rule, format!("{} {}", action["documentId"].as_str().unwrap(), action["version"].as_i64().unwrap_or(0)))
        })
        .collect();
    would.sort();
    let mut expected = vec![
        ("RETENTION".to_owned(), format!("{old} 0")),
        ("FAILED".to_owned(), format!("{broken} 0")),
        ("VERSIONS".to_owned(), format!("{often} 1")),
        ("VERSIONS".to_owned(), format!("{often} 2")),
    ];
    expected.sort();
    assert_eq!(would, expected);
    assert_eq!(client.list().await.len(), 4, "a dry run removes nothing");

    // A document is worked on by one job at a time: of two versions the second goes at the next application.
    eventually("what the policy names is gone", async || {
        let applied = installation.call(&["admin", "lifecycle", "apply", "default"]).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
        client.get(&old).await.is_err()
            && client.get(&broken).await.is_err()
            && versions(&client, &often).await == [4, 3]
    })
    .await;
    assert_eq!(cause(&client, &old).await, DeletionCause::Retention);
    assert_eq!(cause(&client, &broken).await, DeletionCause::Failed);
    assert_eq!(client.search("Which edition of the gazette?").await[0].document_id, often);
    assert!(client.get(&new).await.is_ok());
    let ended = installation.call(&["admin", "reconcile", "--min-age", "0"]).await;
    assert_eq!((ended.code, ended.out.contains("everything fits")), (Some(0), true), "{}", ended.out);
    installation.stop().await;

    // The server applies it by itself, and looks for what nobody refers to.
    let more = [("housekeeping.sweep_s", "1"), ("housekeeping.orphan_min_age_s", "0")];
    let client = installation.start(&more).await;
    let tenant = installation.tenant().await;
    let orphan = ObjectKey::original(tenant, VersionId::new());
    let content = futures::stream::once(async { Ok(Bytes::from_static(b"x")) });
    installation.ports().objects.put(&orphan, Box::pin(content)).await.unwrap();
    let change = format!("UPDATE document_versions SET create_time = create_time - {long} WHERE document_id = {{id}}");
    installation.execute(&change, &new).await;
    let request = SetLifecyclePolicyRequest {
        collection: "default".to_owned(),
        retention_days: 30,
        purge_orphans: true,
        ..SetLifecyclePolicyRequest::default()
    };
    client.admin.clone().set_lifecycle_policy(request.clone()).await.unwrap();
    client.gone(&new).await;
    eventually("the orphan is gone", async || installation.ports().objects.head(&orphan).await.is_err()).await;
    assert_eq!(client.list().await.len(), 1, "what is young stays");
    let status = client
        .admin
        .clone()
        .set_lifecycle_policy(SetLifecyclePolicyRequest { retention_days: -1, ..request })
        .await
        .unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    installation.stop().await;
}
