//! Tenants and keys.

use tonic::{Code, Request};
use vectrion::v1::{
    CreateTenantRequest, ListApiKeysRequest, ListCollectionsRequest, ListTenantsRequest, RevokeApiKeyRequest, Role,
};

use crate::support::{Client, PATIENCE, TestApp, client::reason};

const TEXT: &[u8] = b"The vault of the northern branch opens at nine.";

#[tokio::test]
async fn tenants_do_not_meet() {
    let app = TestApp::start().await;
    let ours = app.operator().await;
    ours.create_tenant("other").await;
    let theirs = app.client("other", Role::Admin).await;
    let mine = ours.index("vault.txt", TEXT).await;
    assert!(theirs.list().await.is_empty() && theirs.search("vault").await.is_empty());
    let nobody = "00000000-0000-0000-0000-000000000000";
    let foreign = theirs.get(&mine.document_id).await.unwrap_err();
    let missing = theirs.get(nobody).await.unwrap_err();
    assert_eq!((foreign.code(), reason(&foreign)), (missing.code(), reason(&missing)));
    let told = foreign.message().replace(&mine.document_id, nobody);
    assert_eq!(told, missing.message(), "a foreign document is told apart from a missing one");

    let other = theirs.index("vault.txt", TEXT).await;
    assert_ne!(other.document_id, mine.document_id, "the same bytes are two documents");
    let before = ours.search("vault").await;
    for number in 0..5 {
        theirs.index(&format!("{number}.txt"), format!("vault vault vault number {number}").as_bytes()).await;
    }
    assert_eq!(ours.search("vault").await, before, "another tenant's documents change no score");
    let status = theirs.admin.clone().list_tenants(ListTenantsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    app.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_seconds() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let user = app.client("", Role::User).await;
    assert!(user.list().await.is_empty());
    let status = user.try_upload(crate::support::client::header("a.txt"), TEXT).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "a user does not ingest");

    let keys = operator.admin.clone().list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner().api_keys;
    let key = keys.into_iter().find(|key| key.role() == Role::User).expect("the user's key");
    let request = RevokeApiKeyRequest { key_id: key.key_id, ..RevokeApiKeyRequest::default() };
    operator.admin.clone().revoke_api_key(request).await.unwrap();
    let refused = async {
        loop {
            match user.ingestion.clone().list_documents(vectrion::v1::ListDocumentsRequest::default()).await {
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                Err(status) => return status,
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, refused).await.expect("refused in time");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "API_KEY_REVOKED"));
    let stranger = Client::connect(&app.url, "vk_not_a_key").await;
    let status = stranger.get("00000000-0000-0000-0000-000000000000").await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "INVALID_API_KEY"));
    app.stop().await;
}

#[tokio::test]
async fn a_mutation_cut_off_by_its_deadline_is_made_once() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    for number in 0..30_u64 {
        let name = format!("tenant-{number}");
        let request_id = format!("00000000-0000-4000-8000-{number:012}");
        let request = || Request::new(CreateTenantRequest { name: name.clone(), request_id: request_id.clone() });
        let mut hurried = request();
        hurried.set_timeout(std::time::Duration::from_micros(200 * number));
        let _ = operator.admin.clone().create_tenant(hurried).await;
        let made = async {
            loop {
                match operator.admin.clone().create_tenant(request()).await {
                    Err(status) if status.code() == Code::Aborted => {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    other => return other,
                }
            }
        };
        let made = tokio::time::timeout(PATIENCE, made).await.expect("it ends").expect("made, now or before");
        assert_eq!(made.into_inner().tenant.unwrap().name, name);
    }
    let all = ListTenantsRequest { page_size: 1000, ..ListTenantsRequest::default() };
    let tenants = operator.admin.clone().list_tenants(all).await.unwrap().into_inner().tenants;
    assert_eq!(tenants.len(), 31, "each once, and `default`");
    let request = ListCollectionsRequest { tenant: "tenant-1".into(), ..ListCollectionsRequest::default() };
    let collections = operator.admin.clone().list_collections(request).await.unwrap().into_inner().collections;
    assert!(collections.len() == 1 && !collections[0].embedding_model.is_empty(), "{collections:?}");
    app.stop().await;
}
