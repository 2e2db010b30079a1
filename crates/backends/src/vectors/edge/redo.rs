//! The log that makes changes durable.
//!
//! The engine (0.7.2) keeps a log, too, but replays nothing of it when a shard is loaded, so what was not flushed is gone
//! after a crash. Flushing it takes some sixty waits for the disk, and does not help while it optimises: a point removed
//! from the segments being optimised is then only marked in memory. So changes are written to a log of our own, which
//! takes one wait. It is replayed when a shard is opened and emptied when the engine was flushed while nothing was being
//! optimised. Every change can be made again any number of times: points are written whole, and removed by their ids.
//!
//! The file: [`MAGIC`], then records of length (`u32`), CRC-32C of the content (`u32`), content; all numbers little-endian.
//! A record that is cut or damaged ends the log: it was never confirmed.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;
use vectrion_core::{
    ids::{ChunkId, CollectionId, DocumentId, VersionId},
    ports::vectors::Point,
};

use crate::durable;

const FILE: &str = "redo.log";
const MAGIC: &[u8; 8] = b"vxredo1\n";
const RECORD_HEADER: u64 = 8;

/// A change to a shard.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// These points were written.
    Written(Vec<Point>),
    /// These points were removed.
    Removed(Vec<Uuid>),
    /// The engine began to optimise, so that some points may be there twice.
    OptimizationBegan,
}

/// The log of a shard.
#[derive(Debug)]
pub(super) struct RedoLog {
    /// None until the first change.
    file: Option<File>,
    path: PathBuf,
    len: u64,
    is_synced: bool,
}

impl RedoLog {
    /// Opens the log of the shard in `shard`, which need not have one. What is not whole at its end is cut off.
    pub(super) fn open(shard: &Path) -> io::Result<Self> {
        let path = shard.join(FILE);
        let mut log = Self { file: None, path, len: 0, is_synced: true };
        match OpenOptions::new().read(true).write(true).open(&log.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) => {
                log.file = Some(file);
                log.len = log.replay(|_| io::Result::Ok(()))?;
                log.cut()?;
            }
        }
        Ok(log)
    }

    /// Bytes of changes in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.len.saturating_sub(MAGIC.len() as u64)
    }

    /// Hands every change to `visit`, oldest first, and returns where the last whole one ends.
    pub(super) fn replay<E: From<io::Error>>(&self, mut visit: impl FnMut(Change) -> Result<(), E>) -> Result<u64, E> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut reader = BufReader::with_capacity(1 << 20, file);
        reader.seek(SeekFrom::Start(0))?;
        let size = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        if size < MAGIC.len() as u64 {
            return Ok(0);
        }
        reader.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a redo log").into());
        }
        let mut end = MAGIC.len() as u64;
        while let Some(content) = read_record(&mut reader, size - end)? {
            let Some(change) = decode(&content) else { break };
            visit(change)?;
            end += RECORD_HEADER + content.len() as u64;
        }
        Ok(end)
    }

    /// Adds a change that was made. It is durable after [`RedoLog::sync`].
    pub(super) fn append(&mut self, change: &Change) -> io::Result<()> {
        if self.file.is_none() || self.len == 0 {
            self.begin()?;
        }
        let content = encode(change);
        let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, "a change is too large for the log");
        let mut record = Vec::with_capacity(content.len() + 8);
        record.extend_from_slice(&u32::try_from(content.len()).map_err(too_large)?.to_le_bytes());
        record.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        record.extend_from_slice(&content);
        self.is_synced = false;
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.seek(SeekFrom::Start(self.len)).and_then(|_| file.write_all(&record));
        match written {
            Ok(()) => {
                self.len += record.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A part of a record would end the log for those that follow. If this fails they do, too: they are
                // written over it.
                let _ = self.cut();
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&self.path)?;
        file.write_all(MAGIC)?;
        file.sync_all()?;
        self.path.parent().map_or(Ok(()), durable::sync_directory)?;
        self.file = Some(file);
        self.len = MAGIC.len() as u64;
        Ok(())
    }

    /// Waits until every change is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            if let Some(file) = &self.file {
                file.sync_data()?;
            }
            self.is_synced = true;
        }
        Ok(())
    }

    /// Empties the log: the engine was flushed. Durable together with the next change; should the old changes come back
    /// they are made again, to the same effect.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.len = self.len.min(MAGIC.len() as u64);
        self.is_synced = true;
        self.cut()
    }

    /// Cuts off what is behind the last change.
    fn cut(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.set_len(self.len))
    }
}

/// The content of the next record; none where the log ends.
fn read_record(reader: &mut impl Read, left: u64) -> io::Result<Option<Vec<u8>>> {
    if left < RECORD_HEADER {
        return Ok(None);
    }
    let (mut len, mut crc) = ([0; 4], [0; 4]);
    reader.read_exact(&mut len)?;
    reader.read_exact(&mut crc)?;
    let len = u32::from_le_bytes(len);
    if u64::from(len) > left - RECORD_HEADER {
        return Ok(None);
    }
    let mut content = vec![0; len as usize];
    reader.read_exact(&mut content)?;
    Ok((crc32c::crc32c(&content) == u32::from_le_bytes(crc)).then_some(content))
}

const WRITTEN: u8 = 1;
const REMOVED: u8 = 2;
const OPTIMIZATION_BEGAN: u8 = 3;

fn encode(change: &Change) -> Vec<u8> {
    let mut out = Vec::new();
    match change {
        Change::Written(points) => {
            out.push(WRITTEN);
            for point in points {
                for id in [point.id.0, point.document.0, point.version_id.0, point.collection.0] {
                    out.extend_from_slice(id.as_bytes());
                }
                out.extend_from_slice(&(point.dense.len() as u32).to_le_bytes());
                out.extend_from_slice(&(point.text.len() as u32).to_le_bytes());
                out.extend(point.dense.iter().flat_map(|number| number.to_le_bytes()));
                out.extend_from_slice(point.text.as_bytes());
            }
        }
        Change::Removed(ids) => {
            out.push(REMOVED);
            out.extend(ids.iter().flat_map(|id| id.as_bytes()));
        }
        Change::OptimizationBegan => out.push(OPTIMIZATION_BEGAN),
    }
    out
}

/// The change; none if these bytes are none.
fn decode(content: &[u8]) -> Option<Change> {
    let (&tag, mut rest) = content.split_first()?;
    match tag {
        WRITTEN => {
            let mut points = Vec::new();
            while !rest.is_empty() {
                points.push(decode_point(&mut rest)?);
            }
            Some(Change::Written(points))
        }
        REMOVED => rest.chunks(16).map(|id| Uuid::from_slice(id).ok()).collect::<Option<_>>().map(Change::Removed),
        OPTIMIZATION_BEGAN => Some(Change::OptimizationBegan),
        _ => None,
    }
}

fn decode_point(rest: &mut &[u8]) -> Option<Point> {
    let mut id = || Uuid::from_slice(rest.split_off(..16)?).ok();
    let (point, document, version, collection) = (id()?, id()?, id()?, id()?);
    let mut number = || Some(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?) as usize);
    let (dimension, text) = (number()?, number()?);
    let (numbers, _) = rest.split_off(..dimension.checked_mul(4)?)?.as_chunks();
    Some(Point {
        id: ChunkId(point),
        document: DocumentId(document),
        version_id: VersionId(version),
        collection: CollectionId(collection),
        dense: numbers.iter().map(|number| f32::from_le_bytes(*number)).collect(),
        text: String::from_utf8(rest.split_off(..text)?.to_vec()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(id: u128, dense: &[f32], text: &str) -> Point {
        let [document, version, collection] = [id + 1, id + 2, id + 3].map(Uuid::from_u128);
        Point {
            id: ChunkId(Uuid::from_u128(id)),
            document: DocumentId(document),
            version_id: VersionId(version),
            collection: CollectionId(collection),
            dense: dense.to_vec(),
            text: text.to_owned(),
        }
    }

    fn changes() -> Vec<Change> {
        vec![
            Change::Written(vec![point(1, &[1.0, 2.0], "words"), point(2, &[], "")]),
            Change::OptimizationBegan,
            Change::Removed(vec![Uuid::from_u128(1), Uuid::from_u128(u128::MAX)]),
            Change::Written(vec![point(3, &[-1.0], "größer 東京")]),
        ]
    }

    fn logged(log: &RedoLog) -> Vec<Change> {
        let mut found = Vec::new();
        log.replay(|change| {
            found.push(change);
            io::Result::Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn changes_come_back_in_order_until_the_log_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RedoLog::open(dir.path()).unwrap();
        assert_eq!((logged(&log), log.bytes()), (vec![], 0));
        for change in &changes() {
            log.append(change).unwrap();
        }
        log.sync().unwrap();
        assert_eq!(logged(&log), changes());
        let mut log = RedoLog::open(dir.path()).unwrap();
        assert_eq!(logged(&log), changes());
        log.append(&Change::OptimizationBegan).unwrap();
        assert_eq!(logged(&log).len(), 5, "it goes on where it ended");
        log.clear().unwrap();
        assert_eq!((logged(&log), log.bytes()), (vec![], 0));
        log.append(&changes()[0]).unwrap();
        assert_eq!(logged(&RedoLog::open(dir.path()).unwrap()), changes()[..1]);
    }

    #[test]
    fn a_log_that_was_cut_or_damaged_anywhere_keeps_what_is_whole_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RedoLog::open(dir.path()).unwrap();
        let mut ends = vec![MAGIC.len()];
        for change in &changes() {
            log.append(change).unwrap();
            ends.push(usize::try_from(log.len).unwrap());
        }
        drop(log);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let complete = ends.iter().skip(1).filter(|end| **end <= cut).count();
            let mut log = RedoLog::open(dir.path()).unwrap();
            assert_eq!(logged(&log), changes()[..complete], "cut at {cut}");
            log.append(&changes()[2]).unwrap();
            let log = RedoLog::open(dir.path()).unwrap();
            assert_eq!(logged(&log).len(), complete + 1, "it goes on after a cut at {cut}");
        }
        for damaged in MAGIC.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[damaged] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            let complete = ends.iter().skip(1).filter(|end| **end <= damaged).count();
            assert_eq!(logged(&RedoLog::open(dir.path()).unwrap()), changes()[..complete], "damaged at {damaged}");
        }
        std::fs::write(&path, b"something else entirely").unwrap();
        RedoLog::open(dir.path()).expect_err("not a log");
    }
}
