//! SASL DIGEST-MD5 as Hadoop uses it for tokens (RFC 2831, `md5-sess`), client side, without I/O.
//! Of the ciphers only RC4 is implemented: every Java server offers it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use rc4::{Rc4, StreamCipher as _};

use crate::token::Token;

/// Bytes of the truncated message authentication code.
const MAC: usize = 10;
/// Code, message type and sequence number.
const OVERHEAD: usize = MAC + 6;
/// What a server may receive when its challenge does not say.
const DEFAULT_MAXBUF: usize = 65_536;

/// Quality of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qop {
    /// Authentication only.
    Auth,
    /// Messages are signed.
    Integrity,
    /// Messages are signed and encrypted.
    Privacy,
}

impl Qop {
    fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Integrity => "auth-int",
            Self::Privacy => "auth-conf",
        }
    }

    /// The levels a value of `hadoop.rpc.protection` allows; unknown words are refused by name.
    pub fn parse_list(value: &str) -> Result<Vec<Self>, String> {
        let words = value
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        words
            .map(|word| match word.to_ascii_lowercase().as_str() {
                "authentication" => Ok(Self::Auth),
                "integrity" => Ok(Self::Integrity),
                "privacy" => Ok(Self::Privacy),
                _ => Err(word.to_owned()),
            })
            .collect()
    }
}

/// Why authentication, or the protection of a message, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The challenge lacks something or contradicts itself.
    #[error("the server's DIGEST-MD5 challenge is malformed: {0}")]
    Challenge(String),
    /// Client and server do not agree on the protection.
    #[error(
        "the server offers protection `{offered}`, but hadoop.rpc.protection allows only {allowed:?}"
    )]
    NoCommonProtection {
        /// The server's list.
        offered: String,
        /// Ours.
        allowed: Vec<Qop>,
    },
    /// Encryption is wanted, but not with a cipher implemented here.
    #[error("the server offers the ciphers `{0}`; rc4, rc4-56 and rc4-40 are supported")]
    NoCommonCipher(String),
    /// The server does not know the token's password, so it is not the one it claims to be.
    #[error("the server did not prove that it knows the token's password")]
    WrongServerProof,
    /// A protected message was altered, repeated or reordered.
    #[error("a protected message is invalid: {0}")]
    Message(&'static str),
    /// The server does not offer what is needed, or the exchange is out of order.
    #[error("{0}")]
    Exchange(String),
}

/// A running exchange: made from the challenge, finished by the server's proof.
pub struct DigestExchange {
    response: String,
    expected_proof: String,
    ha1: [u8; 16],
    qop: Qop,
    cipher_key_length: usize,
    max_plain: usize,
}

impl DigestExchange {
    /// Answers `challenge` for `token` with a fresh nonce. `allowed` are the levels of protection we accept.
    pub fn new(
        token: &Token,
        protocol: &str,
        server_id: &str,
        challenge: &[u8],
        allowed: &[Qop],
    ) -> Result<Self, SaslError> {
        let nonce: [u8; 24] = rand::random();
        Self::with_nonce(
            token,
            protocol,
            server_id,
            challenge,
            allowed,
            &STANDARD.encode(nonce),
        )
    }

    /// The same with a given client nonce.
    fn with_nonce(
        token: &Token,
        protocol: &str,
        server_id: &str,
        challenge: &[u8],
        allowed: &[Qop],
        cnonce: &str,
    ) -> Result<Self, SaslError> {
        let challenge = std::str::from_utf8(challenge)
            .map_err(|_| SaslError::Challenge("it is not UTF-8".to_owned()))?;
        let directives = parse_directives(challenge)?;
        let directive = |name: &str| directives.get(name).map(String::as_str);
        let nonce =
            directive("nonce").ok_or_else(|| SaslError::Challenge("no nonce".to_owned()))?;
        let algorithm = directive("algorithm").unwrap_or("md5-sess");
        if algorithm != "md5-sess" {
            return Err(SaslError::Challenge(format!("algorithm is `{algorithm}`")));
        }
        let qop = choose_qop(directive("qop").unwrap_or("auth"), allowed)?;
        let cipher = match qop {
            Qop::Privacy => Some(choose_cipher(directive("cipher").unwrap_or_default())?),
            Qop::Auth | Qop::Integrity => None,
        };
        let max_buffer = match directive("maxbuf") {
            Some(text) => text
                .parse()
                .map_err(|_| SaslError::Challenge(format!("maxbuf is `{text}`")))?,
            None => DEFAULT_MAXBUF,
        };
        let user = STANDARD.encode(&token.identifier);
        let password = STANDARD.encode(&token.password);
        let realm = directive("realm").unwrap_or_default();
        let uri = format!("{protocol}/{server_id}");

        let secret = md5(&[format!("{user}:{realm}:{password}").as_bytes()]);
        let ha1 = md5(&[&secret, format!(":{nonce}:{cnonce}").as_bytes()]);
        let proof = |a2: String| {
            let suffix = if qop == Qop::Auth {
                ""
            } else {
                ":00000000000000000000000000000000"
            };
            let a2 = hex(&md5(&[format!("{a2}{suffix}").as_bytes()]));
            let name = qop.name();
            hex(&md5(&[format!(
                "{}:{nonce}:00000001:{cnonce}:{name}:{a2}",
                hex(&ha1)
            )
            .as_bytes()]))
        };
        let mut response = format!(
            "charset=utf-8,username=\"{user}\",realm=\"{}\",nonce=\"{}\",nc=00000001,cnonce=\"{cnonce}\",\
             digest-uri=\"{}\",maxbuf={DEFAULT_MAXBUF},response={},qop={}",
            quote(realm),
            quote(nonce),
            quote(&uri),
            proof(format!("AUTHENTICATE:{uri}")),
            qop.name(),
        );
        if let Some((name, _)) = cipher {
            response.push_str(&format!(",cipher=\"{name}\""));
        }
        Ok(Self {
            response,
            expected_proof: proof(format!(":{uri}")),
            ha1,
            qop,
            cipher_key_length: cipher.map_or(0, |(_, length)| length),
            max_plain: usize::max(max_buffer, 2 * OVERHEAD) - 26,
        })
    }

    /// What to send.
    pub fn response(&self) -> Bytes {
        Bytes::from(self.response.clone())
    }

    /// Checks the server's proof; what it returns protects all further messages, if protection was agreed on.
    pub fn finish(self, token: Option<&[u8]>) -> Result<Option<MessageCodec>, SaslError> {
        let token = token
            .and_then(|token| std::str::from_utf8(token).ok())
            .unwrap_or_default();
        let directives = parse_directives(token).map_err(|_| SaslError::WrongServerProof)?;
        if directives.get("rspauth") != Some(&self.expected_proof) {
            return Err(SaslError::WrongServerProof);
        }
        let key = |direction: &str| {
            let text = format!("Digest session key to {direction} signing key magic constant");
            md5(&[&self.ha1, text.as_bytes()])
        };
        let cipher = |direction: &str| {
            let text = format!("Digest H(A1) to {direction} sealing key magic constant");
            let key = md5(&[&self.ha1[..self.cipher_key_length], text.as_bytes()]);
            Rc4::new_from_slice(&key).expect("16 bytes are a valid RC4 key")
        };
        let privacy = self.qop == Qop::Privacy;
        let side = |direction: &str| Direction {
            key: key(direction),
            sequence: 0,
            cipher: privacy.then(|| cipher(direction)),
        };
        Ok((self.qop != Qop::Auth).then(|| MessageCodec {
            outgoing: side("client-to-server"),
            incoming: side("server-to-client"),
            max_plain: self.max_plain,
        }))
    }
}

struct Direction {
    key: [u8; 16],
    sequence: u32,
    cipher: Option<Rc4>,
}

impl Direction {
    fn mac(&self, plain: &[u8]) -> [u8; MAC] {
        let mut hmac =
            Hmac::<Md5>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        hmac.update(&self.sequence.to_be_bytes());
        hmac.update(plain);
        let full = hmac.finalize().into_bytes();
        full[..MAC].try_into().expect("MD5 yields 16 bytes")
    }
}

/// Signs, and encrypts if agreed, both directions of a connection. Messages must pass in order, each once.
pub struct MessageCodec {
    outgoing: Direction,
    incoming: Direction,
    max_plain: usize,
}

impl MessageCodec {
    /// Most bytes to wrap at once.
    pub fn max_plain(&self) -> usize {
        self.max_plain
    }

    /// Protects bytes to send.
    pub fn wrap(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        out.extend(plain);
        out.extend(self.outgoing.mac(plain));
        if let Some(cipher) = &mut self.outgoing.cipher {
            cipher.apply_keystream(&mut out);
        }
        out.extend([0, 1]);
        out.extend(self.outgoing.sequence.to_be_bytes());
        self.outgoing.sequence = self.outgoing.sequence.wrapping_add(1);
        out
    }

    /// Checks and opens received bytes.
    pub fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, SaslError> {
        if message.len() < OVERHEAD {
            return Err(SaslError::Message("it is too short"));
        }
        let (sealed, trailer) = message.split_at(message.len() - 6);
        if trailer[..2] != [0, 1] {
            return Err(SaslError::Message("its type is unknown"));
        }
        if trailer[2..] != self.incoming.sequence.to_be_bytes() {
            return Err(SaslError::Message("its sequence number is wrong"));
        }
        let mut plain = sealed.to_vec();
        if let Some(cipher) = &mut self.incoming.cipher {
            cipher.apply_keystream(&mut plain);
        }
        let mac = plain.split_off(plain.len() - MAC);
        if self.incoming.mac(&plain) != *mac {
            return Err(SaslError::Message("its signature is wrong"));
        }
        self.incoming.sequence = self.incoming.sequence.wrapping_add(1);
        Ok(plain)
    }
}

impl fmt::Debug for MessageCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageCodec").finish_non_exhaustive()
    }
}

fn choose_qop(offered: &str, allowed: &[Qop]) -> Result<Qop, SaslError> {
    let is_offered = |qop: &Qop| offered.split(',').any(|name| name.trim() == qop.name());
    let strongest = allowed.iter().copied().filter(is_offered).max();
    strongest.ok_or_else(|| SaslError::NoCommonProtection {
        offered: offered.to_owned(),
        allowed: allowed.to_vec(),
    })
}

/// Name and length of the key material.
fn choose_cipher(offered: &str) -> Result<(&'static str, usize), SaslError> {
    [("rc4", 16), ("rc4-56", 7), ("rc4-40", 5)]
        .into_iter()
        .find(|(name, _)| offered.split(',').any(|offer| offer.trim() == *name))
        .ok_or_else(|| SaslError::NoCommonCipher(offered.to_owned()))
}

/// `key=value` pairs separated by commas; values may be quoted and then hold commas. The first of equal keys counts.
fn parse_directives(text: &str) -> Result<BTreeMap<String, String>, SaslError> {
    let malformed = |what: &str| SaslError::Challenge(what.to_owned());
    let mut directives = BTreeMap::new();
    let mut rest = text.trim_start_matches([',', ' ', '\t']);
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| malformed("a directive has no value"))?;
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut content = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next() {
                    Some((at, '"')) => break at,
                    Some((_, '\\')) => {
                        content.extend(characters.next().map(|(_, escaped)| escaped))
                    }
                    Some((_, character)) => content.push(character),
                    None => return Err(malformed("a quoted value has no end")),
                }
            };
            value = content;
            rest = &quoted[end + 1..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value = after[..end].trim().to_owned();
            rest = &after[end..];
        }
        directives
            .entry(key.trim().to_ascii_lowercase())
            .or_insert(value);
        rest = rest.trim_start_matches([',', ' ', '\t']);
    }
    Ok(directives)
}

fn quote(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The server's half for a client's nonce, for servers played in tests: its proof and its codec.
#[cfg(test)]
pub(crate) fn server_side(
    token: &Token,
    challenge: &str,
    client_response: &str,
) -> (String, Option<MessageCodec>) {
    let directives = parse_directives(client_response).expect("a client's response parses");
    let all = [Qop::Auth, Qop::Integrity, Qop::Privacy];
    let allowed: Vec<Qop> = all
        .into_iter()
        .filter(|qop| qop.name() == directives["qop"])
        .collect();
    let cnonce = &directives["cnonce"];
    let exchange =
        DigestExchange::with_nonce(token, "", "default", challenge.as_bytes(), &allowed, cnonce)
            .expect("the challenge is our own");
    assert_eq!(
        exchange.response, client_response,
        "the client does not know the password"
    );
    let proof = format!("rspauth={}", exchange.expected_proof);
    let codec = exchange
        .finish(Some(proof.as_bytes()))
        .expect("the proof is our own");
    let mirrored = codec.map(
        |MessageCodec {
             outgoing,
             incoming,
             max_plain,
         }| MessageCodec {
            outgoing: incoming,
            incoming: outgoing,
            max_plain,
        },
    );
    (proof, mirrored)
}

#[cfg(test)]
mod tests;
