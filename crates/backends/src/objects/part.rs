//! Bytes that wait to be written.

use std::mem;

use bytes::Bytes;
use futures::StreamExt;
use object_store::PutPayload;
use vectrion_core::{Result, ports::objects::ByteStream};

/// Gathers a stream into parts of one size.
#[derive(Default)]
pub(super) struct Part {
    chunks: Vec<Bytes>,
    len: usize,
    /// What came with the last chunk and belongs to the next part.
    rest: Bytes,
    /// The content has ended, and is not asked again.
    ended: bool,
}

impl Part {
    /// Bytes gathered.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Gathers from `content` until there are `size` bytes; false at the end of the content.
    pub(super) async fn fill(&mut self, content: &mut ByteStream, size: usize) -> Result<bool> {
        while self.len < size {
            if self.rest.is_empty() {
                if self.ended {
                    return Ok(false);
                }
                match content.next().await.transpose()? {
                    Some(chunk) => self.rest = chunk,
                    None => self.ended = true,
                }
            }
            let chunk = self.rest.split_to(self.rest.len().min(size - self.len));
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
        Ok(true)
    }

    /// What was gathered; the part is empty then.
    pub(super) fn take(&mut self) -> PutPayload {
        self.len = 0;
        mem::take(&mut self.chunks).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use vectrion_testkit::conformance::objects::content;

    use super::*;

    #[tokio::test]
    async fn parts_are_of_one_size_and_lose_nothing() {
        for sizes in [vec![], vec![0, 3, 0], vec![10], vec![25], vec![3, 4, 5, 6, 7], vec![1; 31]] {
            let bytes: Vec<u8> = (0..sizes.iter().sum::<usize>() as u8).collect();
            let (mut chunks, mut at) = (Vec::new(), 0);
            for size in sizes {
                chunks.push(bytes[at..at + size].to_vec());
                at += size;
            }
            let (mut stream, mut part, mut parts) = (content(chunks), Part::default(), Vec::new());
            loop {
                let goes_on = part.fill(&mut stream, 10).await.unwrap();
                assert_eq!(goes_on, part.len() == 10);
                let taken: Vec<u8> = part.take().into_iter().flatten().collect();
                parts.push(taken);
                if !goes_on {
                    break;
                }
            }
            assert_eq!(parts.concat(), bytes);
            assert!(parts[..parts.len() - 1].iter().all(|part| part.len() == 10));
        }
    }
}
