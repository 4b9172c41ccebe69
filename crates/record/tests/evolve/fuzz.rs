//! Whatever schema and bytes are: an error perhaps, a panic never.

use std::collections::BTreeMap;

use flott_record::codec::decode;
use flott_record::schema::{Resolver, Schema};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{bytes, schema};

#[derive(Debug, Serialize, Deserialize)]
struct Everything {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    numbers: Vec<i64>,
    #[serde(default)]
    map: BTreeMap<String, (u64, bool)>,
    #[serde(default)]
    expr: Expr,
    #[serde(default, alias = "letter")]
    character: char,
}

#[derive(Debug, Default, Serialize, Deserialize)]
enum Expr {
    #[default]
    None,
    Sum(Box<Expr>, Box<Expr>),
    Call {
        #[serde(default)]
        name: String,
        #[serde(default)]
        args: Vec<Expr>,
    },
    Number(f64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Narrow {
    expr: Expr,
    text: String,
    gone: [u8; 3],
    numbers: Vec<i32>,
    map: BTreeMap<String, (u8, bool)>,
}

fn schemas() -> Vec<Vec<u8>> {
    vec![
        bytes(&schema::<Everything>()),
        bytes(&schema::<Narrow>()),
        bytes(&schema::<Expr>()),
        bytes(&schema::<Schema>()),
        bytes(&schema::<Vec<()>>()),
    ]
}

fn try_all(schema: &Schema, input: &[u8]) {
    macro_rules! try_as {
        ($($type:ty),*) => {$(
            if let Ok(resolver) = Resolver::<$type>::new(schema) {
                let mut rest = input;
                let before = rest.len();
                match resolver.decode(&mut rest) {
                    Ok(_) => assert!(rest.len() <= before),
                    Err(error) => assert!(!error.to_string().is_empty() && rest.len() == before),
                }
            }
        )*};
    }
    try_as!(
        Everything,
        Narrow,
        Expr,
        Schema,
        Vec<Option<()>>,
        Option<u64>
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_schemas_and_bytes_are_survived(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        input in prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..120),
    ) {
        let schemas = schemas();
        let mut damaged = schemas[which.index(schemas.len())].clone();
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Ok(schema) = decode::<Schema>(&mut &damaged[..]) {
            let _ = schema.to_string();
            try_all(&schema, &input);
        }
    }
}

#[test]
fn elements_without_bytes_are_limited() {
    let resolver = Resolver::<Vec<Option<()>>>::new(&schema::<Vec<()>>()).unwrap();
    let four_billion = u32::MAX.to_le_bytes();
    let error = resolver.decode(&mut &four_billion[..]).unwrap_err();
    assert!(
        error.to_string().contains("expected 4294967295 elements"),
        "{error}"
    );
    let hundred = 100_u32.to_le_bytes();
    assert_eq!(resolver.decode(&mut &hundred[..]).unwrap().len(), 100);
}
