//! What was changed, in order, in a file: it is made again at the next start.
//!
//! The engine alone would lose what it did not flush. An entry that was written survives the death of the process; the
//! disk is not waited for.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use prost::Message;
use qdrant_client::qdrant::{
    ChangeAliases, CreateCollection, CreateFieldIndexCollection, DeleteCollection, DeletePoints, UpsertPoints,
};

/// A change. Names of collections in it are those behind aliases.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    CreateCollection(Box<CreateCollection>),
    DeleteCollection(DeleteCollection),
    ChangeAliases(ChangeAliases),
    CreateIndex(CreateFieldIndexCollection),
    Upsert(UpsertPoints),
    Delete(DeletePoints),
}

impl Change {
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::CreateCollection(message) => (0, message.encode_to_vec()),
            Self::DeleteCollection(message) => (1, message.encode_to_vec()),
            Self::ChangeAliases(message) => (2, message.encode_to_vec()),
            Self::CreateIndex(message) => (3, message.encode_to_vec()),
            Self::Upsert(message) => (4, message.encode_to_vec()),
            Self::Delete(message) => (5, message.encode_to_vec()),
        }
    }

    fn decode(kind: u8, bytes: &[u8]) -> io::Result<Self> {
        fn message<M: Message + Default>(bytes: &[u8]) -> io::Result<M> {
            M::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        }
        Ok(match kind {
            0 => Self::CreateCollection(Box::new(message(bytes)?)),
            1 => Self::DeleteCollection(message(bytes)?),
            2 => Self::ChangeAliases(message(bytes)?),
            3 => Self::CreateIndex(message(bytes)?),
            4 => Self::Upsert(message(bytes)?),
            5 => Self::Delete(message(bytes)?),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "an unknown kind of change")),
        })
    }
}

/// Bytes before the message: its length, its checksum, its kind.
const HEAD: usize = 9;

/// The file, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    length: u64,
}

impl Journal {
    /// Opens the journal and gives `replay` every change in it. What a killed process half wrote is cut off.
    pub(crate) fn open(path: &Path, mut replay: impl FnMut(Change)) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, "another stand-in has it"),
            TryLockError::Error(error) => error,
        })?;
        let mut length = 0;
        let mut reader = BufReader::new(&file);
        while let Some((change, bytes)) = read(&mut reader)? {
            replay(change);
            length += bytes;
        }
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, length })
    }

    /// Writes a change, then makes it. A change that cannot be made, or that the disk has no room for, leaves no trace.
    pub(crate) fn make<T, E>(
        &mut self,
        change: &Change,
        make: impl FnOnce() -> Result<T, E>,
    ) -> io::Result<Result<T, E>> {
        let (kind, message) = change.encode();
        let mut entry = Vec::with_capacity(HEAD + message.len());
        entry.extend(u32::try_from(message.len()).map_err(|_| io::ErrorKind::FileTooLarge)?.to_le_bytes());
        entry.extend(crc32c::crc32c(&message).to_le_bytes());
        entry.push(kind);
        entry.extend(message);
        if let Err(error) = self.file.write_all(&entry) {
            self.cut()?;
            return Err(error);
        }
        let made = make();
        match &made {
            Ok(_) => self.length += entry.len() as u64,
            Err(_) => self.cut()?,
        }
        Ok(made)
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(|_| ())
    }
}

/// The next change with its bytes in the file; none at the end, and where an entry is not whole.
fn read(file: &mut impl Read) -> io::Result<Option<(Change, u64)>> {
    let mut head = [0; HEAD];
    if !read_whole(file, &mut head)? {
        return Ok(None);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3, kind] = head;
    let (length, checksum) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
    let mut message = vec![0; length as usize];
    if !read_whole(file, &mut message)? || crc32c::crc32c(&message) != checksum {
        return Ok(None);
    }
    Ok(Some((Change::decode(kind, &message)?, HEAD as u64 + u64::from(length))))
}

fn read_whole(file: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str) -> Change {
        Change::DeleteCollection(DeleteCollection { collection_name: name.to_owned(), timeout: None })
    }

    fn names(path: &Path) -> (Vec<String>, Journal) {
        let mut names = Vec::new();
        let journal = Journal::open(path, |change| {
            let Change::DeleteCollection(message) = change else { panic!("{change:?}") };
            names.push(message.collection_name);
        });
        (names, journal.unwrap())
    }

    #[test]
    fn what_was_made_is_there_again_and_what_was_refused_or_cut_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (_, mut journal) = names(&path);
        Journal::open(&path, |_| {}).expect_err("it is locked");
        journal.make(&change("a"), || Ok::<_, ()>(())).unwrap().unwrap();
        journal.make(&change("refused"), || Err::<(), _>("no")).unwrap().unwrap_err();
        journal.make(&change("b"), || Ok::<_, ()>(())).unwrap().unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..3 {
            std::fs::write(&path, [&whole[..], &whole[..whole.len() / 2 - cut - 1]].concat()).unwrap();
            let (found, mut journal) = names(&path);
            assert_eq!(found, ["a", "b"]);
            journal.make(&change("c"), || Ok::<_, ()>(())).unwrap().unwrap();
            drop(journal);
            assert_eq!(names(&path).0, ["a", "b", "c"]);
        }
    }
}
