//! Conformance of [`ObjectStore`].

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use vectrion_core::{
    Error, ErrorKind, Result,
    ids::{TenantId, UploadId, VersionId},
    ports::objects::{ByteStream, ObjectKey, ObjectStore},
};

/// Larger than any adapter writes or reads in one step.
const LARGE: usize = 17 << 20;

/// Checks an adapter. `make` gives stores with nothing in them.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn suite<S: ObjectStore>(make: impl AsyncFn() -> S) {
    what_is_put_is_got(&make().await).await;
    reading_begins_where_asked(&make().await).await;
    a_put_replaces(&make().await).await;
    a_failed_put_leaves_all_as_it_was(&make().await).await;
    a_dropped_put_leaves_all_as_it_was(&make().await).await;
    a_missing_object_is_not_found_and_its_deletion_no_error(&make().await).await;
    prefixes_are_listed_in_order_and_deleted(&make().await).await;
    a_walk_sees_every_object_once_and_in_order(&make().await).await;
    a_key_never_leads_out_of_the_store(&make().await).await;
    calls_at_once_do_not_disturb_each_other(&make().await).await;
    let store = make().await;
    store.check().await.expect("a new store can be used");
}

/// The chunks as a stream.
pub fn content(chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> ByteStream {
    let chunks: Vec<Result<Bytes>> = chunks.into_iter().map(|chunk| Ok(chunk.into())).collect();
    stream::iter(chunks).boxed()
}

/// `len` bytes that differ by place, in chunks of uneven length.
fn large(len: usize) -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (0..len).map(|i| ((i * 31) ^ (i >> 8)) as u8).collect();
    bytes.chunks(100_003).map(<[u8]>::to_vec).collect()
}

async fn read(store: &impl ObjectStore, key: &ObjectKey, offset: u64) -> Result<Vec<u8>> {
    store
        .get(key, offset)
        .await?
        .try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

fn a_key() -> ObjectKey {
    ObjectKey::original(TenantId::new(), VersionId::new())
}

async fn what_is_put_is_got(store: &impl ObjectStore) {
    let chunks = large(LARGE);
    let cases = [
        ("an empty one", Vec::new()),
        ("empty chunks", vec![Vec::new(), Vec::new()]),
        ("a small one", vec![b"hello ".to_vec(), Vec::new(), b"world".to_vec()]),
        ("a large one", chunks.clone()),
        ("a large chunk", vec![chunks.concat()]),
    ];
    for (what, chunks) in cases {
        let key = a_key();
        let expected = chunks.concat();
        let size = store.put(&key, content(chunks)).await.expect(what);
        assert_eq!(size, expected.len() as u64, "{what}");
        assert_eq!(store.head(&key).await.expect(what).size, size, "{what}");
        assert_eq!(store.head(&key).await.expect(what).key, key, "{what}");
        assert!(read(store, &key, 0).await.expect(what) == expected, "{what}");
    }
}

async fn reading_begins_where_asked(store: &impl ObjectStore) {
    let key = a_key();
    let chunks = large(3 << 20);
    let all = chunks.concat();
    store.put(&key, content(chunks)).await.expect("puts");
    for offset in [0, 1, 100_003, (1 << 20) - 1, 1 << 20, all.len() - 1, all.len()] {
        let got = read(store, &key, offset as u64).await.expect("reads");
        assert!(got == all[offset..], "from {offset}");
    }
    assert!(read(store, &key, all.len() as u64 + 1).await.expect("no bytes beyond the end").is_empty());
    assert!(read(store, &key, u64::MAX).await.expect("no bytes beyond the end").is_empty());
}

async fn a_put_replaces(store: &impl ObjectStore) {
    let key = a_key();
    for text in ["a longer first one", "second"] {
        store.put(&key, content([text])).await.expect("puts");
        assert_eq!(read(store, &key, 0).await.expect("reads"), text.as_bytes());
    }
    store.put(&key, content(large(LARGE))).await.expect("puts");
    assert_eq!(store.head(&key).await.expect("is there").size, LARGE as u64);
}

async fn a_failed_put_leaves_all_as_it_was(store: &impl ObjectStore) {
    for len in [10, LARGE] {
        let (key, tenant) = (a_key(), TenantId::new());
        let fresh = ObjectKey::original(tenant, VersionId::new());
        store.put(&key, content(["before"])).await.expect("puts");
        for target in [&key, &fresh] {
            let chunks = large(len).into_iter().map(|chunk| Ok(Bytes::from(chunk)));
            let broken = stream::iter(chunks).chain(stream::iter([Err(Error::new(
                ErrorKind::Cancelled,
                "UPLOAD_BROKEN_OFF",
                "the caller went away",
            ))]));
            let error = store.put(target, broken.boxed()).await.expect_err("the content ends in an error");
            assert_eq!(error.reason(), "UPLOAD_BROKEN_OFF", "the error of the content is that of the call");
        }
        assert_eq!(read(store, &key, 0).await.expect("reads"), b"before");
        assert_eq!(store.head(&fresh).await.expect_err("never made").reason(), "OBJECT_NOT_FOUND");
        assert_eq!(store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists"), []);
    }
}

async fn a_dropped_put_leaves_all_as_it_was(store: &impl ObjectStore) {
    let tenant = TenantId::new();
    let key = ObjectKey::original(tenant, VersionId::new());
    for len in [10, LARGE] {
        let chunks = large(len).into_iter().map(|chunk| Ok(Bytes::from(chunk)));
        let endless = stream::iter(chunks).chain(stream::pending());
        let put = store.put(&key, endless.boxed());
        tokio::time::timeout(std::time::Duration::from_millis(500), put).await.expect_err("never ends");
        assert_eq!(store.head(&key).await.expect_err("never made").reason(), "OBJECT_NOT_FOUND");
        assert_eq!(store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists"), []);
    }
}

async fn a_missing_object_is_not_found_and_its_deletion_no_error(store: &impl ObjectStore) {
    let key = a_key();
    let is_missing = |error: Error| {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "OBJECT_NOT_FOUND"));
    };
    is_missing(store.get(&key, 0).await.map(drop).expect_err("missing"));
    is_missing(store.head(&key).await.map(drop).expect_err("missing"));
    store.delete(&key).await.expect("no error");

    store.put(&key, content(["x"])).await.expect("puts");
    for _ in 0..2 {
        store.delete(&key).await.expect("deletes");
        is_missing(store.get(&key, 5).await.map(drop).expect_err("deleted"));
    }
    // What looks like a directory of a file system is no object either.
    store.put(&key, content(["x"])).await.expect("puts");
    let (directory, _) = key.as_str().rsplit_once('/').expect("has parts");
    let directory = ObjectKey::from_listing(directory.to_owned());
    is_missing(store.get(&directory, 0).await.map(drop).expect_err("no object"));
    is_missing(store.head(&directory).await.map(drop).expect_err("no object"));
}

async fn prefixes_are_listed_in_order_and_deleted(store: &impl ObjectStore) {
    let (tenant, other) = (TenantId::new(), TenantId::new());
    let (version, upload) = (VersionId::new(), UploadId::new());
    let mut expected = vec![
        (ObjectKey::original(tenant, version), 3),
        (ObjectKey::extracted(tenant, version), 4),
        (ObjectKey::original(tenant, VersionId::new()), 5),
    ];
    expected.extend((0..20u64).rev().map(|part| (ObjectKey::upload_part(tenant, upload, part * 100, 100), 1)));
    for (key, size) in &expected {
        store.put(key, content([vec![7; *size]])).await.expect("puts");
    }
    store.put(&ObjectKey::original(other, version), content(["x"])).await.expect("puts");
    expected.sort();

    let all = store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists");
    let found: Vec<(ObjectKey, usize)> =
        all.iter().map(|object| (object.key.clone(), usize::try_from(object.size).expect("small"))).collect();
    assert_eq!(found, expected, "every object of the tenant, in key order");

    let parts = store.list(&ObjectKey::upload_prefix(tenant, upload)).await.expect("lists");
    let offsets: Vec<&ObjectKey> = parts.iter().map(|object| &object.key).collect();
    let wanted: Vec<ObjectKey> =
        (0..20u64).map(|part| ObjectKey::upload_part(tenant, upload, part * 100, 100)).collect();
    assert_eq!(offsets, wanted.iter().collect::<Vec<_>>(), "parts of an upload by their offset");

    let within_a_name = ObjectKey::from_listing(format!("{}orig", ObjectKey::version_prefix(tenant, version).as_str()));
    let begun = store.list(&within_a_name).await.expect("lists");
    assert_eq!(begun.len(), 1, "a prefix may end within a name");
    assert_eq!(begun[0].key, ObjectKey::original(tenant, version));

    assert_eq!(store.delete_prefix(&ObjectKey::version_prefix(tenant, version)).await.expect("deletes"), 2);
    assert_eq!(store.delete_prefix(&ObjectKey::version_prefix(tenant, version)).await.expect("again"), 0);
    assert_eq!(store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists").len(), expected.len() - 2);
    assert_eq!(store.delete_prefix(&ObjectKey::tenant_prefix(tenant)).await.expect("deletes"), 21);
    assert_eq!(store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists"), []);
    assert_eq!(store.list(&ObjectKey::tenant_prefix(other)).await.expect("lists").len(), 1, "another tenant's stay");
}

async fn a_walk_sees_every_object_once_and_in_order(store: &impl ObjectStore) {
    let (tenant, other) = (TenantId::new(), TenantId::new());
    let mut expected = Vec::new();
    for _ in 0..5 {
        let (version, upload) = (VersionId::new(), UploadId::new());
        expected.push(ObjectKey::original(tenant, version));
        expected.push(ObjectKey::extracted(tenant, version));
        expected.push(ObjectKey::upload_part(tenant, upload, 0, 10));
        expected.push(ObjectKey::upload_part(tenant, upload, 10, 10));
    }
    for (size, key) in expected.iter().enumerate() {
        store.put(key, content([vec![7; size]])).await.expect("puts");
    }
    let sizes: std::collections::BTreeMap<ObjectKey, u64> = expected.iter().cloned().zip(0..).collect();
    store.put(&ObjectKey::original(other, VersionId::new()), content(["x"])).await.expect("puts");
    let walk = async |prefix: ObjectKey, limit: usize| {
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let page = store.walk(&prefix, after.as_ref(), limit).await.expect("walks");
            assert!(page.len() <= limit, "{} of {limit}", page.len());
            let is_last = page.len() < limit;
            walked.extend(page);
            after = walked.last().map(|object| object.key.clone());
            if is_last {
                return walked;
            }
        }
    };
    for limit in [1, 3, 20, 1000] {
        let walked = walk(ObjectKey::tenant_prefix(tenant), limit).await;
        let found: Vec<(ObjectKey, u64)> = walked.into_iter().map(|object| (object.key, object.size)).collect();
        assert_eq!(found, sizes.clone().into_iter().collect::<Vec<_>>(), "{limit} at a time");
    }
    let versions = walk(ObjectKey::versions_prefix(tenant), 4).await;
    assert_eq!(versions.len(), 10);
    let first = ObjectKey::from_listing(versions[0].key.as_str().rsplit_once('/').expect("a directory").0.to_owned());
    let first = ObjectKey::from_listing(format!("{}/", first.as_str()));
    let rest = store.walk(&ObjectKey::versions_prefix(tenant), Some(&first.after_all()), 1000).await.expect("walks");
    assert_eq!(rest, versions[2..], "all of a version can be passed over");
    let nobody = store.walk(&ObjectKey::tenant_prefix(TenantId::new()), None, 10).await.expect("walks");
    assert_eq!(nobody, []);
    let tenants = store.walk(&ObjectKey::tenants_prefix(), None, 1000).await.expect("walks");
    assert!(tenants.len() > 20, "objects of both tenants: {}", tenants.len());
}

async fn a_key_never_leads_out_of_the_store(store: &impl ObjectStore) {
    for wrong in ["", "/", "../outside", "tenants/../../outside", "/tmp/outside", "tenants//x", "tenants/./x"] {
        let key = ObjectKey::from_listing(wrong.to_owned());
        for error in [
            store.put(&key, content(["x"])).await.map(drop).expect_err(wrong),
            store.get(&key, 0).await.map(drop).expect_err(wrong),
            store.head(&key).await.map(drop).expect_err(wrong),
            store.delete(&key).await.expect_err(wrong),
        ] {
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "INVALID_OBJECT_KEY"), "{wrong}");
        }
    }
    for wrong in ["", "/", "../", "tenants/../../"] {
        let prefix = ObjectKey::from_listing(wrong.to_owned());
        store.list(&prefix).await.expect_err(wrong);
        store.delete_prefix(&prefix).await.expect_err(wrong);
    }
}

async fn calls_at_once_do_not_disturb_each_other(store: &impl ObjectStore) {
    // One object from many calls: one of them wins, whole.
    let (tenant, version) = (TenantId::new(), VersionId::new());
    let key = ObjectKey::original(tenant, version);
    let puts = (0..8u8).map(|i| {
        let key = &key;
        async move { store.put(key, content(vec![vec![i; 700_000]; 3])).await.expect("puts") }
    });
    futures::future::join_all(puts).await;
    let won = read(store, &key, 0).await.expect("reads");
    assert!(won.len() == 2_100_000 && won.iter().all(|byte| *byte == won[0]), "one call's bytes, whole");

    // Objects come and go in directories that are empty in between.
    let churn = (0..8).map(|_| async {
        for _ in 0..10 {
            let upload = UploadId::new();
            store.put(&ObjectKey::upload_part(tenant, upload, 0, 1), content(["x"])).await.expect("puts");
            let prefix = ObjectKey::upload_prefix(tenant, upload);
            assert_eq!(store.delete_prefix(&prefix).await.expect("deletes"), 1);
        }
    });
    futures::future::join_all(churn).await;
    assert_eq!(store.list(&ObjectKey::tenant_prefix(tenant)).await.expect("lists").len(), 1);
}
