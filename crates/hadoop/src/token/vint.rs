//! Hadoop's variable-length integers and the length-prefixed strings built on them.

use super::TokenError;

/// Appends `value`.
pub fn write_vint(value: i64, out: &mut Vec<u8>) {
    if let Ok(byte) = i8::try_from(value)
        && byte >= -112
    {
        out.extend(byte.to_be_bytes());
        return;
    }
    // The first byte says how many bytes follow and the sign; negative values are stored inverted.
    let (base, magnitude) = if value < 0 {
        (-120i8, !value)
    } else {
        (-112i8, value)
    };
    let bytes = magnitude.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let count = i8::try_from(bytes.len() - skip).expect("at most eight bytes");
    out.extend((base - count).to_be_bytes());
    out.extend(&bytes[skip..]);
}

/// Reader over a token file or token string; every read says what it was after when it fails.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], TokenError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(TokenError::Truncated { what })?;
        self.rest = rest;
        Ok(taken)
    }

    /// A variable-length integer.
    pub fn vint(&mut self, what: &'static str) -> Result<i64, TokenError> {
        let first = i8::from_be_bytes([self.take(1, what)?[0]]);
        if first >= -112 {
            return Ok(i64::from(first));
        }
        let negative = first < -120;
        let count = if negative {
            -120 - i16::from(first)
        } else {
            -112 - i16::from(first)
        };
        let count = usize::try_from(count).expect("first is below its base");
        let mut value = 0i64;
        for byte in self.take(count, what)? {
            value = (value << 8) | i64::from(*byte);
        }
        Ok(if negative { !value } else { value })
    }

    /// A count or length; negative ones are malformed.
    pub fn length(&mut self, what: &'static str) -> Result<usize, TokenError> {
        let value = self.vint(what)?;
        usize::try_from(value).map_err(|_| TokenError::NegativeLength { what, value })
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], TokenError> {
        let length = self.length(what)?;
        self.take(length, what)
    }

    /// A length-prefixed UTF-8 string.
    pub fn text(&mut self, what: &'static str) -> Result<String, TokenError> {
        let bytes = self.bytes(what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| TokenError::NotUtf8 { what })
    }
}

/// Appends length-prefixed bytes.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_vint(
        i64::try_from(bytes.len()).expect("slices are shorter than i64::MAX"),
        out,
    );
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write_vint(value, &mut out);
        out
    }

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (-1, &[0xff]),
            (-112, &[0x90]),
            (-113, &[0x87, 0x70]),
            (128, &[0x8f, 0x80]),
            (200, &[0x8f, 0xc8]),
            (256, &[0x8e, 0x01, 0x00]),
            (
                i64::MAX,
                &[0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
            (
                i64::MIN,
                &[0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
        ] {
            assert_eq!(encoded(value), bytes, "{value}");
            assert_eq!(Reader::new(bytes).vint("x").unwrap(), value);
        }
    }

    #[test]
    fn truncated_and_negative_are_errors() {
        assert!(matches!(
            Reader::new(&[]).vint("x"),
            Err(TokenError::Truncated { what: "x" })
        ));
        assert!(matches!(
            Reader::new(&[0x8e, 1]).vint("x"),
            Err(TokenError::Truncated { .. })
        ));
        assert!(matches!(
            Reader::new(&[0xff]).length("x"),
            Err(TokenError::NegativeLength { .. })
        ));
        assert!(matches!(
            Reader::new(&[2, b'a']).text("x"),
            Err(TokenError::Truncated { .. })
        ));
        assert!(matches!(
            Reader::new(&[1, 0xff]).text("x"),
            Err(TokenError::NotUtf8 { .. })
        ));
    }

    proptest! {
        #[test]
        fn roundtrip(value: i64) {
            let bytes = encoded(value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.vint("x").unwrap(), value);
            prop_assert!(reader.rest().is_empty());
        }
    }
}
