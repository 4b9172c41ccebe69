//! The handshake as bytes: who the ends are, and the proofs that both know the job's token.
//!
//! Dialer: hello with a nonce. Listener: its hello with a nonce, and an HMAC over both hellos.
//! Dialer: its own HMAC over both. Listener: verdict. The HMACs differ by role, so that neither end
//! can answer with what the other one sent.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(super) const MAX_NAME_BYTES: usize = 256;
pub(super) const PROOF_BYTES: usize = 32;
const NONCE_BYTES: usize = 32;
const MAGIC: &[u8; 4] = b"FLT1";
const VERSION: u16 = 1;
/// Magic, version, frame size, incarnation, nonce, length of the name.
const FIXED_BYTES: usize = 4 + 2 + 4 + 8 + NONCE_BYTES + 2;
/// Length of the longest hello.
pub(super) const MAX_HELLO_BYTES: usize = FIXED_BYTES + MAX_NAME_BYTES;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error("it does not speak this protocol")]
    Magic,
    #[error("it speaks version {found} of the protocol, this is version {VERSION}")]
    Version { found: u16 },
    #[error("its hello is malformed")]
    Malformed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) frame_bytes: u32,
    pub(super) incarnation: u64,
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) container: String,
}

impl Hello {
    /// A hello with a fresh nonce.
    pub(super) fn new(container: &str, incarnation: u64, frame_bytes: usize) -> Self {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        Self {
            frame_bytes: frame_bytes as u32,
            incarnation,
            nonce,
            container: container.to_owned(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + self.container.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.frame_bytes.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&(self.container.len() as u16).to_le_bytes());
        out.extend_from_slice(self.container.as_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let (magic, rest) = take::<4>(bytes).ok_or(HelloError::Magic)?;
        if &magic != MAGIC {
            return Err(HelloError::Magic);
        }
        let (version, rest) = take::<2>(rest).ok_or(HelloError::Malformed)?;
        let found = u16::from_le_bytes(version);
        if found != VERSION {
            return Err(HelloError::Version { found });
        }
        let (frame, rest) = take::<4>(rest).ok_or(HelloError::Malformed)?;
        let (incarnation, rest) = take::<8>(rest).ok_or(HelloError::Malformed)?;
        let (nonce, rest) = take::<NONCE_BYTES>(rest).ok_or(HelloError::Malformed)?;
        let (length, name) = take::<2>(rest).ok_or(HelloError::Malformed)?;
        if name.len() != usize::from(u16::from_le_bytes(length)) || name.len() > MAX_NAME_BYTES {
            return Err(HelloError::Malformed);
        }
        Ok(Self {
            frame_bytes: u32::from_le_bytes(frame),
            incarnation: u64::from_le_bytes(incarnation),
            nonce,
            container: String::from_utf8(name.to_vec()).map_err(|_| HelloError::Malformed)?,
        })
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes
        .split_first_chunk::<N>()
        .map(|(first, rest)| (*first, rest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Dialer,
    Listener,
}

fn mac(token: &[u8], role: Role, dialer: &[u8], listener: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token).expect("HMAC takes a key of any length");
    mac.update(match role {
        Role::Dialer => b"flott link dialer",
        Role::Listener => b"flott link listener",
    });
    for hello in [dialer, listener] {
        mac.update(&(hello.len() as u64).to_le_bytes());
        mac.update(hello);
    }
    mac
}

/// Shows that `role` knows the token, for this pair of hellos only.
pub(super) fn prove(token: &[u8], role: Role, dialer: &[u8], listener: &[u8]) -> [u8; PROOF_BYTES] {
    mac(token, role, dialer, listener)
        .finalize()
        .into_bytes()
        .into()
}

/// Checks the other end's proof in constant time.
pub(super) fn verify(
    token: &[u8],
    role: Role,
    dialer: &[u8],
    listener: &[u8],
    proof: &[u8],
) -> bool {
    mac(token, role, dialer, listener)
        .verify_slice(proof)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Hello::decode(&bytes);
            let mut likely = Hello::new("c", 1, 1).encode();
            likely.truncate(bytes.len());
            let _ = Hello::decode(&likely);
        }

        #[test]
        fn hellos_round_trip(name in "[a-z_0-9]{0,64}", incarnation: u64) {
            let hello = Hello::new(&name, incarnation, 32768);
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }
    }

    #[test]
    fn a_proof_holds_for_one_role_one_token_and_one_pair_of_hellos() {
        let (dialer, listener) = (
            Hello::new("a", 1, 1).encode(),
            Hello::new("b", 1, 1).encode(),
        );
        let proof = prove(b"token", Role::Dialer, &dialer, &listener);
        let check = |token: &[u8], role, dialer: &[u8], listener: &[u8]| {
            verify(token, role, dialer, listener, &proof)
        };
        assert!(check(b"token", Role::Dialer, &dialer, &listener));
        assert!(!check(b"other", Role::Dialer, &dialer, &listener));
        assert!(!check(b"token", Role::Listener, &dialer, &listener));
        let again = Hello::new("b", 1, 1).encode();
        assert!(!check(b"token", Role::Dialer, &dialer, &again));
        assert!(!check(b"token", Role::Dialer, &listener, &dialer));
    }
}
