//! Comparing database, vectors and objects, on the profile of this run.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tonic::Code;
use vectrion::v1::{DeleteDocumentRequest, DocumentState, ReconcileRequest, Role, reconcile_response::Event};
use vectrion_core::{
    ids::{ChunkId, CollectionId, DocumentId, TenantId, UploadId, VersionId},
    ports::{
        objects::ObjectKey,
        vectors::{Point, VectorScope},
    },
};

use crate::support::{Client, client::reason, process::Ended, restorable::Restorable};

fn text(what: &str) -> Vec<u8> {
    format!("The {what} was seen off Cape Farrow.\n").into_bytes()
}

/// What a comparison told: findings by kind, and the summary.
fn told(ended: &Ended) -> (BTreeMap<String, Vec<Value>>, Value) {
    let mut lines = ended.json();
    let summary = lines.pop().unwrap_or_else(|| panic!("no summary: {}", ended.err));
    let mut findings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for finding in lines {
        let kind = finding["kind"].as_str().expect("a kind").trim_start_matches("RECONCILE_FINDING_KIND_");
        findings.entry(kind.to_lowercase()).or_default().push(finding.clone());
    }
    (findings, summary)
}

fn kinds(findings: &BTreeMap<String, Vec<Value>>) -> Vec<(&str, usize)> {
    findings.iter().map(|(kind, findings)| (kind.as_str(), findings.len())).collect()
}

async fn reconcile(installation: &Restorable, more: &[&str]) -> Ended {
    let arguments = [&["admin", "reconcile", "--json", "--min-age", "0"], more].concat();
    installation.call(&arguments).await
}

/// Waits until no job is left, so that what was queued is done.
async fn settle(client: &Client) {
    for document in client.list().await {
        if document.state() != DocumentState::Deleting {
            client.settled(&document.document_id).await;
        }
    }
}

async fn everything_fits(installation: &Restorable) {
    let ended = reconcile(installation, &["--all-tenants", "--verify-objects"]).await;
    let (findings, summary) = told(&ended);
    assert_eq!((ended.code, kinds(&findings)), (Some(0), Vec::new()), "{findings:?} {summary}");
}

async fn delete(client: &Client, id: &str) {
    let request = DeleteDocumentRequest { document_id: id.to_owned(), request_id: String::new() };
    client.ingestion.clone().delete_document(request).await.unwrap();
    client.gone(id).await;
}

/// Fault 27: the database is restored from a dump, then the vectors from an earlier snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restore_took_apart_is_put_together() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[]).await;
    let kept = client.index("kept.txt", &text("walrus")).await;
    let changed = client.index("changed.txt", &text("first narwhal")).await;
    let deleted = client.index("deleted.txt", &text("porpoise")).await;
    everything_fits(&installation).await;
    installation.stop().await;
    installation.dump_database().await;
    installation.snapshot_vectors().await;

    let client = installation.start(&[]).await;
    client.index("later.txt", &text("manatee")).await;
    let again = client.index("changed.txt", &text("second narwhal")).await;
    assert_eq!((again.document_id.as_str(), again.version), (changed.document_id.as_str(), 2));
    delete(&client, &deleted.document_id).await;
    installation.stop().await;

    // The database is earlier than the rest.
    installation.restore_database().await;
    let client = installation.start(&[]).await;
    let (findings, _) = told(&reconcile(&installation, &[]).await);
    // Two versions came since; of two that there are the points went since, of one the bytes, too.
    let expected = [("object_missing", 1), ("object_orphaned", 2), ("points_missing", 2), ("points_orphaned", 2)];
    assert_eq!(kinds(&findings), expected, "{findings:?}");
    let ended = reconcile(&installation, &["--repair"]).await;
    let (repaired, summary) = told(&ended);
    assert_eq!(kinds(&repaired), expected, "looking changed nothing");
    println!("restored from a dump: {summary}");
    assert_eq!(ended.code, Some(1), "bytes that are gone stay gone");
    settle(&client).await;
    let (left, _) = told(&reconcile(&installation, &["--verify-objects"]).await);
    assert_eq!(kinds(&left), [("object_missing", 1)], "{left:?}");
    assert_eq!(left["object_missing"][0]["documentId"], deleted.document_id.as_str());
    for (question, filename) in [("Where was the walrus?", "kept.txt"), ("Where was the first narwhal?", "changed.txt")]
    {
        assert_eq!(client.search(question).await[0].filename, filename);
    }
    assert!(client.search("manatee").await.iter().all(|passage| passage.filename != "later.txt"));
    let restored = client.get(&changed.document_id).await.unwrap();
    assert_eq!((restored.version, restored.indexed_version, restored.vector_count), (1, 1, restored.chunk_count));
    delete(&client, &deleted.document_id).await;
    everything_fits(&installation).await;

    // The vectors are earlier than the rest.
    let newest = client.index("newest.txt", &text("beluga")).await;
    delete(&client, &kept.document_id).await;
    installation.stop().await;
    installation.restore_vectors().await;
    let client = installation.start(&[]).await;
    let ended = reconcile(&installation, &["--repair"]).await;
    let (findings, summary) = told(&ended);
    println!("vectors from a snapshot: {summary}");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    // Those of `kept` and `deleted` came back, those of `newest` went.
    assert_eq!(kinds(&findings), [("points_missing", 1), ("points_orphaned", 2)], "{findings:?}");
    settle(&client).await;
    everything_fits(&installation).await;
    assert_eq!(client.search("Where was the beluga?").await[0].document_id, newest.document_id);
    installation.stop().await;
}

fn bytes(content: &[u8]) -> vectrion_core::ports::objects::ByteStream {
    let content = Bytes::copy_from_slice(content);
    stream::once(async move { Ok(content) }).boxed()
}

fn point(scope: &VectorScope, document: DocumentId, version_id: VersionId) -> Point {
    let mut dense = vec![0.0; scope.generation.dimension];
    dense[0] = 1.0;
    let id = ChunkId(uuid::Uuid::new_v4());
    Point { id, document, version_id, collection: CollectionId::new(), dense, text: "nobody asked for it".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_finding_is_told_and_repaired() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[]).await;
    let mut ids = BTreeMap::new();
    for name in ["whole", "unseen", "stale", "torn", "gone", "short", "corrupt", "stuck"] {
        ids.insert(name, client.index(&format!("{name}.txt"), &text(name)).await.document_id);
    }
    let (tenant, scope) = (installation.tenant().await, installation.scope().await);
    let ports = installation.ports();
    let version = async |name: &str| installation.version(&ids[name]).await;
    let put = async |key: ObjectKey, content: &[u8]| ports.objects.put(&key, bytes(content)).await.unwrap();

    let (unknown, upload, nobody) = (VersionId::new(), UploadId::new(), TenantId::new());
    ports.vectors.delete_version(&scope, version("unseen").await.id).await.unwrap();
    let stale = version("stale").await;
    let surplus = vec![point(&scope, stale.document, stale.id), point(&scope, DocumentId::new(), unknown)];
    ports.vectors.upsert(&scope, surplus).await.unwrap();
    ports.vectors.flush(&scope).await.unwrap();
    put(ObjectKey::original(tenant, unknown), b"x").await;
    put(ObjectKey::upload_part(tenant, upload, 0, 1), b"x").await;
    put(ObjectKey::from_listing(format!("tenants/{tenant}/versions/no-version/x")), b"x").await;
    ports.objects.delete(&ObjectKey::original(tenant, version("gone").await.id)).await.unwrap();
    put(ObjectKey::original(tenant, version("short").await.id), b"x").await;
    let size = usize::try_from(version("corrupt").await.size).unwrap();
    put(ObjectKey::original(tenant, version("corrupt").await.id), &vec![b'x'; size]).await;
    let theirs = VectorScope { tenant: nobody, ..scope.clone() };
    ports.vectors.upsert(&theirs, vec![point(&theirs, DocumentId::new(), VersionId::new())]).await.unwrap();
    ports.vectors.flush(&theirs).await.unwrap();
    put(ObjectKey::original(nobody, VersionId::new()), b"x").await;
    installation.execute("DELETE FROM chunks WHERE document_id = {id}", &ids["torn"]).await;
    for table in
        ["documents SET state = 'processed' WHERE id", "document_versions SET state = 'processed' WHERE document_id"]
    {
        installation.execute(&format!("UPDATE {table} = {{id}}"), &ids["stuck"]).await;
    }

    // By default nothing that young is taken for left over.
    let young = told(&installation.call(&["admin", "reconcile", "--json"]).await).0;
    assert!(!young.contains_key("points_orphaned") && !young.contains_key("object_orphaned"), "{young:?}");

    let expected = [
        ("chunks_missing", 1),
        ("job_missing", 1),
        ("object_corrupt", 1),
        ("object_missing", 1),
        ("object_orphaned", 2),
        ("object_size_wrong", 1),
        ("object_unknown", 1),
        ("points_missing", 1),
        ("points_orphaned", 1),
        ("points_stale", 1),
        ("tenant_leftover", 1),
    ];
    let ended = reconcile(&installation, &["--all-tenants", "--verify-objects"]).await;
    let (findings, summary) = told(&ended);
    assert_eq!((ended.code, kinds(&findings)), (Some(1), expected.to_vec()), "{findings:?}");
    assert!(findings.values().flatten().all(|finding| finding["remedy"] == Value::Null), "nothing was asked for");
    assert_eq!(summary["findings"], "12");
    for (kind, name) in [("points_missing", "unseen"), ("chunks_missing", "torn"), ("object_corrupt", "corrupt")] {
        assert_eq!(findings[kind][0]["documentId"], ids[name].as_str(), "{kind}");
    }

    let repaired = told(&reconcile(&installation, &["--all-tenants", "--verify-objects", "--repair"]).await).0;
    assert_eq!(kinds(&repaired), expected, "looking changed nothing");
    settle(&client).await;
    let left = told(&reconcile(&installation, &["--all-tenants", "--verify-objects"]).await).0;
    let told_only = [("object_corrupt", 1), ("object_missing", 1), ("object_size_wrong", 1), ("object_unknown", 1)];
    assert_eq!(kinds(&left), told_only, "{left:?}");
    for name in ["whole", "unseen", "stale", "torn", "stuck"] {
        let document = client.get(&ids[name]).await.unwrap();
        assert_eq!(document.state(), DocumentState::Indexed, "{name}: {:?}", document.failure);
        assert!(document.chunk_count == 1 && document.vector_count == 1, "{name}: {document:?}");
        assert_eq!(client.search(&format!("The {name} was seen")).await[0].document_id, ids[name], "{name}");
    }
    installation.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_is_of_who_may_ask_and_goes_on_where_it_was() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[]).await;
    for number in 0..3 {
        client.index(&format!("{number}.txt"), &text(&number.to_string())).await;
    }
    client.create_tenant("other").await;
    let admin = installation.app().client("other", Role::Admin).await;
    let call = async |client: &Client, request: ReconcileRequest| {
        let mut stream = client.admin.clone().reconcile(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(message) = stream.message().await? {
            events.push(message.event.expect("an event"));
        }
        Ok::<_, tonic::Status>(events)
    };
    let all = ReconcileRequest { all_tenants: true, ..ReconcileRequest::default() };
    let status = call(&admin, all.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "ROLE_TOO_WEAK"));
    let foreign = ReconcileRequest { tenant: "default".to_owned(), ..ReconcileRequest::default() };
    assert_eq!(call(&admin, foreign).await.unwrap_err().code(), Code::NotFound);
    let own = call(&admin, ReconcileRequest::default()).await.unwrap();
    assert!(matches!(own.last(), Some(Event::Summary(summary)) if summary.versions == 0), "{own:?}");

    let events = call(&client, all.clone()).await.unwrap();
    let Some(Event::Summary(whole)) = events.last() else { panic!("{events:?}") };
    assert_eq!((whole.versions, whole.points, whole.findings), (3, 3, 0));
    let tokens: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress(progress) => Some(progress.resume_token.clone()),
            _ => None,
        })
        .collect();
    assert!(tokens.len() >= 3, "phases of each tenant: {tokens:?}");
    let from_first = ReconcileRequest { resume_token: tokens[0].clone(), ..all.clone() };
    let events = call(&client, from_first).await.unwrap();
    let Some(Event::Summary(rest)) = events.last() else { panic!("{events:?}") };
    assert_eq!((rest.versions, rest.points), (0, 3), "the versions were done");
    let status = call(&client, ReconcileRequest { resume_token: "zz".to_owned(), ..all.clone() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_CURSOR"));
    let both = ReconcileRequest { collection: "default".to_owned(), ..all };
    assert_eq!(call(&client, both).await.unwrap_err().code(), Code::InvalidArgument);
    let one = ReconcileRequest { collection: "default".to_owned(), ..ReconcileRequest::default() };
    let events = call(&client, one).await.unwrap();
    assert!(matches!(events.last(), Some(Event::Summary(summary)) if summary.versions == 3), "{events:?}");
    installation.stop().await;
}
