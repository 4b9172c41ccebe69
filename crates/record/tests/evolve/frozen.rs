//! Bytes and schemas as they were written once, read as types of today: for ever.

use flott_record::codec::decode;
use flott_record::schema::{Resolver, Schema};
use serde::{Deserialize, Serialize};

/// What was written: see [`V1`].
#[allow(dead_code, reason = "it says what the bytes are")]
mod v1 {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Order {
        pub(crate) id: u32,
        pub(crate) customer: String,
        pub(crate) discount: f32,
        pub(crate) lines: Vec<(u16, i8)>,
        pub(crate) state: State,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) enum State {
        Open,
        Paid { at: i64, by: Option<String> },
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    state: State,
    #[serde(alias = "customer")]
    buyer: Option<String>,
    lines: Vec<(u64, i64)>,
    #[serde(default)]
    notes: Vec<String>,
    id: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Cancelled,
    #[serde(alias = "Paid")]
    Settled {
        by: Option<String>,
        at: i64,
    },
    Open,
}

/// The schema of `v1::Order`, as it is stored.
const SCHEMA: &str = "06000000050000004f7264657205000000020000006964000000000800000008000000637573746f6d6572000000\
    000e00000008000000646973636f756e74000000000b000000050000006c696e6573030000000500000002000000\
    00000000070000000000000001000000050000007374617465070000000500000053746174650200000004000000\
    4f70656e010000000400000050616964060000000000000002000000020000006174000000000400000002000000\
    627902000000000000000e000000";

/// Two orders.
const V1: [&str; 2] = [
    "0700000003000000616e6e0000803e02000000ffff8001000101000000ffffffffffffffff010400000063617264",
    "ffffffff00000000000000800000000000000000",
];

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let pairs = digits.map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

#[test]
fn what_was_written_once_is_read() {
    let stored = unhex(SCHEMA);
    let schema: Schema = decode(&mut &stored[..]).unwrap();
    assert_eq!(
        schema.to_string(),
        "struct Order { id: u32, customer: str, discount: f32, lines: [(u16, i8)], \
         state: enum State { Open, Paid { at: i64, by: str? } } }"
    );
    let resolver = Resolver::<Order>::new(&schema).unwrap();
    let orders = V1.map(|order| {
        let bytes = unhex(order);
        let mut input = &bytes[..];
        let order = resolver.decode(&mut input).unwrap();
        assert!(input.is_empty());
        order
    });
    let order = |id, buyer: &str, lines, state| Order {
        id,
        buyer: Some(buyer.to_owned()),
        lines,
        notes: Vec::new(),
        state,
    };
    let settled = State::Settled {
        by: Some("card".to_owned()),
        at: -1,
    };
    assert_eq!(
        orders,
        [
            order(7, "ann", vec![(65_535, -128), (1, 1)], settled),
            order(u64::from(u32::MAX), "", Vec::new(), State::Open),
        ]
    );
}
