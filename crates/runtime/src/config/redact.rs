//! Showing settings without secrets.

use toml::{Table, Value};

const HIDDEN: &str = "(set, not shown)";

/// Whether a key holds a secret, by its name.
fn is_secret(key: &str) -> bool {
    ["api_key", "pepper", "secret", "secret_access_key", "password", "token", "headers", "proxy"]
        .iter()
        .any(|word| key.ends_with(word))
}

/// A URL without user information and without its query; any other text as it is.
#[must_use]
pub fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // Before anything else: a password may have a slash. What has a question mark too may as well be a query with an `@`.
    let address = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains('?') => HIDDEN,
        Some((_, address)) => address,
        None => rest,
    };
    let address = address.split_once('?').map_or(address, |(address, _)| address);
    format!("{scheme}://{address}")
}

pub(super) fn to_toml(table: &Table) -> String {
    toml::to_string_pretty(&hide(table)).unwrap_or_default()
}

fn hide(table: &Table) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let shown = match value {
                Value::Table(inner) => Value::Table(hide(inner)),
                Value::String(text) if text.is_empty() => value.clone(),
                Value::Array(items) if items.is_empty() => value.clone(),
                _ if is_secret(key) => Value::String(HIDDEN.to_owned()),
                Value::String(text) => Value::String(redacted(text)),
                other => other.clone(),
            };
            (key.clone(), shown)
        })
        .collect()
}
