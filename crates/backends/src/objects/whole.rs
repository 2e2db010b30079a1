//! Telling a whole object from one that was cut.

use futures::{StreamExt, TryStreamExt, stream};
use vectrion_core::{Error, ports::objects::ByteStream};

/// The stream, which must give exactly `expected` bytes; if it does not, it ends with the error that `cut` makes.
pub(super) fn whole(bytes: ByteStream, expected: u64, cut: fn() -> Error) -> ByteStream {
    stream::try_unfold((bytes, expected), move |(mut bytes, left)| async move {
        match bytes.try_next().await? {
            Some(chunk) if chunk.len() as u64 <= left => {
                let left = left - chunk.len() as u64;
                Ok(Some((chunk, (bytes, left))))
            }
            None if left == 0 => Ok(None),
            _ => Err(cut()),
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use vectrion_testkit::conformance::objects::content;

    use super::*;

    #[tokio::test]
    async fn too_few_and_too_many_bytes_are_an_error() {
        for (expected, is_whole) in [(4, false), (5, true), (6, false), (0, false)] {
            let bytes = whole(content(["ab", "", "cde"]), expected, || Error::internal("CUT", "cut"));
            let read = bytes.try_collect::<Vec<_>>().await;
            assert_eq!(read.map_err(|error| error.reason()).is_ok(), is_whole, "{expected}");
        }
    }
}
