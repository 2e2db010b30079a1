//! The use cases of Vectrion: ingest, retrieve, answer, administer; ports only.
