//! Settings from `VECTRION_…` variables.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, layers};

const PREFIX: &str = "VECTRION_";

/// Variables that are read elsewhere: by the client commands, by the Makefile, by the tests, or before the merge.
const RESERVED: [&str; 6] = [
    "VECTRION_ADDR",
    "VECTRION_API_KEY",
    "VECTRION_CACHE_DIR",
    "VECTRION_CA_CERT",
    "VECTRION_CONFIG",
    "VECTRION_PROFILE",
];
const RESERVED_PREFIXES: [&str; 2] = ["VECTRION_TEST_", "VECTRION_BENCH_"];

/// Merges variables over `table`. An unknown one is a warning, because other programs may use the prefix.
pub(super) fn merge(
    table: &mut Table,
    variables: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let known: Vec<(String, String)> = paths(table);
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if value.is_empty()
            || RESERVED.contains(&name.as_str())
            || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        {
            continue;
        }
        if let Some((path, _)) = known.iter().find(|(_, variable)| variable == name) {
            layers::set_from_text(table, path, value, name)?;
        } else if let Some((path, _)) = name
            .strip_suffix("_FILE")
            .and_then(|base| known.iter().find(|(_, variable)| variable == base))
            .filter(|(path, _)| matches!(layers::lookup(table, path), Some(Value::String(_))))
        {
            let secret = layers::read_secret(Path::new(value))?;
            layers::set_from_text(table, path, &secret, name)?;
        } else {
            let hint = layers::nearest(known.iter().map(|(_, variable)| variable.as_str()), name);
            warnings.push(format!("unknown variable {name} is ignored{hint}"));
        }
    }
    Ok(())
}

/// Every setting's path with the name of its variable.
fn paths(table: &Table) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => {
                out.extend(section.keys().map(|inner| (format!("{key}.{inner}"), variable(&format!("{key}_{inner}")))));
            }
            _ => out.push((key.clone(), variable(key))),
        }
    }
    out
}

fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase())
}
