//! Values that are offered to types which check what they read, the harmless one first.

pub(in crate::schema) const INTEGERS: [u8; 4] = [0, 1, 2, 100];
pub(in crate::schema) const FLOATS: [f32; 3] = [0.0, 1.0, 0.5];
pub(in crate::schema) const BOOLS: [bool; 2] = [false, true];
pub(in crate::schema) const CHARS: [char; 3] = ['\0', 'a', '0'];

/// Dates, times, addresses and numbers in the notations that types usually parse.
pub(in crate::schema) const STRINGS: [&str; 16] = [
    "",
    "a",
    "0",
    "1",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01",
    "00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "http://localhost/",
    "UTC",
    "true",
    "a@b.c",
];

const ZEROS: [u8; 64] = [0; 64];

/// Lengths of identifiers, digests and keys.
pub(in crate::schema) const BYTES: [&[u8]; 9] = [
    &[],
    ZEROS.split_at(16).0,
    ZEROS.split_at(4).0,
    ZEROS.split_at(8).0,
    ZEROS.split_at(12).0,
    ZEROS.split_at(20).0,
    ZEROS.split_at(32).0,
    ZEROS.split_at(1).0,
    &ZEROS,
];
