//! What can be read.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use flott_record::Str;
use flott_record::schema::{Compatibility, Resolver, Schema};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{evolve, schema};

mod old {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Session {
        pub(crate) user: String,
        pub(crate) hits: u32,
        pub(crate) gone: (u64, Vec<Option<Str>>),
        pub(crate) pages: Vec<Page>,
        pub(crate) kind: Kind,
        pub(crate) by_country: BTreeMap<String, (i8, f32)>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Page {
        pub(crate) id: u8,
        pub(crate) ms: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Kind {
        Guest,
        Member(u16),
        Team(u8, i16),
        Company { name: String, size: u8 },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Tree {
        pub(crate) value: i32,
        pub(crate) gone: Option<Box<Tree>>,
        pub(crate) children: Vec<Tree>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Expr {
        Sum(Box<Expr>, Box<Expr>),
        Number(f32),
    }
}

mod new {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Session {
        pub(crate) kind: Kind,
        pub(crate) pages: Vec<Page>,
        #[serde(default = "nowhere")]
        pub(crate) country: String,
        pub(crate) hits: u64,
        pub(crate) user: Option<Str>,
        pub(crate) by_country: HashMap<Str, (i64, f64)>,
    }

    fn nowhere() -> String {
        "nowhere".to_owned()
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Page {
        #[serde(default)]
        pub(crate) title: String,
        pub(crate) id: i16,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Kind {
        Robot {
            owner: String,
        },
        Team(i64, i64),
        Company {
            size: u64,
            name: String,
            #[serde(default)]
            since: u16,
        },
        Member(u64),
        Guest,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Tree {
        #[serde(default)]
        pub(crate) name: String,
        pub(crate) children: Vec<Tree>,
        pub(crate) value: i64,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Expr {
        Number(f64),
        Product(Vec<Expr>),
        Sum(Box<Expr>, Box<Expr>),
    }
}

fn kind() -> impl Strategy<Value = old::Kind> {
    prop_oneof![
        Just(old::Kind::Guest),
        any::<u16>().prop_map(old::Kind::Member),
        any::<(u8, i16)>().prop_map(|(a, b)| old::Kind::Team(a, b)),
        any::<(String, u8)>().prop_map(|(name, size)| old::Kind::Company { name, size }),
    ]
}

fn new_kind(kind: old::Kind) -> new::Kind {
    match kind {
        old::Kind::Guest => new::Kind::Guest,
        old::Kind::Member(number) => new::Kind::Member(number.into()),
        old::Kind::Team(a, b) => new::Kind::Team(a.into(), b.into()),
        old::Kind::Company { name, size } => new::Kind::Company {
            size: size.into(),
            name,
            since: 0,
        },
    }
}

fn session() -> impl Strategy<Value = old::Session> {
    let gone = prop::collection::vec(prop::option::of(".{0,5}".prop_map(Str::from)), 0..3);
    let pages = prop::collection::vec(any::<(u8, u32)>(), 0..4);
    let by_country = prop::collection::btree_map(".{0,3}", (any::<i8>(), -9.5..9.5_f32), 0..4);
    let scalars = any::<(String, u32, u64)>();
    (scalars, gone, pages, kind(), by_country).prop_map(
        |((user, hits, number), gone, pages, kind, by_country)| old::Session {
            user,
            hits,
            gone: (number, gone),
            pages: pages
                .into_iter()
                .map(|(id, ms)| old::Page { id, ms })
                .collect(),
            kind,
            by_country,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fields_move_widen_come_and_go(old in session()) {
        let new: new::Session = evolve(&old);
        let pages = old.pages.iter().map(|page| new::Page {
            title: String::new(),
            id: page.id.into(),
        });
        let by_country = old.by_country.iter().map(|(country, (a, b))| {
            (Str::from(country.as_str()), (i64::from(*a), f64::from(*b)))
        });
        prop_assert_eq!(new, new::Session {
            user: Some(old.user.as_str().into()),
            hits: old.hits.into(),
            pages: pages.collect(),
            by_country: by_country.collect(),
            country: "nowhere".to_owned(),
            kind: new_kind(old.kind),
        });
    }
}

#[test]
fn recursive_types_evolve() {
    let leaf = |value| old::Tree {
        value,
        gone: None,
        children: Vec::new(),
    };
    let old = old::Tree {
        gone: Some(Box::new(leaf(-1))),
        children: vec![leaf(2), leaf(3)],
        value: 1,
    };
    let new: new::Tree = evolve(&old);
    assert_eq!((new.value, new.name.as_str()), (1, ""));
    let children: Vec<_> = new.children.iter().map(|tree| tree.value).collect();
    assert_eq!(children, [2, 3]);

    let sum = |a, b| old::Expr::Sum(Box::new(a), Box::new(b));
    let number = old::Expr::Number;
    let new: new::Expr = evolve(&sum(sum(number(1.0), number(2.0)), number(0.5)));
    let sum = |a, b| new::Expr::Sum(Box::new(a), Box::new(b));
    let number = new::Expr::Number;
    assert_eq!(new, sum(sum(number(1.0), number(2.0)), number(0.5)));
}

#[test]
fn integers_widen_with_their_sign() {
    assert_eq!(evolve::<u8, u128>(&255), 255);
    assert_eq!(evolve::<u64, u128>(&u64::MAX), u64::MAX.into());
    assert_eq!(evolve::<i8, i128>(&-128), -128);
    assert_eq!(evolve::<i64, i128>(&i64::MIN), i64::MIN.into());
    assert_eq!(evolve::<u32, i64>(&u32::MAX), u32::MAX.into());
    assert_eq!(evolve::<u8, i16>(&255), 255);
    assert!((evolve::<f32, f64>(&0.5) - 0.5).abs() < f64::EPSILON);
}

#[test]
fn options_appear_around_what_was_there() {
    assert_eq!(evolve::<u8, Option<Option<u32>>>(&7), Some(Some(7)));
    assert_eq!(evolve::<Option<u8>, Option<u16>>(&None), None);
    let list: Vec<Option<String>> = evolve(&vec!["a".to_owned()]);
    assert_eq!(list, [Some("a".to_owned())]);
}

#[derive(Serialize, Deserialize)]
struct Picky {
    at: NonZeroU32,
    took: Duration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PickyToo {
    #[serde(default)]
    name: String,
    took: Duration,
    at: NonZeroU32,
}

#[test]
fn types_that_check_their_values_evolve() {
    let old = Picky {
        at: NonZeroU32::MIN,
        took: Duration::from_millis(1_500),
    };
    let new: PickyToo = evolve(&old);
    assert_eq!((new.at.get(), new.took.as_millis()), (1, 1_500));
}

#[test]
fn the_same_layout_needs_nothing() {
    let same = schema::<old::Session>().compatibility::<old::Session>();
    assert_eq!(same.unwrap(), Compatibility::Same);
    let resolver = Resolver::<old::Page>::new(&schema::<old::Page>()).unwrap();
    assert!(resolver.is_same());
    let page = old::Page { id: 1, ms: 2 };
    let bytes = crate::bytes(&page);
    assert_eq!(resolver.decode(&mut &bytes[..]).unwrap(), page);
    // On an error the input stays where it was.
    let mut cut = &bytes[..3];
    resolver.decode(&mut cut).unwrap_err();
    assert_eq!(cut.len(), 3);
}

#[test]
fn errors_say_after_how_many_bytes() {
    let resolver = Resolver::<new::Page>::new(&schema::<old::Page>()).unwrap();
    let mut cut = &[1, 2, 3][..];
    let error = resolver.decode(&mut cut).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot decode, after 1 bytes: expected u32 (4 bytes), 2 bytes are left"
    );
    assert_eq!(cut.len(), 3);
}

#[test]
fn keys_that_hash_alike_can_be_told() {
    #[derive(Deserialize)]
    struct Renamed {
        #[serde(rename = "number")]
        _id: u64,
        #[serde(rename = "millis")]
        _ms: i32,
    }
    fn alike(one: &Schema, other: &Schema) -> bool {
        one.hashes_as(other)
    }
    assert!(alike(&schema::<u32>(), &schema::<i64>()));
    assert!(alike(&schema::<old::Page>(), &schema::<Renamed>()));
    assert!(alike(&schema::<(u8, String)>(), &schema::<(u64, Str)>()));
    assert!(!alike(&schema::<u64>(), &schema::<u128>()));
    assert!(!alike(&schema::<old::Page>(), &schema::<new::Page>()));
    assert!(!alike(&schema::<u32>(), &schema::<Option<u32>>()));
    assert!(!alike(&schema::<old::Kind>(), &schema::<new::Kind>()));
}
