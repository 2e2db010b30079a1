//! Tenants, collections and keys.

use uuid::Uuid;
use vectrion::v1;
use vectrion_core::{Error, Result, ids::TenantId, tenancy::Role, time::Timestamp};
use vectrion_pipeline::{CollectionRef, administration::TenantRef, identity::NewKey};

use super::fields::timestamp;

const MAX_NAME_BYTES: usize = 128;
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// A tenant by name or id; empty is the key's own.
pub(crate) fn tenant(text: String) -> TenantRef {
    TenantRef(text)
}

/// A tenant that has to be named, so that nobody changes their own by leaving a field out.
pub(crate) fn named_tenant(text: String) -> Result<TenantRef> {
    if text.is_empty() {
        return Err(Error::invalid_field("tenant", "must be the name or id of a tenant"));
    }
    Ok(TenantRef(text))
}

/// A collection that has to be named.
pub(crate) fn collection(field: &str, text: &str) -> Result<CollectionRef> {
    if text.is_empty() {
        return Err(Error::invalid_field(field, "must be the name or id of a collection"));
    }
    Ok(CollectionRef::parse(text))
}

/// A name of a tenant or a collection. A UUID would be taken for an id wherever either may stand.
pub(crate) fn name(field: &str, text: &str) -> Result<()> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(known) {
        let rule = format!("has 1 to {MAX_NAME_BYTES} ASCII letters, digits, `-`, `_` and `.`");
        return Err(Error::invalid_field(field, rule));
    }
    if Uuid::try_parse(text).is_ok() {
        return Err(Error::invalid_field(field, "must not be a UUID, which would be taken for an id"));
    }
    Ok(())
}

/// A text for people.
pub(crate) fn description(field: &str, text: &str) -> Result<()> {
    if text.len() > MAX_DESCRIPTION_BYTES {
        return Err(Error::invalid_field(field, format!("has at most {MAX_DESCRIPTION_BYTES} bytes")));
    }
    Ok(())
}

/// New name and description of a collection, each if it is to change.
pub(crate) fn collection_change<'a>(
    new_name: &'a Option<String>,
    new_description: &'a Option<String>,
) -> Result<(Option<&'a str>, Option<&'a str>)> {
    new_name.iter().try_for_each(|text| name("name", text))?;
    new_description.iter().try_for_each(|text| description("description", text))?;
    Ok((new_name.as_deref(), new_description.as_deref()))
}

/// The new name of a key, if it is to change.
pub(crate) fn optional_key_name<'a>(field: &str, text: Option<&'a str>) -> Result<Option<&'a str>> {
    text.iter().try_for_each(|text| key_name(field, text))?;
    Ok(text)
}

fn key_name(field: &str, text: &str) -> Result<()> {
    if text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
        let rule = format!("has at most {MAX_NAME_BYTES} bytes and no control characters");
        return Err(Error::invalid_field(field, rule));
    }
    Ok(())
}

/// A key to make. `own` is the caller's tenant; the use case puts the one that was asked for in its place.
pub(crate) fn new_key(message: v1::CreateApiKeyRequest, own: TenantId, now: Timestamp) -> Result<NewKey> {
    let role = match v1::Role::try_from(message.role) {
        Ok(v1::Role::User) => Role::User,
        Ok(v1::Role::Editor) => Role::Editor,
        Ok(v1::Role::Admin) => Role::Admin,
        Ok(v1::Role::Operator) => Role::Operator,
        Ok(v1::Role::Unspecified) | Err(_) => {
            return Err(Error::invalid_field("role", "must be ROLE_USER, ROLE_EDITOR, ROLE_ADMIN or ROLE_OPERATOR"));
        }
    };
    key_name("name", &message.name)?;
    let expire_time = message.expire_time.map(|time| timestamp("expire_time", &time)).transpose()?;
    if expire_time.is_some_and(|time| time <= now) {
        return Err(Error::invalid_field("expire_time", "must be in the future"));
    }
    Ok(NewKey { tenant: own, role, name: message.name, expire_time })
}

/// The new expiry of a key: none if it stays, `Some(None)` if it goes away.
pub(crate) fn expiry_change(
    expire_time: Option<prost_types::Timestamp>,
    never_expires: bool,
) -> Result<Option<Option<Timestamp>>> {
    match (expire_time, never_expires) {
        (Some(_), true) => Err(Error::invalid_field("never_expires", "excludes expire_time")),
        (Some(time), false) => Ok(Some(Some(timestamp("expire_time", &time)?))),
        (None, true) => Ok(Some(None)),
        (None, false) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::tests::field;

    #[test]
    fn names_have_their_letters_and_are_no_ids() {
        for fine in ["a", "Reports-2026_v1.2", &"x".repeat(128)] {
            assert!(name("name", fine).is_ok(), "{fine}");
        }
        for bad in ["", "a b", "a/b", "é", &"x".repeat(129), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] {
            assert_eq!(field(name("name", bad)), "name");
        }
    }

    #[test]
    fn what_is_changed_or_deleted_has_to_be_named() {
        assert_eq!(field(named_tenant(String::new())), "tenant");
        assert_eq!(field(collection("collection", "")), "collection");
        assert_eq!(tenant(String::new()), TenantRef(String::new()));
    }

    #[test]
    fn absent_parts_of_a_collection_stay() {
        assert_eq!(collection_change(&None, &None).expect("fine"), (None, None));
        let (name, description) = (Some("b".to_owned()), Some(String::new()));
        assert_eq!(collection_change(&name, &description).expect("fine"), (Some("b"), Some("")));
        assert_eq!(field(collection_change(&Some(String::new()), &None)), "name");
        assert_eq!(field(collection_change(&None, &Some("x".repeat(1025)))), "description");
    }

    fn key(change: fn(&mut v1::CreateApiKeyRequest)) -> Result<NewKey> {
        let mut message = v1::CreateApiKeyRequest { role: v1::Role::Editor.into(), ..Default::default() };
        change(&mut message);
        new_key(message, TenantId(Uuid::nil()), Timestamp(1_000_000))
    }

    fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn keys_have_a_role_and_expire_in_the_future() {
        let made = key(|k| k.expire_time = seconds(1001)).expect("fine");
        assert_eq!((made.role, made.expire_time), (Role::Editor, Some(Timestamp(1_001_000))));
        assert_eq!(key(|_| ()).expect("fine").expire_time, None);
        let refused = |change| field(key(change).map(|_| ()));
        assert_eq!(refused(|k| k.role = 0), "role");
        assert_eq!(refused(|k| k.role = 17), "role");
        assert_eq!(refused(|k| k.name = "x".repeat(129)), "name");
        assert_eq!(refused(|k| k.expire_time = seconds(1000)), "expire_time");
        assert_eq!(refused(|k| k.expire_time = seconds(i64::MAX)), "expire_time");
    }

    #[test]
    fn an_expiry_is_set_taken_away_or_left() {
        assert_eq!(expiry_change(None, false).expect("fine"), None);
        assert_eq!(expiry_change(None, true).expect("fine"), Some(None));
        assert_eq!(expiry_change(seconds(2), false).expect("fine"), Some(Some(Timestamp(2000))));
        assert_eq!(field(expiry_change(seconds(2), true)), "never_expires");
    }
}
