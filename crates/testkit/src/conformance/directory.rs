//! Conformance of [`Directory`](vectrion_core::ports::Directory).

#![expect(missing_docs, reason = "a case is named by the promise that it checks")]

use std::sync::Arc;

use uuid::Uuid;
use vectrion_core::{
    ErrorKind::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound},
    answer::{Turn, TurnRole},
    ids::{AnswerId, CollectionId, KeyId, TenantId},
    page::PageRequest,
    ports::{answers::NewAnswer, directory::NewApiKey},
    tenancy::{CollectionRef, DEFAULT_NAME, Role},
    time::Timestamp,
};

use super::scenario::{Database, Scenario, pass, refused, unique, walk};

/// Makes a test of each promise. `$make` names an async function that gives a new database and whatever keeps it alive.
#[macro_export]
macro_rules! directory_conformance {
    ($make:path) => {
        $crate::conformance_tests!($make, directory: [
            an_installation_is_empty_until_its_first_tenant,
            a_tenant_comes_with_a_collection,
            names_of_tenants_are_unique,
            of_two_tenants_at_once_with_one_name_one_is_made,
            tenants_are_listed_in_order_of_name,
            a_tenant_is_renamed,
            a_tenant_with_documents_is_not_deleted,
            a_deleted_tenant_takes_everything_with_it,
            collections_are_kept_by_tenant,
            collections_are_listed_in_order_of_name,
            a_collection_counts_its_documents_and_chunks,
            a_collection_with_documents_is_not_deleted,
            another_tenants_collections_are_missing,
            a_key_is_found_by_its_hash,
            keys_are_listed_in_order_of_creation,
            a_key_is_changed_and_revoked,
            a_use_is_noted_to_about_a_minute,
            another_tenants_keys_are_missing,
        ]);
    };
}

fn key(tenant: TenantId, hash: u8) -> NewApiKey {
    NewApiKey {
        id: KeyId::new(),
        tenant,
        name: format!("key {hash}"),
        role: Role::Editor,
        prefix: "vk_abc".to_owned(),
        hash: [hash; 32],
        expire_time: None,
    }
}

pub async fn an_installation_is_empty_until_its_first_tenant<S: Database>(store: Arc<S>) {
    assert!(store.is_empty().await.expect("a look"));
    store.create_tenant(TenantId::new(), "first").await.expect("a tenant");
    assert!(!store.is_empty().await.expect("a look"));
}

pub async fn a_tenant_comes_with_a_collection<S: Database>(store: Arc<S>) {
    let id = TenantId::new();
    let tenant = store.create_tenant(id, "acme").await.expect("a tenant");
    assert_eq!((tenant.id, tenant.name.as_str()), (id, "acme"));
    assert_eq!(store.tenant(id).await.expect("a look"), Some(tenant.clone()));
    assert_eq!(store.tenant_by_name("acme").await.expect("a look"), Some(tenant));
    assert_eq!(store.tenant_by_name("Acme").await.expect("a look"), None);
    assert_eq!(store.tenant(TenantId::new()).await.expect("a look"), None);
    let collection = store.collection_by_name(id, DEFAULT_NAME).await.expect("a look").expect("a collection");
    assert_eq!((collection.tenant, collection.document_count, collection.chunk_count), (id, 0, 0));
}

pub async fn names_of_tenants_are_unique<S: Database>(store: Arc<S>) {
    store.create_tenant(TenantId::new(), "acme").await.expect("a tenant");
    let other = TenantId::new();
    refused(store.create_tenant(other, "acme").await, AlreadyExists, "TENANT_EXISTS");
    assert_eq!(store.tenant(other).await.expect("a look"), None, "nothing is left of it");
    store.create_tenant(other, "other").await.expect("a tenant");
    refused(store.rename_tenant(other, "acme").await, AlreadyExists, "TENANT_EXISTS");
    assert_eq!(store.tenant(other).await.expect("a look").expect("a tenant").name, "other");
}

pub async fn of_two_tenants_at_once_with_one_name_one_is_made<S: Database + 'static>(store: Arc<S>) {
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.create_tenant(TenantId::new(), "acme").await })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.expect("no panic") {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.reason(), "TENANT_EXISTS", "{error:?}"),
        }
    }
    assert_eq!(made, 1);
}

pub async fn tenants_are_listed_in_order_of_name<S: Database>(store: Arc<S>) {
    for name in ["b", "d", "a", "Z", "ä", "c"] {
        store.create_tenant(TenantId::new(), name).await.expect("a tenant");
    }
    let first = store.list_tenants(&PageRequest { size: 2, token: None }).await.expect("a page");
    // A row that comes in behind the page is seen, one before it is not; none is seen twice.
    store.create_tenant(TenantId::new(), "bb").await.expect("a tenant");
    store.create_tenant(TenantId::new(), "A").await.expect("a tenant");
    let mut names: Vec<String> = first.items.into_iter().map(|tenant| tenant.name).collect();
    let mut token = first.next;
    while token.is_some() {
        let page = store.list_tenants(&PageRequest { size: 2, token }).await.expect("a page");
        names.extend(page.items.into_iter().map(|tenant| tenant.name));
        token = page.next;
    }
    assert_eq!(names, ["Z", "a", "b", "bb", "c", "d", "ä"]);
    let forged = PageRequest { size: 2, token: Some("bm8".to_owned()) };
    refused(store.list_tenants(&forged).await, InvalidArgument, "INVALID_PAGE_TOKEN");
}

pub async fn a_tenant_is_renamed<S: Database>(store: Arc<S>) {
    let before = store.create_tenant(TenantId::new(), "before").await.expect("a tenant");
    pass().await;
    let after = store.rename_tenant(before.id, "after").await.expect("renamed");
    assert_eq!((after.id, after.name.as_str(), after.create_time), (before.id, "after", before.create_time));
    assert!(after.update_time > before.update_time);
    assert_eq!(store.tenant_by_name("before").await.expect("a look"), None);
    assert_eq!(store.rename_tenant(before.id, "after").await.expect("its own name").name, "after");
    refused(store.rename_tenant(TenantId::new(), "x").await, NotFound, "TENANT_NOT_FOUND");
}

pub async fn a_tenant_with_documents_is_not_deleted<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["text"]).await;
    refused(store.delete_tenant(scenario.tenant).await, FailedPrecondition, "TENANT_NOT_EMPTY");
    scenario.begin_delete(document.id).await;
    refused(store.delete_tenant(scenario.tenant).await, FailedPrecondition, "TENANT_NOT_EMPTY");
    scenario.finish_delete().await;
    store.delete_tenant(scenario.tenant).await.expect("deleted");
    assert_eq!(store.tenant(scenario.tenant).await.expect("a look"), None);
    refused(store.delete_tenant(scenario.tenant).await, NotFound, "TENANT_NOT_FOUND");
}

pub async fn a_deleted_tenant_takes_everything_with_it<S: Database>(store: Arc<S>) {
    let (scenario, other) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for (tenant, hash) in [(scenario.tenant, 1), (other.tenant, 2)] {
        store.create_key(key(tenant, hash)).await.expect("a key");
    }
    let document = scenario.indexed("a", "1", &["text"]).await;
    scenario.delete(document.id).await;
    let upload = scenario.begin_upload(&scenario.file("b", "2")).await.upload;
    let (answer, request) = (AnswerId::new(), Uuid::new_v4());
    let new = NewAnswer {
        id: answer,
        tenant: scenario.tenant,
        key: KeyId::new(),
        question: "why?".to_owned(),
        history: vec![Turn { role: TurnRole::User, text: "before?".to_owned() }],
        model: "m".to_owned(),
        prompt_version: "p".to_owned(),
    };
    store.create_answer(new).await.expect("an answer");
    store.claim_request(scenario.tenant, request, "Create", [1; 32], 60_000).await.expect("a claim");
    store.delete_tenant(scenario.tenant).await.expect("deleted");

    assert!(store.key_by_hash(&[1; 32]).await.expect("a look").is_none());
    assert!(store.key_by_hash(&[2; 32]).await.expect("a look").is_some());
    assert_eq!(store.collection(scenario.tenant, scenario.collection).await.expect("a look"), None);
    assert_eq!(store.revision(scenario.tenant).await.expect("a look"), 0);
    assert_eq!(store.answer(scenario.tenant, answer).await.expect("a look"), None);
    let jobs = store.list_jobs(scenario.tenant, &Default::default(), &PageRequest::first()).await.expect("a list");
    assert!(jobs.items.is_empty());
    assert_eq!(store.tenant(other.tenant).await.expect("a look").map(|tenant| tenant.id), Some(other.tenant));
    // The bytes of its uploads can still be found, to be removed.
    assert_eq!(store.upload(scenario.tenant, upload).await.expect("a look"), None);
    let expired = store.expired_uploads(false, 10).await.expect("a look");
    assert!(expired.iter().any(|found| found.id == upload && found.tenant == scenario.tenant));
}

pub async fn collections_are_kept_by_tenant<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let id = CollectionId::new();
    let made = store.create_collection(a.tenant, id, "reports", "quarterly", "mini").await.expect("a collection");
    assert_eq!((made.id, made.tenant, made.name.as_str()), (id, a.tenant, "reports"));
    assert_eq!((made.description.as_str(), made.embedding_model.as_str()), ("quarterly", "mini"));
    assert_eq!(store.collection(a.tenant, id).await.expect("a look"), Some(made.clone()));
    assert_eq!(store.collection_by_name(a.tenant, "reports").await.expect("a look"), Some(made.clone()));
    for named in [CollectionRef::Id(id), CollectionRef::Name("reports".to_owned())] {
        assert_eq!(store.collection_id(a.tenant, &named).await.expect("a look"), Some(id));
        assert_eq!(store.collection_id(b.tenant, &named).await.expect("a look"), None);
    }
    let doubled = store.create_collection(a.tenant, CollectionId::new(), "reports", "", "").await;
    refused(doubled, AlreadyExists, "COLLECTION_EXISTS");
    store.create_collection(b.tenant, CollectionId::new(), "reports", "", "").await.expect("another tenant's");
    let homeless = store.create_collection(TenantId::new(), CollectionId::new(), "x", "", "").await;
    refused(homeless, NotFound, "TENANT_NOT_FOUND");

    pass().await;
    let renamed = store.update_collection(a.tenant, id, Some("papers"), None).await.expect("changed");
    assert_eq!((renamed.name.as_str(), renamed.description.as_str()), ("papers", "quarterly"));
    assert!(renamed.update_time > made.update_time);
    let described = store.update_collection(a.tenant, id, None, Some("")).await.expect("changed");
    assert_eq!((described.name.as_str(), described.description.as_str()), ("papers", ""));
    refused(store.update_collection(a.tenant, id, Some(DEFAULT_NAME), None).await, AlreadyExists, "COLLECTION_EXISTS");
    let missing = store.update_collection(a.tenant, CollectionId::new(), Some("x"), None).await;
    refused(missing, NotFound, "COLLECTION_NOT_FOUND");
}

pub async fn collections_are_listed_in_order_of_name<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    for name in ["z", "b", "a"] {
        store.create_collection(a.tenant, CollectionId::new(), name, "", "").await.expect("a collection");
    }
    let names: Vec<String> = walk(2, async |page| store.list_collections(a.tenant, &page).await)
        .await
        .into_iter()
        .map(|collection| collection.name)
        .collect();
    assert_eq!(names, ["a", "b", "default", "z"]);
    let page = store.list_collections(a.tenant, &PageRequest { size: 1, token: None }).await.expect("a page");
    let stolen = PageRequest { size: 1, token: page.next };
    refused(store.list_collections(b.tenant, &stolen).await, InvalidArgument, "INVALID_PAGE_TOKEN");
}

pub async fn a_collection_counts_its_documents_and_chunks<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let counts = async || {
        let found = store.collection(scenario.tenant, scenario.collection).await.expect("a look").expect("it");
        let listed = walk(10, async |page| store.list_collections(scenario.tenant, &page).await).await;
        assert_eq!(listed, std::slice::from_ref(&found));
        (found.document_count, found.chunk_count)
    };
    let a = scenario.indexed("a", "1", &["one", "two"]).await;
    scenario.indexed("b", "2", &["three"]).await;
    assert_eq!(counts().await, (2, 3));
    scenario.uploaded("a", "1, newer").await;
    scenario.process(&["one", "two", "more", "and more"]).await;
    assert_eq!(counts().await, (2, 3), "what is not indexed yet does not count");
    scenario.embed().await;
    assert_eq!(counts().await, (2, 5));
    scenario.begin_delete(a.id).await;
    assert_eq!(counts().await, (1, 1), "what is being deleted counts no more");
}

pub async fn a_collection_with_documents_is_not_deleted<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let document = scenario.indexed("a", "1", &["one"]).await;
    let delete = async || store.delete_collection(scenario.tenant, scenario.collection).await;
    refused(delete().await, FailedPrecondition, "COLLECTION_NOT_EMPTY");
    scenario.begin_delete(document.id).await;
    refused(delete().await, FailedPrecondition, "COLLECTION_NOT_EMPTY");
    scenario.finish_delete().await;
    delete().await.expect("deleted");
    refused(delete().await, NotFound, "COLLECTION_NOT_FOUND");
}

pub async fn another_tenants_collections_are_missing<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let id = CollectionId::new();
    store.create_collection(b.tenant, id, "theirs", "", "").await.expect("a collection");
    assert_eq!(store.collection(a.tenant, id).await.expect("a look"), None);
    assert_eq!(store.collection_by_name(a.tenant, "theirs").await.expect("a look"), None);
    refused(store.update_collection(a.tenant, id, Some("x"), None).await, NotFound, "COLLECTION_NOT_FOUND");
    refused(store.delete_collection(a.tenant, id).await, NotFound, "COLLECTION_NOT_FOUND");
    let listed = walk(10, async |page| store.list_collections(a.tenant, &page).await).await;
    assert!(listed.iter().all(|collection| collection.tenant == a.tenant));
    assert!(store.collection(b.tenant, id).await.expect("a look").is_some());
}

pub async fn a_key_is_found_by_its_hash<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let new = NewApiKey { expire_time: Some(Timestamp(4_000_000_000_000)), ..key(scenario.tenant, 7) };
    let made = store.create_key(new.clone()).await.expect("a key");
    assert_eq!((made.id, made.tenant, made.role), (new.id, scenario.tenant, Role::Editor));
    assert_eq!((made.name.as_str(), made.prefix.as_str()), ("key 7", "vk_abc"));
    assert_eq!((made.expire_time, made.revoke_time, made.last_use_time), (new.expire_time, None, None));
    let record = store.key_by_hash(&[7; 32]).await.expect("a look").expect("the key");
    assert_eq!((record.key.clone(), record.hash), (made.clone(), [7; 32]));
    assert!(record.read_time >= made.create_time, "the database's time of the look-up");
    pass().await;
    let later = store.key_by_hash(&[7; 32]).await.expect("a look").expect("the key");
    assert!(later.read_time > record.read_time);
    assert!(store.key_by_hash(&[8; 32]).await.expect("a look").is_none());
    refused(store.create_key(key(TenantId::new(), 9)).await, NotFound, "TENANT_NOT_FOUND");
}

pub async fn keys_are_listed_in_order_of_creation<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let mut made = Vec::new();
    for hash in 0..5 {
        made.push(store.create_key(key(scenario.tenant, hash)).await.expect("a key").id);
        pass().await;
    }
    store.revoke_key(scenario.tenant, made[1]).await.expect("revoked");
    let listed = walk(2, async |page| store.list_keys(scenario.tenant, &page).await).await;
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), made);
    assert!(listed[1].revoke_time.is_some());
}

pub async fn a_key_is_changed_and_revoked<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (tenant, id) = (scenario.tenant, store.create_key(key(scenario.tenant, 1)).await.expect("a key").id);
    let expire_time = Some(Timestamp(4_000_000_000_000));
    let changed = store.update_key(tenant, id, None, Some(expire_time)).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.expire_time), ("key 1", expire_time));
    let changed = store.update_key(tenant, id, Some("renamed"), None).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.expire_time), ("renamed", expire_time));
    let changed = store.update_key(tenant, id, None, Some(None)).await.expect("changed");
    assert_eq!(changed.expire_time, None);
    let revoked = store.revoke_key(tenant, id).await.expect("revoked");
    assert!(revoked.revoke_time.is_some());
    pass().await;
    assert_eq!(store.revoke_key(tenant, id).await.expect("revoked").revoke_time, revoked.revoke_time);
    assert_eq!(store.key(tenant, id).await.expect("a look"), Some(revoked));
}

pub async fn a_use_is_noted_to_about_a_minute<S: Database>(store: Arc<S>) {
    let scenario = Scenario::new(&*store).await;
    let (tenant, id) = (scenario.tenant, store.create_key(key(scenario.tenant, 1)).await.expect("a key").id);
    let last_use = async || store.key(tenant, id).await.expect("a look").expect("the key").last_use_time;
    store.touch_key(tenant, id).await.expect("noted");
    let noted = last_use().await;
    assert!(noted.is_some());
    pass().await;
    store.touch_key(tenant, id).await.expect("noted");
    assert_eq!(last_use().await, noted);
    store.touch_key(tenant, KeyId::new()).await.expect("a missing key is no error");
}

pub async fn another_tenants_keys_are_missing<S: Database>(store: Arc<S>) {
    let (a, b) = (Scenario::new(&*store).await, Scenario::new(&*store).await);
    let theirs = store.create_key(key(b.tenant, 1)).await.expect("a key");
    assert_eq!(store.key(a.tenant, theirs.id).await.expect("a look"), None);
    refused(store.update_key(a.tenant, theirs.id, Some(&unique("x")), None).await, NotFound, "KEY_NOT_FOUND");
    refused(store.revoke_key(a.tenant, theirs.id).await, NotFound, "KEY_NOT_FOUND");
    store.touch_key(a.tenant, theirs.id).await.expect("no error");
    assert!(walk(10, async |page| store.list_keys(a.tenant, &page).await).await.is_empty());
    assert_eq!(store.key(b.tenant, theirs.id).await.expect("a look"), Some(theirs), "nothing was changed");
}
