//! What a client of the killed processes may expect to find.

use std::collections::{BTreeMap, BTreeSet};

const GONE: &str = "gone";

/// For each document what it may be: the SHA-256 of its bytes, or gone. One thing after an acknowledgement; more while
/// nobody knows whether a call was carried out.
#[derive(Default)]
pub struct Model(BTreeMap<String, BTreeSet<String>>);

impl Model {
    /// Reads `try NAME WHAT`, `ack NAME WHAT`.
    pub fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(verb), Some(name), Some(what), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            panic!("not a line of a client: {line}");
        };
        let may_be = self.0.entry(name.to_owned()).or_insert_with(|| BTreeSet::from([GONE.to_owned()]));
        match verb {
            "try" => {}
            "ack" => may_be.clear(),
            other => panic!("not a line of a client: {other}"),
        }
        may_be.insert(what.to_owned());
    }

    /// Compares with the documents that are there, by external id and SHA-256.
    pub fn assert_holds<'a>(&self, documents: impl Iterator<Item = (&'a str, &'a str)>) {
        let documents: BTreeMap<&str, &str> = documents.collect();
        for (name, may_be) in &self.0 {
            let is = documents.get(name.as_str()).copied().unwrap_or(GONE);
            assert!(may_be.contains(is), "{name} is {is}, but may be {may_be:?}");
        }
        for name in documents.keys() {
            assert!(self.0.contains_key(*name), "nobody uploaded {name}");
        }
    }
}
