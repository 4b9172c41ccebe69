//! The application secret and what is derived from it. Never printed, never logged.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What an agent's token is the HMAC of. No job id looks like it.
const AGENT_SUBJECT: &[u8] = b"agent";

/// A text is not in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an even number of hexadecimal digits is expected")]
pub struct InvalidHex;

/// The secret all processes of an application but its workers share.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// The secret with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// What an agent proves itself with.
    pub fn agent_token(&self) -> Token {
        Token(self.hmac(AGENT_SUBJECT).finalize().into_bytes().to_vec())
    }

    /// What the workers of a job prove themselves with; it opens nothing of another job.
    pub fn worker_token(&self, job: &str) -> Token {
        Token(self.hmac(job.as_bytes()).finalize().into_bytes().to_vec())
    }

    pub(super) fn is_agent(&self, token: &Token) -> bool {
        self.hmac(AGENT_SUBJECT).verify_slice(&token.0).is_ok()
    }

    pub(super) fn is_worker(&self, job: &str, token: &Token) -> bool {
        self.hmac(job.as_bytes()).verify_slice(&token.0).is_ok()
    }

    fn hmac(&self, subject: &[u8]) -> Hmac<Sha256> {
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        hmac.update(subject);
        hmac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Proof of belonging, derived from a [`Secret`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// A token as it came with a [`crate::message::WorkerSpec`].
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn to_hex(&self) -> String {
        hex(&self.0)
    }

    pub(super) fn from_hex(text: &str) -> Result<Self, InvalidHex> {
        unhex(text).map(Self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
            }
            text
        })
}

/// Bytes from hexadecimal digits.
pub fn unhex(text: &str) -> Result<Vec<u8>, InvalidHex> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(InvalidHex);
    }
    let bytes = digits.chunks_exact(2).map(|pair| {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        let value = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low);
        value
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(InvalidHex)
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_open_only_what_they_were_made_for() {
        let secret = Secret::new(b"0123456789abcdef");
        let other = Secret::new(b"fedcba9876543210");
        assert!(secret.is_agent(&secret.agent_token()));
        assert!(!secret.is_agent(&other.agent_token()));
        assert!(!secret.is_agent(&secret.worker_token("a")));
        assert!(secret.is_worker("a", &secret.worker_token("a")));
        assert!(!secret.is_worker("b", &secret.worker_token("a")));
        assert!(!secret.is_worker("a", &Token::from_bytes(&[])));
    }

    #[test]
    fn hexadecimal_form_round_trips_and_rejects_other_text() {
        let token = Secret::new(b"x").agent_token();
        assert_eq!(Token::from_hex(&token.to_hex()), Ok(token));
        for text in ["abc", "zz", "+1", "ä"] {
            assert_eq!(Token::from_hex(text), Err(InvalidHex), "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_bytes() {
        let secret = Secret::new(b"visible");
        assert_eq!(
            format!("{secret:?} {:?}", secret.agent_token()),
            "Secret(…) Token(…)"
        );
    }
}
