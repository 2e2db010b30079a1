//! Opening what the configuration names. The scheme of each URL picks the backend.

mod models;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use vectrion_backends::{objects::ObjectBackend, vectors::VectorBackend, wakeups::WakeupBackend};
use vectrion_core::ports::Tokenizer;
use vectrion_pipeline::Ports;
use vectrion_store::{SchemaStatus, Store};

pub(crate) use self::models::examine as examine_models;
use crate::{
    app::StartError,
    clock::SystemClock,
    config::{Config, ConfigError},
};
