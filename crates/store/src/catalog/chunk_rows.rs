//! Chunks as rows.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;
use vectrion_core::{
    chunk::{Chunk, ChunkDraft, PageBox},
    extraction::Rect,
    ids::{ChunkId, DocumentId, TenantId, VersionId},
};

use crate::{
    failure::{Outcome, damaged},
    rows::{chunks, column, number},
    sql::{self, Sql},
};

/// A chunk with the number of its version.
#[derive(FromQueryResult)]
pub(super) struct ChunkRow {
    id: Uuid,
    document_id: Uuid,
    version_id: Uuid,
    version: i32,
    pub(super) ordinal: i32,
    content: String,
    char_start: i64,
    char_end: i64,
    page_start: i32,
    page_end: i32,
    boxes: String,
    heading_path: String,
    token_count: i32,
    token_ids: Vec<u8>,
}

/// Columns of a [`ChunkRow`]; `c` is the chunk, `v` its version.
pub(super) const COLUMNS: &str = "c.id, c.document_id, c.version_id, v.number AS version, c.ordinal, c.content,
    c.char_start, c.char_end, c.page_start, c.page_end, c.boxes, c.heading_path, c.token_count, c.token_ids";

/// Chunks of a version from an ordinal on, in order, at most `limit`.
pub(super) fn query(tenant: TenantId, version: VersionId, ordinal: i64, limit: i64) -> Sql {
    sql::for_tenant(
        tenant,
        format!(
            "SELECT {COLUMNS} FROM chunks c JOIN document_versions v ON v.id = c.version_id
                WHERE c.tenant_id = $1 AND c.version_id = $2 AND c.ordinal >= $3 ORDER BY c.ordinal LIMIT $4"
        ),
        [version.0.into(), ordinal.into(), limit.into()],
    )
}

pub(super) async fn from<C: ConnectionTrait>(
    connection: &C,
    tenant: TenantId,
    version: VersionId,
    ordinal: u32,
    limit: u32,
) -> Outcome<Vec<Chunk>> {
    let rows: Vec<ChunkRow> = query(tenant, version, ordinal.into(), limit.into()).all(connection).await?;
    rows.into_iter().map(ChunkRow::into_chunk).collect()
}

/// A row for a chunk.
pub(crate) fn row(tenant: TenantId, document: DocumentId, version: VersionId, chunk: Chunk) -> Outcome<chunks::Model> {
    let draft = chunk.draft;
    let boxes: Vec<(u32, f32, f32, f32, f32)> =
        draft.boxes.iter().map(|b| (b.page, b.rect.x0, b.rect.y0, b.rect.x1, b.rect.y1)).collect();
    Ok(chunks::Model {
        id: chunk.id.0,
        tenant_id: tenant.0,
        document_id: document.0,
        version_id: version.0,
        ordinal: column(chunk.ordinal),
        content: draft.text,
        char_start: draft.char_start.into(),
        char_end: draft.char_end.into(),
        page_start: column(draft.page_start),
        page_end: column(draft.page_end),
        boxes: serde_json::to_string(&boxes)?,
        heading_path: serde_json::to_string(&draft.heading_path)?,
        token_count: column(u32::try_from(draft.token_ids.len()).unwrap_or(u32::MAX)),
        token_ids: pack_tokens(&draft.token_ids),
    })
}

impl ChunkRow {
    pub(super) fn into_chunk(self) -> Outcome<Chunk> {
        let boxes: Vec<(u32, f32, f32, f32, f32)> = serde_json::from_str(&self.boxes)?;
        Ok(Chunk {
            id: ChunkId(self.id),
            document: DocumentId(self.document_id),
            version_id: VersionId(self.version_id),
            version: number(self.version),
            ordinal: number(self.ordinal),
            draft: ChunkDraft {
                text: self.content,
                char_start: number(self.char_start),
                char_end: number(self.char_end),
                page_start: number(self.page_start),
                page_end: number(self.page_end),
                boxes: boxes
                    .into_iter()
                    .map(|(page, x0, y0, x1, y1)| PageBox { page, rect: Rect { x0, y0, x1, y1 } })
                    .collect(),
                heading_path: serde_json::from_str(&self.heading_path)?,
                token_ids: unpack_tokens(&self.token_ids, self.token_count)?,
            },
        })
    }
}

/// Token ids as little-endian integers: of two bytes each if they all fit, else of four.
fn pack_tokens(tokens: &[u32]) -> Vec<u8> {
    let short: Result<Vec<u16>, _> = tokens.iter().map(|token| u16::try_from(*token)).collect();
    match short {
        Ok(tokens) => tokens.iter().flat_map(|token| token.to_le_bytes()).collect(),
        Err(_) => tokens.iter().flat_map(|token| token.to_le_bytes()).collect(),
    }
}

fn unpack_tokens(bytes: &[u8], count: i32) -> Outcome<Vec<u32>> {
    let count = number(count) as usize;
    if bytes.len() == count * 2 {
        Ok(bytes.as_chunks::<2>().0.iter().map(|token| u16::from_le_bytes(*token).into()).collect())
    } else if bytes.len() == count * 4 {
        Ok(bytes.as_chunks::<4>().0.iter().map(|token| u32::from_le_bytes(*token)).collect())
    } else {
        Err(damaged("the token ids of a chunk have a wrong length").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_take_two_bytes_where_they_fit() {
        for (tokens, bytes) in [(vec![], 0), (vec![0, 65535], 4), (vec![0, 65536], 8)] {
            let packed = pack_tokens(&tokens);
            assert_eq!(packed.len(), bytes);
            let count = i32::try_from(tokens.len()).expect("small");
            assert_eq!(unpack_tokens(&packed, count).expect("sound"), tokens);
        }
        assert!(unpack_tokens(&[1, 2, 3], 1).is_err());
    }
}
