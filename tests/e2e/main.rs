//! What users do, end to end: through the generated stubs against a server with everything real behind it.
//!
//! One binary, because each links everything.

mod answers;
mod documents;
mod identity;
mod support;
mod uploads;
