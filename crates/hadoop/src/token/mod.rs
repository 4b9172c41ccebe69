//! Security tokens: the file a container gets, the blob a container is given, and the string REST takes.

pub mod vint;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use prost::Message as _;

use self::vint::{Reader, write_bytes, write_vint};
use crate::rpc::proto;

/// Kind of the token for the ResourceManager's scheduler port.
pub const AMRM_TOKEN_KIND: &str = "YARN_AM_RM_TOKEN";
/// Kind of the tokens for HDFS.
pub const HDFS_TOKEN_KIND: &str = "HDFS_DELEGATION_TOKEN";
/// Environment variable that names a container's token file.
pub const TOKEN_FILE_VARIABLE: &str = "HADOOP_TOKEN_FILE_LOCATION";

const MAGIC: &[u8; 4] = b"HDTS";

/// Why a token file or string cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not a token file.
    #[error("not a Hadoop token file: it does not start with HDTS")]
    Magic,
    /// Written by a version unknown here.
    #[error("token file has format {0}; 0 and 1 are known")]
    Format(u8),
    /// Ends in the middle.
    #[error("token data ends within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A length below zero.
    #[error("token data has length {value} for {what}")]
    NegativeLength {
        /// What was being read.
        what: &'static str,
        /// The length.
        value: i64,
    },
    /// Text that is none.
    #[error("token data has {what} that is not UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: &'static str,
    },
    /// Format 1 whose protobuf does not parse.
    #[error("decoding a token file of format 1")]
    Protobuf(#[source] prost::DecodeError),
    /// A token string that is not base64url.
    #[error("decoding a token string")]
    Base64(#[source] base64::DecodeError),
    /// The file cannot be read.
    #[error("reading the token file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Not inside a container.
    #[error("{TOKEN_FILE_VARIABLE} is not set: not running inside a YARN container")]
    NoVariable,
}

/// A security token. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Public part; its layout depends on the kind.
    pub identifier: Vec<u8>,
    /// Secret part.
    pub password: Vec<u8>,
    /// For example [`AMRM_TOKEN_KIND`].
    pub kind: String,
    /// Which service it is for; may be empty.
    pub service: String,
}

impl Token {
    /// The form REST takes: base64url without padding.
    pub fn to_url_string(&self) -> String {
        let mut out = Vec::new();
        write_bytes(&self.identifier, &mut out);
        write_bytes(&self.password, &mut out);
        write_bytes(self.kind.as_bytes(), &mut out);
        write_bytes(self.service.as_bytes(), &mut out);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Reads what [`Token::to_url_string`] or Java wrote.
    pub fn from_url_string(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let engine = if text.ends_with('=') {
            &URL_SAFE
        } else {
            &URL_SAFE_NO_PAD
        };
        let bytes = engine.decode(text).map_err(TokenError::Base64)?;
        Self::read(&mut Reader::new(&bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, TokenError> {
        Ok(Self {
            identifier: reader.bytes("token identifier")?.to_vec(),
            password: reader.bytes("token password")?.to_vec(),
            kind: reader.text("token kind")?,
            service: reader.text("token service")?,
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl From<proto::Token> for Token {
    fn from(token: proto::Token) -> Self {
        Self {
            identifier: token.identifier.into(),
            password: token.password.into(),
            kind: token.kind,
            service: token.service,
        }
    }
}

impl From<&Token> for proto::Token {
    fn from(token: &Token) -> Self {
        Self {
            identifier: token.identifier.clone().into(),
            password: token.password.clone().into(),
            kind: token.kind.clone(),
            service: token.service.clone(),
        }
    }
}

/// Content of a token file. Aliases are kept, as Hadoop keys tokens by them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Tokens by alias.
    pub tokens: BTreeMap<String, Token>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tokens", &self.tokens)
            .field("secrets", &self.secrets.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Credentials {
    /// The credentials YARN gave to this container.
    pub fn of_container() -> Result<Self, TokenError> {
        let path = std::env::var_os(TOKEN_FILE_VARIABLE).ok_or(TokenError::NoVariable)?;
        Self::read_file(Path::new(&path))
    }

    /// Reads a token file.
    pub fn read_file(path: &Path) -> Result<Self, TokenError> {
        let bytes = std::fs::read(path).map_err(|source| TokenError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes)
    }

    /// Reads format 0 or 1. Garbage after the content is tolerated: the ResourceManager's REST path leaves some.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(TokenError::Magic)?;
        match rest.split_first() {
            None => Err(TokenError::Truncated { what: "the format" }),
            Some((0, body)) => Self::read_writable(&mut Reader::new(body)),
            Some((1, body)) => {
                let parsed = proto::Credentials::decode_length_delimited(body);
                Ok(Self::from_proto(parsed.map_err(TokenError::Protobuf)?))
            }
            Some((format, _)) => Err(TokenError::Format(*format)),
        }
    }

    fn read_writable(reader: &mut Reader<'_>) -> Result<Self, TokenError> {
        let mut credentials = Self::default();
        for _ in 0..reader.length("the number of tokens")? {
            let alias = reader.text("a token's alias")?;
            credentials.tokens.insert(alias, Token::read(reader)?);
        }
        for _ in 0..reader.length("the number of secrets")? {
            let name = reader.text("a secret's name")?;
            credentials
                .secrets
                .insert(name, reader.bytes("a secret")?.to_vec());
        }
        Ok(credentials)
    }

    fn from_proto(parsed: proto::Credentials) -> Self {
        let tokens = parsed.tokens.into_iter();
        let secrets = parsed.secrets.into_iter();
        Self {
            tokens: tokens
                .filter_map(|entry| Some((entry.alias, entry.token?.into())))
                .collect(),
            secrets: secrets
                .filter_map(|entry| Some((entry.alias, entry.secret?.into())))
                .collect(),
        }
    }

    /// Format 0, which every Hadoop reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |length: usize| i64::try_from(length).expect("lengths fit i64");
        let mut out = MAGIC.to_vec();
        out.push(0);
        write_vint(count(self.tokens.len()), &mut out);
        for (alias, token) in &self.tokens {
            write_bytes(alias.as_bytes(), &mut out);
            write_bytes(&token.identifier, &mut out);
            write_bytes(&token.password, &mut out);
            write_bytes(token.kind.as_bytes(), &mut out);
            write_bytes(token.service.as_bytes(), &mut out);
        }
        write_vint(count(self.secrets.len()), &mut out);
        for (name, secret) in &self.secrets {
            write_bytes(name.as_bytes(), &mut out);
            write_bytes(secret, &mut out);
        }
        out
    }

    /// A token of the kind, whatever its alias and service.
    pub fn token_of_kind(&self, kind: &str) -> Option<&Token> {
        self.tokens.values().find(|token| token.kind == kind)
    }

    /// What an ApplicationMaster may pass on: everything except the token that makes it the master.
    pub fn for_workers(&self) -> Self {
        let mut credentials = self.clone();
        credentials
            .tokens
            .retain(|_, token| token.kind != AMRM_TOKEN_KIND);
        credentials
    }
}

#[cfg(test)]
mod tests;
