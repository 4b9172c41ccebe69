//! Stable hash v1: vectors that must never change, and how well it spreads.
//!
//! The vectors were computed by a separate implementation of the specification in `hash/mix.rs`.

use std::{collections::BTreeMap, fmt};

use flott_record::{
    Str,
    codec::Fault,
    hash::{default_max_parallelism, key_group, stable_hash, subtask_of, try_stable_hash},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

#[derive(Serialize)]
enum Kind {
    Unit,
    New(u64),
    Pair(u8, i8),
    Named { text: String },
}

#[derive(Serialize)]
struct Inner {
    name: String,
    tags: Vec<u8>,
}

#[derive(Serialize)]
struct Outer {
    id: u32,
    inner: Inner,
}

#[track_caller]
fn check(vectors: &[(u64, u64)]) {
    for (i, (actual, expected)) in vectors.iter().enumerate() {
        assert_eq!(actual, expected, "vector {i}: {actual:#x}");
    }
}

#[test]
fn scalars_are_frozen() {
    check(&[
        (stable_hash(&0_u8), 0x480f_e496_6428_8f5d),
        (stable_hash(&1_u8), 0xe4d0_4604_becc_6853),
        (stable_hash(&255_u8), 0x1410_4256_b250_6a98),
        (stable_hash(&-1_i8), 0xa0cc_e4ce_3b50_700d),
        (stable_hash(&-128_i8), 0xc320_808a_367c_b3d9),
        (stable_hash(&65_535_u16), 0x8a8a_c863_f340_de88),
        (stable_hash(&-300_i16), 0xa08f_0e6c_910e_53cd),
        (stable_hash(&70_000_u32), 0xbd8f_c29d_6f8a_e530),
        (stable_hash(&-70_000_i32), 0xdfb1_20a5_0efb_ab6d),
        (stable_hash(&1_u64), 0xe4d0_4604_becc_6853),
        (stable_hash(&u64::MAX), 0xa0cc_e4ce_3b50_700d),
        (stable_hash(&i64::MIN), 0x8cd7_0dfa_a898_07a4),
        (stable_hash(&true), 0xe4d0_4604_becc_6853),
        (stable_hash(&'ß'), 0x33a8_4d84_e904_7474),
        (stable_hash(&(1_u128 << 100 | 5)), 0x2b23_55fd_64fd_6174),
        (stable_hash(&-2_i128), 0x57c4_678f_2553_f375),
        (stable_hash(&1.5_f32), 0x628f_402c_f1f3_af48),
        (stable_hash(&-1.5_f64), 0xadd5_f2b5_9a9a_3a2e),
        (stable_hash(&-0.0_f64), 0x480f_e496_6428_8f5d),
        (stable_hash(&f64::NAN), 0xe709_1d43_e15e_a8d2),
        (stable_hash(&f32::NAN), 0x23ab_c45a_7fca_7240),
        (stable_hash(&()), 0xbf65_65d7_7ed0_4d03),
    ]);
}

#[test]
fn strings_are_frozen() {
    let text = "The quick brown fox jumps over the lazy dog";
    let expected: [u64; 41] = [
        0x480f_e496_6428_8f5d,
        0xb8bc_21b8_b8f2_810b,
        0xc4c0_e416_5532_91a4,
        0x1491_c79c_bfb7_4075,
        0x61a5_c650_9742_9a7a,
        0xc1b1_de7b_067b_d260,
        0x98e0_9de6_e9d8_c73a,
        0xf0e8_9d3f_80e2_17d4,
        0x67a1_7c36_edb1_3f12,
        0x3ae8_c54c_4787_c49a,
        0x88b2_d213_74b0_6c4c,
        0x06a0_efdc_99fc_48f0,
        0xf4c5_8221_2d74_928d,
        0x0d36_a661_4475_db93,
        0xd024_f3c1_77da_fa11,
        0xf959_b418_d7b1_5079,
        0xd38d_c58a_87cd_eba1,
        0x5cd7_af2a_8df1_3160,
        0x504b_102f_7dc7_f5cc,
        0x3b8f_ddce_f866_2626,
        0xe097_c734_c980_fcf2,
        0x8892_df13_2fdf_1d6d,
        0x9fb3_5792_2ce4_f689,
        0x2462_88bb_0a6d_7dee,
        0x7d9c_8bc6_2f18_8fc5,
        0xc58b_7e13_25d6_2c0b,
        0x4f95_2f17_7357_a180,
        0xa696_b0d6_c20d_b0e0,
        0x36d9_624b_26e9_783e,
        0x5328_f0bc_4606_54f3,
        0x3b28_a1ee_3a23_e21f,
        0x5bdd_1454_2eb9_456d,
        0xab96_7ff0_c740_0d65,
        0x3131_11c2_af1c_94f9,
        0x2e30_ab85_7240_008c,
        0x8979_8a45_cf9b_88d1,
        0x25fe_1a20_4241_c6d0,
        0x8e44_6a3e_9b20_5a99,
        0xbc3b_97b9_8f74_b5e7,
        0x3a9e_7f00_3f5f_0909,
        0x6a81_625b_d1be_5c90,
    ];
    for (length, expected) in expected.into_iter().enumerate() {
        let text = &text[..length];
        assert_eq!(
            stable_hash(text),
            expected,
            "{length} bytes: {:#x}",
            stable_hash(text)
        );
        assert_eq!(stable_hash(&text.to_owned()), expected);
        assert_eq!(stable_hash(&Str::from(text)), expected);
    }
}

#[test]
fn compounds_are_frozen() {
    check(&[
        (stable_hash(&(7_u32, "ab")), 0x8728_cab7_520d_efb7),
        (stable_hash(&("ab", 7_u32)), 0x5fe2_ddc2_cec3_9305),
        (stable_hash(&None::<u8>), 0x480f_e496_6428_8f5d),
        (stable_hash(&Some(5_u8)), 0xf094_2090_130d_c9e0),
        (stable_hash(&Some(Some("x"))), 0xbade_f688_f0a2_9ec5),
        (stable_hash(&Kind::Unit), 0x480f_e496_6428_8f5d),
        (stable_hash(&Kind::New(9)), 0x412a_9e76_7e4d_424e),
        (stable_hash(&Kind::Pair(1, -1)), 0x7afd_cb5f_bd1f_f10e),
        (
            stable_hash(&Kind::Named {
                text: "n".to_owned(),
            }),
            0xfa2d_ebb1_b9e6_6cc2,
        ),
        (
            stable_hash(&Outer {
                id: 3,
                inner: Inner {
                    name: "q".to_owned(),
                    tags: vec![1, 2],
                },
            }),
            0xfa78_412f_cfbc_569f,
        ),
        (stable_hash(&Vec::<u8>::new()), 0x480f_e496_6428_8f5d),
        (stable_hash(&vec!["a", "bc"]), 0x9860_6729_5de4_66a5),
        (
            stable_hash(&BTreeMap::from([(1_u8, "one")])),
            0x2182_5623_5d22_5cab,
        ),
        (stable_hash(&[1_u8, 2]), 0x3a92_a0f3_6b9f_f22e),
    ]);
}

#[test]
fn promised_equalities_hold() {
    #[derive(Serialize)]
    struct Wrapped(u64);
    #[derive(Serialize)]
    struct Named {
        a: u32,
        b: String,
    }
    assert_eq!(stable_hash(&-5_i8), stable_hash(&-5_i64));
    assert_eq!(stable_hash(&5_u8), stable_hash(&5_i64));
    assert_eq!(stable_hash(&Wrapped(5)), stable_hash(&5_u64));
    assert_eq!(
        stable_hash(&Named {
            a: 1,
            b: "x".into()
        }),
        stable_hash(&(1_u32, "x"))
    );
    assert_eq!(stable_hash(&0.0_f32), stable_hash(&-0.0_f32));
    assert_eq!(stable_hash(&f64::NAN), stable_hash(&-f64::NAN));
}

/// A sequence that does not know its length.
struct Unsized(Vec<u8>);

impl Serialize for Unsized {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for element in &self.0 {
            seq.serialize_element(element)?;
        }
        seq.end()
    }
}

#[test]
fn announced_lengths_do_not_matter() {
    assert_eq!(
        stable_hash(&Unsized(vec![1, 2])),
        stable_hash(&vec![1_u8, 2])
    );
}

#[test]
fn boundaries_between_fields_and_elements_matter() {
    fn differ<T: Serialize + fmt::Debug>(values: &[T]) {
        for (i, a) in values.iter().enumerate() {
            for b in &values[..i] {
                assert_ne!(stable_hash(a), stable_hash(b), "{a:?} and {b:?}");
            }
        }
    }
    differ(&[
        ("ab", ""),
        ("a", "b"),
        ("", "ab"),
        ("", ""),
        ("\0", ""),
        ("", "\0"),
    ]);
    differ(&[
        (vec![1_u8], vec![]),
        (vec![], vec![1]),
        (vec![1, 1], vec![]),
        (vec![1], vec![1]),
    ]);
    differ(&[
        vec![],
        vec![vec![]],
        vec![vec![], vec![]],
        vec![vec![0_u8]],
        vec![vec![], vec![0]],
    ]);
    differ(&[None, Some(None), Some(Some(0_u8)), Some(Some(1))]);
    differ(&[(1_u8, 2_u8), (2, 1), (0, 0), (0, 1), (1, 0)]);
    let zeros = "\0".repeat(40);
    differ(&(0..=40).map(|n| &zeros[..n]).collect::<Vec<_>>());
}

struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not a key"))
    }
}

#[test]
fn refusals_are_errors() {
    let error = try_stable_hash(&(1, Refusing)).unwrap_err();
    assert_eq!(error.to_string(), "cannot hash: not a key");
    assert_eq!(error.fault(), &Fault::Custom("not a key".to_owned()));
}

#[test]
#[should_panic(expected = "a key must be serialisable to be placed: cannot hash: not a key")]
fn stable_hash_panics_on_refusal() {
    stable_hash(&Refusing);
}

/// How far the fullest and the emptiest of 128 groups are from the mean, as a part of it.
fn spread(hashes: impl Iterator<Item = u64>, group: impl Fn(u64) -> usize) -> f64 {
    let mut rows = [0_u32; 128];
    let mut total = 0_u32;
    for hash in hashes {
        rows[group(hash)] += 1;
        total += 1;
    }
    let mean = f64::from(total) / 128.0;
    rows.iter()
        .map(|&n| (f64::from(n) - mean).abs() / mean)
        .fold(0.0, f64::max)
}

const MILLION: u64 = 1_000_000;

fn check_spread<K: Serialize>(what: &str, key: impl Fn(u64) -> K) {
    let hashes: Vec<u64> = (0..MILLION).map(|i| stable_hash(&key(i))).collect();
    let top = spread(hashes.iter().copied(), |h| key_group(h, 128) as usize);
    let low = spread(hashes.iter().copied(), |h| (h & 127) as usize);
    // Inside one group, the bits below must still spread: they choose the segment of a table.
    let inner = spread(hashes.iter().copied(), |h| (h >> 50 & 127) as usize);
    for (bits, part) in [("top", top), ("low", low), ("inner", inner)] {
        assert!(
            part < 0.08,
            "{what}: {bits} bits are {part:.3} off the mean"
        );
    }
    let mut sorted = hashes;
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len() as u64, MILLION, "{what}: hashes collide");
}

#[test]
fn a_million_keys_spread_evenly() {
    check_spread("sequential", |i| i);
    check_spread("multiples of 4096", |i| i << 12);
    check_spread("high bits only", |i| i << 44);
    check_spread("negative", |i| -(i as i64));
    check_spread("decimal strings", |i| i.to_string());
    check_spread("prefixed strings", |i| format!("user-{i:08}"));
    check_spread("long strings", |i| {
        format!("https://www.example.com/{i:x}/item.htm?query=1")
    });
    check_spread("pairs", |i| (i / 1000, i % 1000));
    check_spread("floats", |i| i as f64);
    check_spread("tagged", |i| (i % 2 == 0).then_some(i).ok_or(i));
}

/// Each input bit should turn each output bit half of the time.
fn check_avalanche<K: Serialize>(what: &str, bits: u32, key: impl Fn(u64) -> K) {
    const SAMPLES: u32 = 2000;
    for input in 0..bits {
        let mut turned = [0_u32; 64];
        for sample in 0..u64::from(SAMPLES) {
            // Any well-mixed sequence will do for samples; this one is Weyl's.
            let value = sample.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
            let change = stable_hash(&key(value)) ^ stable_hash(&key(value ^ 1 << input));
            for (output, count) in turned.iter_mut().enumerate() {
                *count += (change >> output & 1) as u32;
            }
        }
        for (output, count) in turned.into_iter().enumerate() {
            let part = f64::from(count) / f64::from(SAMPLES);
            assert!(
                (0.4..=0.6).contains(&part),
                "{what}: bit {input} turns bit {output} in {part:.3} of all cases"
            );
        }
    }
}

#[test]
fn every_input_bit_reaches_every_output_bit() {
    check_avalanche("u64", 64, |v| v);
    check_avalanche("first of a pair", 64, |v| (v, 7_u64));
    check_avalanche("text", 64, |v| format!("{v:016x}"));
}

#[test]
fn key_groups_cover_their_range_in_order() {
    for max in [1, 2, 100, 128, 32_768] {
        assert_eq!(key_group(0, max), 0);
        assert_eq!(key_group(u64::MAX, max), max - 1);
        let groups: Vec<u32> = (0..=255_u64).map(|top| key_group(top << 56, max)).collect();
        assert!(groups.is_sorted());
    }
    assert_eq!(key_group(0x8000_0000_0000_0000, 128), 64);
}

#[test]
fn subtasks_own_contiguous_ranges_as_in_flink() {
    for (parallelism, max) in [
        (1, 128),
        (3, 128),
        (128, 128),
        (100, 4096),
        (32_768, 32_768),
    ] {
        let owners: Vec<u32> = (0..max).map(|g| subtask_of(g, parallelism, max)).collect();
        assert!(owners.is_sorted());
        let mut distinct = owners.clone();
        distinct.dedup();
        assert_eq!(distinct, (0..parallelism).collect::<Vec<_>>());
        // Flink's range of operator i: from ceil(i * max / p) to floor(((i + 1) * max - 1) / p).
        for i in 0..parallelism {
            let first = (i * max).div_ceil(parallelism);
            let last = ((i + 1) * max - 1) / parallelism;
            assert_eq!((owners[first as usize], owners[last as usize]), (i, i));
        }
    }
}

#[test]
fn default_max_parallelism_follows_flink() {
    for (parallelism, expected) in [
        (0, 128),
        (1, 128),
        (85, 128),
        (86, 256),
        (100, 256),
        (171, 256),
        (172, 512),
        (20_000, 32_768),
        (32_768, 32_768),
        (u32::MAX, 32_768),
    ] {
        assert_eq!(
            default_max_parallelism(parallelism),
            expected,
            "of {parallelism}"
        );
    }
}
