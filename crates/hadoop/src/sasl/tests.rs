//! DIGEST-MD5 on the proven vectors, and on anything else.

use proptest::prelude::*;

use super::*;

const CNONCE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
const NONCE: &str = "zQfeKvQJJxQb6omjb+X0/uX7y42eIBpFPtTgI+FP";
const ALL: [Qop; 3] = [Qop::Auth, Qop::Integrity, Qop::Privacy];

fn token() -> Token {
    Token {
        identifier: vec![0x0a, 0x0d, 0x0a, 0x09],
        password: b"secret\x00\xff".to_vec(),
        kind: String::new(),
        service: String::new(),
    }
}

fn exchange(qop: &str, extra: &str, allowed: &[Qop]) -> Result<DigestExchange, SaslError> {
    let challenge = format!(
        "realm=\"default\",nonce=\"{NONCE}\",qop=\"{qop}\",charset=utf-8,algorithm=md5-sess{extra}"
    );
    DigestExchange::with_nonce(
        &token(),
        "",
        "default",
        challenge.as_bytes(),
        allowed,
        CNONCE,
    )
}

const CIPHERS: &str = ",cipher=\"3des,rc4,des,rc4-56,rc4-40\"";

/// Vectors computed by a client that logged in to live Hadoop 3.4.2 daemons.
#[test]
fn known_responses_and_proofs() {
    for (qop, extra, response, proof) in [
        (
            "auth",
            "",
            "183f2e05d8c7f0f8e04b1214898b4560",
            "1d5dc7a8d247f021fa3a09fb8bfb9a05",
        ),
        (
            "auth-int",
            "",
            "4071ca6b79f70164086ea44643db71eb",
            "1a899fd202cb3c170dfd1ddd346c1e81",
        ),
        (
            "auth-conf",
            CIPHERS,
            "f15ad2f33df7a741f186dd9d72805e8b",
            "b59ca5e355ea4a6f3b1c170bd19f5a44",
        ),
    ] {
        let exchange = exchange(qop, extra, &ALL).unwrap();
        let cipher = if qop == "auth-conf" {
            ",cipher=\"rc4\""
        } else {
            ""
        };
        let expected = format!(
            "charset=utf-8,username=\"Cg0KCQ==\",realm=\"default\",nonce=\"{NONCE}\",nc=00000001,\
             cnonce=\"{CNONCE}\",digest-uri=\"/default\",maxbuf=65536,response={response},qop={qop}{cipher}"
        );
        assert_eq!(std::str::from_utf8(&exchange.response()).unwrap(), expected);
        let codec = exchange
            .finish(Some(format!("rspauth={proof}").as_bytes()))
            .unwrap();
        assert_eq!(codec.is_some(), qop != "auth");
    }
}

fn agreed(qop: &str, extra: &str) -> MessageCodec {
    let exchange = exchange(qop, extra, &ALL).unwrap();
    let proof = format!("rspauth={}", exchange.expected_proof);
    exchange.finish(Some(proof.as_bytes())).unwrap().unwrap()
}

#[test]
fn known_wrapped_messages() {
    for (qop, extra, first, second) in [
        (
            "auth-int",
            "",
            "68656c6c6f211d4839a9c4dda10b95000100000000",
            "776f726c64a93c93b91cc03b564a77000100000001",
        ),
        (
            "auth-conf",
            CIPHERS,
            "e42498376f78703929c285be0619c7000100000000",
            "f3263a627105bd62fd846acd436628000100000001",
        ),
    ] {
        let mut codec = agreed(qop, extra);
        assert_eq!(hex(&codec.wrap(b"hello")), first);
        assert_eq!(hex(&codec.wrap(b"world")), second);
        assert_eq!(codec.max_plain(), 65_510);
    }
}

/// The same keys seen from the server, so that a wrapped message can be opened.
fn mirrored(qop: &str, extra: &str) -> MessageCodec {
    let MessageCodec {
        outgoing,
        incoming,
        max_plain,
    } = agreed(qop, extra);
    MessageCodec {
        outgoing: incoming,
        incoming: outgoing,
        max_plain,
    }
}

#[test]
fn altered_repeated_and_short_messages_are_refused() {
    for (qop, extra) in [("auth-int", ""), ("auth-conf", CIPHERS)] {
        let good = agreed(qop, extra).wrap(b"hello");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(
                mirrored(qop, extra).unwrap(&bad).is_err(),
                "{qop} byte {at}"
            );
        }
        let mut server = mirrored(qop, extra);
        assert_eq!(server.unwrap(&good).unwrap(), b"hello");
        assert_eq!(
            server.unwrap(&good),
            Err(SaslError::Message("its sequence number is wrong"))
        );
        assert!(server.unwrap(&good[..15]).is_err());
    }
}

#[test]
fn protection_is_the_strongest_both_accept() {
    let chosen =
        |offered, allowed: &[Qop]| exchange(offered, CIPHERS, allowed).map(|exchange| exchange.qop);
    assert_eq!(chosen("auth-conf,auth-int,auth", &ALL), Ok(Qop::Privacy));
    assert_eq!(
        chosen("auth-conf,auth-int,auth", &[Qop::Auth]),
        Ok(Qop::Auth)
    );
    assert_eq!(
        chosen("auth, auth-int", &[Qop::Integrity, Qop::Auth]),
        Ok(Qop::Integrity)
    );
    assert!(matches!(
        chosen("auth-conf", &[Qop::Auth]),
        Err(SaslError::NoCommonProtection { .. })
    ));
    assert!(matches!(
        exchange("auth-conf", ",cipher=\"3des\"", &ALL),
        Err(SaslError::NoCommonCipher(_))
    ));
    assert_eq!(
        Qop::parse_list("integrity, Privacy"),
        Ok(vec![Qop::Integrity, Qop::Privacy])
    );
    assert_eq!(Qop::parse_list("integrity,none"), Err("none".to_owned()));
}

#[test]
fn a_server_without_the_password_is_refused() {
    for token in [
        None,
        Some(&b""[..]),
        Some(b"rspauth=1d5dc7a8d247f021fa3a09fb8bfb9a06"),
        Some(b"\xff"),
        Some(b"x=\""),
    ] {
        let result = exchange("auth", "", &ALL).unwrap().finish(token);
        assert!(matches!(result, Err(SaslError::WrongServerProof)));
    }
}

#[test]
fn malformed_challenges_are_errors() {
    for challenge in [
        &b"\xff"[..],
        b"",
        b"nonce",
        b"nonce=\"x",
        b"realm=\"r\"",
        b"nonce=\"x\",algorithm=md5",
        b"nonce=x,maxbuf=y",
    ] {
        assert!(
            DigestExchange::new(&token(), "", "default", challenge, &ALL).is_err(),
            "{challenge:?}"
        );
    }
}

#[test]
fn quoted_values_hold_commas_and_escapes() {
    let directives = parse_directives(r#"a="x,y=\"z\"" , B = c ,a=again,"#).unwrap();
    assert_eq!(directives["a"], "x,y=\"z\"");
    assert_eq!(directives["b"], "c");
}

proptest! {
    #[test]
    fn any_challenge_is_answered_or_refused(challenge in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = DigestExchange::new(&token(), "", "default", &challenge, &ALL);
    }

    #[test]
    fn any_directives_are_parsed_or_refused(text in "[a-z=\",\\\\ é]{0,60}") {
        let _ = parse_directives(&text);
    }

    #[test]
    fn wrapped_messages_roundtrip(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..5), privacy: bool) {
        let (qop, extra) = if privacy { ("auth-conf", CIPHERS) } else { ("auth-int", "") };
        let (mut client, mut server) = (agreed(qop, extra), mirrored(qop, extra));
        for message in messages {
            let wrapped = client.wrap(&message);
            prop_assert_eq!(server.unwrap(&wrapped).unwrap(), message);
        }
    }

    #[test]
    fn any_message_is_opened_or_refused(message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = mirrored("auth-conf", CIPHERS).unwrap(&message);
    }
}
