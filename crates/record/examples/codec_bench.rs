//! What encoding, decoding and hashing cost per record:
//! `cargo run --release -p flott-record --example codec_bench`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use flott_record::{
    Record, Str,
    codec::{decode, encode},
    hash::stable_hash,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: i64,
    channel: String,
    url: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Word {
    text: Str,
    count: u64,
}

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(150);

fn main() {
    let numbers: Vec<(u64, u64)> = (0..2048).map(|i| (scatter(i), i)).collect();
    let words: Vec<Word> = (0..2048)
        .map(|i| Word {
            text: word(i).into(),
            count: i,
        })
        .collect();
    let bids: Vec<Bid> = (0..256).map(bid).collect();
    codec("(u64, u64)", &numbers);
    codec("struct of a short Str and u64", &words);
    codec("struct of 4 numbers and 2 Strings", &bids);
    codec("Vec<u64> of 64", &vec![(0..64_u64).collect::<Vec<_>>(); 64]);
    codec("Vec<u8> of 256", &vec![vec![7_u8; 256]; 64]);

    let strings: Vec<String> = (0..2048).map(word).collect();
    let urls: Vec<String> = bids.iter().map(|bid| bid.url.clone()).collect();
    let pairs: Vec<(u32, String)> = strings.iter().map(|text| (7, text.clone())).collect();
    hash("u64", &(0..2048).collect::<Vec<u64>>());
    hash("String of 1 to 12", &strings);
    hash("String of 51", &urls);
    hash("(u32, String)", &pairs);
}

fn codec<T: Record>(name: &str, rows: &[T]) {
    let mut bytes = Vec::new();
    let encoding = best(rows.len(), || {
        bytes.clear();
        for row in black_box(rows) {
            encode(row, &mut bytes).expect("the rows of the benchmark are encodable");
        }
        black_box(&bytes);
    });
    let mut decoded: Vec<T> = Vec::with_capacity(rows.len());
    let decoding = best(rows.len(), || {
        decoded.clear();
        let mut rest = black_box(&bytes[..]);
        while !rest.is_empty() {
            decoded.push(decode(&mut rest).expect("these bytes were encoded above"));
        }
        black_box(&decoded);
    });
    println!(
        "{name:34} {:6.1} bytes  encode {encoding:6.2} ns  decode {decoding:6.2} ns  round trip {:6.2} ns",
        bytes.len() as f64 / rows.len() as f64,
        encoding + decoding,
    );
}

fn hash<K: Serialize>(name: &str, keys: &[K]) {
    let hashing = best(keys.len(), || {
        let sum = black_box(keys)
            .iter()
            .fold(0, |sum, key| sum ^ stable_hash(key));
        black_box(sum);
    });
    println!("{name:34} stable hash {hashing:6.2} ns");
}

/// Nanoseconds per item in the best round: the machine may be busy in the others.
fn best(items: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut passes = 0_u32;
        while start.elapsed() < ROUND {
            work();
            passes += 1;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(passes) / items as f64);
    }
    best
}

fn scatter(i: u64) -> u64 {
    stable_hash(&i)
}

fn word(i: u64) -> String {
    format!("{:x}", scatter(i) >> (16 + scatter(i + 9) % 44))
}

fn bid(i: u64) -> Bid {
    let random = scatter(i);
    Bid {
        auction: random % 100_000,
        bidder: random >> 40,
        price: random & 0xffff,
        date_time: 1_700_000_000_000 + i as i64,
        channel: ["Google", "Facebook", "Baidu", "Apple"][(random & 3) as usize].to_owned(),
        url: format!(
            "https://www.example.com/{:08x}/item.htm?query=1",
            random as u32
        ),
    }
}
