//! I3: somebody who searches all the time, and never sees what is another's, or no longer there.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{
    Expected, Load,
    documents::{is_of_another, tenant_word},
    lock,
};

const EVERY: Duration = Duration::from_millis(250);

/// Searches until it is dropped.
pub struct Reader {
    task: JoinHandle<()>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Reader {
    pub fn start(load: &Arc<Load>) -> Self {
        let violations = Arc::<Mutex<Vec<String>>>::default();
        let (load, told) = (Arc::clone(load), Arc::clone(&violations));
        let task = tokio::spawn(async move {
            let mut turn = 0_usize;
            loop {
                tokio::time::sleep(EVERY).await;
                turn += 1;
                let (tenant, server) = (turn % load.tenants.len(), turn % 2);
                // Documents whose deletion was acknowledged before the question was asked.
                let gone: HashSet<String> = load
                    .entries()
                    .into_iter()
                    .filter(|entry| entry.expected == Expected::Gone)
                    .map(|entry| entry.document_id)
                    .collect();
                let query = format!("Which light stands north of the skerries at {}?", tenant_word(turn / 2));
                let Ok(passages) = load.search(server, tenant, &query).await else { continue };
                for passage in passages {
                    if is_of_another(tenant, &passage.text) {
                        let what = format!("I3: tenant {tenant} saw a passage of document {}", passage.document_id);
                        lock(&told).push(what);
                    }
                    if gone.contains(&passage.document_id) {
                        lock(&told)
                            .push(format!("I3: a search saw document {} after its deletion", passage.document_id));
                    }
                }
            }
        });
        Self { task, violations }
    }

    /// What was wrong so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
