//! `sslmode=verify-full`: a PostgreSQL server whose certificate a private authority has signed.

use vectrion_store::{Store, StoreSettings};
use vectrion_testkit::{services, tls_service::TlsService};

#[tokio::test]
async fn a_database_server_is_trusted_by_its_authority_alone() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if services::address("VECTRION_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let service = TlsService::start("postgres");
    assert!(service.url.contains("sslmode=verify-full"), "{}", service.url);
    let store = Store::connect(&service.url, &StoreSettings::default()).await.expect("it is trusted");
    store.migrate().await.expect("tables");
    store.close().await.expect("closed");

    let (plain, _) = service.url.split_once('?').expect("options");
    let unknown = format!("{plain}?sslmode=verify-full");
    let error = Store::connect(&unknown, &StoreSettings::default()).await.expect_err("nobody vouches for it");
    assert!(error.message().contains("database.url"), "it names the setting: {error}");
}
