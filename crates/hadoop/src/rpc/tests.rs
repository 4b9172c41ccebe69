//! Connections against a scripted server: pipelining, errors, ends in the middle.

use std::time::Duration;

use super::error::{RemoteKind, RpcError};
use super::fake::{FakeServer, Peer, challenge, offer, token};
use super::proto::{RpcSasl, RpcStatus, SaslAuth, SaslState, UserInformation};
use super::{Auth, RpcConnection, RpcOptions};
use crate::sasl::{Qop, SaslError};

const PROTOCOL: &str = "test.Protocol";
/// Any message will do as request and answer.
type Text = UserInformation;

fn text(value: impl Into<String>) -> Text {
    Text {
        effective_user: Some(value.into()),
        real_user: None,
    }
}

fn options() -> RpcOptions {
    RpcOptions {
        call_timeout: Duration::from_secs(20),
        protection: vec![Qop::Auth, Qop::Integrity, Qop::Privacy],
        max_response: 1 << 20,
        ..RpcOptions::default()
    }
}

async fn connect(server: &FakeServer) -> Result<RpcConnection, RpcError> {
    RpcConnection::connect(
        &server.address,
        PROTOCOL,
        &Auth::Token(token("t")),
        &options(),
    )
    .await
}

/// Both ends of a connection after login.
async fn connected() -> (RpcConnection, Peer) {
    let server = FakeServer::bind().await;
    let t = token("t");
    let (client, peer) = tokio::join!(connect(&server), server.accept_token(&t));
    (client.unwrap(), peer)
}

async fn call(client: &RpcConnection, request: &str) -> Result<Text, RpcError> {
    client.call("method", &text(request)).await
}

#[tokio::test]
async fn calls_pass_under_every_protection() {
    let large = "x".repeat(200_000);
    for qop in ["auth", "auth-int,auth", "auth-conf,auth-int,auth"] {
        let server = FakeServer::bind().await;
        let play = async {
            let mut peer = server.accept(true).await;
            peer.login(&token("t"), qop).await;
            let context = peer.context().await;
            assert_eq!(context.protocol(), PROTOCOL);
            assert_eq!(context.user_info, Some(UserInformation::default()));
            for number in 0..3 {
                let (id, request): (i32, Text) = peer.expect("method").await;
                assert_eq!(id, number);
                peer.answer(id, &request).await;
            }
        };
        let use_it = async {
            let client = connect(&server).await.unwrap();
            for request in ["small", &large, ""] {
                assert_eq!(
                    call(&client, request).await.unwrap(),
                    text(request),
                    "{qop}"
                );
            }
        };
        tokio::join!(play, use_it);
    }
}

#[tokio::test]
async fn simple_names_the_user_and_needs_no_login() {
    let server = FakeServer::bind().await;
    let play = async {
        let mut peer = server.accept(false).await;
        let context = peer.context().await;
        assert_eq!(context.user_info.unwrap().effective_user(), "alice");
        peer.serve::<Text>("method", &text("hi")).await;
    };
    let use_it = async {
        let auth = Auth::Simple {
            user: "alice".into(),
        };
        let client = RpcConnection::connect(&server.address, PROTOCOL, &auth, &options())
            .await
            .unwrap();
        assert_eq!(call(&client, "x").await.unwrap(), text("hi"));
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_challenge_may_come_later() {
    let server = FakeServer::bind().await;
    let challenge = challenge("auth");
    let play = async {
        let mut peer = server.accept(true).await;
        peer.negotiate(vec![offer(None)]).await;
        let initiate = peer.receive_sasl().await;
        assert_eq!(
            (initiate.state(), initiate.token),
            (SaslState::Initiate, None)
        );
        let token_bytes = Some(challenge.clone().into());
        peer.send_sasl(&RpcSasl {
            state: SaslState::Challenge as i32,
            token: token_bytes,
            ..Default::default()
        })
        .await;
        let answer = peer.receive_sasl().await;
        assert_eq!(answer.state(), SaslState::Response);
        peer.succeed(&token("t"), &challenge, &answer).await;
        peer.context().await;
    };
    let (client, ()) = tokio::join!(connect(&server), play);
    client.unwrap();
}

#[tokio::test]
async fn a_fatal_answer_during_login_is_the_error() {
    let server = FakeServer::bind().await;
    let play = async {
        let mut peer = server.accept(true).await;
        peer.negotiate(vec![offer(Some(&challenge("auth")))]).await;
        peer.receive_sasl().await;
        let class = "org.apache.hadoop.security.token.SecretManager$InvalidToken";
        peer.fail(-1, RpcStatus::Fatal, class, "appattempt_1 not found")
            .await;
    };
    let (client, ()) = tokio::join!(connect(&server), play);
    let error = client.unwrap_err();
    assert_eq!(error.remote_kind(), Some(RemoteKind::InvalidToken));
    assert!(
        error
            .to_string()
            .ends_with("InvalidToken: appattempt_1 not found"),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_refused() {
    for proof in [Some("rspauth=00000000000000000000000000000000"), None] {
        let server = FakeServer::bind().await;
        let play = async {
            let mut peer = server.accept(true).await;
            peer.negotiate(vec![offer(Some(&challenge("auth")))]).await;
            peer.receive_sasl().await;
            let proof = proof.map(|text| text.to_owned().into());
            peer.send_sasl(&RpcSasl {
                state: SaslState::Success as i32,
                token: proof,
                ..Default::default()
            })
            .await;
            assert!(peer.is_hung_up().await);
        };
        let (client, ()) = tokio::join!(connect(&server), play);
        let error = client.unwrap_err();
        assert!(
            matches!(
                error,
                RpcError::Sasl {
                    source: SaslError::WrongServerProof,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn servers_without_tokens_are_named_as_such() {
    let kerberos = SaslAuth {
        method: "KERBEROS".into(),
        mechanism: "GSSAPI".into(),
        ..SaslAuth::default()
    };
    for (message, expected) in [
        (
            RpcSasl {
                state: SaslState::Negotiate as i32,
                auths: vec![kerberos],
                ..Default::default()
            },
            "KERBEROS",
        ),
        (
            RpcSasl {
                state: SaslState::Success as i32,
                ..Default::default()
            },
            "SIMPLE",
        ),
        (
            RpcSasl {
                state: SaslState::Wrap as i32,
                ..Default::default()
            },
            "Wrap",
        ),
        (
            RpcSasl {
                state: 99,
                ..Default::default()
            },
            "99",
        ),
    ] {
        let server = FakeServer::bind().await;
        let play = async {
            let mut peer = server.accept(true).await;
            peer.receive_sasl().await;
            peer.send_sasl(&message).await;
        };
        let (client, ()) = tokio::join!(connect(&server), play);
        match client.unwrap_err() {
            RpcError::Sasl { source, .. } => {
                assert!(source.to_string().contains(expected), "{source}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_during_login_is_a_connection_failure() {
    let server = FakeServer::bind().await;
    let play = async { drop(server.accept(true).await) };
    let (client, ()) = tokio::join!(connect(&server), play);
    assert!(client.unwrap_err().is_connection_failure());
}

#[tokio::test]
async fn an_error_leaves_the_connection_usable() {
    let (client, mut peer) = connected().await;
    let play = async {
        let (id, _): (i32, Text) = peer.expect("method").await;
        peer.fail(id, RpcStatus::Error, "java.io.IOException", "no\nway")
            .await;
        peer.serve::<Text>("method", &text("yes")).await;
    };
    let use_it = async {
        let error = call(&client, "a").await.unwrap_err();
        let remote = error.remote().unwrap();
        assert_eq!((remote.message.as_str(), remote.fatal), ("no\nway", false));
        assert_eq!(call(&client, "b").await.unwrap(), text("yes"));
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn answers_out_of_order_find_their_calls() {
    let (client, mut peer) = connected().await;
    let play = async {
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(peer.expect::<Text>("method").await);
        }
        peer.answer(77, &text("nobody asked")).await;
        for (id, request) in calls.iter().rev() {
            peer.answer(*id, request).await;
        }
    };
    let use_it = async {
        let (a, b, c) = tokio::join!(call(&client, "a"), call(&client, "b"), call(&client, "c"));
        assert_eq!(
            (a.unwrap(), b.unwrap(), c.unwrap()),
            (text("a"), text("b"), text("c"))
        );
    };
    tokio::join!(play, use_it);
}

/// Two calls in flight, then `last` is all the server does; both errors.
async fn both_fail(last: impl AsyncFnOnce(&mut Peer)) -> (RpcError, RpcError, RpcConnection) {
    let (client, mut peer) = connected().await;
    let play = async {
        peer.expect::<Text>("method").await;
        peer.expect::<Text>("method").await;
        last(&mut peer).await;
        drop(peer);
    };
    let (a, b, ()) = tokio::join!(call(&client, "a"), call(&client, "b"), play);
    (a.unwrap_err(), b.unwrap_err(), client)
}

#[tokio::test]
async fn a_fatal_answer_fails_every_call_and_all_later_ones() {
    let (a, b, client) = both_fail(async |peer| {
        let class = "org.apache.hadoop.security.authorize.AuthorizationException";
        peer.fail(-1, RpcStatus::Fatal, class, "not you").await;
    })
    .await;
    for error in [a, b, call(&client, "c").await.unwrap_err()] {
        assert_eq!(
            error.remote_kind(),
            Some(RemoteKind::AccessDenied),
            "{error:?}"
        );
        assert!(error.remote().unwrap().fatal);
    }
    assert!(client.is_closed());
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_fails_every_call() {
    let (a, b, client) = both_fail(async |peer| peer.raw(b"\0\0\0\x20half").await).await;
    assert!(
        matches!(a, RpcError::Closed { .. } | RpcError::Io { .. }),
        "{a:?}"
    );
    assert!(b.is_connection_failure());
    assert!(
        call(&client, "c")
            .await
            .unwrap_err()
            .is_connection_failure()
    );
}

#[tokio::test]
async fn oversize_and_senseless_frames_fail_every_call() {
    for bytes in [&b"\x7f\xff\xff\xff"[..], b"\0\0\0\x03\xff\xff\xff"] {
        let (a, b, _) = both_fail(async |peer| peer.raw(bytes).await).await;
        assert!(matches!(a, RpcError::Malformed { .. }), "{a:?}");
        assert!(matches!(b, RpcError::Malformed { .. }), "{b:?}");
    }
}

#[tokio::test]
async fn unprotected_frames_on_a_protected_connection_are_refused() {
    let server = FakeServer::bind().await;
    let play = async {
        let mut peer = server.accept(true).await;
        peer.login(&token("t"), "auth-int").await;
        peer.expect_context_and_inject().await;
    };
    let use_it = async {
        let client = connect(&server).await.unwrap();
        let error = call(&client, "a").await.unwrap_err();
        assert!(
            matches!(
                error,
                RpcError::Sasl {
                    source: SaslError::Message(_),
                    ..
                }
            ),
            "{error:?}"
        );
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_call_without_answer_times_out_and_the_next_one_works() {
    let server = FakeServer::bind().await;
    let t = token("t");
    let short = RpcOptions {
        call_timeout: Duration::from_millis(500),
        ..options()
    };
    let auth = Auth::Token(t.clone());
    let connecting = RpcConnection::connect(&server.address, PROTOCOL, &auth, &short);
    let (client, mut peer) = tokio::join!(connecting, server.accept_token(&t));
    let client = client.unwrap();
    let error = call(&client, "a").await.unwrap_err();
    assert!(
        matches!(
            error,
            RpcError::Timeout {
                doing: "method",
                ..
            }
        ),
        "{error:?}"
    );
    let play = async {
        let (late, _): (i32, Text) = peer.expect("method").await;
        let (id, _): (i32, Text) = peer.expect("method").await;
        peer.answer(late, &text("late")).await;
        peer.answer(id, &text("in time")).await;
    };
    let (answer, ()) = tokio::join!(call(&client, "b"), play);
    assert_eq!(answer.unwrap(), text("in time"));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_connection() {
    let (client, mut peer) = connected().await;
    drop(client.clone());
    assert!(!client.is_closed());
    drop(client);
    assert!(peer.is_hung_up().await);
}

#[tokio::test]
async fn nobody_listening_is_a_connection_failure() {
    let address = FakeServer::bind().await.address;
    let auth = Auth::Simple { user: "x".into() };
    let error = RpcConnection::connect(&address, PROTOCOL, &auth, &options())
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::Connect { .. }) && error.is_transient());
    assert!(error.to_string().contains(&address.to_string()));
}
