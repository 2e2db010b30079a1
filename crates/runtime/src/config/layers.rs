//! Merging one source over another, with the defaults as the list of what is known.

use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;

/// The suffix of a key that names a file to read the value from.
pub(super) const FILE_SUFFIX: &str = "_file";

pub(super) fn merge_file(table: &mut Table, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let file: Table = text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
    merge(table, &file, "", &path.display().to_string())
}

fn merge(known: &mut Table, given: &Table, prefix: &str, origin: &str) -> Result<(), ConfigError> {
    for (key, value) in given {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if let (Some(Value::Table(known)), Value::Table(given)) = (known.get_mut(key), value) {
            merge(known, given, &path, origin)?;
            continue;
        }
        if let Some(current) = known.get(key) {
            let value = coerce(current, value.clone()).ok_or_else(|| ConfigError::WrongType {
                origin: origin.to_owned(),
                key: path,
                expected: name(current),
            })?;
            known.insert(key.clone(), value);
            continue;
        }
        let base = key.strip_suffix(FILE_SUFFIX).filter(|base| matches!(known.get(*base), Some(Value::String(_))));
        match (base, value) {
            (Some(base), Value::String(file)) => {
                known.insert(base.to_owned(), Value::String(read_secret(Path::new(file))?));
            }
            (Some(_), _) => {
                return Err(ConfigError::WrongType { origin: origin.to_owned(), key: path, expected: "a file name" });
            }
            (None, _) => {
                let hint = nearest(known.keys().map(String::as_str), key);
                return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: path, hint });
            }
        }
    }
    Ok(())
}

/// Sets a value given as text, read by the type of the default.
pub(super) fn set_from_text(table: &mut Table, path: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let Some(current) = lookup(table, path) else {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let siblings =
            if section.is_empty() { Some(&*table) } else { lookup(table, section).and_then(Value::as_table) };
        let hint = siblings.map(|known| nearest(known.keys().map(String::as_str), key)).unwrap_or_default();
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: path.to_owned(), hint });
    };
    let value = match current {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => match text.trim() {
            "true" | "1" | "yes" | "on" => Some(Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Array(_) => Some(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.into()))
                .collect(),
        )),
        Value::Datetime(_) | Value::Table(_) => None,
    };
    let value = value.ok_or_else(|| ConfigError::WrongType {
        origin: origin.to_owned(),
        key: path.to_owned(),
        expected: name(current),
    })?;
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let target = if section.is_empty() { Some(table) } else { table.get_mut(section).and_then(Value::as_table_mut) };
    if let Some(target) = target {
        target.insert(key.to_owned(), value);
    }
    Ok(())
}

pub(super) fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_table()?.get(part))
}

/// Replaces `{data_dir}` in every text.
pub(super) fn expand(table: &mut Table, data_dir: &Path) {
    let data_dir = data_dir.display().to_string();
    for (_, value) in table.iter_mut() {
        match value {
            Value::String(text) => *text = text.replace("{data_dir}", &data_dir),
            Value::Table(inner) => {
                for (_, value) in inner.iter_mut() {
                    if let Value::String(text) = value {
                        *text = text.replace("{data_dir}", &data_dir);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The first line of a file that holds a secret.
pub(super) fn read_secret(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A whole number also stands for one with a fraction.
fn coerce(current: &Value, given: Value) -> Option<Value> {
    match (current, given) {
        #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
        (Value::Float(_), Value::Integer(number)) => Some(Value::Float(number as f64)),
        (current, given) if current.same_type(&given) => Some(given),
        _ => None,
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
        Value::Datetime(_) => "a time",
    }
}

/// The known name nearest to a misspelt one, as a sentence; empty if none is near.
pub(super) fn nearest<'a>(known: impl Iterator<Item = &'a str>, given: &str) -> String {
    known
        .map(|name| (distance(name, given), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
