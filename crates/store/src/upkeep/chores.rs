//! Chores that one process does at a time.

use crate::{Store, failure::Outcome, sql, time};

pub(super) async fn hold(store: &Store, chore: &str, holder: &str, hold_for: i64) -> Outcome<bool> {
    let now = time::now_expression(store.backend());
    // One statement: of several at once, the later ones wait for the first, and see its holder.
    let held = sql::across_tenants(
        format!(
            "INSERT INTO chores (name, holder, expire_time) VALUES ($1, $2, {now} + $3)
                ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expire_time = excluded.expire_time
                WHERE chores.holder = excluded.holder OR chores.expire_time <= {now}"
        ),
        [chore.into(), holder.into(), hold_for.into()],
    )
    .execute(store.writer())
    .await?;
    Ok(held == 1)
}

pub(super) async fn release(store: &Store, chore: &str, holder: &str) -> Outcome<()> {
    sql::across_tenants("DELETE FROM chores WHERE name = $1 AND holder = $2", [chore.into(), holder.into()])
        .execute(store.writer())
        .await?;
    Ok(())
}
