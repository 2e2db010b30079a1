//! `vectrion keys`.

use prost_types::Timestamp;
use vectrion::client::Client;
use vectrion::v1::{ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest, Role};
use vectrion_core::time::Clock as _;
use vectrion_runtime::clock::SystemClock;

use crate::{
    args::{KeysCommand, RoleName},
    failure::Failure,
    output::{self, Output},
};

const DAY_S: i64 = 24 * 3600;

pub(crate) async fn run(client: &Client, output: &Output, command: KeysCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    match command {
        KeysCommand::Create { tenant, role, name, expires_in_days } => {
            let expire_time = expires_in_days
                .map(|days| Timestamp { seconds: SystemClock.now().0 / 1000 + i64::from(days) * DAY_S, nanos: 0 });
            let request = CreateApiKeyRequest {
                tenant: tenant.unwrap_or_default(),
                role: role_of(role).into(),
                name,
                expire_time,
                request_id: String::new(),
            };
            let response = admin.create_api_key(request).await?.into_inner();
            output.message("CreateApiKeyResponse", &response, |response| response.secret.clone())?;
            if !output.is_json() {
                output::note(&format!("key {}: this is its secret, shown this once", response.key_id));
            }
            Ok(())
        }
        KeysCommand::List { tenant } => {
            let mut page_token = String::new();
            loop {
                let request =
                    ListApiKeysRequest { tenant: tenant.clone().unwrap_or_default(), page_size: 200, page_token };
                let response = admin.list_api_keys(request).await?.into_inner();
                for key in &response.api_keys {
                    output.message("ApiKey", key, describe)?;
                }
                page_token = response.next_page_token;
                if page_token.is_empty() {
                    return Ok(());
                }
            }
        }
        KeysCommand::Revoke { id, tenant } => {
            let request =
                RevokeApiKeyRequest { tenant: tenant.unwrap_or_default(), key_id: id, request_id: String::new() };
            let response = admin.revoke_api_key(request).await?.into_inner();
            output.message("ApiKey", &response.api_key.unwrap_or_default(), describe)
        }
    }
}

fn role_of(role: RoleName) -> Role {
    match role {
        RoleName::User => Role::User,
        RoleName::Editor => Role::Editor,
        RoleName::Admin => Role::Admin,
        RoleName::Operator => Role::Operator,
    }
}

fn describe(key: &ApiKey) -> String {
    let role = key.role().as_str_name().trim_start_matches("ROLE_").to_lowercase();
    let state = match (&key.revoke_time, &key.expire_time) {
        (Some(revoked), _) => format!("revoked {}", output::time(Some(revoked))),
        (None, Some(expires)) => format!("expires {}", output::time(Some(expires))),
        (None, None) => "active".to_owned(),
    };
    format!("{}  {role:<8}  {}…  {state}  {}", key.key_id, key.prefix, key.name)
}
