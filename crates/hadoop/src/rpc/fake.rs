//! A server for tests: plays whatever a script says, byte-exact where a test wants it.

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::frame::{self, CONTEXT_CALL, SASL_CALL};
use super::proto::{
    IpcConnectionContext, RequestHeader, RpcRequestHeader, RpcResponseHeader, RpcSasl, RpcStatus,
    SaslAuth, SaslState,
};
use crate::conf::HostPort;
use crate::sasl::{MessageCodec, server_side};
use crate::token::Token;

const LIMIT: usize = 128 << 20;

pub(crate) struct FakeServer {
    pub(crate) address: HostPort,
    listener: TcpListener,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: BytesMut,
    opened: BytesMut,
    codec: Option<MessageCodec>,
}

pub(crate) fn token(identifier: &str) -> Token {
    Token {
        identifier: identifier.into(),
        password: b"secret".to_vec(),
        kind: "YARN_AM_RM_TOKEN".into(),
        service: String::new(),
    }
}

pub(crate) fn challenge(qop: &str) -> String {
    format!(
        "realm=\"default\",nonce=\"a+b/c==\",qop=\"{qop}\",charset=utf-8,cipher=\"3des,rc4\",algorithm=md5-sess"
    )
}

pub(crate) fn offer(challenge: Option<&str>) -> SaslAuth {
    SaslAuth {
        method: "TOKEN".into(),
        mechanism: "DIGEST-MD5".into(),
        protocol: Some(String::new()),
        server_id: Some("default".into()),
        challenge: challenge.map(|text| Bytes::from(text.to_owned())),
    }
}

impl FakeServer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            address: HostPort::new("127.0.0.1", port),
            listener,
        }
    }

    /// Accepts a connection and checks its preamble.
    pub(crate) async fn accept(&self, sasl: bool) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer {
            stream,
            received: BytesMut::new(),
            opened: BytesMut::new(),
            codec: None,
        };
        while peer.received.len() < 7 {
            assert_ne!(peer.stream.read_buf(&mut peer.received).await.unwrap(), 0);
        }
        assert_eq!(peer.received.split_to(7)[..], frame::preamble(sasl));
        peer
    }

    /// Accepts a connection and plays a login without protection, up to the connection context.
    pub(crate) async fn accept_token(&self, token: &Token) -> Peer {
        let mut peer = self.accept(true).await;
        peer.login(token, "auth").await;
        peer.context().await;
        peer
    }
}

impl Peer {
    pub(crate) async fn frame(&mut self) -> (RpcRequestHeader, Bytes) {
        loop {
            let buffer = if self.codec.is_some() {
                &mut self.opened
            } else {
                &mut self.received
            };
            if let Some(mut frame) = frame::take_frame(buffer, LIMIT).unwrap() {
                let header = frame::decode_delimited(&mut frame, "header").unwrap();
                return (header, frame);
            }
            if let Some(codec) = &mut self.codec
                && let Some(mut outer) = frame::take_frame(&mut self.received, LIMIT).unwrap()
            {
                let header: RpcRequestHeader =
                    frame::decode_delimited(&mut outer, "header").unwrap();
                assert_eq!((header.call_id, header.client_id.len()), (SASL_CALL, 0));
                let message: RpcSasl = frame::decode_delimited(&mut outer, "sasl").unwrap();
                assert_eq!(message.state(), SaslState::Wrap);
                self.opened
                    .extend_from_slice(&codec.unwrap(&message.token.unwrap()).unwrap());
                continue;
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "the client hung up");
        }
    }

    /// Whether the client ends the connection without sending anything more.
    pub(crate) async fn is_hung_up(&mut self) -> bool {
        self.received.is_empty()
            && matches!(
                self.stream.read_buf(&mut self.received).await,
                Ok(0) | Err(_)
            )
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends in pieces of 1000 bytes when protected, so that frames span them.
    async fn send(&mut self, header: &RpcResponseHeader, body: &[u8]) {
        let bytes = response(header, body);
        let Some(codec) = &mut self.codec else {
            return self.raw(&bytes).await;
        };
        let mut out = Vec::new();
        for piece in bytes.chunks(1000) {
            let token = Some(codec.wrap(piece).into());
            let message = RpcSasl {
                state: SaslState::Wrap as i32,
                token,
                ..RpcSasl::default()
            };
            out.extend(response(
                &success(SASL_CALL),
                &message.encode_length_delimited_to_vec(),
            ));
        }
        self.raw(&out).await;
    }

    pub(crate) async fn send_sasl(&mut self, message: &RpcSasl) {
        self.send(
            &success(SASL_CALL),
            &message.encode_length_delimited_to_vec(),
        )
        .await;
    }

    pub(crate) async fn receive_sasl(&mut self) -> RpcSasl {
        let (header, mut body) = self.frame().await;
        assert_eq!((header.call_id, header.client_id.len()), (SASL_CALL, 0));
        frame::decode_delimited(&mut body, "sasl").unwrap()
    }

    pub(crate) async fn negotiate(&mut self, auths: Vec<SaslAuth>) {
        assert_eq!(self.receive_sasl().await.state(), SaslState::Negotiate);
        let message = RpcSasl {
            state: SaslState::Negotiate as i32,
            auths,
            ..RpcSasl::default()
        };
        self.send_sasl(&message).await;
    }

    pub(crate) async fn login(&mut self, token: &Token, qop: &str) {
        let challenge = challenge(qop);
        self.negotiate(vec![offer(Some(&challenge))]).await;
        let initiate = self.receive_sasl().await;
        assert_eq!(initiate.state(), SaslState::Initiate);
        assert_eq!(initiate.auths, [offer(None)]);
        self.succeed(token, &challenge, &initiate).await;
    }

    pub(crate) async fn succeed(&mut self, token: &Token, challenge: &str, answer: &RpcSasl) {
        let response = std::str::from_utf8(answer.token.as_ref().unwrap()).unwrap();
        let (proof, codec) = server_side(token, challenge, response);
        let message = RpcSasl {
            state: SaslState::Success as i32,
            token: Some(proof.into()),
            ..RpcSasl::default()
        };
        self.send_sasl(&message).await;
        self.codec = codec;
    }

    pub(crate) async fn context(&mut self) -> IpcConnectionContext {
        let (header, mut body) = self.frame().await;
        assert_eq!((header.call_id, header.client_id.len()), (CONTEXT_CALL, 16));
        frame::decode_delimited(&mut body, "context").unwrap()
    }

    /// Reads the context and answers, in spite of the protection, in the clear.
    pub(crate) async fn expect_context_and_inject(&mut self) {
        self.context().await;
        let (id, _) = self.frame().await;
        self.codec = None;
        self.send(&success(id.call_id), &[0]).await;
    }

    /// The next call: id, method, request.
    pub(crate) async fn call<Q: Message + Default>(&mut self) -> (i32, String, Q) {
        let (header, mut body) = self.frame().await;
        let method: RequestHeader = frame::decode_delimited(&mut body, "method").unwrap();
        let request = frame::decode_delimited(&mut body, "request").unwrap();
        assert!(body.is_empty());
        (header.call_id, method.method_name, request)
    }

    /// The next call, which must be of this method.
    pub(crate) async fn expect<Q: Message + Default>(&mut self, method: &str) -> (i32, Q) {
        let (id, called, request) = self.call().await;
        assert_eq!(called, method);
        (id, request)
    }

    pub(crate) async fn answer<A: Message>(&mut self, call: i32, answer: &A) {
        self.send(&success(call), &answer.encode_length_delimited_to_vec())
            .await;
    }

    /// Expects a method and answers it.
    pub(crate) async fn serve<Q: Message + Default>(
        &mut self,
        method: &str,
        answer: &impl Message,
    ) -> Q {
        let (id, request) = self.expect(method).await;
        self.answer(id, answer).await;
        request
    }

    pub(crate) async fn fail(&mut self, call: i32, status: RpcStatus, class: &str, message: &str) {
        let header = RpcResponseHeader {
            status: status as i32,
            exception_class_name: Some(class.into()),
            error_msg: Some(format!("{message}\n\tat some.Java.method(Java.java:1)")),
            ..success(call)
        };
        self.send(&header, &[]).await;
    }
}

pub(crate) fn success(call: i32) -> RpcResponseHeader {
    RpcResponseHeader {
        call_id: call.cast_unsigned(),
        ..RpcResponseHeader::default()
    }
}

fn response(header: &RpcResponseHeader, body: &[u8]) -> Vec<u8> {
    let header = header.encode_length_delimited_to_vec();
    let length = u32::try_from(header.len() + body.len()).unwrap();
    [&length.to_be_bytes()[..], &header, body].concat()
}
