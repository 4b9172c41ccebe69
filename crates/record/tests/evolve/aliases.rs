//! Renamed fields and variants: by alias of the old name.

use flott_record::codec::decode;
use serde::{Deserialize, Serialize};

use crate::{bytes, evolve, refusal, schema};

#[derive(Serialize, Deserialize)]
struct Old {
    user: String,
    hits: u32,
    last: Place,
}

#[derive(Serialize, Deserialize)]
enum Place {
    Home,
    Shop(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    #[serde(alias = "hits", alias = "clicks")]
    views: u64,
    #[serde(alias = "user")]
    name: String,
    #[serde(alias = "place", rename = "where", alias = "last")]
    at: NewPlace,
    #[serde(default, alias = "a")]
    b: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum NewPlace {
    #[serde(alias = "Shop", alias = "Market")]
    Store(u8),
    #[serde(alias = "Home")]
    House {},
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum NewUnitPlace {
    #[serde(alias = "Shop")]
    Store(u8),
    #[serde(alias = "Home")]
    House,
}

#[derive(Serialize, Deserialize)]
struct Plain {
    views: u64,
    name: String,
    #[serde(rename = "where")]
    at: NewPlace,
    b: u8,
}

#[test]
fn a_type_with_aliases_has_the_schema_of_its_names() {
    assert_eq!(
        schema::<New>().to_string(),
        "struct New { views: u64, name: str, where: enum NewPlace { Market|Shop|Store(u8), \
         Home|House {  } }, b: u8 }"
    );
    assert_eq!(schema::<New>().hash(), schema::<Plain>().hash());
    let value = New {
        views: 1,
        name: "n".to_owned(),
        at: NewPlace::Store(2),
        b: 3,
    };
    let bytes = bytes(&value);
    assert_eq!(decode::<New>(&mut &bytes[..]).unwrap(), value);
}

#[test]
fn aliases_may_go_again() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Later {
        House {},
        Other,
        Store(u16),
    }
    assert_eq!(evolve::<_, Later>(&NewPlace::Store(7)), Later::Store(7));
    assert_eq!(evolve::<_, Later>(&NewPlace::House {}), Later::House {});
    #[derive(Serialize, Deserialize)]
    enum Gone {
        Store(u8),
    }
    assert!(
        refusal::<NewPlace, Gone>().starts_with("NewPlace::Home|House was a variant and is none")
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Renamed {
    #[serde(alias = "hits")]
    views: u64,
    #[serde(alias = "user")]
    name: String,
    #[serde(alias = "last")]
    at: NewUnitPlace,
}

#[test]
fn old_names_are_found() {
    let old = |last| Old {
        user: "ann".to_owned(),
        hits: 7,
        last,
    };
    let new = |at| Renamed {
        views: 7,
        name: "ann".to_owned(),
        at,
    };
    assert_eq!(
        evolve::<_, Renamed>(&old(Place::Home)),
        new(NewUnitPlace::House)
    );
    let shop = evolve::<_, Renamed>(&old(Place::Shop(3)));
    assert_eq!(shop, new(NewUnitPlace::Store(3)));
}

#[test]
fn a_renamed_field_without_an_alias_is_a_new_one() {
    #[derive(Deserialize)]
    struct Bare {
        #[serde(rename = "views")]
        _views: u64,
    }
    assert_eq!(
        refusal::<Old, Bare>(),
        "Old.views was not there and is a field without default: a new field needs \
         `#[serde(default)]`, a renamed one an alias of its old name"
    );
}

#[derive(Deserialize)]
struct Picky {
    #[serde(alias = "before")]
    _after: std::num::NonZeroU8,
    #[serde(alias = "old", default)]
    _new: Option<Box<Picky>>,
}

#[test]
fn recursive_and_picky_types_may_have_aliases() {
    assert_eq!(
        schema::<Picky>().to_string(),
        "struct Picky { _after: u8, _new: ^2? }"
    );
}
