//! `vectrion admin tenants`.

use vectrion::client::Client;
use vectrion::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, Tenant, UpdateTenantRequest,
};

use super::PAGE;
use crate::{
    args::TenantsCommand,
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, command: TenantsCommand) -> Result<(), Failure> {
    let mut admin = client.admin();
    let tenant = match command {
        TenantsCommand::List => {
            let mut page_token = String::new();
            loop {
                let request = ListTenantsRequest { page_size: PAGE, page_token };
                let response = admin.list_tenants(request).await?.into_inner();
                for tenant in &response.tenants {
                    output.message("Tenant", tenant, describe)?;
                }
                page_token = response.next_page_token;
                if page_token.is_empty() {
                    return Ok(());
                }
            }
        }
        TenantsCommand::Delete { tenant } => {
            admin.delete_tenant(DeleteTenantRequest { tenant, request_id: String::new() }).await?;
            output::note("deleted");
            return Ok(());
        }
        TenantsCommand::Create { name } => {
            admin.create_tenant(CreateTenantRequest { name, request_id: String::new() }).await?.into_inner().tenant
        }
        TenantsCommand::Show { tenant } => admin.get_tenant(GetTenantRequest { tenant }).await?.into_inner().tenant,
        TenantsCommand::Rename { tenant, name } => {
            let request = UpdateTenantRequest { tenant, name, request_id: String::new() };
            admin.update_tenant(request).await?.into_inner().tenant
        }
    };
    output.message("Tenant", &tenant.unwrap_or_default(), describe)
}

fn describe(tenant: &Tenant) -> String {
    format!("{}  {}  created {}", tenant.tenant_id, tenant.name, output::time(tenant.create_time.as_ref()))
}
