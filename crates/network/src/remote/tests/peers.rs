//! Peers that speak the protocol by hand, and break it.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::connection::Handshake;
use super::super::frame::{
    self, CONTINUED, HEADER_BYTES, Header, Kind, LINK, encode_channel, encode_event,
};
use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A worker made of one dialed socket.
struct Peer {
    runtime: tokio::runtime::Runtime,
    stream: TcpStream,
}

impl Peer {
    fn try_dial(address: &str, settings: &NetworkSettings) -> Result<Self, NetworkError> {
        let runtime = runtime();
        let stream = runtime.block_on(async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let handshake = Handshake {
                settings,
                peer: address,
            };
            handshake.dial(&mut stream).await?;
            Ok(stream)
        })?;
        Ok(Self { runtime, stream })
    }

    fn dial(address: &str) -> Self {
        Self::try_dial(address, &settings("peer")).unwrap()
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.runtime.block_on(self.stream.write_all(bytes))
    }

    fn send(&mut self, header: Header, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, header, payload, false);
        self.write(&bytes).unwrap();
    }

    fn data(&mut self, channel: u32, sequence: u32, flags: u8, payload: &[u8]) {
        let mut header = Header::new(Kind::Data, channel);
        header.sequence = sequence;
        header.flags = flags;
        self.send(header, payload);
    }

    fn open(&mut self, number: u32, id: ChannelId) {
        self.send(Header::new(Kind::Open, number), &encode_channel(&id));
    }

    /// The next frame but signs of life; none when the other end has closed.
    fn next(&mut self) -> Option<(Header, String)> {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                loop {
                    let mut head = [0; HEADER_BYTES];
                    self.stream.read_exact(&mut head).await.ok()?;
                    let header = Header::decode(&head, 1 << 20).unwrap();
                    let mut body = vec![0; header.body as usize];
                    self.stream.read_exact(&mut body).await.ok()?;
                    match header.kind {
                        Kind::Ping => {
                            let pong = Header::new(Kind::Pong, LINK).encode();
                            self.stream.write_all(&pong).await.ok()?;
                        }
                        Kind::Pong => {}
                        _ => return Some((header, String::from_utf8(body).unwrap())),
                    }
                }
            })
            .await
            .expect("the other end answers in time")
        })
    }

    #[track_caller]
    fn expect(&mut self, kind: Kind, channel: u32) -> Header {
        let (header, text) = self.next().expect("the link is up");
        assert_eq!((header.kind, header.channel), (kind, channel), "{text}");
        header
    }

    /// The error that the other end reports, and that it closes then.
    #[track_caller]
    fn expect_closed(&mut self, reason: &str) {
        let (header, text) = self.next().expect("an error is reported first");
        assert_eq!((header.kind, header.channel), (Kind::Error, LINK));
        assert!(text.contains(reason), "{text}");
        assert!(self.next().is_none());
    }
}

#[test]
fn a_dialer_without_the_token_is_refused_by_the_listener() {
    let b = network("b");
    // It cannot check the listener either, so it goes on whatever the listener's proof is.
    let runtime = runtime();
    runtime.block_on(async {
        use super::super::hello::{Hello, PROOF_BYTES, Role, prove};
        let mut stream = TcpStream::connect(b.address()).await.unwrap();
        let ours = Hello::new("peer", 1, settings("").frame_bytes).encode();
        let message = |bytes: &[u8]| {
            let mut message = vec![0];
            message.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            message.extend_from_slice(bytes);
            message
        };
        stream.write_all(&message(&ours)).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 0);
        let mut theirs = vec![0; usize::from(stream.read_u16_le().await.unwrap())];
        stream.read_exact(&mut theirs).await.unwrap();
        let proof_of_listener = theirs.split_off(theirs.len() - PROOF_BYTES);
        for forged in [
            prove(b"guess", Role::Dialer, &ours, &theirs).to_vec(),
            proof_of_listener,
            Vec::new(),
        ] {
            // Only the first is read: the answer is a refusal and the end.
            let _ = stream.write_all(&message(&forged)).await;
        }
        assert_eq!(stream.read_u8().await.unwrap(), 1);
    });
    assert_eq!(b.statistics().links_in, 0);
}

#[test]
fn frames_of_closed_channels_are_dropped_and_counted() {
    let b = network("b");
    let first = b.receiver(channel(0), Waker::default());
    let mut second = b.receiver(channel(1), Waker::default());
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(0));
    peer.expect(Kind::Credit, 0);
    peer.open(1, channel(1));
    peer.expect(Kind::Credit, 1);
    peer.data(0, 0, 0, b"in time");
    drop(first);
    peer.expect(Kind::Close, 0);
    peer.data(0, 1, 0, b"late");
    let mut end = Header::new(Kind::Event, 0);
    end.sequence = 2;
    peer.send(end, &encode_event(Control::End));
    peer.data(7, 0, 0, b"never opened");
    // A delayed opening of the same attempts.
    peer.open(8, channel(0));
    let (header, text) = peer.next().unwrap();
    assert_eq!((header.kind, header.channel), (Kind::Error, 8), "{text}");
    assert!(text.contains("receiver is gone"), "{text}");
    peer.data(1, 0, 0, b"alive");
    assert_eq!(next_payload(&mut second), b"alive");
    let dropped = b.statistics().dropped_frames;
    assert!(
        (3..=4).contains(&dropped),
        "{dropped}: the first may have been in time"
    );
}

#[test]
fn nothing_is_granted_before_the_receiver_is_registered() {
    let b = network("b");
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(0));
    peer.data(0, 0, 0, b"too early");
    until(|| (b.statistics().dropped_frames == 1).then_some(()));
    let rx = b.receiver(channel(0), Waker::default());
    let credit = peer.expect(Kind::Credit, 0);
    assert_eq!(u64::from(credit.rows), rx.credit_bytes());
    // A parked channel that is closed again is free for its next opening.
    peer.open(1, channel(1));
    peer.send(Header::new(Kind::Close, 1), &[]);
    peer.open(2, channel(1));
    let _rx = b.receiver(channel(1), Waker::default());
    let (header, _) = until(|| peer.next());
    assert_eq!(header.kind, Kind::Credit);
}

/// Runs the peer's misbehaviour on a channel with credit and checks how the link ends.
fn misbehave(reason: &str, act: impl FnOnce(&mut Peer, u32)) {
    let b = network("b");
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(0));
    let credit = peer.expect(Kind::Credit, 0).rows;
    act(&mut peer, credit);
    peer.expect_closed(reason);
    let error = receiver_error(&mut rx);
    assert!(matches!(error, NetworkError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    // The worker itself goes on.
    let mut rx = b.receiver(channel(1), Waker::default());
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(1));
    peer.data(0, 0, 0, b"fine");
    assert_eq!(next_payload(&mut rx), b"fine");
}

#[test]
fn broken_rules_end_the_link_and_nothing_else() {
    misbehave("data without credit", |peer, credit| {
        let frame = vec![0; 32 * 1024];
        for sequence in 0..=credit / frame.len() as u32 {
            peer.data(0, sequence, 0, &frame);
        }
    });
    misbehave("frame 5 instead of 0", |peer, _| peer.data(0, 5, 0, b"x"));
    misbehave("was used before", |peer, _| peer.open(0, channel(5)));
    misbehave("inside a record", |peer, _| {
        peer.data(0, 0, CONTINUED, b"x");
        let mut end = Header::new(Kind::Event, 0);
        end.sequence = 1;
        peer.send(end, &encode_event(Control::End));
    });
    misbehave("credit from the sending end", |peer, _| {
        peer.send(Header::new(Kind::Credit, 0), &[]);
    });
    misbehave("unknown event", |peer, _| {
        peer.send(Header::new(Kind::Event, 0), &[9; 21]);
    });
    misbehave("unknown frame kind", |peer, _| {
        peer.write(&[0xff; HEADER_BYTES]).unwrap();
    });
    misbehave("body of 4294967295 bytes", |peer, _| {
        let mut header = Header::new(Kind::Data, 0);
        header.body = u32::MAX;
        peer.write(&header.encode()).unwrap();
    });
}

#[test]
fn endless_records_are_cut_off() {
    let b = Network::start(NetworkSettings {
        max_record_bytes: 100_000,
        ..settings("b")
    })
    .unwrap();
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(0));
    peer.expect(Kind::Credit, 0);
    for sequence in 0..4 {
        peer.data(0, sequence, CONTINUED, &[0; 30_000]);
        if sequence < 3 {
            peer.expect(Kind::Credit, 0);
        }
    }
    assert!(
        receiver_error(&mut rx)
            .to_string()
            .contains("limit of 100000")
    );
}

#[test]
fn garbage_never_harms_the_worker() {
    let b = network("b");
    let mut runner = TestRunner::new(Config::with_cases(64));
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    runner
        .run(&(bytes, any::<bool>()), |(bytes, authenticated)| {
            if authenticated {
                let mut peer = Peer::dial(b.address());
                let _ = peer.write(&bytes);
            } else {
                runtime().block_on(async {
                    let mut stream = TcpStream::connect(b.address()).await.unwrap();
                    let _ = stream.write_all(&bytes).await;
                });
            }
            Ok(())
        })
        .unwrap();
    let mut rx = b.receiver(channel(0), Waker::default());
    let mut peer = Peer::dial(b.address());
    peer.open(0, channel(0));
    peer.data(0, 0, 0, b"fine");
    assert_eq!(next_payload(&mut rx), b"fine");
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let a = Network::start(NetworkSettings {
        ping_interval: Duration::from_millis(10),
        ping_timeout: Duration::from_millis(100),
        ..settings("a")
    })
    .unwrap();
    // As the dialing end.
    let runtime = runtime();
    let (listener, address) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    });
    let mut tx = a.sender(channel(0), &address, Waker::default());
    let _stream = runtime.block_on(async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let settings = settings("silent");
        let handshake = Handshake {
            settings: &settings,
            peer: "a",
        };
        handshake.listen(&mut stream).await.unwrap();
        handshake.welcome(&mut stream).await.unwrap();
        stream
    });
    let error = sender_error(&mut tx);
    assert!(matches!(error, NetworkError::Silent { .. }), "{error}");
    // As the listening end.
    let mut rx = a.receiver(channel(1), Waker::default());
    let mut peer = Peer::dial(a.address());
    peer.open(0, channel(1));
    let error = receiver_error(&mut rx);
    assert!(matches!(error, NetworkError::Silent { .. }), "{error}");
}
