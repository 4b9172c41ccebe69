//! Whole streams, cut ones, and such as break the rules.

use proptest::prelude::*;

use super::super::Compression;
use super::*;

fn decoder() -> Decoder {
    Decoder::new(&(3..5), 2, 1000)
}

fn all(decoder: &mut Decoder) -> Result<Vec<Element>, Unreadable> {
    let mut elements = Vec::new();
    while let Some(element) = decoder.next()? {
        let last = matches!(element, Element::Damaged(..) | Element::End);
        elements.push(element);
        if last {
            break;
        }
    }
    Ok(elements)
}

fn stream() -> Vec<u8> {
    let mut frames = Vec::new();
    frame::append(&mut frames, 3, 2, false, b"ab", Compression::None);
    frame::append(&mut frames, 3, 1, true, b"123456789", Compression::None);
    let entry = Entry {
        offset: 99,
        length: frames.len() as u64,
        rows: 3,
    };
    let mut bytes = Vec::new();
    append_ping(&mut bytes);
    append_entry(1, 3, &entry, &mut bytes);
    bytes.extend_from_slice(&frames);
    append_next(3, &mut bytes);
    append_next(4, &mut bytes);
    append_end(&mut bytes);
    bytes
}

#[test]
fn a_stream_in_pieces_of_any_size_says_the_same() {
    let bytes = stream();
    for size in 1..bytes.len() {
        let mut decoder = decoder();
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece.to_vec());
            found.extend(all(&mut decoder).unwrap());
        }
        let rows = |payload: &[u8], rows, has_timestamps| {
            Element::Rows(DataFrame {
                payload: payload.to_vec(),
                rows,
                has_timestamps,
            })
        };
        let expected = [
            rows(b"ab", 2, false),
            rows(b"123456789", 1, true),
            Element::Next(3),
            Element::Next(4),
            Element::End,
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn endings_with_a_reason() {
    let mut bytes = Vec::new();
    append_missing(&[1], &mut bytes);
    let mut with_missing = decoder();
    with_missing.push(bytes);
    let expected = Element::Missing(vec![1]);
    assert_eq!(all(&mut with_missing), Ok(vec![expected]));
    let mut bytes = Vec::new();
    append_damaged(0, &"é".repeat(1000), &mut bytes);
    let mut with_damage = decoder();
    with_damage.push(bytes);
    let expected = Element::Damaged(0, "é".repeat(512));
    assert_eq!(all(&mut with_damage), Ok(vec![expected]));
    let mut bytes = Vec::new();
    append_failed("why", &mut bytes);
    let mut with_failure = decoder();
    with_failure.push(bytes);
    let expected = Element::Failed("why".into());
    assert_eq!(all(&mut with_failure), Ok(vec![expected]));
}

#[test]
fn what_is_out_of_order_is_refused() {
    let mut early_end = Vec::new();
    append_end(&mut early_end);
    let mut wrong_next = Vec::new();
    append_next(4, &mut wrong_next);
    let entry = Entry {
        offset: 0,
        length: 10,
        rows: 1,
    };
    let mut wrong_entry = Vec::new();
    append_entry(0, 4, &entry, &mut wrong_entry);
    let mut wrong_producer = Vec::new();
    append_entry(2, 3, &entry, &mut wrong_producer);
    let mut too_many = Vec::new();
    append_missing(&[0, 1, 1], &mut too_many);
    for bytes in [early_end, wrong_next, wrong_entry, wrong_producer, too_many] {
        let mut decoder = decoder();
        decoder.push(bytes);
        assert_eq!(decoder.next(), Err(Unreadable));
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_is_found(place: prop::sample::Index, bit in 0..8) {
        let mut bytes = stream();
        let whole = {
            let mut decoder = decoder();
            decoder.push(bytes.clone());
            all(&mut decoder)
        };
        // Not in the ping and the number of a producer: they would just say something else.
        // It is TCP that guards records; what was on disk is guarded here.
        let at = 6 + place.index(bytes.len() - 6);
        bytes[at] ^= 1u8 << bit;
        let mut decoder = decoder();
        decoder.push(bytes);
        prop_assert_ne!(all(&mut decoder), whole);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8..8, 0..200)) {
        let mut decoder = decoder();
        decoder.push(bytes);
        let _ = all(&mut decoder);
    }
}
