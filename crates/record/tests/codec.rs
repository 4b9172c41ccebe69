//! The byte layout, round trips over nested types, and what hostile input can do.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fmt,
    marker::PhantomData,
    net::IpAddr,
    time::Duration,
};

use flott_record::{
    Str,
    codec::{
        CodecError, Fault, MAX_DEPTH, MAX_EMPTY_ELEMENTS, Values, decode, decode_borrowed, encode,
    },
};
use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
    ser::SerializeSeq,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Tick,
    Count(u32),
    Pair(i8, String),
    Named { letter: Option<char>, ratio: f64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(f32);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    flag: bool,
    small: (i8, u8, i16, u16, i32, u32, i64, u64),
    wide: (i128, u128),
    length: Meters,
    marker: Marker,
    text: Str,
    events: Vec<Event>,
    index: BTreeMap<String, Vec<Option<u16>>>,
    nested: Option<Box<Row>>,
    array: [u8; 3],
    unit: (),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Tick),
        any::<u32>().prop_map(Event::Count),
        any::<(i8, String)>().prop_map(|(a, b)| Event::Pair(a, b)),
        any::<(Option<char>, f64)>().prop_map(|(letter, ratio)| Event::Named { letter, ratio }),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let leaf = (
        any::<bool>(),
        any::<(i8, u8, i16, u16, i32, u32, i64, u64)>(),
        any::<(i128, u128)>(),
        any::<f32>(),
        any::<String>(),
        prop::collection::vec(event(), 0..4),
        prop::collection::btree_map(any::<String>(), any::<Vec<Option<u16>>>(), 0..3),
        any::<[u8; 3]>(),
    )
        .prop_map(
            |(flag, small, wide, length, text, events, index, array)| Row {
                flag,
                small,
                wide,
                length: Meters(length),
                marker: Marker,
                text: text.into(),
                events,
                index,
                nested: None,
                array,
                unit: (),
            },
        );
    leaf.prop_recursive(3, 8, 1, |inner| {
        (inner.clone(), inner).prop_map(|(outer, inner)| Row {
            nested: Some(inner.into()),
            ..outer
        })
    })
}

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out).expect("test values are encodable");
    out
}

fn decode_all<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, CodecError> {
    decode(&mut bytes)
}

fn fault_of<T: DeserializeOwned + fmt::Debug>(bytes: &[u8]) -> Fault {
    decode_all::<T>(bytes).unwrap_err().fault().clone()
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
    let bytes = bytes_of(&value);
    let mut rest = &bytes[..];
    assert_eq!(decode::<T>(&mut rest).unwrap(), value);
    assert!(
        rest.is_empty(),
        "{} bytes of {value:?} were not read",
        rest.len()
    );
}

#[test]
fn layout_is_frozen() {
    let check = |bytes: Vec<u8>, expected: &[u8]| assert_eq!(bytes, expected);
    check(bytes_of(&0x0102_0304_u32), &[4, 3, 2, 1]);
    check(bytes_of(&-2_i16), &[0xfe, 0xff]);
    check(
        bytes_of(&1_u128),
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    check(bytes_of(&1.0_f32), &[0, 0, 0x80, 0x3f]);
    check(bytes_of(&(true, 'ß', ())), &[1, 0xdf, 0, 0, 0]);
    check(bytes_of("hé"), &[3, 0, 0, 0, b'h', 0xc3, 0xa9]);
    check(bytes_of(&[None, Some(7_u8)]), &[0, 1, 7]);
    check(bytes_of(&vec![1_u16, 2]), &[2, 0, 0, 0, 1, 0, 2, 0]);
    check(
        bytes_of(&BTreeMap::from([(1_u8, 'a')])),
        &[1, 0, 0, 0, 1, b'a', 0, 0, 0],
    );
    check(bytes_of(&Event::Tick), &[0, 0, 0, 0]);
    check(bytes_of(&Event::Count(5)), &[1, 0, 0, 0, 5, 0, 0, 0]);
    check(
        bytes_of(&Event::Pair(-1, "x".into())),
        &[2, 0, 0, 0, 0xff, 1, 0, 0, 0, b'x'],
    );
    check(
        bytes_of(&Event::Named {
            letter: Some('b'),
            ratio: 0.0,
        }),
        &[3, 0, 0, 0, 1, b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    check(bytes_of(&(Marker, Meters(0.0))), &[0, 0, 0, 0]);
}

#[test]
fn standard_types_round_trip() {
    round_trip((u64::MAX, i64::MIN));
    round_trip(Duration::new(3, 4));
    round_trip("::1".parse::<IpAddr>().unwrap());
    round_trip(HashMap::from([
        (1_u64, "one".to_owned()),
        (2, "two".to_owned()),
    ]));
    round_trip(Ok::<u8, String>(3));
    round_trip(0_u8..9);
    round_trip(Some(Some(None::<u8>)));
    round_trip([[1_u8; 4]; 4]);
    round_trip(Str::from("a text that is longer than what fits inline"));
}

#[test]
fn values_follow_each_other_and_borrow() {
    let mut out = vec![9];
    encode("first", &mut out).unwrap();
    encode(&2_u8, &mut out).unwrap();
    let mut rest = &out[1..];
    let text: &str = decode_borrowed(&mut rest).unwrap();
    assert_eq!(
        (text, decode::<u8>(&mut rest).unwrap(), rest.len()),
        ("first", 2, 0)
    );
}

/// Announces no length, or a wrong one, as hand-written implementations may.
struct Announcing(Option<usize>, Vec<u16>);

impl Serialize for Announcing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(self.0)?;
        for element in &self.1 {
            seq.serialize_element(element)?;
        }
        seq.end()
    }
}

#[test]
fn lengths_are_put_right() {
    for announced in [None, Some(0), Some(3), Some(70_000)] {
        let bytes = bytes_of(&(Announcing(announced, vec![5, 6, 7]), 1_u8));
        assert_eq!(
            decode_all::<(Vec<u16>, u8)>(&bytes).unwrap(),
            (vec![5, 6, 7], 1)
        );
    }
}

/// Displayed, not derived: serde's `collect_str`.
struct Shown(u32);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("no. {}", self.0))
    }
}

#[test]
fn displayed_values_are_strings() {
    assert_eq!(bytes_of(&(Shown(17), 1_u8)), bytes_of(&("no. 17", 1_u8)));
}

#[derive(Debug, Serialize, Deserialize)]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<u8>,
}

/// Refuses to be written, after something was.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn a_failed_encode_leaves_nothing_behind() {
    let mut out = vec![1, 2, 3];
    let error = encode(&("text", Refusing), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "cannot encode: not today");
    let error = encode(&(7_u64, Skipping { maybe: None }), &mut out).unwrap_err();
    assert_eq!(error.fault(), &Fault::SkippedField("maybe"));
    assert_eq!(error.offset(), None);
    assert_eq!(out, [1, 2, 3]);
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    #[allow(dead_code, reason = "only its Deserialize is of interest")]
    A { number: u8 },
}

#[test]
fn self_describing_types_are_refused() {
    let bytes = [1; 64];
    for fault in [
        fault_of::<Untagged>(&bytes),
        fault_of::<Tagged>(&bytes),
        fault_of::<IgnoredAny>(&bytes),
    ] {
        assert!(matches!(fault, Fault::NotSelfDescribing(_)), "{fault:?}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let check = |error: CodecError, text: &str| assert_eq!(error.to_string(), text);
    let mut bytes = bytes_of(&(1_u64, 2_u32));
    bytes.pop();
    let error = decode_all::<(u64, u32)>(&bytes).unwrap_err();
    assert_eq!(error.offset(), Some(8));
    check(
        error,
        "cannot decode, after 8 bytes: expected u32 (4 bytes), 3 bytes are left",
    );
    check(
        decode_all::<bool>(&[2]).unwrap_err(),
        "cannot decode, after 1 bytes: expected bool (0 or 1), found 2",
    );
    check(
        decode_all::<String>(&[2, 0, 0, 0, b'a', 0xff]).unwrap_err(),
        "cannot decode, after 6 bytes: expected a UTF-8 string, found a broken character 1 bytes \
         into it",
    );
    check(
        decode_all::<Event>(&[4, 0, 0, 0]).unwrap_err(),
        "cannot decode, after 4 bytes: invalid value: integer `4`, expected variant index 0 <= i < 4",
    );
    assert_eq!(
        fault_of::<Option<u8>>(&[3, 1]),
        Fault::InvalidValue {
            expected: "tag of an option (0 or 1)",
            found: 3
        }
    );
    assert!(matches!(
        fault_of::<char>(&[0, 0xd8, 0, 0]),
        Fault::InvalidValue { found: 0xd800, .. }
    ));
    assert_eq!(
        fault_of::<Vec<u32>>(&[0xff; 10]),
        Fault::LengthExceedsInput {
            length: u32::MAX,
            remaining: 6
        }
    );
}

#[test]
fn a_failed_decode_does_not_advance() {
    let bytes = [1, 0, 0, 0, b'a', 9];
    let mut rest = &bytes[..];
    decode::<(String, bool)>(&mut rest).unwrap_err();
    assert_eq!(rest, bytes);
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

fn chain(links: usize) -> Chain {
    (0..links).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))))
}

#[test]
fn depth_is_limited_alike_on_both_sides() {
    // Each link is a newtype and an option.
    let links = usize::from(MAX_DEPTH) / 2;
    round_trip(chain(links - 1));
    let mut out = Vec::new();
    assert_eq!(
        encode(&chain(links), &mut out).unwrap_err().fault(),
        &Fault::TooDeep
    );
    assert_eq!(fault_of::<Chain>(&[1; 10_000]), Fault::TooDeep);
}

#[derive(Debug)]
struct Endless;

impl<'de> Deserialize<'de> for Endless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Again;
        impl<'de> Visitor<'de> for Again {
            type Value = Endless;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("itself")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Endless, D::Error> {
                Endless::deserialize(d)
            }
        }
        deserializer.deserialize_newtype_struct("Endless", Again)
    }
}

#[test]
fn recursion_that_reads_nothing_ends() {
    assert_eq!(fault_of::<Endless>(&[]), Fault::TooDeep);
}

#[test]
fn empty_elements_are_limited_alike_on_both_sides() {
    let limit = MAX_EMPTY_ELEMENTS as usize;
    round_trip(vec![(); limit]);
    round_trip((vec![(); limit / 2], vec![(); limit / 2], vec![0_u8; limit]));
    let mut out = Vec::new();
    let error = encode(&(vec![(); limit], vec![()]), &mut out).unwrap_err();
    assert_eq!(error.fault(), &Fault::TooManyEmptyElements);
    // Twelve bytes that claim three times what is allowed.
    let claim = [(limit as u32).to_le_bytes(); 3].concat();
    assert!(matches!(
        fault_of::<(Vec<()>, Vec<()>, Vec<()>)>(&claim),
        Fault::LengthExceedsInput { .. }
    ));
    // The claim is covered by input that the elements do not read.
    let mut padded = (limit as u32 + 1).to_le_bytes().to_vec();
    padded.resize(limit * 2, 0);
    assert_eq!(fault_of::<Vec<()>>(&padded), Fault::TooManyEmptyElements);
}

thread_local! {
    static RESERVED: Cell<usize> = const { Cell::new(0) };
}

/// A collection that reserves whatever the decoder hints at, unlike serde's cautious ones.
#[derive(Debug)]
struct Greedy<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Greedy<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reserve<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reserve<T> {
            type Value = Greedy<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Greedy<T>, A::Error> {
                let hint = seq.size_hint().expect("the decoder knows the length");
                RESERVED.with(|total| total.set(total.get() + hint));
                while seq.next_element::<T>()?.is_some() {}
                Ok(Greedy(PhantomData))
            }
        }
        deserializer.deserialize_seq(Reserve(PhantomData))
    }
}

/// Stops before the end of its sequence.
#[derive(Debug)]
struct First;

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Early;
        impl<'de> Visitor<'de> for Early {
            type Value = First;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<First, A::Error> {
                seq.next_element::<u8>()?;
                Ok(First)
            }
        }
        deserializer.deserialize_seq(Early)
    }
}

#[test]
fn elements_left_behind_are_an_error() {
    assert!(decode_all::<First>(&bytes_of(&vec![1_u8])).is_ok());
    assert!(matches!(
        fault_of::<First>(&bytes_of(&vec![1_u8, 2])),
        Fault::InvalidValue { found: 1, .. }
    ));
}

/// Bytes that often start like a length, so that decoding gets further than the first word.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        (0_u32..6).prop_map(|n| n.to_le_bytes().to_vec()),
        any::<u32>().prop_map(|n| n.to_le_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(0_u8..2, 0..12),
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    // Failures are shown with their input; there is no place to keep them beside this file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_round_trip(row in row()) {
        let bytes = bytes_of(&row);
        let mut rest = &bytes[..];
        prop_assert_eq!(decode::<Row>(&mut rest).unwrap(), row);
        prop_assert!(rest.is_empty());
    }

    /// Strings are the same bytes however short they are.
    #[test]
    fn strings_are_their_bytes(text in ".{0,40}", before in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut out = before.clone();
        encode(text.as_str(), &mut out).unwrap();
        let length = u32::try_from(text.len()).unwrap();
        let expected = [&before, &length.to_le_bytes()[..], text.as_bytes()].concat();
        prop_assert_eq!(out, expected);
    }

    /// What is read from a buffer of many values is what is read of each by itself, errors included:
    /// also behind the first byte of the buffer that is not text.
    #[test]
    fn values_of_a_buffer_are_values(
        rows in prop::collection::vec((".{0,20}", 0..1_000_u32, "[a-z]{0,9}"), 1..20),
        broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        type Read = (String, u32, Str);
        let mut bytes: Vec<u8> = rows.iter().flat_map(bytes_of).collect();
        if let Some((at, byte)) = broken {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (mut values, mut rest) = (Values::new(&bytes), &bytes[..]);
        loop {
            prop_assert_eq!(values.rest(), rest);
            if rest.is_empty() {
                break;
            }
            let (together, alone) = (values.read::<Read>(), decode::<Read>(&mut rest));
            prop_assert_eq!(&together, &alone);
            if together.is_err() {
                prop_assert!(broken.is_some());
                break;
            }
        }
    }

    #[test]
    fn truncated_input_is_an_error(row in row(), at in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&row);
        let error = decode_all::<Row>(&bytes[..at.index(bytes.len())]).unwrap_err();
        prop_assert!(error.offset().is_some_and(|offset| offset < bytes.len()), "{}", error);
    }

    #[test]
    fn changed_bytes_never_panic(
        row in row(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = bytes_of(&row);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(row) = decode_all::<Row>(&bytes) {
            // What was accepted is a value like any other.
            let again = bytes_of(&row);
            prop_assert_eq!(bytes_of(&decode_all::<Row>(&again).unwrap()), again);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in hostile()) {
        let _ = decode_all::<Row>(&bytes);
        let _ = decode_all::<Vec<Event>>(&bytes);
        let _ = decode_all::<BTreeMap<String, Vec<(Str, char)>>>(&bytes);
        let _ = decode_all::<HashMap<Option<()>, Vec<()>>>(&bytes);
        let _ = decode_all::<Chain>(&bytes);
    }

    /// Every sequence but those that are being read has consumed a byte per element or used up
    /// the allowance for empty ones.
    #[test]
    fn reservations_are_covered_by_input(bytes in hostile()) {
        RESERVED.set(0);
        let _ = decode_all::<Greedy<(Greedy<u8>, Greedy<Greedy<()>>)>>(&bytes);
        let bound = 4 * bytes.len() + MAX_EMPTY_ELEMENTS as usize;
        prop_assert!(RESERVED.get() <= bound, "{} reserved for {}", RESERVED.get(), bytes.len());
    }
}
