//! Ids of applications, attempts and containers, in memory, as text and on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::proto;
use super::types::Incomplete;

/// Lower bits of a container id; above them is the epoch.
const SEQUENCE_BITS: u32 = 40;
const SEQUENCE_MASK: i64 = (1 << SEQUENCE_BITS) - 1;

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

/// `application_<timestamp>_<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId {
    /// Start of the ResourceManager in milliseconds.
    pub cluster_timestamp: i64,
    /// Number since that start.
    pub id: i32,
}

/// `appattempt_<timestamp>_<number>_<attempt>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationAttemptId {
    /// The application.
    pub application: ApplicationId,
    /// Attempt, from 1.
    pub attempt: i32,
}

/// `container_[e<epoch>_]<timestamp>_<number>_<attempt>_<container>`. The same number exists once per epoch, which
/// grows at every restart of the ResourceManager, so only the whole id identifies a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The attempt it was allocated to.
    pub attempt: ApplicationAttemptId,
    /// Epoch and number.
    pub id: i64,
}

impl ContainerId {
    /// Restarts of the ResourceManager before this container.
    pub fn epoch(&self) -> i64 {
        self.id >> SEQUENCE_BITS
    }

    /// Number within attempt and epoch.
    pub fn sequence(&self) -> i64 {
        self.id & SEQUENCE_MASK
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application_{}_{:04}", self.cluster_timestamp, self.id)
    }
}

impl fmt::Display for ApplicationAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId {
            cluster_timestamp,
            id,
        } = self.application;
        write!(
            f,
            "appattempt_{cluster_timestamp}_{id:04}_{:06}",
            self.attempt
        )
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("container_")?;
        if self.epoch() > 0 {
            write!(f, "e{:02}_", self.epoch())?;
        }
        let ApplicationId {
            cluster_timestamp,
            id,
        } = self.attempt.application;
        write!(
            f,
            "{cluster_timestamp}_{id:04}_{:02}_{:06}",
            self.attempt.attempt,
            self.sequence()
        )
    }
}

/// Digits only: `parse` alone would take signs.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn application_of(timestamp: &str, id: &str) -> Option<ApplicationId> {
    Some(ApplicationId {
        cluster_timestamp: number(timestamp)?,
        id: number(id)?,
    })
}

impl FromStr for ApplicationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parsed = match parts[..] {
            ["application", timestamp, id] => application_of(timestamp, id),
            _ => None,
        };
        let expected = "an application id such as application_1700000000000_0001";
        parsed.ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

impl FromStr for ApplicationAttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parse = || match parts[..] {
            ["appattempt", timestamp, id, attempt] => Some(Self {
                application: application_of(timestamp, id)?,
                attempt: number(attempt)?,
            }),
            _ => None,
        };
        let expected = "an attempt id such as appattempt_1700000000000_0001_000001";
        parse().ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

impl FromStr for ContainerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parse = || {
            let (epoch, rest) = match parts[..] {
                ["container", timestamp, app, attempt, n] => (0i64, [timestamp, app, attempt, n]),
                ["container", epoch, timestamp, app, attempt, n] => (
                    number(epoch.strip_prefix('e')?)?,
                    [timestamp, app, attempt, n],
                ),
                _ => return None,
            };
            let [timestamp, app, attempt, sequence] = rest;
            let sequence: i64 = number(sequence)?;
            let fits = sequence <= SEQUENCE_MASK && epoch < 1 << (63 - SEQUENCE_BITS);
            let attempt = ApplicationAttemptId {
                application: application_of(timestamp, app)?,
                attempt: number(attempt)?,
            };
            fits.then_some(Self {
                attempt,
                id: (epoch << SEQUENCE_BITS) | sequence,
            })
        };
        let expected = "a container id such as container_e01_1700000000000_0001_01_000001";
        parse().ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

macro_rules! serde_as_text {
    ($($id:ty),*) => {$(
        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ApplicationId, ApplicationAttemptId, ContainerId);

impl From<ApplicationId> for proto::ApplicationId {
    fn from(id: ApplicationId) -> Self {
        Self {
            id: Some(id.id),
            cluster_timestamp: Some(id.cluster_timestamp),
        }
    }
}

impl From<ApplicationAttemptId> for proto::ApplicationAttemptId {
    fn from(id: ApplicationAttemptId) -> Self {
        Self {
            application_id: Some(id.application.into()),
            attempt_id: Some(id.attempt),
        }
    }
}

impl From<ContainerId> for proto::ContainerId {
    fn from(id: ContainerId) -> Self {
        Self {
            app_id: None,
            app_attempt_id: Some(id.attempt.into()),
            id: Some(id.id),
        }
    }
}

impl TryFrom<&proto::ApplicationId> for ApplicationId {
    type Error = Incomplete;

    fn try_from(id: &proto::ApplicationId) -> Result<Self, Incomplete> {
        Ok(Self {
            cluster_timestamp: id.cluster_timestamp(),
            id: id.id(),
        })
    }
}

impl TryFrom<&proto::ApplicationAttemptId> for ApplicationAttemptId {
    type Error = Incomplete;

    fn try_from(id: &proto::ApplicationAttemptId) -> Result<Self, Incomplete> {
        let application = id
            .application_id
            .as_ref()
            .ok_or(Incomplete("an application id"))?;
        Ok(Self {
            application: application.try_into()?,
            attempt: id.attempt_id(),
        })
    }
}

impl TryFrom<&proto::ContainerId> for ContainerId {
    type Error = Incomplete;

    fn try_from(id: &proto::ContainerId) -> Result<Self, Incomplete> {
        let attempt = id
            .app_attempt_id
            .as_ref()
            .ok_or(Incomplete("an attempt id"))?;
        Ok(Self {
            attempt: attempt.try_into()?,
            id: id.id(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_with_and_without_epoch() {
        for (text, epoch, sequence) in [
            ("container_1700000000000_0007_01_000002", 0, 2),
            ("container_e02_1700000000000_0007_01_000002", 2, 2),
            (
                "container_e117_1700000000000_12345_11_1234567",
                117,
                1_234_567,
            ),
        ] {
            let id: ContainerId = text.parse().unwrap();
            assert_eq!((id.epoch(), id.sequence()), (epoch, sequence));
            assert_eq!(id.to_string(), text);
            assert_eq!(ContainerId::try_from(&proto::ContainerId::from(id)), Ok(id));
        }
        let plain: ContainerId = "container_1_0001_01_000002".parse().unwrap();
        let later: ContainerId = "container_e01_1_0001_01_000002".parse().unwrap();
        assert_ne!(plain, later);
    }

    #[test]
    fn application_and_attempt_ids() {
        let attempt: ApplicationAttemptId = "appattempt_1700000000000_0042_000003".parse().unwrap();
        assert_eq!(
            attempt.application.to_string(),
            "application_1700000000000_0042"
        );
        assert_eq!(attempt.to_string(), "appattempt_1700000000000_0042_000003");
        let json = serde_json::to_string(&attempt.application).unwrap();
        assert_eq!(json, "\"application_1700000000000_0042\"");
        assert_eq!(
            serde_json::from_str::<ApplicationId>(&json).unwrap(),
            attempt.application
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "application_1",
            "application_1_x",
            "application_-1_0001",
            "application_1_99999999999",
        ] {
            assert!(text.parse::<ApplicationId>().is_err(), "{text}");
        }
        for text in [
            "container_1_1_1",
            "container_x01_1_1_1_1",
            "container_e_1_1_1_1",
            "container_e1_1_1_1_9999999999999",
            "container_e99999999_1_1_1_1",
            "container_1_1_1_1_1_1_1",
        ] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
    }
}
