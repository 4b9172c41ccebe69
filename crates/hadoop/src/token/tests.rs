//! Token files of both formats, url strings, vints.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn token(kind: &str) -> Token {
    Token {
        identifier: vec![10, 13],
        password: vec![7; 20],
        kind: kind.into(),
        service: String::new(),
    }
}

/// As a NodeManager writes it for an ApplicationMaster: the alias of the AMRM token is empty.
#[test]
fn reads_the_layout_of_a_container() {
    let mut bytes = b"HDTS\0\x02".to_vec();
    bytes.extend(b"\0\x02\x0a\x0d\x03abc\x10YARN_AM_RM_TOKEN\0");
    bytes.extend(b"\x01h\x02id\x02pw\x15HDFS_DELEGATION_TOKEN\x0aha-hdfs:ns");
    bytes.extend(b"\x01\x09my.secret\x05value");
    bytes.extend([0; 9]);
    let credentials = Credentials::from_bytes(&bytes).unwrap();
    let am = credentials.token_of_kind(AMRM_TOKEN_KIND).unwrap();
    assert_eq!(
        (am.identifier.as_slice(), am.password.as_slice()),
        (&[10, 13][..], &b"abc"[..])
    );
    assert_eq!(credentials.tokens["h"].service, "ha-hdfs:ns");
    assert_eq!(credentials.secrets["my.secret"], b"value");
    let passed_on = credentials.for_workers();
    assert!(passed_on.token_of_kind(AMRM_TOKEN_KIND).is_none());
    assert!(passed_on.token_of_kind(HDFS_TOKEN_KIND).is_some());
    assert_eq!(passed_on.secrets, credentials.secrets);
}

#[test]
fn reads_format_1() {
    let written = proto::Credentials {
        tokens: vec![proto::CredentialsKv {
            alias: "a".into(),
            token: Some((&token("K")).into()),
            secret: None,
        }],
        secrets: vec![proto::CredentialsKv {
            alias: "s".into(),
            token: None,
            secret: Some(Bytes::from_static(b"v")),
        }],
    };
    let mut bytes = b"HDTS\x01".to_vec();
    bytes.extend(written.encode_length_delimited_to_vec());
    bytes.extend(b"trailing");
    let credentials = Credentials::from_bytes(&bytes).unwrap();
    assert_eq!(credentials.tokens["a"], token("K"));
    assert_eq!(credentials.secrets["s"], b"v");
}

#[test]
fn malformed_files_are_errors() {
    for (bytes, part) in [
        (&b"PK\x03\x04"[..], "HDTS"),
        (b"HDTS", "the format"),
        (b"HDTS\x09", "format 9"),
        (b"HDTS\0\x01", "alias"),
        (b"HDTS\0\xff", "length -1"),
        (b"HDTS\0\0\x01\x01\xff\0", "not UTF-8"),
        (b"HDTS\x01\xff", "format 1"),
    ] {
        let error = Credentials::from_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?}: {error}");
    }
    let missing = Credentials::read_file(Path::new("/no/such/file")).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file"));
    assert!(Token::from_url_string("%%").is_err());
}

#[test]
fn debug_shows_no_secret() {
    let mut credentials = Credentials::default();
    credentials.tokens.insert(
        "a".into(),
        Token {
            password: b"hush".to_vec(),
            ..token("K")
        },
    );
    credentials.secrets.insert("s".into(), b"hush".to_vec());
    let shown = format!(
        "{credentials:?} {:?}",
        proto::Token::from(&credentials.tokens["a"])
    );
    assert!(
        shown.contains('K') && !shown.contains("hush") && !shown.contains("104"),
        "{shown}"
    );
}

#[test]
fn token_string_has_no_padding_and_padded_ones_are_read() {
    let token = token("K");
    let text = token.to_url_string();
    assert!(!text.contains('='));
    let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    assert_eq!(Token::from_url_string(&text).unwrap(), token);
    assert_eq!(Token::from_url_string(&padded).unwrap(), token);
}

fn any_token() -> impl Strategy<Value = Token> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    (bytes(), bytes(), ".{0,40}", ".{0,40}").prop_map(|(identifier, password, kind, service)| {
        Token {
            identifier,
            password,
            kind,
            service,
        }
    })
}

proptest! {
    #[test]
    fn token_strings_roundtrip(token in any_token()) {
        prop_assert_eq!(Token::from_url_string(&token.to_url_string()).unwrap(), token);
    }

    #[test]
    fn files_roundtrip(
        tokens in proptest::collection::btree_map(".{0,20}", any_token(), 0..4),
        secrets in proptest::collection::btree_map(".{0,20}", proptest::collection::vec(any::<u8>(), 0..50), 0..4),
    ) {
        let credentials = Credentials { tokens, secrets };
        prop_assert_eq!(Credentials::from_bytes(&credentials.to_bytes()).unwrap(), credentials);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), format in 0u8..3) {
        let mut bytes = b"HDTS".to_vec();
        bytes.push(format);
        bytes.extend(body);
        let _ = Credentials::from_bytes(&bytes);
    }

    #[test]
    fn any_text_is_a_token_or_refused(text in ".{0,80}") {
        let _ = Token::from_url_string(&text);
    }
}
