//! What is refused before anything is read, and what is said then.

use serde::{Deserialize, Serialize};

use crate::refusal;

#[derive(Serialize, Deserialize)]
struct Session {
    user: String,
    pages: Vec<Page>,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
struct Page {
    id: u64,
    at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Guest,
    Member(u32),
    Team { size: u8 },
}

/// A session with one part of another type.
macro_rules! session {
    ($name:ident { $($field:ident: $type:ty),* }) => {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only its Deserialize is of interest")]
        struct $name { $($field: $type),* }
    };
}

#[test]
fn a_type_that_does_not_fit_is_named_with_its_place() {
    session!(Narrow { id: u32 });
    session!(InPages { pages: Vec<Narrow> });
    assert_eq!(
        refusal::<Session, InPages>(),
        "Session.pages[].id was u64 and is u32: it may not fit"
    );
    session!(Sign { id: i64 });
    assert_eq!(
        refusal::<Page, Sign>(),
        "Page.id was u64 and is i64: it may not fit"
    );
    session!(Bare { at: i64 });
    assert_eq!(
        refusal::<Page, Bare>(),
        "Page.at was an option of i64 and is i64: there may be none: keep the option"
    );
    session!(Text { user: u64 });
    assert_eq!(
        refusal::<Session, Text>(),
        "Session.user was str and is u64: one cannot be read as the other; give the new state \
         another name"
    );
    session!(One { pages: Page });
    assert!(
        refusal::<Session, One>()
            .starts_with("Session.pages was a sequence of struct Page and is struct Page: ")
    );
}

#[test]
fn new_fields_need_a_default() {
    session!(Country {
        user: String,
        country: String
    });
    assert_eq!(
        refusal::<Session, Country>(),
        "Session.country was not there and is a field without default: a new field needs \
         `#[serde(default)]`, a renamed one an alias of its old name"
    );
}

#[test]
fn variants_stay() {
    #[derive(Deserialize)]
    enum Fewer {
        Guest,
        Team {
            #[serde(rename = "size")]
            _size: u8,
        },
    }
    session!(InKind { kind: Fewer });
    assert_eq!(
        refusal::<Session, InKind>(),
        "Session.kind::Member was a variant and is none: state may hold it: keep the variant, or \
         give a renamed one an alias of its old name"
    );
    #[derive(Deserialize)]
    enum Other {
        Guest,
        Member,
        Team {
            #[serde(rename = "size")]
            _size: i8,
        },
    }
    assert_eq!(
        refusal::<Kind, Other>(),
        "Kind::Member was u32 and is a variant without content: what it holds would be lost; give \
         the new variant another name"
    );
    #[derive(Deserialize)]
    enum Deep {
        Guest,
        Member(#[allow(dead_code, reason = "only its Deserialize is of interest")] u64),
        Team {
            #[serde(rename = "size")]
            _size: i8,
        },
    }
    assert_eq!(
        refusal::<Kind, Deep>(),
        "Kind::Team.size was u8 and is i8: it may not fit"
    );
}

#[test]
fn positions_stay() {
    assert_eq!(
        refusal::<(u8, u8), (u8, u8, u8)>(),
        "the value was a tuple of 2 and is a tuple of 3: one cannot be read as the other; give the \
         new state another name"
    );
    assert!(
        refusal::<Vec<u8>, [u8; 2]>()
            .starts_with("the value was a sequence of u8 and is a tuple of 2")
    );
    assert!(
        refusal::<(u64, String), (String, u64)>().starts_with("the value.0 was u64 and is str")
    );
    assert!(
        refusal::<Page, (u64, Option<i64>)>()
            .starts_with("Page was struct Page and is a tuple of 2")
    );
}

#[test]
fn types_that_accept_nothing_of_it_say_so() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u64")]
    struct Month;

    impl TryFrom<u64> for Month {
        type Error = String;
        fn try_from(number: u64) -> Result<Self, String> {
            match number {
                2 => Ok(Self),
                _ => Err(format!("{number} is no month of mine")),
            }
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Option<u64>")]
    struct Never(Month);

    impl TryFrom<Option<u64>> for Never {
        type Error = String;
        fn try_from(number: Option<u64>) -> Result<Self, String> {
            match number {
                Some(_) => Err("it is not as it was".to_owned()),
                None => Ok(Self(Month)),
            }
        }
    }
    // The second sample but one is accepted.
    crate::evolve::<u32, Month>(&2);
    session!(InPage { id: u64, at: Never });
    let refused = std::panic::catch_unwind(refusal::<Page, InPage>);
    assert!(
        refused.is_err(),
        "it has no schema: nothing that is tried is accepted"
    );
}
