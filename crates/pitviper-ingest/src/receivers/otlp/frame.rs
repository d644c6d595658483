//! The frame around a gRPC message: a byte that says whether it is compressed, four with its length.
//!
//! Source: "gRPC over HTTP2", the grammar of `Length-Prefixed-Message`.

use bytes::{Bytes, BytesMut};

use crate::accounting::RefusalReason;
use crate::receivers::refusal::Refusal;

/// Length of the frame in bytes.
pub(super) const FRAME_BYTES: usize = 5;

/// The message of a unary request, and whether it is compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    pub(super) compressed: bool,
}

/// Takes the frame off. There has to be one message and nothing else.
pub(super) fn unwrap(mut body: Bytes) -> Result<Message, Refusal> {
    let bad = |message: String| Err(Refusal::new(RefusalReason::BadFraming, message));
    let Some(frame) = body.first_chunk::<FRAME_BYTES>() else {
        return bad(format!("the body has {} bytes, which is less than the frame of a message", body.len()));
    };
    let [flag, length @ ..] = *frame;
    let length = u32::from_be_bytes(length) as usize;
    let bytes = body.split_off(FRAME_BYTES);
    if flag > 1 {
        return bad(format!("the frame of the message has the compressed-flag {flag}; send 0 or 1"));
    }
    if bytes.len() < length {
        let message = format!("body ended early: the message has {} bytes of {length}", bytes.len());
        return Err(Refusal::new(RefusalReason::Incomplete, message));
    }
    if bytes.len() > length {
        return bad(format!("{} bytes follow the message; a unary call has one message", bytes.len() - length));
    }
    Ok(Message { bytes, compressed: flag == 1 })
}

/// Puts an uncompressed message into its frame.
pub(super) fn wrap(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(FRAME_BYTES + length);
    framed.extend_from_slice(&[0]);
    framed.extend_from_slice(&u32::try_from(length).expect("an answer is a few bytes").to_be_bytes());
    message.encode(&mut framed).expect("a buffer that grows takes any message");
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        let message = unwrap(wrap(&String::from("text"))).unwrap();
        assert_eq!(message, Message { bytes: Bytes::from_static(b"\x0a\x04text"), compressed: false });
    }

    #[test]
    fn every_fault_of_a_frame_is_named() {
        let reason = |body: &'static [u8]| unwrap(Bytes::from_static(body)).unwrap_err().reason;
        assert_eq!(reason(b""), RefusalReason::BadFraming);
        assert_eq!(reason(b"\0\0\0\0"), RefusalReason::BadFraming);
        assert_eq!(reason(b"\x02\0\0\0\0"), RefusalReason::BadFraming);
        assert_eq!(reason(b"\0\0\0\0\0\0"), RefusalReason::BadFraming);
        assert_eq!(reason(b"\0\0\0\0\x02a"), RefusalReason::Incomplete);
        assert_eq!(reason(b"\0\xff\xff\xff\xffa"), RefusalReason::Incomplete);
    }
    proptest! {
        #[test]
        fn hostile_frames_hold_what_they_say_or_are_refused(flag in 0..3_u8, length in 0..40_u32, body: [u8; 20], end in 0..=25_usize) {
            let framed = [&[flag][..], &length.to_be_bytes(), &body].concat();
            if let Ok(message) = unwrap(Bytes::copy_from_slice(&framed[..end])) {
                prop_assert_eq!((message.bytes.len(), message.compressed), (length as usize, flag == 1));
                prop_assert_eq!(message.bytes.len() + FRAME_BYTES, end);
            }
        }
    }
}
