//! An object store in which something happens at the wrong moment.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use vectrion_core::{
    Error, Result,
    ids::UploadId,
    ports::objects::{ByteStream, ObjectInfo, ObjectKey, ObjectStore},
};
use vectrion_pipeline::{Ports, housekeeping::Housekeeping, ingestion::Ingestion};

use super::world::{World, answer_settings, housekeeping_settings, ingest_settings, spec};

/// The store of a world, which removes nothing of one upload, or has another upload aborted whenever bytes were stored.
struct Meddling {
    objects: Arc<dyn ObjectStore>,
    keeps: Option<String>,
    aborts: Option<(Arc<World>, OnceLock<UploadId>)>,
}

#[async_trait]
impl ObjectStore for Meddling {
    async fn put(&self, key: &ObjectKey, content: ByteStream) -> Result<u64> {
        if let Some((world, id)) = &self.aborts
            && let Some(id) = id.get()
        {
            world.ingestion.abort_upload(&world.context(), *id).await?;
        }
        self.objects.put(key, content).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream> {
        self.objects.get(key, offset).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo> {
        self.objects.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.objects.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<u64> {
        if self.keeps.as_deref() == Some(prefix.as_str()) {
            return Err(Error::unavailable("OBJECT_STORE_UNAVAILABLE", "not this one"));
        }
        self.objects.delete_prefix(prefix).await
    }

    async fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectInfo>> {
        self.objects.list(prefix).await
    }

    async fn walk(&self, prefix: &ObjectKey, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.objects.walk(prefix, after, limit).await
    }

    async fn check(&self) -> Result<()> {
        self.objects.check().await
    }
}

fn ports_over(world: &World, objects: Arc<dyn ObjectStore>) -> Arc<Ports> {
    let ports = &world.ports;
    Arc::new(Ports {
        clock: Arc::clone(&ports.clock),
        directory: Arc::clone(&ports.directory),
        catalog: Arc::clone(&ports.catalog),
        jobs: Arc::clone(&ports.jobs),
        upkeep: Arc::clone(&ports.upkeep),
        uploads: Arc::clone(&ports.uploads),
        answers: Arc::clone(&ports.answers),
        idempotency: Arc::clone(&ports.idempotency),
        objects,
        vectors: Arc::clone(&ports.vectors),
        parser: Arc::clone(&ports.parser),
        embedder: Arc::clone(&ports.embedder),
        chat: None,
        wakeups: Arc::clone(&ports.wakeups),
        cache: Arc::clone(&ports.cache),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_after_the_end_of_their_upload_do_not_stay() {
    let world = Arc::new(World::new().await);
    let objects = Arc::clone(&world.ports.objects);
    let meddling = Arc::new(Meddling { objects, keeps: None, aborts: Some((Arc::clone(&world), OnceLock::new())) });
    let ingestion = Ingestion::new(ports_over(&world, Arc::clone(&meddling) as _), ingest_settings());
    let upload = ingestion.create_upload(&world.context(), spec("a.txt")).await.expect("an upload");
    let (_, id) = meddling.aborts.as_ref().expect("it meddles");
    id.set(upload.id).expect("set once");
    let late = ingestion.upload_chunk(&world.context(), upload.id, 0, Bytes::from_static(b"late")).await;
    assert_eq!(late.expect_err("aborted").reason(), "UPLOAD_NOT_FOUND");
    assert!(world.objects(world.tenant).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_removed_keeps_no_other_from_being_removed() {
    let world = World::new().await;
    let mut uploads = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        let upload = world.ingestion.create_upload(&world.context(), spec(name)).await.expect("an upload");
        world.ports.uploads.advance_upload(world.tenant, upload.id, 0, 0, 0).await.expect("expired");
        uploads.push(upload.id);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let keeps = Some(ObjectKey::upload_prefix(world.tenant, uploads[0]).as_str().to_owned());
    let meddling = Meddling { objects: Arc::clone(&world.ports.objects), keeps, aborts: None };
    let ports = ports_over(&world, Arc::new(meddling));
    let scratch = world.path().join("scratch");
    let housekeeping = Housekeeping::new(ports, ingest_settings(), answer_settings(), housekeeping_settings(), scratch);
    let failed = housekeeping.sweep().await.expect_err("it is told");
    assert_eq!(failed.reason(), "OBJECT_STORE_UNAVAILABLE");
    let left = world.ports.uploads.expired_uploads(false, 10).await.expect("uploads");
    assert_eq!(left.iter().map(|upload| upload.id).collect::<Vec<_>>(), [uploads[0]]);
}
