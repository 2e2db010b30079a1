//! I2: at INDEXED the chunks in the database equal the points in the index, and the object is there; nothing twice,
//! nothing that belongs to nobody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use qdrant_client::{
    Qdrant,
    qdrant::{ScrollPointsBuilder, value::Kind},
};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::{BEHIND, LOOK};
use crate::{
    environment::Installation,
    load::{Expected, Load},
};

struct DocumentRow {
    id: String,
    external_id: String,
    indexed_version_id: Option<String>,
    indexed_chunks: i64,
}

struct VersionRow {
    id: String,
    tenant_id: String,
    document_id: String,
    state: String,
    chunk_count: i32,
    size: i64,
    sha256: String,
}

/// What the three hold at one time.
struct Contents {
    documents: Vec<DocumentRow>,
    versions: HashMap<String, VersionRow>,
    uploads: BTreeSet<String>,
    /// Chunks by version.
    chunks: BTreeMap<String, BTreeSet<String>>,
    /// Chunks of points by version, each as often as there are points of it.
    points: BTreeMap<String, Vec<String>>,
    /// Files by path below the installation's prefix.
    objects: BTreeMap<String, PathBuf>,
}

/// Looks until nothing is wrong, because objects and points are removed behind what made them useless; after a while,
/// what is still wrong.
pub(super) async fn check(installation: &Installation, load: &Load) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let wrong = read(installation).await?.violations(load)?;
        if wrong.is_empty() || start.elapsed() > BEHIND {
            return Ok(wrong);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn read(installation: &Installation) -> Result<Contents> {
    let mut database = installation.sql().await?;
    let documents = document_rows(&mut database).await?;
    let versions = version_rows(&mut database).await?;
    let uploads: Vec<(String, String)> =
        sqlx::query_as("SELECT id::text, version_id::text FROM uploads").fetch_all(&mut database).await?;
    let mut chunks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, version) in chunk_rows(&mut database).await? {
        chunks.entry(version).or_default().insert(id);
    }
    Ok(Contents {
        documents,
        versions: versions.into_iter().map(|version| (version.id.clone(), version)).collect(),
        uploads: uploads.into_iter().flat_map(|(id, version)| [id, version]).collect(),
        chunks,
        points: points(installation).await?,
        objects: files(&installation.objects())?,
    })
}

async fn document_rows(database: &mut PgConnection) -> Result<Vec<DocumentRow>> {
    let query =
        "SELECT id::text, external_id, indexed_version_id::text, indexed_chunks FROM documents WHERE NOT deleting";
    let rows: Vec<(String, String, Option<String>, i64)> = sqlx::query_as(query).fetch_all(database).await?;
    let row = |(id, external_id, indexed_version_id, indexed_chunks)| DocumentRow {
        id,
        external_id,
        indexed_version_id,
        indexed_chunks,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn version_rows(database: &mut PgConnection) -> Result<Vec<VersionRow>> {
    type Columns = (String, String, String, String, i32, i64, String);
    let query = "SELECT id::text, tenant_id::text, document_id::text, state, chunk_count, size, encode(sha256, 'hex') \
        FROM document_versions";
    let rows: Vec<Columns> = sqlx::query_as(query).fetch_all(database).await?;
    let row = |(id, tenant_id, document_id, state, chunk_count, size, sha256)| VersionRow {
        id,
        tenant_id,
        document_id,
        state,
        chunk_count,
        size,
        sha256,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn chunk_rows(database: &mut PgConnection) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as("SELECT id::text, version_id::text FROM chunks").fetch_all(database).await?)
}

/// Every point of the installation's collections, past the proxy.
async fn points(installation: &Installation) -> Result<BTreeMap<String, Vec<String>>> {
    let (url, key) = installation.services.index();
    let client = tokio::task::block_in_place(|| {
        Qdrant::from_url(url).api_key(Some(key).filter(|key| !key.is_empty())).skip_compatibility_check().build()
    })?;
    let mut points: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own = format!("{}-", installation.name);
    for collection in client.list_collections().await?.collections {
        if !collection.name.starts_with(&own) {
            continue;
        }
        let mut offset = None;
        loop {
            let mut request = ScrollPointsBuilder::new(&collection.name).limit(1000).with_payload(true);
            if let Some(offset) = offset.take() {
                request = request.offset::<qdrant_client::qdrant::PointId>(offset);
            }
            let page = client.scroll(request).await?;
            for point in page.result {
                let text = |name: &str| match point.payload.get(name).and_then(|value| value.kind.as_ref()) {
                    Some(Kind::StringValue(text)) => Ok(text.clone()),
                    other => Err(anyhow::anyhow!("a point whose {name} is {other:?}")),
                };
                points.entry(text("version_id")?).or_default().push(text("chunk_id")?);
            }
            offset = page.next_page_offset;
            if offset.is_none() {
                break;
            }
        }
    }
    Ok(points)
}

/// Files below a directory, without those that the S3 server has under way.
fn files(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        // A directory may be removed meanwhile.
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(root)?.to_string_lossy().into_owned(), path);
            }
        }
    }
    Ok(found)
}

impl Contents {
    fn violations(&self, load: &Load) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        self.documents(load, &mut wrong);
        self.points(&mut wrong);
        self.objects(&mut wrong)?;
        Ok(wrong)
    }

    fn documents(&self, load: &Load, wrong: &mut Vec<String>) {
        let known: HashMap<String, _> =
            load.entries().into_iter().map(|entry| (entry.document_id.clone(), entry)).collect();
        let none = BTreeSet::new();
        for document in &self.documents {
            let name = &document.external_id;
            if !known.contains_key(&document.id) {
                wrong.push(format!("I2: document {name} is in the database, and nobody uploaded it"));
            }
            let Some(version) = &document.indexed_version_id else { continue };
            let chunks = self.chunks.get(version).unwrap_or(&none);
            let points = self.points.get(version).map_or(&[][..], Vec::as_slice);
            let distinct: BTreeSet<String> = points.iter().cloned().collect();
            let said = self.versions.get(version).map_or(-1, |version| i64::from(version.chunk_count));
            let count = i64::try_from(chunks.len()).unwrap_or(i64::MAX);
            if chunks.is_empty() || distinct != *chunks || said != count || document.indexed_chunks != count {
                wrong.push(format!(
                    "I2: {name} has {count} chunks, {} points, and says {said} and {}",
                    points.len(),
                    document.indexed_chunks
                ));
            }
            if distinct.len() != points.len() {
                wrong.push(format!("I2: {name} has {} points of {} chunks", points.len(), distinct.len()));
            }
        }
        for entry in known.values().filter(|entry| entry.expected == Expected::Gone) {
            if self.versions.values().any(|version| version.document_id == entry.document_id) {
                wrong.push(format!("I2: {} is deleted, and rows of it are left", entry.external_id));
            }
        }
    }

    fn points(&self, wrong: &mut Vec<String>) {
        let indexed: BTreeSet<&String> =
            self.documents.iter().filter_map(|document| document.indexed_version_id.as_ref()).collect();
        for (version, points) in &self.points {
            // What a version left that failed half-way is removed with the next that is indexed.
            let failed = self.versions.get(version).is_some_and(|version| version.state == "failed");
            if !indexed.contains(version) && !failed {
                wrong.push(format!("I2: {} points of version {version}, which is not indexed", points.len()));
            }
        }
    }

    fn objects(&self, wrong: &mut Vec<String>) -> Result<()> {
        for path in self.objects.keys() {
            let owner = path.split('/').nth(3).unwrap_or_default();
            if !self.versions.contains_key(owner) && !self.uploads.contains(owner) {
                wrong.push(format!("I2: object {path} belongs to nothing"));
            }
        }
        for version in self.versions.values() {
            let path = format!("tenants/{}/versions/{}/original", version.tenant_id, version.id);
            let Some(file) = self.objects.get(&path) else {
                // Of what was replaced nothing needs to be kept.
                if self.documents.iter().any(|document| document.indexed_version_id.as_ref() == Some(&version.id)) {
                    wrong.push(format!("I2: the object of indexed version {} is missing", version.id));
                }
                continue;
            };
            if version.state != "indexed" {
                continue;
            }
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            let is_whole =
                i64::try_from(bytes.len()) == Ok(version.size) && hex::encode(Sha256::digest(&bytes)) == version.sha256;
            if !is_whole {
                wrong.push(format!("I2: the object of indexed version {} is not what was uploaded", version.id));
            }
        }
        Ok(())
    }
}
