//! Schemas traced from derives: what they show, what their hash depends on, what is refused.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use flott_record::{
    Str,
    codec::{decode, encode},
    schema::{Schema, SchemaError, schema_of},
};
use serde::{Deserialize, de::DeserializeOwned};

#[allow(dead_code, reason = "only their Deserialize is of interest")]
mod types {
    use super::*;

    #[derive(Deserialize)]
    pub(crate) struct Page {
        pub(crate) id: u64,
        pub(crate) title: Str,
    }

    #[derive(Deserialize)]
    pub(crate) struct Session {
        pub(crate) user: String,
        pub(crate) pages: Vec<Page>,
        pub(crate) tags: BTreeMap<String, (u8, Option<bool>)>,
        pub(crate) kind: Kind,
        pub(crate) other: Kind,
    }

    #[derive(Deserialize)]
    pub(crate) enum Kind {
        Guest,
        Member(u32),
        Team(u8, i8),
        Company { name: String, size: Size },
        Alias(Page),
    }

    #[derive(Deserialize)]
    pub(crate) enum Size {
        Small,
        Large,
    }

    #[derive(Deserialize)]
    pub(crate) struct Tree {
        pub(crate) value: i32,
        pub(crate) children: Vec<Tree>,
    }

    #[derive(Deserialize)]
    pub(crate) enum Expr {
        Sum(Box<Expr>, Box<Expr>),
        Call { name: String, args: Vec<Expr> },
        Number(f64),
    }

    #[derive(Deserialize)]
    pub(crate) struct Statement {
        pub(crate) block: Block,
        pub(crate) after: Option<Box<Statement>>,
    }

    #[derive(Deserialize)]
    pub(crate) enum Block {
        Nested(Box<Statement>),
        Empty,
    }

    #[derive(Deserialize)]
    pub(crate) struct Wrapper<T> {
        pub(crate) inner: T,
    }

    #[derive(Deserialize)]
    pub(crate) struct Endless {
        pub(crate) again: Box<Endless>,
    }

    #[derive(Deserialize)]
    pub(crate) enum EndlessEnum {
        Left(Box<EndlessEnum>),
        Right(Box<EndlessEnum>),
    }

    #[derive(Deserialize)]
    pub(crate) enum Never {}

    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(crate) enum Untagged {
        Number(u8),
    }

    #[derive(Deserialize)]
    pub(crate) struct Flattened {
        pub(crate) id: u64,
        #[serde(flatten)]
        pub(crate) rest: BTreeMap<String, u8>,
    }

    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    pub(crate) struct Digit(pub(crate) u8);

    impl TryFrom<String> for Digit {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            text.parse().map(Digit).map_err(|e| e.to_string())
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u8")]
    pub(crate) struct Picky;

    impl TryFrom<u8> for Picky {
        type Error = String;
        fn try_from(number: u8) -> Result<Self, String> {
            Err(format!("{number} is not to my taste"))
        }
    }

    #[derive(Deserialize)]
    pub(crate) struct Checked {
        pub(crate) digit: Digit,
        pub(crate) name: String,
        pub(crate) port: NonZeroU32,
        pub(crate) more: Digit,
    }
}
use types::*;

fn shown<T: DeserializeOwned>() -> String {
    schema_of::<T>().unwrap().to_string()
}

fn hash<T: DeserializeOwned>() -> u64 {
    schema_of::<T>().unwrap().hash()
}

fn refusal<T: DeserializeOwned>() -> SchemaError {
    schema_of::<T>().unwrap_err()
}

#[test]
fn layouts_are_shown() {
    assert_eq!(shown::<(u64, i128, char, ())>(), "(u64, i128, char, ())");
    assert_eq!(shown::<Option<Vec<[f32; 2]>>>(), "[(f32, f32)]?");
    assert_eq!(shown::<HashSet<Str>>(), "[str]");
    assert_eq!(
        shown::<Session>(),
        "struct Session { user: str, pages: [struct Page { id: u64, title: str }], \
         tags: {str: (u8, bool?)}, kind: enum Kind { Guest, Member(u32), Team(u8, i8), \
         Company { name: str, size: enum Size { Small, Large } }, \
         Alias(struct Page { id: u64, title: str }) }, other: enum Kind { Guest, Member(u32), \
         Team(u8, i8), Company { name: str, size: enum Size { Small, Large } }, \
         Alias(struct Page { id: u64, title: str }) } }"
    );
}

#[test]
fn standard_types_are_traced() {
    assert_eq!(
        shown::<Duration>(),
        "struct Duration { secs: u64, nanos: u32 }"
    );
    assert_eq!(
        shown::<SystemTime>(),
        "struct SystemTime { secs_since_epoch: u64, nanos_since_epoch: u32 }"
    );
    assert_eq!(
        shown::<Result<u8, String>>(),
        "enum Result { Ok(u8), Err(str) }"
    );
    assert!(shown::<IpAddr>().starts_with("enum IpAddr { V4(u8, u8, u8, u8), V6(u8, "));
}

#[test]
fn recursive_types_point_upwards() {
    assert_eq!(
        shown::<Tree>(),
        "struct Tree { value: i32, children: [^2] }"
    );
    assert_eq!(
        shown::<Expr>(),
        "enum Expr { Sum(^2, ^2), Call { name: str, args: [^3] }, Number(f64) }"
    );
    assert_eq!(
        shown::<Statement>(),
        "struct Statement { block: enum Block { Nested(^2), Empty }, after: ^2? }"
    );
}

#[test]
fn instances_of_a_generic_type_are_not_recursion() {
    assert_eq!(
        shown::<Wrapper<Wrapper<Wrapper<u8>>>>(),
        "struct Wrapper { inner: struct Wrapper { inner: struct Wrapper { inner: u8 } } }"
    );
}

#[test]
fn types_that_check_their_values_are_traced() {
    assert_eq!(
        shown::<Checked>(),
        "struct Checked { digit: str, name: str, port: u32, more: str }"
    );
}

#[test]
fn what_cannot_be_a_record_is_refused() {
    assert!(matches!(
        refusal::<Endless>(),
        SchemaError::Infinite {
            name: "Endless",
            ..
        }
    ));
    assert!(matches!(
        refusal::<EndlessEnum>(),
        SchemaError::Infinite {
            name: "EndlessEnum",
            ..
        }
    ));
    assert!(matches!(
        refusal::<Vec<Never>>(),
        SchemaError::Uninhabited { name: "Never", .. }
    ));
    for error in [refusal::<Wrapper<Untagged>>(), refusal::<Flattened>()] {
        assert!(
            matches!(error, SchemaError::NotSelfDescribing { .. }),
            "{error}"
        );
    }
    assert_eq!(
        refusal::<Vec<Picky>>().to_string(),
        "alloc::vec::Vec<schema::types::Picky>[]: no sample value was accepted, the last answer \
         was: 100 is not to my taste"
    );
}

#[test]
fn nesting_is_limited() {
    type Four<T> = Vec<Vec<Vec<Vec<T>>>>;
    type Forty<T> = Four<Four<Four<Four<Four<Four<Four<Four<Four<Four<T>>>>>>>>>>;
    let deep = schema_of::<Forty<u8>>().unwrap();
    assert_eq!(stored_and_read(&deep), deep);
    assert!(matches!(
        refusal::<Vec<Forty<u8>>>(),
        SchemaError::TooDeep { .. }
    ));
}

fn stored_and_read(schema: &Schema) -> Schema {
    let mut bytes = Vec::new();
    encode(schema, &mut bytes).unwrap();
    decode(&mut &bytes[..]).unwrap()
}

#[test]
fn schemas_are_records() {
    for schema in [
        schema_of::<Session>(),
        schema_of::<Expr>(),
        schema_of::<Schema>(),
    ] {
        let schema = schema.unwrap();
        let read = stored_and_read(&schema);
        assert_eq!(read, schema);
        assert_eq!(read.hash(), schema.hash());
    }
}

#[allow(dead_code, reason = "only their Deserialize is of interest")]
mod renamed {
    use super::*;

    #[derive(Deserialize)]
    pub(crate) struct Leaf {
        pub(crate) id: u64,
        pub(crate) title: String,
    }

    #[derive(Deserialize)]
    pub(crate) struct Retitled {
        pub(crate) id: u64,
        pub(crate) name: String,
    }

    #[derive(Deserialize)]
    pub(crate) struct Swapped {
        pub(crate) title: String,
        pub(crate) id: u64,
    }

    #[derive(Deserialize)]
    pub(crate) struct Narrow {
        pub(crate) id: u32,
        pub(crate) title: String,
    }

    #[derive(Deserialize)]
    pub(crate) struct Sly {
        #[serde(rename = "id: u64, title")]
        pub(crate) both: String,
    }

    #[derive(Deserialize)]
    pub(crate) enum Size {
        Large,
        Small,
    }

    #[derive(Deserialize)]
    pub(crate) struct Id(pub(crate) u64);
}

#[test]
fn the_hash_sees_layout_and_names_of_fields() {
    assert_eq!(hash::<Page>(), hash::<renamed::Leaf>());
    assert_eq!(hash::<u64>(), hash::<renamed::Id>());
    let different = [
        hash::<Page>(),
        hash::<renamed::Retitled>(),
        hash::<renamed::Swapped>(),
        hash::<renamed::Narrow>(),
        hash::<renamed::Sly>(),
        hash::<(u64, String)>(),
        hash::<Size>(),
        hash::<renamed::Size>(),
        hash::<u64>(),
        hash::<i64>(),
        hash::<Option<u64>>(),
        hash::<Vec<u64>>(),
        hash::<(u64,)>(),
        hash::<Tree>(),
    ];
    assert_eq!(HashSet::from(different).len(), different.len());
}

#[test]
fn the_hash_is_frozen() {
    assert_eq!(hash::<u64>(), 0xf908_a9e1_89b0_1a36);
    assert_eq!(hash::<Page>(), 0x56ae_3fdc_d641_c519);
    assert_eq!(hash::<Session>(), 0x8774_4a46_e5c1_0839);
    assert_eq!(hash::<Expr>(), 0xb7e5_fb29_374b_389b);
}

#[test]
fn the_stored_layout_is_frozen() {
    // Of a schema itself: a change here makes stored schemas unreadable.
    assert_eq!(
        shown::<Schema>(),
        "struct Schema { shape: enum Shape { Scalar(enum Scalar { Bool, I8, I16, I32, I64, I128, \
         U8, U16, U32, U64, U128, F32, F64, Char, Str, Bytes }), Unit, Option(^1), Seq(^1), \
         Map(^2, ^2), Tuple([^2]), Struct { name: str, fields: [(str, ^4)] }, \
         Enum { name: str, variants: [(str, ^4)] }, Above(u32) } }"
    );
}
