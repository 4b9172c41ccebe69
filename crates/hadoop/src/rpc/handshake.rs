//! Login on a new connection, without I/O: frames of the server in, frames to send out.

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use super::error::RemoteException;
use super::frame::{self, FrameError, NO_RETRY, SASL_CALL};
use super::proto::{RpcSasl, RpcStatus, SaslAuth, SaslState};
use crate::sasl::{DigestExchange, MessageCodec, Qop, SaslError};
use crate::token::Token;

/// Failure of the login.
#[derive(Debug)]
pub(super) enum HandshakeError {
    Frame(FrameError),
    Sasl(SaslError),
    Remote(RemoteException),
}

impl From<FrameError> for HandshakeError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<SaslError> for HandshakeError {
    fn from(error: SaslError) -> Self {
        Self::Sasl(error)
    }
}

/// What to do after a frame of the server.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this and wait for the next frame.
    Send(BytesMut),
    /// Logged in; all further messages go through the codec, if there is one.
    Done(Option<Box<MessageCodec>>),
}

/// A login with a token. SIMPLE needs none: only another preamble.
pub(super) struct Handshake<'a> {
    token: &'a Token,
    allowed: &'a [Qop],
    exchange: Option<DigestExchange>,
    /// The method chosen, while its challenge is still to come.
    pending: Option<SaslAuth>,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(token: &'a Token, allowed: &'a [Qop]) -> Self {
        Self {
            token,
            allowed,
            exchange: None,
            pending: None,
        }
    }

    /// Preamble and first frame.
    pub(super) fn start(&self) -> BytesMut {
        let mut out = BytesMut::from(&frame::preamble(true)[..]);
        write_sasl(SaslState::Negotiate, None, Vec::new(), &mut out);
        out
    }

    pub(super) fn receive(&mut self, received: Bytes) -> Result<Step, HandshakeError> {
        let (header, mut rest) = frame::decode_response(received)?;
        if header.status != RpcStatus::Success as i32 {
            return Err(HandshakeError::Remote(RemoteException::of_header(&header)));
        }
        if header.call_id.cast_signed() != SASL_CALL {
            return Err(exchange_error("the server answered a call that was never made").into());
        }
        let message: RpcSasl = frame::decode_delimited(&mut rest, "a SASL message")?;
        match SaslState::try_from(message.state) {
            Ok(SaslState::Negotiate) => self.negotiate(message.auths),
            Ok(SaslState::Challenge) => self.challenge(&message.token.unwrap_or_default()),
            Ok(SaslState::Success) => match self.exchange.take() {
                Some(exchange) => Ok(Step::Done(
                    exchange.finish(message.token.as_deref())?.map(Box::new),
                )),
                None => Err(exchange_error(
                    "the server accepts only SIMPLE authentication, not tokens",
                )
                .into()),
            },
            Ok(state) => Err(exchange_error(&format!("unexpected SASL state {state:?}")).into()),
            Err(_) => Err(exchange_error(&format!("unknown SASL state {}", message.state)).into()),
        }
    }

    fn negotiate(&mut self, offers: Vec<SaslAuth>) -> Result<Step, HandshakeError> {
        if self.exchange.is_some() {
            return Err(exchange_error("the server started over").into());
        }
        let offered: Vec<String> = offers.iter().map(|offer| offer.method.clone()).collect();
        let chosen = offers
            .into_iter()
            .find(|offer| offer.method == "TOKEN" && offer.mechanism == "DIGEST-MD5");
        let Some(mut chosen) = chosen else {
            let offered = offered.join(", ");
            return Err(
                exchange_error(&format!("the server takes no tokens, only {offered}")).into(),
            );
        };
        let challenge = chosen.challenge.take();
        let exchange = challenge
            .map(|challenge| self.answer(&chosen, &challenge))
            .transpose()?;
        let mut out = BytesMut::new();
        let response = exchange.as_ref().map(DigestExchange::response);
        // The server compares the entry for equality, so it goes back exactly as it came.
        write_sasl(
            SaslState::Initiate,
            response,
            vec![chosen.clone()],
            &mut out,
        );
        self.exchange = exchange;
        self.pending = self.exchange.is_none().then_some(chosen);
        Ok(Step::Send(out))
    }

    fn challenge(&mut self, challenge: &[u8]) -> Result<Step, HandshakeError> {
        let Some(chosen) = self.pending.take() else {
            return Err(exchange_error("the server sent a challenge out of order").into());
        };
        let exchange = self.answer(&chosen, challenge)?;
        let mut out = BytesMut::new();
        write_sasl(
            SaslState::Response,
            Some(exchange.response()),
            Vec::new(),
            &mut out,
        );
        self.exchange = Some(exchange);
        Ok(Step::Send(out))
    }

    fn answer(&self, chosen: &SaslAuth, challenge: &[u8]) -> Result<DigestExchange, SaslError> {
        let protocol = chosen.protocol.as_deref().unwrap_or_default();
        let server_id = chosen.server_id.as_deref().unwrap_or_default();
        DigestExchange::new(self.token, protocol, server_id, challenge, self.allowed)
    }
}

fn exchange_error(reason: &str) -> SaslError {
    SaslError::Exchange(reason.to_owned())
}

/// Appends one frame of the exchange. Its client id is empty by rule.
pub(super) fn write_sasl(
    state: SaslState,
    token: Option<Bytes>,
    auths: Vec<SaslAuth>,
    out: &mut BytesMut,
) {
    let message = RpcSasl {
        version: None,
        state: state as i32,
        token,
        auths,
    };
    frame::write_frame(
        SASL_CALL,
        NO_RETRY,
        &[],
        &message.encode_length_delimited_to_vec(),
        out,
    );
}
