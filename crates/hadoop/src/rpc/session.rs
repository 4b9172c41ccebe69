//! An open connection after login, without I/O: calls in, bytes out; bytes in, answers out.

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use super::error::RemoteException;
use super::frame::{self, CONTEXT_CALL, FrameError, NO_RETRY, SASL_CALL};
use super::handshake::write_sasl;
use super::proto::{
    IpcConnectionContext, RequestHeader, RpcSasl, RpcStatus, SaslState, UserInformation,
};
use crate::sasl::{MessageCodec, SaslError};

/// What a received frame means.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// An answer; the body is the delimited response message.
    Answer {
        call_id: i32,
        result: Result<Bytes, RemoteException>,
    },
    /// The server gives up the connection.
    Fatal(RemoteException),
}

/// Why the received bytes make no sense.
#[derive(Debug)]
pub(super) enum SessionError {
    Frame(FrameError),
    Sasl(SaslError),
}

impl From<FrameError> for SessionError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

pub(super) struct Session {
    protocol: &'static str,
    client_id: [u8; 16],
    next_call: i32,
    codec: Option<MessageCodec>,
    /// Opened bytes that do not yet make a frame.
    opened: BytesMut,
    max_response: usize,
}

impl Session {
    pub(super) fn new(
        protocol: &'static str,
        codec: Option<MessageCodec>,
        max_response: usize,
    ) -> Self {
        Self {
            protocol,
            client_id: rand::random(),
            next_call: 0,
            codec,
            opened: BytesMut::new(),
            max_response,
        }
    }

    /// Appends the connection context. `user` is for SIMPLE only: with a token the server knows who we are.
    pub(super) fn write_context(&mut self, user: Option<&str>, out: &mut BytesMut) {
        let context = IpcConnectionContext {
            user_info: Some(UserInformation {
                effective_user: user.map(str::to_owned),
                real_user: None,
            }),
            protocol: Some(self.protocol.to_owned()),
        };
        self.write(
            CONTEXT_CALL,
            NO_RETRY,
            &context.encode_length_delimited_to_vec(),
            out,
        );
    }

    /// Appends a call whose request is already delimited; returns its id.
    pub(super) fn write_call(&mut self, method: &str, request: &[u8], out: &mut BytesMut) -> i32 {
        let call_id = self.next_call;
        self.next_call = call_id.checked_add(1).unwrap_or(0);
        let header = RequestHeader {
            method_name: method.to_owned(),
            declaring_class_protocol_name: self.protocol.to_owned(),
            client_protocol_version: 1,
        };
        let mut body = header.encode_length_delimited_to_vec();
        body.extend(request);
        self.write(call_id, 0, &body, out);
        call_id
    }

    fn write(&mut self, call_id: i32, retry_count: i32, body: &[u8], out: &mut BytesMut) {
        let client_id = self.client_id;
        let Some(codec) = &mut self.codec else {
            return frame::write_frame(call_id, retry_count, &client_id, body, out);
        };
        let mut plain = BytesMut::new();
        frame::write_frame(call_id, retry_count, &client_id, body, &mut plain);
        for piece in plain.chunks(codec.max_plain()) {
            write_sasl(
                SaslState::Wrap,
                Some(codec.wrap(piece).into()),
                Vec::new(),
                out,
            );
        }
    }

    /// The next complete frame in `received`, if any.
    pub(super) fn next_event(
        &mut self,
        received: &mut BytesMut,
    ) -> Result<Option<Event>, SessionError> {
        if self.codec.is_none() {
            let frame = frame::take_frame(received, self.max_response)?;
            return Ok(frame.map(event_of).transpose()?);
        }
        loop {
            if let Some(frame) = frame::take_frame(&mut self.opened, self.max_response)? {
                return Ok(Some(event_of(frame)?));
            }
            let Some(outer) = frame::take_frame(received, self.max_response)? else {
                return Ok(None);
            };
            if let Some(fatal) = self.open(outer)? {
                return Ok(Some(fatal));
            }
        }
    }

    fn open(&mut self, outer: Bytes) -> Result<Option<Event>, SessionError> {
        let (header, mut rest) = frame::decode_response(outer)?;
        if header.status != RpcStatus::Success as i32 {
            return Ok(Some(Event::Fatal(RemoteException::of_header(&header))));
        }
        let message: RpcSasl = frame::decode_delimited(&mut rest, "a protected message")?;
        if header.call_id.cast_signed() != SASL_CALL || message.state != SaslState::Wrap as i32 {
            return Err(SessionError::Sasl(SaslError::Message(
                "it is not protected at all",
            )));
        }
        let codec = self
            .codec
            .as_mut()
            .expect("open is called only with a codec");
        let plain = codec
            .unwrap(&message.token.unwrap_or_default())
            .map_err(SessionError::Sasl)?;
        self.opened.extend_from_slice(&plain);
        Ok(None)
    }
}

fn event_of(received: Bytes) -> Result<Event, FrameError> {
    let (header, rest) = frame::decode_response(received)?;
    let call_id = header.call_id.cast_signed();
    if header.status == RpcStatus::Success as i32 {
        return Ok(Event::Answer {
            call_id,
            result: Ok(rest),
        });
    }
    let exception = RemoteException::of_header(&header);
    if exception.fatal || call_id < 0 {
        return Ok(Event::Fatal(exception));
    }
    Ok(Event::Answer {
        call_id,
        result: Err(exception),
    })
}
