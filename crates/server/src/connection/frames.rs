//! Watching a client's HTTP/2 frames go by, for those with which it says goodbye.

/// What every HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const RST_STREAM: u8 = 0x3;
const GOAWAY: u8 = 0x7;

/// Follows the frame headers in the bytes that a client sends, without keeping any of them.
pub(super) struct FrameScanner {
    at: Position,
}

enum Position {
    /// So many bytes of the preface have matched.
    Preface(usize),
    /// So many bytes of the next frame's header are known.
    Header([u8; 9], usize),
    /// So many bytes of a frame's payload are still to come.
    Payload(usize),
    /// Not HTTP/2.
    Other,
}

impl FrameScanner {
    pub(super) fn new() -> Self {
        Self { at: Position::Preface(0) }
    }

    /// Whether the client cancels a call or leaves in an orderly way (RST_STREAM, GOAWAY) within these bytes.
    pub(super) fn says_goodbye(&mut self, mut bytes: &[u8]) -> bool {
        let mut goodbye = false;
        while !bytes.is_empty() {
            self.at = match self.at {
                Position::Preface(matched) => {
                    let want = &PREFACE[matched..];
                    let many = want.len().min(bytes.len());
                    if bytes[..many] != want[..many] {
                        Position::Other
                    } else {
                        bytes = &bytes[many..];
                        if matched + many == PREFACE.len() {
                            Position::Header([0; 9], 0)
                        } else {
                            Position::Preface(matched + many)
                        }
                    }
                }
                Position::Header(mut header, known) => {
                    let many = (header.len() - known).min(bytes.len());
                    header[known..known + many].copy_from_slice(&bytes[..many]);
                    bytes = &bytes[many..];
                    if known + many < header.len() {
                        Position::Header(header, known + many)
                    } else {
                        goodbye |= matches!(header[3], RST_STREAM | GOAWAY);
                        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
                        Position::Payload(length as usize)
                    }
                }
                Position::Payload(left) => {
                    let many = left.min(bytes.len());
                    bytes = &bytes[many..];
                    if left == many { Position::Header([0; 9], 0) } else { Position::Payload(left - many) }
                }
                Position::Other => return goodbye,
            };
        }
        goodbye
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, (payload.len() >> 8) as u8, payload.len() as u8, kind, 0, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn conversation(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        bytes
    }

    #[test]
    fn a_goodbye_is_seen_however_the_bytes_are_cut() {
        let talk = [frame(4, &[]), frame(0, &[RST_STREAM; 300]), frame(1, &[GOAWAY; 9])];
        for (last, goodbye) in [(RST_STREAM, true), (GOAWAY, true), (6, false)] {
            let bytes = conversation(&[&talk[..], &[frame(last, &[0; 4])]].concat());
            for step in [1, 2, 7, 9, 24, 25, 100, bytes.len()] {
                let mut scanner = FrameScanner::new();
                let seen: Vec<bool> = bytes.chunks(step).map(|part| scanner.says_goodbye(part)).collect();
                assert_eq!(seen.iter().any(|seen| *seen), goodbye, "frame type {last}, {step} bytes at once");
            }
        }
    }

    #[test]
    fn an_empty_payload_is_followed_by_a_header() {
        let mut scanner = FrameScanner::new();
        assert!(!scanner.says_goodbye(&conversation(&[frame(4, &[]), frame(4, &[])])));
        assert!(scanner.says_goodbye(&frame(RST_STREAM, &[0; 4])));
    }

    #[test]
    fn other_protocols_are_left_alone() {
        let mut scanner = FrameScanner::new();
        assert!(!scanner.says_goodbye(b"POST /vectrion.v1.QueryService/Answer HTTP/1.1\r\n"));
        assert!(!scanner.says_goodbye(&[RST_STREAM; 64]));
    }
}
