//! Errors of an S3 service as errors of the port.

use std::error::Error as StdError;

use object_store::Error as StoreError;
use vectrion_core::{Error, ErrorKind, ports::objects::ObjectKey};

use crate::objects::failure::not_found;

/// The port's error for an error of a request about `key`.
pub(super) fn failed(error: StoreError, key: &ObjectKey) -> Error {
    match &error {
        // A bucket that is gone is no missing object.
        StoreError::NotFound { .. } if code(&error).as_deref() != Some("NoSuchBucket") => {
            not_found(key).with_source(error)
        }
        _ => unavailable(error),
    }
}

/// The port's error for a store that cannot be used now.
pub(super) fn unavailable(error: StoreError) -> Error {
    let full = ["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "StorageFull"];
    let code = code(&error);
    match code.as_deref() {
        Some(code) if full.contains(&code) => {
            let message = "the object store has no room left; make room there, or remove documents";
            Error::new(ErrorKind::ResourceExhausted, "STORAGE_FULL", message).with_source(error)
        }
        Some(code) => Error::unavailable("OBJECT_STORE_UNAVAILABLE", format!("the object store answers {code}"))
            .with_source(error),
        None => Error::unavailable("OBJECT_STORE_UNAVAILABLE", "the object store cannot be used").with_source(error),
    }
}

/// Why the store cannot be opened, with the setting that is to be looked at.
pub(super) fn unusable(error: StoreError, bucket: &str) -> Error {
    let code = code(&error);
    let (reason, message) = match code.as_deref() {
        Some("NoSuchBucket") => {
            ("BUCKET_NOT_FOUND", format!("objects.url: there is no bucket `{bucket}`; create it, or name another"))
        }
        Some("InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException") => {
            ("OBJECT_STORE_REFUSED", "objects.access_key_id: the S3 service does not know this key".to_owned())
        }
        Some("SignatureDoesNotMatch") => (
            "OBJECT_STORE_REFUSED",
            "objects.secret_access_key: the S3 service refuses the signature; the secret is not that of the key"
                .to_owned(),
        ),
        Some("RequestTimeTooSkewed") => (
            "OBJECT_STORE_REFUSED",
            "objects.url: the clock of this machine and that of the S3 service differ".to_owned(),
        ),
        Some(
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException",
        ) => ("OBJECT_STORE_REFUSED", format!("objects.region: the bucket `{bucket}` belongs to another region")),
        Some("AccessDenied" | "AllAccessDisabled" | "Forbidden") => (
            "OBJECT_STORE_REFUSED",
            format!(
                "objects.access_key_id: the key may not write, list and delete objects of the bucket `{bucket}`; grant \
                 s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket and s3:AbortMultipartUpload"
            ),
        ),
        Some(code) => {
            let message = format!("objects.endpoint: the S3 service answers {code}");
            return Error::unavailable("OBJECT_STORE_UNAVAILABLE", message).with_source(error);
        }
        None if matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) => {
            let what = "objects.access_key_id: the S3 service refuses the key or its rights to the bucket";
            ("OBJECT_STORE_REFUSED", what.to_owned())
        }
        None if is_bare_redirect(&error) => {
            ("OBJECT_STORE_REFUSED", format!("objects.region: the bucket `{bucket}` belongs to another region"))
        }
        None => {
            let message = "objects.endpoint: no S3 service can be reached there";
            return Error::unavailable("OBJECT_STORE_UNAVAILABLE", message).with_source(error);
        }
    };
    Error::precondition(reason, message).with_source(error)
}

fn causes(error: &StoreError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
}

fn is_bare_redirect(error: &StoreError) -> bool {
    causes(error).any(|cause| cause.to_string().contains("redirect without LOCATION"))
}

/// Whether a request failed without an answer of the service.
pub(super) fn is_unanswered(error: &StoreError) -> bool {
    matches!(error, StoreError::Generic { .. }) && code(error).is_none()
}

/// The code of the service's answer, such as `SlowDown`. The library keeps the answer in the text of its errors alone.
fn code(error: &StoreError) -> Option<String> {
    causes(error).find_map(|cause| {
        let text = cause.to_string();
        let (_, rest) = text.split_once("<Code>")?;
        let (code, _) = rest.split_once("</Code>")?;
        let is_code = !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_code.then(|| code.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: format!("Server returned non-2xx status code: 400: {body}").into() }
    }

    #[test]
    fn the_code_of_an_answer_is_found() {
        assert_eq!(code(&answered("<Error><Code>SlowDown</Code></Error>")).as_deref(), Some("SlowDown"));
        for without in ["", "<Code></Code>", "<Code>a b</Code>", "<Code>x"] {
            assert_eq!(code(&answered(without)), None, "{without}");
        }
    }

    #[test]
    fn a_full_store_is_told_from_one_that_is_out_of_reach() {
        let full = unavailable(answered("<Code>QuotaExceeded</Code>"));
        assert_eq!((full.kind(), full.reason()), (ErrorKind::ResourceExhausted, "STORAGE_FULL"));
        let busy = unavailable(answered("<Code>SlowDown</Code>"));
        assert_eq!((busy.kind(), busy.reason()), (ErrorKind::Unavailable, "OBJECT_STORE_UNAVAILABLE"));
        assert!(busy.is_transient());
    }
}
