//! The tonic services, authentication and status mapping.
