//! `vectrion migrate`.

use crate::{
    args::{ConfigArgs, Connection},
    failure::Failure,
    output::Output,
};

pub(crate) async fn run(connection: &Connection, args: &ConfigArgs, output: &Output) -> Result<(), Failure> {
    let config = super::config::load(connection, args, Vec::new())?;
    let migrated = vectrion_runtime::migrate(&config).await.map_err(super::serve::refuse)?;
    for name in &migrated.applied {
        output.line(&format!("applied {name}"))?;
    }
    if let Some(backup) = &migrated.backup {
        output.line(&format!("the file as it was before: {}", backup.display()))?;
    }
    if migrated.applied.is_empty() {
        output.line("the database is up to date")?;
    }
    Ok(())
}
