//! Tenants, collections, keys, jobs.

use vectrion_core::{
    ErrorKind,
    ids::{DeadLetterId, JobId, KeyId, TenantId},
    page::PageRequest,
    ports::{
        jobs::{DeadLetterFilter, JobFilter},
        objects::ObjectKey,
    },
    tenancy::{Principal, Role},
};
use vectrion_pipeline::{CollectionRef, administration::TenantRef, identity::NewKey};

use super::world::{World, spec};

fn named(name: impl ToString) -> TenantRef {
    TenantRef(name.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_crosses_tenants_and_others_learn_nothing() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    for reference in [named("other"), named(other.id)] {
        assert_eq!(world.administration.resolve_tenant(&operator, &reference).await.expect("found"), other.id);
    }
    let admin = world.context_of(world.tenant, Role::Admin);
    for reference in [named(""), named("default"), named(world.tenant)] {
        assert_eq!(world.administration.resolve_tenant(&admin, &reference).await.expect("its own"), world.tenant);
    }
    for context in [&admin, &operator] {
        for reference in [named("nobody"), named(TenantId::new())] {
            let error = world.administration.get_tenant(context, &reference).await.expect_err("missing");
            assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "TENANT_NOT_FOUND"));
        }
    }
    for reference in [named("other"), named(other.id)] {
        let foreign = world.administration.get_tenant(&admin, &reference).await.expect_err("foreign");
        let missing = named("x".repeat(reference.0.len()));
        let missing_error = world.administration.get_tenant(&admin, &missing).await.expect_err("missing");
        assert_eq!(foreign.reason(), missing_error.reason());
        assert_eq!(foreign.message().replace(&reference.0, ""), missing_error.message().replace(&missing.0, ""));
        let page = PageRequest::first();
        for error in [
            world.administration.list_keys(&admin, &reference, &page).await.err(),
            world.administration.list_collections(&admin, &reference, &page).await.err(),
            world.administration.list_jobs(&admin, &reference, &JobFilter::default(), &page).await.err(),
            world
                .administration
                .list_dead_letters(&admin, &reference, None, DeadLetterFilter::default(), &page)
                .await
                .err(),
            world.administration.create_collection(&admin, &reference, "c", "").await.err(),
            world.administration.revoke_key(&admin, &reference, KeyId::new()).await.err(),
        ] {
            assert_eq!(error.expect("foreign").reason(), "TENANT_NOT_FOUND");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_the_operators() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    for error in [
        world.administration.create_tenant(&admin, "mine").await.err(),
        world.administration.list_tenants(&admin, &PageRequest::first()).await.err(),
        world.administration.update_tenant(&admin, &named(""), "mine").await.err(),
        world.administration.delete_tenant(&admin, &named("")).await.err(),
        world.administration.list_workers(&admin).await.err(),
    ] {
        let error = error.expect("refused");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, "ROLE_TOO_WEAK"));
    }
    let operator = world.context_of(world.tenant, Role::Operator);
    for name in ["", "a b", "0190f5e0-0000-7000-8000-000000000000"] {
        let error = world.administration.create_tenant(&operator, name).await.expect_err("refused");
        assert_eq!(error.violations()[0].field, "name", "{name:?}");
    }
    let error = world.administration.create_tenant(&operator, "default").await.expect_err("taken");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::AlreadyExists, "TENANT_EXISTS"));
    let renamed = world.administration.update_tenant(&operator, &named(""), "home").await.expect("renamed");
    assert_eq!((renamed.id, renamed.name.as_str()), (world.tenant, "home"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_deleted_with_its_bytes_once_it_is_empty() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let error = world.administration.delete_tenant(&operator, &named("")).await.expect_err("its own");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "OWN_TENANT"));

    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    let editor = world.context_of(other.id, Role::Editor);
    let parts = super::world::parts(b"some text");
    let (view, _) = world.ingestion.upload(&editor, spec("a.txt"), parts).await.expect("an upload");
    world.work().await;
    let error = world.administration.delete_tenant(&operator, &named("other")).await.expect_err("not empty");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "TENANT_NOT_EMPTY"));
    assert_eq!(marks(&world).await, 0);

    world.ingestion.delete_document(&editor, view.document.id).await.expect("a deletion");
    world.work().await;
    let pending = world.ingestion.create_upload(&editor, spec("b.txt")).await.expect("an upload");
    world.ingestion.upload_chunk(&editor, pending.id, 0, "bytes".into()).await.expect("bytes");
    world.administration.delete_tenant(&operator, &named("other")).await.expect("deleted");
    assert!(world.objects(other.id).await.is_empty());
    assert_eq!(marks(&world).await, 0);
    let error = world.administration.get_tenant(&operator, &named("other")).await.expect_err("gone");
    assert_eq!(error.reason(), "TENANT_NOT_FOUND");
}

async fn marks(world: &World) -> usize {
    world.ports.objects.list(&ObjectKey::tenant_removals()).await.expect("a listing").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_told_of_as_far_as_they_are_the_callers() {
    let world = World::new().await;
    let operator = world.context_of(world.tenant, Role::Operator);
    let other = world.administration.create_tenant(&operator, "other").await.expect("a tenant").id;
    world.upload("a.txt", "waits to be read").await.expect("uploaded");
    for (tenant, role, waiting) in
        [(world.tenant, Role::Admin, 1), (other, Role::Admin, 0), (other, Role::User, 0), (other, Role::Operator, 1)]
    {
        let depths = world.administration.queue_depths(&world.context_of(tenant, role)).await.expect("depths");
        assert_eq!(depths.iter().map(|depth| depth.ready + depth.running).sum::<u64>(), waiting, "{role:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_are_made_changed_and_deleted() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    let own = named("");
    let first = world.administration.get_collection(&admin, &own, &CollectionRef::parse("")).await.expect("`default`");
    assert_eq!(first.embedding_model, "words", "that of the installation");
    let listed = world.administration.list_collections(&admin, &own, &PageRequest::first()).await.expect("a list");
    assert_eq!(listed.items, [first]);
    let made = world.administration.create_collection(&admin, &own, "ledgers", "of the guild").await.expect("made");
    assert_eq!((made.embedding_model.as_str(), made.description.as_str()), ("words", "of the guild"));
    for reference in [CollectionRef::parse("ledgers"), CollectionRef::Id(made.id)] {
        let found = world.administration.get_collection(&admin, &own, &reference).await.expect("found");
        assert_eq!(found.id, made.id);
    }
    let error = world.administration.create_collection(&admin, &own, "ledgers", "").await.expect_err("taken");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::AlreadyExists, "COLLECTION_EXISTS"));
    let by_name = CollectionRef::parse("ledgers");
    let renamed =
        world.administration.update_collection(&admin, &own, &by_name, Some("books"), None).await.expect("renamed");
    assert_eq!((renamed.name.as_str(), renamed.description.as_str()), ("books", "of the guild"));
    let error = world.administration.get_collection(&admin, &own, &by_name).await.expect_err("its old name");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "COLLECTION_NOT_FOUND"));
    let error =
        world.administration.update_collection(&admin, &own, &CollectionRef::Id(made.id), Some("a/b"), None).await;
    assert_eq!(error.expect_err("refused").violations()[0].field, "name");

    world.ingest("a.txt", "in the collection default").await;
    let default = CollectionRef::parse("");
    let error = world.administration.delete_collection(&admin, &own, &default).await.expect_err("not empty");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "COLLECTION_NOT_EMPTY"));
    world.administration.delete_collection(&admin, &own, &CollectionRef::parse("books")).await.expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stronger_key_and_the_last_operators_key_are_left_alone() {
    let world = World::new().await;
    let own = named("");
    let first = world.identity.bootstrap().await.expect("made").expect("a secret");
    let principal: Principal = world.identity.authenticate(first.secret.expose()).await.expect("the operator");
    let mut operator = world.context_of(world.tenant, Role::Operator);
    operator.principal = principal.clone();

    let admin = world.context_of(world.tenant, Role::Admin);
    for error in [
        world.administration.revoke_key(&admin, &own, principal.key).await.err(),
        world.administration.update_key(&admin, &own, principal.key, Some("mine"), None).await.err(),
    ] {
        assert_eq!(error.expect("stronger").reason(), "ROLE_TOO_WEAK");
    }
    let error = world.administration.revoke_key(&operator, &own, principal.key).await.expect_err("the last one");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, "OWN_KEY"));
    let past = Some(Some(vectrion_core::time::Timestamp(1)));
    let error = world.administration.update_key(&operator, &own, principal.key, None, past).await.expect_err("ends it");
    assert_eq!(error.violations()[0].field, "expire_time");

    // Another operator, of another tenant even, and it may go.
    world.administration.create_tenant(&operator, "other").await.expect("a tenant");
    let second = NewKey { tenant: world.tenant, role: Role::Operator, name: "second".to_owned(), expire_time: None };
    world.administration.create_key(&operator, &named("other"), second).await.expect("a key");
    let revoked = world.administration.revoke_key(&operator, &own, principal.key).await.expect("revoked");
    assert!(revoked.revoke_time.is_some());
    let again = world.administration.revoke_key(&operator, &own, principal.key).await.expect("as it is");
    assert_eq!(again.revoke_time, revoked.revoke_time);
    let error = world.identity.authenticate(first.secret.expose()).await.expect_err("revoked");
    assert_eq!(error.reason(), "API_KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_to_be_missing() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    let own = named("");
    for (error, reason) in [
        (world.administration.get_key(&admin, &own, KeyId::new()).await.err(), "KEY_NOT_FOUND"),
        (world.administration.update_key(&admin, &own, KeyId::new(), Some("x"), None).await.err(), "KEY_NOT_FOUND"),
        (world.administration.revoke_key(&admin, &own, KeyId::new()).await.err(), "KEY_NOT_FOUND"),
        (world.administration.get_job(&admin, &own, JobId::new()).await.err(), "JOB_NOT_FOUND"),
        (world.administration.get_dead_letter(&admin, &own, DeadLetterId::new()).await.err(), "DEAD_LETTER_NOT_FOUND"),
        (
            world.administration.replay_dead_letter(&admin, &own, DeadLetterId::new()).await.err(),
            "DEAD_LETTER_NOT_FOUND",
        ),
    ] {
        let error = error.expect(reason);
        assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_replayed() {
    let world = World::new().await;
    let admin = world.context_of(world.tenant, Role::Admin);
    let own = named("");
    let broken = vectrion_core::Error::precondition("PDF_MALFORMED", "broken");
    world.parser.faults.push(vectrion_testkit::fakes::Fault::Error(broken));
    let view = world.ingest("a.txt", "text").await;
    let letters = world
        .administration
        .list_dead_letters(
            &admin,
            &own,
            None,
            DeadLetterFilter { reason: Some("PDF_MALFORMED".to_owned()), ..Default::default() },
            &PageRequest::first(),
        )
        .await
        .expect("letters");
    let letter = world.administration.get_dead_letter(&admin, &own, letters.items[0].id).await.expect("the letter");
    assert_eq!(letter.document, view.document.id);
    let job = world.administration.replay_dead_letter(&admin, &own, letter.id).await.expect("queued");
    world.work().await;
    let job = world.administration.get_job(&admin, &own, job.id).await.expect("the job");
    assert_eq!(job.state, vectrion_core::job::JobState::Succeeded);
    let error = world.administration.replay_dead_letter(&admin, &own, letter.id).await.expect_err("replayed");
    assert_eq!(error.reason(), "DEAD_LETTER_NOT_FOUND");
    world.assert_consistent().await;
}
