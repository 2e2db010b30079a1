//! Mutations that are made once per request id.

use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;
use uuid::Uuid;
use vectrion::v1;
use vectrion_core::{Result, ports::Idempotency, tenancy::CallContext};
use vectrion_pipeline::idempotency::{self, IdempotentCall, Replayed};

use super::handling::unary;
use crate::{call::Call, decode};

/// A request that a caller may name by a `request_id`.
pub(crate) trait Mutation: Message {
    /// Name of its method.
    const METHOD: &'static str;

    /// Takes the id out, so that what is left are the parameters.
    fn take_request_id(&mut self) -> String;
}

macro_rules! mutations {
    ($($method:ident: $request:ident),* $(,)?) => {
        #[cfg(test)]
        const METHODS: &[&str] = &[$(stringify!($method)),*];
        $(
        impl Mutation for v1::$request {
            const METHOD: &'static str = stringify!($method);

            fn take_request_id(&mut self) -> String {
                std::mem::take(&mut self.request_id)
            }
        }
        )*
    };
}

mutations! {
    CreateUpload: CreateUploadRequest,
    CompleteUpload: CompleteUploadRequest,
    AbortUpload: AbortUploadRequest,
    UpdateDocument: UpdateDocumentRequest,
    DeleteDocument: DeleteDocumentRequest,
    RetryDocument: RetryDocumentRequest,
    CancelDocument: CancelDocumentRequest,
    CancelAnswer: CancelAnswerRequest,
    CreateTenant: CreateTenantRequest,
    UpdateTenant: UpdateTenantRequest,
    DeleteTenant: DeleteTenantRequest,
    CreateCollection: CreateCollectionRequest,
    UpdateCollection: UpdateCollectionRequest,
    DeleteCollection: DeleteCollectionRequest,
    CreateApiKey: CreateApiKeyRequest,
    UpdateApiKey: UpdateApiKeyRequest,
    RevokeApiKey: RevokeApiKeyRequest,
    ReplayDeadLetter: ReplayDeadLetterRequest,
    ReplayDeadLetters: ReplayDeadLettersRequest,
    PurgeDeadLetters: PurgeDeadLettersRequest,
    SetLifecyclePolicy: SetLifecyclePolicyRequest,
}

/// Makes mutations, each on a task of its own: what was begun is finished and its outcome kept, whatever becomes of its
/// caller. One whose deadline passed, or whose connection broke, may ask again with the same request id.
#[derive(Clone)]
pub(crate) struct Mutations {
    known: Arc<dyn Idempotency>,
    tasks: TaskTracker,
}

impl Mutations {
    /// `tasks`: for who has to wait until the last mutation has ended.
    pub(crate) fn new(known: Arc<dyn Idempotency>, tasks: TaskTracker) -> Self {
        Self { known, tasks }
    }

    /// A mutation with one response: made once per request id, replayed after that. `over` is what the work is done with.
    pub(crate) async fn run<U, Q, R, F>(
        &self,
        over: &Arc<U>,
        request: Request<Q>,
        work: impl FnOnce(Arc<U>, Call, Q) -> F + Send + 'static,
    ) -> Result<Response<R>, Status>
    where
        U: Send + Sync + 'static,
        Q: Mutation + 'static,
        R: Message + Default + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let over = Arc::clone(over);
        self.finish(request, move |known, call, mut message: Q| async move {
            let id = decode::request_id(&message.take_request_id())?;
            let once = once(&call.context, Q::METHOD, id, &[&message.encode_to_vec()]);
            let made =
                idempotency::run(&known, &once, async { Ok(work(over, call, message).await?.encode_to_vec()) }).await?;
            read(&made.into_bytes())
        })
        .await
    }

    /// Work that goes on to its end, even if nobody waits for it any more.
    pub(crate) async fn finish<Q, R, F>(
        &self,
        request: Request<Q>,
        work: impl FnOnce(Arc<dyn Idempotency>, Call, Q) -> F + Send + 'static,
    ) -> Result<Response<R>, Status>
    where
        Q: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let known = Arc::clone(&self.known);
        let made = async move { unary(request, |call, message| work(known, call, message)).await };
        match self.tasks.spawn(made.in_current_span()).await {
            Ok(made) => made,
            Err(failed) => match failed.try_into_panic() {
                // Told by the call layer as that of any other handler.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Status::cancelled("the server is shutting down")),
            },
        }
    }
}

/// A call of this method with these parameters.
pub(crate) fn once(
    context: &CallContext,
    method: &'static str,
    request: Option<Uuid>,
    parameters: &[&[u8]],
) -> IdempotentCall {
    let mut hash = Sha256::new();
    for part in parameters {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    IdempotentCall { tenant: context.principal.tenant, request, method, parameters: hash.finalize().into() }
}

/// A response as it was stored.
pub(crate) fn read<R: Message + Default>(stored: &[u8]) -> Result<R> {
    R::decode(stored).map_err(|source| idempotency::unreadable().with_source(source))
}

/// The response, and whether an earlier call made it.
pub(crate) fn read_replayed<R: Message + Default>(made: Replayed) -> Result<(R, bool)> {
    let replayed = matches!(made, Replayed::Replay(_));
    Ok((read(&made.into_bytes())?, replayed))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vectrion_core::{
        ids::{KeyId, TenantId},
        tenancy::{Principal, Role},
    };

    use super::*;

    #[test]
    fn every_request_with_a_request_id_can_be_named_by_it() {
        let set = prost_types::FileDescriptorSet::decode(vectrion::FILE_DESCRIPTOR_SET).expect("the descriptor set");
        let messages = set.file.iter().flat_map(|file| &file.message_type);
        let named = messages.filter(|message| message.field.iter().any(|field| field.name() == "request_id"));
        let named: BTreeSet<_> = named.filter_map(|message| message.name().strip_suffix("Request")).collect();
        // The one whose request is a stream.
        let known: BTreeSet<_> = METHODS.iter().copied().chain(["UploadDocument"]).collect();
        assert_eq!(named, known);
    }

    fn parameters(mut request: v1::CreateTenantRequest) -> [u8; 32] {
        let principal = Principal { key: KeyId(Uuid::nil()), tenant: TenantId(Uuid::nil()), role: Role::Operator };
        let context = CallContext { principal, deadline: None, trace_id: String::new() };
        request.take_request_id();
        once(&context, "CreateTenant", None, &[&request.encode_to_vec()]).parameters
    }

    #[test]
    fn the_request_id_is_no_parameter_and_everything_else_is() {
        let request = |name: &str, id: &str| v1::CreateTenantRequest { name: name.into(), request_id: id.into() };
        assert_eq!(parameters(request("a", "1")), parameters(request("a", "2")));
        assert_ne!(parameters(request("a", "1")), parameters(request("b", "1")));
    }
}
