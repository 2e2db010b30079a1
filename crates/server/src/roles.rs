//! Who may call what: the one table of calls and roles.

use vectrion_core::{Error, ErrorKind, Result, tenancy::Role};

/// What a caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody, without a key.
    Public,
    /// A key of this role or a stronger one. Roles grow: user, editor, admin, operator.
    AtLeast(Role),
}

/// How a call runs, which decides its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One message each way.
    Unary,
    /// A stream of the caller's, one message back.
    Upload,
    /// A stream back that ends by itself.
    Stream,
    /// A stream that goes on until somebody ends it; at the latest the shutdown.
    Watch,
}

impl Pace {
    /// Whether the response is a stream.
    pub(crate) fn streams_back(self) -> bool {
        matches!(self, Self::Stream | Self::Watch)
    }
}

/// A call and its rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Full name of the service.
    pub(crate) service: &'static str,
    /// Name of the method.
    pub(crate) method: &'static str,
    pub(crate) access: Access,
    pub(crate) pace: Pace,
}

const fn rule(service: &'static str, method: &'static str, access: Access, pace: Pace) -> Rule {
    Rule { service, method, access, pace }
}

const INGESTION: &str = "vectrion.v1.IngestionService";
const QUERY: &str = "vectrion.v1.QueryService";
const ADMIN: &str = "vectrion.v1.AdminService";

const USER: Access = Access::AtLeast(Role::User);
const EDITOR: Access = Access::AtLeast(Role::Editor);
const TENANT_ADMIN: Access = Access::AtLeast(Role::Admin);
const OPERATOR: Access = Access::AtLeast(Role::Operator);

/// Every call. What is not here is refused. Which tenant's data a call touches is not decided here: the use cases work
/// within the key's own tenant, and only `Administration` lets an operator name another one.
pub(crate) static RULES: &[Rule] = &[
    rule(INGESTION, "UploadDocument", EDITOR, Pace::Upload),
    rule(INGESTION, "CreateUpload", EDITOR, Pace::Unary),
    rule(INGESTION, "UploadChunk", EDITOR, Pace::Unary),
    rule(INGESTION, "GetUpload", USER, Pace::Unary),
    rule(INGESTION, "CompleteUpload", EDITOR, Pace::Upload),
    rule(INGESTION, "AbortUpload", EDITOR, Pace::Unary),
    rule(INGESTION, "GetDocument", USER, Pace::Unary),
    rule(INGESTION, "ListDocuments", USER, Pace::Unary),
    rule(INGESTION, "UpdateDocument", EDITOR, Pace::Unary),
    rule(INGESTION, "DeleteDocument", EDITOR, Pace::Unary),
    rule(INGESTION, "RetryDocument", EDITOR, Pace::Unary),
    rule(INGESTION, "WatchDocuments", USER, Pace::Watch),
    rule(INGESTION, "ListDocumentVersions", USER, Pace::Unary),
    rule(INGESTION, "ListChunks", USER, Pace::Unary),
    rule(INGESTION, "ListPages", USER, Pace::Unary),
    rule(INGESTION, "GetDocumentContent", USER, Pace::Stream),
    rule(INGESTION, "CancelDocument", EDITOR, Pace::Unary),
    rule(INGESTION, "GetDeletionReceipt", EDITOR, Pace::Unary),
    rule(INGESTION, "ListDeletionReceipts", EDITOR, Pace::Unary),
    rule(QUERY, "Retrieve", USER, Pace::Unary),
    rule(QUERY, "Answer", USER, Pace::Stream),
    rule(QUERY, "ResumeAnswer", USER, Pace::Stream),
    rule(QUERY, "CancelAnswer", USER, Pace::Unary),
    rule(QUERY, "GetAnswer", USER, Pace::Unary),
    rule(ADMIN, "CreateTenant", OPERATOR, Pace::Unary),
    rule(ADMIN, "GetTenant", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListTenants", OPERATOR, Pace::Unary),
    rule(ADMIN, "UpdateTenant", OPERATOR, Pace::Unary),
    rule(ADMIN, "DeleteTenant", OPERATOR, Pace::Unary),
    rule(ADMIN, "CreateCollection", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "GetCollection", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListCollections", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "UpdateCollection", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "DeleteCollection", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "CreateApiKey", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "GetApiKey", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListApiKeys", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "UpdateApiKey", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "RevokeApiKey", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListJobs", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "GetJob", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListWorkers", OPERATOR, Pace::Unary),
    rule(ADMIN, "ListDeadLetters", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "GetDeadLetter", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ReplayDeadLetter", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "GetServerInfo", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListDeadLetterCauses", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ReplayDeadLetters", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "PurgeDeadLetters", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ListQueues", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "WatchQueues", TENANT_ADMIN, Pace::Watch),
    rule(ADMIN, "Reconcile", TENANT_ADMIN, Pace::Stream),
    rule(ADMIN, "GetLifecyclePolicy", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "SetLifecyclePolicy", TENANT_ADMIN, Pace::Unary),
    rule(ADMIN, "ApplyLifecyclePolicy", TENANT_ADMIN, Pace::Stream),
    rule("grpc.health.v1.Health", "Check", Access::Public, Pace::Unary),
    rule("grpc.health.v1.Health", "Watch", Access::Public, Pace::Watch),
    rule("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", USER, Pace::Watch),
    rule("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", USER, Pace::Watch),
];

/// The rule of the call with this path (`/package.Service/Method`).
pub(crate) fn find(path: &str) -> Option<&'static Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    RULES.iter().find(|rule| rule.service == service && rule.method == method)
}

impl Rule {
    /// Whether a key of this role may make the call.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, reason `ROLE_TOO_WEAK`.
    pub(crate) fn check(&self, role: Role) -> Result<()> {
        match self.access {
            Access::AtLeast(least) if role < least => Err(Error::new(
                ErrorKind::PermissionDenied,
                "ROLE_TOO_WEAK",
                format!(
                    "{} takes a key of role {}, this key's is {}; ask an administrator for another key",
                    self.method,
                    least.as_str(),
                    role.as_str()
                ),
            )
            .with_metadata("role", role.as_str())
            .with_metadata("required_role", least.as_str())),
            Access::AtLeast(_) | Access::Public => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    /// Who may call what, a second time and in another form: u(ser), e(ditor), a(dmin), o(perator), p(ublic).
    const EXPECTED: &str = "
        IngestionService/UploadDocument e a o
        IngestionService/CreateUpload e a o
        IngestionService/UploadChunk e a o
        IngestionService/GetUpload u e a o
        IngestionService/CompleteUpload e a o
        IngestionService/AbortUpload e a o
        IngestionService/GetDocument u e a o
        IngestionService/ListDocuments u e a o
        IngestionService/UpdateDocument e a o
        IngestionService/DeleteDocument e a o
        IngestionService/RetryDocument e a o
        IngestionService/WatchDocuments u e a o
        IngestionService/ListDocumentVersions u e a o
        IngestionService/ListChunks u e a o
        IngestionService/ListPages u e a o
        IngestionService/GetDocumentContent u e a o
        IngestionService/CancelDocument e a o
        IngestionService/GetDeletionReceipt e a o
        IngestionService/ListDeletionReceipts e a o
        QueryService/Retrieve u e a o
        QueryService/Answer u e a o
        QueryService/ResumeAnswer u e a o
        QueryService/CancelAnswer u e a o
        QueryService/GetAnswer u e a o
        AdminService/CreateTenant o
        AdminService/GetTenant a o
        AdminService/ListTenants o
        AdminService/UpdateTenant o
        AdminService/DeleteTenant o
        AdminService/CreateCollection a o
        AdminService/GetCollection a o
        AdminService/ListCollections a o
        AdminService/UpdateCollection a o
        AdminService/DeleteCollection a o
        AdminService/CreateApiKey a o
        AdminService/GetApiKey a o
        AdminService/ListApiKeys a o
        AdminService/UpdateApiKey a o
        AdminService/RevokeApiKey a o
        AdminService/ListJobs a o
        AdminService/GetJob a o
        AdminService/ListWorkers o
        AdminService/ListDeadLetters a o
        AdminService/GetDeadLetter a o
        AdminService/ReplayDeadLetter a o
        AdminService/GetServerInfo a o
        AdminService/ListDeadLetterCauses a o
        AdminService/ReplayDeadLetters a o
        AdminService/PurgeDeadLetters a o
        AdminService/ListQueues a o
        AdminService/WatchQueues a o
        AdminService/Reconcile a o
        AdminService/GetLifecyclePolicy a o
        AdminService/SetLifecyclePolicy a o
        AdminService/ApplyLifecyclePolicy a o
    ";

    /// Every RPC of the descriptor set as (service, method, client streams, server streams).
    fn declared() -> Vec<(String, String, bool, bool)> {
        let set = prost_types::FileDescriptorSet::decode(vectrion::FILE_DESCRIPTOR_SET).expect("the descriptor set");
        let mut calls = Vec::new();
        for file in set.file.iter().filter(|file| file.package() == "vectrion.v1") {
            for service in &file.service {
                for method in &service.method {
                    calls.push((
                        format!("vectrion.v1.{}", service.name()),
                        method.name().to_owned(),
                        method.client_streaming(),
                        method.server_streaming(),
                    ));
                }
            }
        }
        calls
    }

    #[test]
    fn every_call_of_the_contract_has_exactly_one_rule_of_its_shape() {
        let declared = declared();
        assert!(declared.len() > 40, "the descriptor set was read");
        for (service, method, client_streams, server_streams) in &declared {
            let rules: Vec<_> = RULES.iter().filter(|rule| rule.service == service && rule.method == method).collect();
            assert_eq!(rules.len(), 1, "rules of {service}/{method}");
            assert_eq!(rules[0].pace.streams_back(), *server_streams, "{service}/{method}");
            assert!(!client_streams || rules[0].pace == Pace::Upload, "{service}/{method}");
        }
        let declared: BTreeSet<_> =
            declared.iter().map(|(service, method, ..)| format!("/{service}/{method}")).collect();
        for rule in RULES.iter().filter(|rule| rule.service.starts_with("vectrion.")) {
            assert!(declared.contains(&format!("/{}/{}", rule.service, rule.method)), "{} is no call", rule.method);
        }
    }

    #[test]
    fn every_role_gets_what_it_should_of_every_call() {
        let mut cells = 0;
        let mut listed = BTreeSet::new();
        for line in EXPECTED.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (call, roles) = line.split_once(' ').expect("call and roles");
            let rule = find(&format!("/vectrion.v1.{call}")).unwrap_or_else(|| panic!("{call} has no rule"));
            listed.insert(format!("vectrion.v1.{call}"));
            for (letter, role) in ["u", "e", "a", "o"].into_iter().zip(Role::ALL) {
                let allowed = rule.check(role);
                assert_eq!(
                    allowed.is_ok(),
                    roles.split(' ').any(|role| role == letter),
                    "{call} for {}",
                    role.as_str()
                );
                if let Err(error) = allowed {
                    assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, "ROLE_TOO_WEAK"));
                }
                cells += 1;
            }
        }
        let declared: BTreeSet<_> =
            declared().iter().map(|(service, method, ..)| format!("{service}/{method}")).collect();
        assert_eq!(listed, declared, "the expectation names every call once");
        assert_eq!(cells, 4 * declared.len());
    }

    #[test]
    fn only_health_is_public() {
        for rule in RULES {
            assert_eq!(rule.access == Access::Public, rule.service == "grpc.health.v1.Health", "{}", rule.service);
        }
    }

    #[test]
    fn unknown_paths_have_no_rule() {
        for path in [
            "",
            "/",
            "/vectrion.v1.AdminService",
            "/vectrion.v1.AdminService/",
            "/x/CreateTenant",
            "/vectrion.v1.AdminService/createTenant",
            "vectrion.v1.AdminService/CreateTenant",
            "/vectrion.v1.AdminService/CreateTenant/x",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
