//! Receipts of deletions, on the profile of this run.

use sha2::{Digest as _, Sha256};
use tonic::Code;
use vectrion::v1::{
    DeleteDocumentRequest, DeletionCause, DeletionCounts, DeletionReceipt, DeletionState, GetDeletionReceiptRequest,
    ListDeletionReceiptsRequest, Role,
};

use crate::support::{Client, PATIENCE, client::reason, restorable::Restorable};

async fn receipt(client: &Client, id: &str) -> Result<DeletionReceipt, tonic::Status> {
    let request = GetDeletionReceiptRequest { document_id: id.to_owned() };
    let response = client.ingestion.clone().get_deletion_receipt(request).await?;
    Ok(response.into_inner().receipt.expect("a receipt"))
}

async fn verified(client: &Client, id: &str) -> DeletionReceipt {
    let look = async {
        loop {
            let receipt = receipt(client, id).await.expect("a receipt");
            if receipt.state() == DeletionState::Verified {
                return receipt;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it is verified in time")
}

async fn delete(client: &Client, id: &str) {
    let request = DeleteDocumentRequest { document_id: id.to_owned(), request_id: String::new() };
    client.ingestion.clone().delete_document(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_has_a_receipt_of_what_went_and_that_nothing_is_left() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[]).await;
    client.create_tenant("other").await;
    let stranger = installation.app().client("other", Role::Admin).await;
    let first = client.index("log.txt", b"The log of the first day.").await;
    let document = client.index("log.txt", b"The log of the second day, which was longer.").await;
    let id = document.document_id.as_str();
    assert_eq!((first.document_id.as_str(), document.version), (id, 2));
    let status = receipt(&client, id).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "DELETION_RECEIPT_NOT_FOUND"));

    installation.idle().await;
    delete(&client, id).await;
    let receipt_now = receipt(&client, id).await.expect("a tombstone from the first moment on");
    assert_eq!(receipt_now.cause(), DeletionCause::Request);
    let receipt_then = verified(&client, id).await;
    assert_eq!(client.get(id).await.unwrap_err().code(), Code::NotFound);
    let removed = receipt_then.removed.unwrap();
    let expected_bytes = first.size_bytes + document.size_bytes;
    assert_eq!((removed.versions, removed.chunks, removed.points, removed.objects), (2, 1, 1, 4));
    assert!(removed.bytes > expected_bytes, "the bytes as uploaded, and the text: {removed:?}");
    assert_eq!(receipt_then.left, Some(DeletionCounts::default()));
    assert_eq!(receipt_then.external_id_sha256, hex::encode(Sha256::digest(b"log.txt")));
    assert!(!receipt_then.key_id.is_empty() && !receipt_then.trace_id.is_empty());
    let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos)).unwrap();
    let (asked, ended) = (seconds(receipt_then.request_time), seconds(receipt_then.end_time));
    assert!(asked <= ended && ended <= seconds(receipt_then.verify_time));
    assert_eq!(receipt(&stranger, id).await.unwrap_err().code(), Code::NotFound, "another tenant's is missing");

    // A deletion that comes before the ingest has ended: nothing comes back.
    let hasty = client.upload("hasty.txt", &b"Gone before it was read. ".repeat(400)).await.document_id;
    delete(&client, &hasty).await;
    let receipt_of_hasty = verified(&client, &hasty).await;
    assert_eq!(receipt_of_hasty.removed.map(|removed| removed.versions), Some(1));
    assert!(client.search("Gone before it was read").await.is_empty());

    let shown = installation.call(&["documents", "receipt", id, "--json"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert_eq!(shown.json()[0]["state"], "DELETION_STATE_VERIFIED");
    let listed = installation.call(&["documents", "receipt"]).await;
    assert!(listed.out.contains("nothing is left") && listed.out.lines().count() == 2, "{}", listed.out);
    let missing = installation.call(&["documents", "receipt", &uuid::Uuid::new_v4().to_string()]).await;
    assert_eq!(missing.code, Some(5), "{}", missing.err);
    let request = ListDeletionReceiptsRequest { page_size: 1, page_token: String::new() };
    let page = client.ingestion.clone().list_deletion_receipts(request).await.unwrap().into_inner();
    assert_eq!(page.receipts[0].document_id, hasty, "newest first");
    assert!(!page.next_page_token.is_empty());
    let user = installation.app().client("", Role::User).await;
    let status = receipt(&user, id).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    installation.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_or_could_not_be_looked_for_is_looked_for_again_and_receipts_are_forgotten() {
    let mut installation = Restorable::new().await;
    let client = installation.start(&[("housekeeping.sweep_s", "1")]).await;
    let document = client.index("log.txt", b"The log of the first day.").await;
    let version = installation.version(&document.document_id).await.id;
    let tenant = installation.tenant().await;
    delete(&client, &document.document_id).await;
    verified(&client, &document.document_id).await;
    // As if a worker that was taken for dead had written once more, before it was looked for.
    let key = vectrion_core::ports::objects::ObjectKey::original(tenant, version);
    let content = futures::stream::once(async { Ok(bytes::Bytes::from_static(b"late")) });
    installation.ports().objects.put(&key, Box::pin(content)).await.unwrap();
    installation
        .execute("UPDATE deletions SET verify_time = NULL WHERE document_id = {id}", &document.document_id)
        .await;
    verified(&client, &document.document_id).await;
    assert!(installation.ports().objects.head(&key).await.is_err(), "it was removed before that was said");

    installation.execute("UPDATE deletions SET end_time = 0 WHERE document_id = {id}", &document.document_id).await;
    let forgotten = async {
        while receipt(&client, &document.document_id).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("it is forgotten in time");
    installation.stop().await;
}
