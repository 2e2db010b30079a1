//! What every call goes through before and after its handler: trace, authentication, authorisation, deadline, limits,
//! record.

mod body;
mod deadline;
mod layer;
mod logins;
mod record;
mod request;
mod trace;

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use vectrion_core::tenancy::CallContext;

pub(crate) use self::layer::{Authenticate, CallLayer, Shared};
use crate::connection::Attendance;

/// What a handler knows of its call; in the extensions of the request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) context: CallContext,
    pub(crate) attendance: Arc<Attendance>,
    /// One of the calls that the server has in hand; taken as long as somebody works on it.
    pub(crate) _place: Option<Arc<OwnedSemaphorePermit>>,
}
