//! Database migrations of Vectrion.
