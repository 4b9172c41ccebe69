//! Bytes of Hadoop RPC: preamble, frames, headers. No sockets and no state.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::proto::{Operation, RpcKind, RpcRequestHeader, RpcResponseHeader};

/// Call id of frames of the SASL exchange.
pub(super) const SASL_CALL: i32 = -33;
/// Call id of the connection context.
pub(super) const CONTEXT_CALL: i32 = -3;
/// Retry count of everything that is not a call.
pub(super) const NO_RETRY: i32 = -1;

/// A frame that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("{what} does not parse: {reason}")]
    Decode { what: &'static str, reason: String },
}

/// First bytes of a connection: version 9, and whether SASL follows.
pub(super) fn preamble(sasl: bool) -> [u8; 7] {
    [b'h', b'r', b'p', b'c', 9, 0, if sasl { 0xdf } else { 0 }]
}

/// Appends one frame with a request header and `body`, which is already delimited.
pub(super) fn write_frame(
    call_id: i32,
    retry_count: i32,
    client_id: &[u8],
    body: &[u8],
    out: &mut BytesMut,
) {
    let header = RpcRequestHeader {
        // Optional in the schema, but servers refuse frames without them.
        rpc_kind: Some(RpcKind::RpcProtocolBuffer as i32),
        rpc_op: Some(Operation::RpcFinalPacket as i32),
        call_id,
        client_id: Bytes::copy_from_slice(client_id),
        retry_count: Some(retry_count),
    }
    .encode_length_delimited_to_vec();
    let length = header.len() + body.len();
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_slice(&header);
    out.put_slice(body);
}

/// Cuts one complete frame, without its length, off the front of `buffer`.
pub(super) fn take_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if buffer.len() - 4 < length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Splits a received frame into its header and what follows.
pub(super) fn decode_response(mut frame: Bytes) -> Result<(RpcResponseHeader, Bytes), FrameError> {
    let header = decode_delimited(&mut frame, "a response header")?;
    Ok((header, frame))
}

/// Takes one delimited message off the front of `bytes`.
pub(super) fn decode_delimited<M: Message + Default>(
    bytes: &mut Bytes,
    what: &'static str,
) -> Result<M, FrameError> {
    M::decode_length_delimited(bytes).map_err(|error| FrameError::Decode {
        what,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpc::proto::{RpcSasl, SaslState};

    #[test]
    fn first_frame_as_captured() {
        let body = RpcSasl {
            state: SaslState::Negotiate as i32,
            ..RpcSasl::default()
        };
        let mut out = BytesMut::new();
        write_frame(
            SASL_CALL,
            NO_RETRY,
            &[],
            &body.encode_length_delimited_to_vec(),
            &mut out,
        );
        let expected = b"\x00\x00\x00\x0e\x0a\x08\x02\x10\x00\x18\x41\x22\x00\x28\x01\x02\x10\x01";
        assert_eq!(&out[..], expected);
        assert_eq!(preamble(true), *b"hrpc\x09\x00\xdf");
    }

    #[test]
    fn response_header_as_captured() {
        let frame =
            Bytes::from_static(b"\x0e\x08\xdf\xff\xff\xff\x0f\x10\x00\x18\x09\x3a\x00\x40\x01rest");
        let (header, rest) = decode_response(frame).unwrap();
        assert_eq!(header.call_id.cast_signed(), SASL_CALL);
        assert_eq!(header.retry_count, Some(-1));
        assert_eq!(&rest[..], b"rest");
    }

    #[test]
    fn incomplete_frames_wait_and_oversize_ones_fail() {
        let mut buffer = BytesMut::from(&b"\x00\x00\x00\x03ab"[..]);
        assert_eq!(take_frame(&mut buffer, 10), Ok(None));
        buffer.put_slice(b"cd");
        assert_eq!(
            take_frame(&mut buffer, 10),
            Ok(Some(Bytes::from_static(b"abc")))
        );
        assert_eq!(&buffer[..], b"d");
        let mut buffer = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
        let error = take_frame(&mut buffer, 10).unwrap_err();
        assert_eq!(
            error,
            FrameError::TooLong {
                length: 0xffff_ffff,
                limit: 10
            }
        );
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..5),
            chunk in 1usize..20,
        ) {
            let mut wire = BytesMut::new();
            for (call, body) in bodies.iter().enumerate() {
                write_frame(i32::try_from(call).unwrap(), 0, b"0123456789abcdef", body, &mut wire);
            }
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for piece in wire.chunks(chunk) {
                buffer.put_slice(piece);
                while let Some(mut frame) = take_frame(&mut buffer, 1000).unwrap() {
                    let header: RpcRequestHeader = decode_delimited(&mut frame, "header").unwrap();
                    prop_assert_eq!(usize::try_from(header.call_id).unwrap(), seen.len());
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, bodies);
        }

        #[test]
        fn any_bytes_are_a_response_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let _ = take_frame(&mut buffer, 1000);
            let _ = decode_response(Bytes::from(bytes));
        }
    }
}
