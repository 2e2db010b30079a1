//! Failures that a test orders.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use vectrion_core::{Error, Result};

/// What goes wrong in a call.
#[derive(Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails.
    Error(Error),
    /// It panics.
    Panic,
    /// It takes longer, then goes well.
    Delay(Duration),
    /// It never comes back.
    Hang,
}

/// Faults of the next calls, one each, in order.
#[derive(Debug, Default)]
pub struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    /// Orders a fault for the next call that has none yet.
    pub fn push(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Faults that have not struck yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) async fn strike(&self) -> Result<()> {
        let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault {
            None | Some(Fault::None) => Ok(()),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::Panic) => panic!("a test ordered this panic"),
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }
}
