//! Collections and aliases, and the journal that they are made of.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use qdrant_client::qdrant::{AliasOperations, alias_operations::Action};
use tonic::Status;

use crate::{
    collection::Collection,
    journal::{Change, Journal},
};

/// Everything that the stand-in holds.
#[derive(Debug)]
pub(crate) struct State {
    /// Held while something is changed. Taken before `names`.
    journal: Mutex<Journal>,
    names: Arc<Names>,
}

#[derive(Debug)]
struct Names {
    /// Where the engine has its files, made anew at every start.
    directory: PathBuf,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Collections that were ever made, for the names of their directories.
    made: u64,
    collections: BTreeMap<String, Arc<Collection>>,
    aliases: BTreeMap<String, String>,
}

impl State {
    /// Opens the stand-in's directory, which is made if it is not there. Blocks.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let names = Arc::new(Names { directory: directory.join("engine"), tables: Mutex::default() });
        let mut is_fresh = false;
        let journal = Journal::open(&directory.join("journal"), |change| {
            // The lock is held from here on: nobody else uses the engine's files.
            if !is_fresh {
                is_fresh = true;
                let _ = fs::remove_dir_all(&names.directory);
            }
            if let Err(status) = names.make(&change) {
                eprintln!("qdrant-standin: a change cannot be made again: {status}");
            }
        })?;
        if !is_fresh {
            let _ = fs::remove_dir_all(&names.directory);
        }
        Ok(Self { journal: Mutex::new(journal), names })
    }

    /// Makes a change that is there again after a restart. Blocks.
    pub(crate) fn make(&self, mut change: Change) -> Result<(), Status> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.names.resolve(&mut change)?;
        journal.make(&change, || self.names.make(&change)).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Status::internal(format!("Service internal error: No space left on device: {error}"))
            }
            _ => Status::internal(format!("Service internal error: {error}")),
        })?
    }

    /// The collection of this name or alias.
    pub(crate) fn collection(&self, name: &str) -> Result<Arc<Collection>, Status> {
        let tables = self.names.tables();
        tables.collections.get(tables.target(name)).cloned().ok_or_else(|| missing(name))
    }

    /// The names of all collections.
    pub(crate) fn collections(&self) -> Vec<String> {
        self.names.tables().collections.keys().cloned().collect()
    }

    /// All aliases with the names of their collections.
    pub(crate) fn aliases(&self) -> Vec<(String, String)> {
        self.names.tables().aliases.iter().map(|(alias, name)| (alias.clone(), name.clone())).collect()
    }
}

impl Tables {
    /// The name behind an alias; any other name as it is.
    fn target<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }
}

impl Names {
    /// Puts the name of the collection in the place of its alias.
    fn resolve(&self, change: &mut Change) -> Result<(), Status> {
        let name = match change {
            Change::CreateIndex(message) => &mut message.collection_name,
            Change::Upsert(message) => &mut message.collection_name,
            Change::Delete(message) => &mut message.collection_name,
            Change::CreateCollection(_) | Change::DeleteCollection(_) | Change::ChangeAliases(_) => return Ok(()),
        };
        let tables = self.tables();
        let target = tables.target(name).to_owned();
        if !tables.collections.contains_key(&target) {
            return Err(missing(name));
        }
        *name = target;
        Ok(())
    }

    fn make(&self, change: &Change) -> Result<(), Status> {
        match change {
            Change::CreateCollection(message) => {
                let mut tables = self.tables();
                let name = &message.collection_name;
                if tables.collections.contains_key(name) {
                    return Err(Status::already_exists(format!("Wrong input: Collection `{name}` already exists!")));
                }
                if tables.aliases.contains_key(name) {
                    return Err(Status::invalid_argument(format!("Wrong input: `{name}` is an alias")));
                }
                tables.made += 1;
                let collection = Collection::create(&self.directory.join(tables.made.to_string()), message)?;
                tables.collections.insert(name.clone(), Arc::new(collection));
                Ok(())
            }
            Change::DeleteCollection(message) => {
                let mut tables = self.tables();
                let name = &message.collection_name;
                tables.collections.remove(name).ok_or_else(|| missing(name))?;
                tables.aliases.retain(|_, target| target != name);
                Ok(())
            }
            Change::ChangeAliases(message) => {
                let mut tables = self.tables();
                let mut aliases = tables.aliases.clone();
                for operation in &message.actions {
                    change_alias(&tables, &mut aliases, operation)?;
                }
                tables.aliases = aliases;
                Ok(())
            }
            Change::CreateIndex(message) => self.of(&message.collection_name)?.create_index(message),
            Change::Upsert(message) => self.of(&message.collection_name)?.upsert(message),
            Change::Delete(message) => self.of(&message.collection_name)?.delete(message),
        }
    }

    fn of(&self, name: &str) -> Result<Arc<Collection>, Status> {
        self.tables().collections.get(name).cloned().ok_or_else(|| missing(name))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change_alias(
    tables: &Tables,
    aliases: &mut BTreeMap<String, String>,
    operation: &AliasOperations,
) -> Result<(), Status> {
    match &operation.action {
        Some(Action::CreateAlias(create)) => {
            let (alias, name) = (&create.alias_name, &create.collection_name);
            if !tables.collections.contains_key(name) {
                return Err(missing(name));
            }
            if tables.collections.contains_key(alias) {
                return Err(Status::already_exists(format!("Wrong input: Collection `{alias}` already exists!")));
            }
            aliases.insert(alias.clone(), name.clone());
        }
        Some(Action::RenameAlias(rename)) => {
            let name = aliases.remove(&rename.old_alias_name).ok_or_else(|| missing(&rename.old_alias_name))?;
            aliases.insert(rename.new_alias_name.clone(), name);
        }
        Some(Action::DeleteAlias(delete)) => {
            aliases.remove(&delete.alias_name);
        }
        None => return Err(Status::invalid_argument("no action")),
    }
    Ok(())
}

fn missing(name: &str) -> Status {
    Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"))
}
