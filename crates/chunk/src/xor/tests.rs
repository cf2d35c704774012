//! Float chunks: known bytes, round trips, what any bytes do.

use proptest::prelude::*;

use super::*;

fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut e = XorEncoder::new();
    for (t, v) in samples {
        e.append(*t, *v);
    }
    e.into_bytes()
}

fn decoded(data: &[u8], from: i64, to: i64) -> Result<Vec<(i64, u64)>, Corrupt> {
    let (mut t, mut v) = (vec![-1], vec![0.5]);
    let done = decode(data, from, to, &mut t, &mut v);
    assert_eq!((t[0], v[0], t.len()), (-1, 0.5, v.len()), "what was there stays");
    if done.is_err() {
        assert_eq!(t.len(), 1, "nothing is added on an error");
    }
    done.map(|()| t.into_iter().zip(v.iter().map(|v| v.to_bits())).skip(1).collect())
}

/// Times and values of the kinds that are there in practice, mixed.
pub(crate) fn samples(most: usize) -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step =
        prop_oneof![8 => Just(15_000i64), 3 => 14_990i64..15_010, 2 => 1i64..70_000, 1 => 1i64..1 << 40];
    let value = prop_oneof![
        3 => Just(1.0), 2 => (0u32..1000).prop_map(f64::from), 1 => any::<f64>(),
        1 => any::<u64>().prop_map(f64::from_bits), 1 => Just(dolmen_model::stale_nan()),
    ];
    (-1i64 << 41..1i64 << 41, prop::collection::vec((step, value), 0..most)).prop_map(|(start, steps)| {
        let mut t = start;
        steps
            .into_iter()
            .map(|(step, v)| {
                t += step;
                (t, v)
            })
            .collect()
    })
}

#[test]
fn known_bytes() {
    // Worked out by hand from the format's description.
    assert_eq!(encode(&[]), [0, 0]);
    assert_eq!(encode(&[(1, 0.0)]), [0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Delta 5, value unchanged (0), then dod 0 and unchanged (00): five bits of padding.
    assert_eq!(encode(&[(1, 0.0), (6, 0.0), (11, 0.0)]), [0, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0]);
}

#[test]
fn each_dod_class_at_its_borders() {
    let mut samples = vec![(0i64, 1.0f64)];
    let (mut t, mut delta) = (0i64, 1i64 << 30);
    for dod in [
        0, 1, -1, 8192, -8191, 8193, -8192, 65_536, -65_535, 65_537, -65_536, 524_288, -524_287, 524_289,
        -524_288,
    ] {
        delta += dod;
        t += delta;
        samples.push((t, 1.0));
    }
    let expected: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
    assert_eq!(decoded(&encode(&samples), i64::MIN, i64::MAX).unwrap(), expected);
}

#[test]
fn a_header_cannot_ask_for_memory() {
    let mut data = encode(&[(1, 0.0), (6, 0.0)]);
    data[..2].copy_from_slice(&[0xff, 0xff]);
    let (mut t, mut v) = (Vec::new(), Vec::new());
    assert!(decode(&data, i64::MIN, i64::MAX, &mut t, &mut v).is_err());
    assert!(t.capacity() <= 4 * data.len() + 8);
}

#[test]
fn times_that_do_not_rise_are_corrupt() {
    assert_eq!(decoded(&encode(&[(5, 1.0), (5, 2.0)]), i64::MIN, i64::MAX), Err(TIMES_NOT_RISING));
    assert_eq!(decoded(&encode(&[(5, 1.0), (6, 1.0), (4, 2.0)]), i64::MIN, i64::MAX), Err(TIMES_NOT_RISING));
    // A run of equal deltas and values that ends past the last time there is.
    let (t, step) = (i64::MAX - 7, 4);
    let wraps = [0, 1, 2, 3].map(|k| (t.wrapping_add(k * step), 1.0));
    assert_eq!(decoded(&encode(&wraps[..2]), i64::MIN, i64::MAX).map(|s| s.len()), Ok(2));
    assert_eq!(decoded(&encode(&wraps), i64::MIN, i64::MAX), Err(TIMES_NOT_RISING));
    assert_eq!(
        decoded(&encode(&[(i64::MAX - 1, 1.0), (i64::MAX, 1.0)]), i64::MIN, i64::MAX).unwrap().len(),
        1
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn samples_come_back(samples in samples(260), from in 0usize..260, to in 0usize..260, zeros in 0usize..20) {
        let mut data = encode(&samples);
        // Bytes behind the last sample do not matter.
        data.resize(data.len() + zeros, 0);
        let all: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        prop_assert_eq!(&decoded(&data, i64::MIN, i64::MAX).unwrap(), &all);
        let at = |i: usize| samples.get(i).map_or(i64::MAX, |s| s.0);
        let part: Vec<_> = all.iter().copied().filter(|(t, _)| (at(from)..at(to)).contains(t)).collect();
        prop_assert_eq!(decoded(&data, at(from), at(to)).unwrap(), part);
    }

    #[test]
    fn an_encoder_can_stop_anywhere_and_go_on(samples in samples(100), stop in 0usize..100) {
        let whole = encode(&samples);
        let stop = stop.min(samples.len());
        let mut chunk = encode(&samples[..stop]);
        let mut state = State::resume(&chunk).unwrap();
        for (t, v) in &samples[stop..] {
            state.append_vec(&mut chunk, *t, *v);
        }
        prop_assert_eq!(&chunk, &whole);
        // In a slab with rubbish behind what is written.
        let mut slab = vec![0xaa; whole.len() + MAX_APPEND_BYTES];
        let mut state = State::default();
        for (t, v) in &samples {
            prop_assert!(state.bytes() + MAX_APPEND_BYTES <= slab.len());
            state.append(&mut slab, *t, *v);
        }
        if !samples.is_empty() {
            prop_assert_eq!(&slab[..state.bytes()], &whole[..]);
        }
    }

    #[test]
    fn any_bytes_give_samples_or_an_error(data in prop::collection::vec(any::<u8>(), 0..200), n in any::<u16>()) {
        let _ = decoded(&data, i64::MIN, i64::MAX);
        let _ = State::resume(&data);
        let mut data = data;
        if data.len() > 2 {
            data[..2].copy_from_slice(&n.to_be_bytes());
            let _ = decoded(&data, 0, 1 << 40);
        }
    }

    #[test]
    fn a_changed_bit_never_panics(samples in samples(60), bit in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let mut data = encode(&samples);
        let bit = bit.index(data.len() * 8);
        data[bit / 8] ^= 0x80 >> (bit % 8);
        let _ = decoded(&data, i64::MIN, i64::MAX);
        let cut = cut.index(data.len());
        let _ = decoded(&data[..cut], i64::MIN, i64::MAX);
    }
}
