//! XOR chunks: floats.
//!
//! ```text
//! u16 be     number of samples
//! sample 0   varint t, 64 bits v
//! sample 1   uvarint t - t0, xor
//! sample n   dod, xor
//!
//! dod = (t - t') - (t' - t'')       0: 0 | 10: 14 bits | 110: 17 bits | 1110: 20 bits | 1111: 64 bits
//! xor = bits(v) ^ bits(v')          0: same | 10: bits in the last window | 11: 5 bits leading zeros,
//!                                   6 bits length (0 is 64), bits: a new window
//! ```
//! A width w holds -(2^(w-1)-1) … 2^(w-1).

use dolmen_model::Timestamp;

use crate::bits::{BitReader, BitWriter};
use crate::error::{Corrupt, NO_HEADER, TIMES_NOT_RISING};

/// Most bytes that one append can add to a chunk, the header of a new one included.
pub const MAX_APPEND_BYTES: usize = 24;

/// Leading zeros of a window that is not there yet.
pub(crate) const NO_WINDOW: u8 = 0xff;

/// Where the encoder of an open chunk stands: small, so that the head keeps it in a series' cache line and
/// the chunk's bytes where it likes. The default is the state before the first sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Time of the newest sample.
    pub t_last: Timestamp,
    /// Value of the newest sample.
    pub v_last: f64,
    /// Time between the two newest samples.
    pub delta: u64,
    /// Bits written so far.
    pub bits: u32,
    /// Samples so far.
    pub n: u16,
    /// Leading zeros of the value window; 255: none yet.
    pub lead: u8,
    /// Trailing zeros of the value window.
    pub trail: u8,
}

impl Default for State {
    fn default() -> State {
        State { t_last: 0, v_last: 0.0, delta: 0, bits: 16, n: 0, lead: NO_WINDOW, trail: 0 }
    }
}

impl State {
    /// Bytes of the chunk so far.
    pub fn bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// Adds a sample. `chunk` holds the bytes so far and has room for [`MAX_APPEND_BYTES`] more; what stands
    /// behind the bytes so far does not matter. The caller keeps times rising and `n` below 65,535.
    #[inline]
    pub fn append(&mut self, chunk: &mut [u8], t: Timestamp, v: f64) {
        let mut w = BitWriter::new(chunk, self.bits as usize);
        let delta = t.wrapping_sub(self.t_last) as u64;
        match self.n {
            0 => {
                w.varint(t);
                w.put(v.to_bits(), 64);
            }
            n => {
                if n == 1 {
                    w.uvarint(delta);
                } else {
                    put_dod(&mut w, delta.wrapping_sub(self.delta) as i64);
                }
                put_xor(&mut w, self.v_last, v, &mut self.lead, &mut self.trail);
                self.delta = delta;
            }
        }
        self.bits = w.at() as u32;
        self.n += 1;
        (self.t_last, self.v_last) = (t, v);
        chunk[..2].copy_from_slice(&self.n.to_be_bytes());
    }

    /// Adds a sample to a chunk that grows.
    pub fn append_vec(&mut self, chunk: &mut Vec<u8>, t: Timestamp, v: f64) {
        chunk.resize(self.bytes() + MAX_APPEND_BYTES, 0);
        self.append(chunk, t, v);
        chunk.truncate(self.bytes());
    }

    /// The state at the end of a chunk, so that it can be gone on with.
    pub fn resume(chunk: &[u8]) -> Result<State, Corrupt> {
        let mut d = Decoder::new(chunk)?;
        for _ in 0..d.n {
            d.next()?;
        }
        Ok(State {
            t_last: d.t,
            v_last: f64::from_bits(d.v),
            delta: if d.n < 2 { 0 } else { d.delta as u64 },
            bits: (chunk.len() * 8 - d.r.left()) as u32,
            n: d.n,
            lead: if d.new_window_seen { d.lead as u8 } else { NO_WINDOW },
            trail: d.trail as u8,
        })
    }
}

/// Builds one chunk in memory of its own.
#[derive(Clone, Debug, Default)]
pub struct XorEncoder {
    state: State,
    data: Vec<u8>,
}

impl XorEncoder {
    /// An empty chunk.
    pub fn new() -> XorEncoder {
        XorEncoder::default()
    }

    /// Adds a sample; times rise. At most 65,535 samples.
    pub fn append(&mut self, t: Timestamp, v: f64) {
        self.state.append_vec(&mut self.data, t, v);
    }

    /// Samples so far.
    pub fn samples(&self) -> u16 {
        self.state.n
    }

    /// The chunk so far: valid bytes at any time.
    pub fn data(&self) -> &[u8] {
        if self.state.n == 0 { &[0, 0] } else { &self.data }
    }

    /// The chunk.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.state.n == 0 { vec![0, 0] } else { self.data }
    }
}

fn put_dod(w: &mut BitWriter<'_>, dod: i64) {
    let fits = |width: u32| (1 - (1i64 << (width - 1))..=1i64 << (width - 1)).contains(&dod);
    let low = |width: u32| dod as u64 & ((1 << width) - 1);
    if dod == 0 {
        w.put(0, 1);
    } else if fits(14) {
        w.put(0b10 << 14 | low(14), 16);
    } else if fits(17) {
        w.put(0b110 << 17 | low(17), 20);
    } else if fits(20) {
        w.put(0b1110 << 20 | low(20), 24);
    } else {
        w.put(0b1111, 4);
        w.put(dod as u64, 64);
    }
}

/// Writes the difference of two values; float histograms use it for each of their numbers.
#[inline]
pub(crate) fn put_xor(w: &mut BitWriter<'_>, last: f64, v: f64, lead: &mut u8, trail: &mut u8) {
    let xor = last.to_bits() ^ v.to_bits();
    if xor == 0 {
        w.put(0, 1);
        return;
    }
    // Five bits hold the number of leading zeros.
    let (leading, trailing) = ((xor.leading_zeros() as u8).min(31), xor.trailing_zeros() as u8);
    if *lead != NO_WINDOW && leading >= *lead && trailing >= *trail {
        w.put(0b10, 2);
        w.put(xor >> *trail, 64 - u32::from(*lead) - u32::from(*trail));
        return;
    }
    (*lead, *trail) = (leading, trailing);
    let length = 64 - u32::from(leading) - u32::from(trailing);
    w.put(0b11 << 11 | u64::from(leading) << 6 | u64::from(length & 63), 13);
    w.put(xor >> trailing, length);
}

/// Reads the difference of two values. The window before the first one is the whole word, as in Prometheus.
#[inline]
pub(crate) fn take_xor(
    r: &mut BitReader<'_>,
    last: u64,
    lead: &mut u32,
    trail: &mut u32,
) -> Result<u64, Corrupt> {
    let bits = r.peek();
    match bits >> 62 {
        0 | 1 => {
            r.skip(1);
            return Ok(last);
        }
        2 => r.skip(2),
        _ => {
            let (leading, length) = window(bits << 2);
            if leading + length > 64 {
                return Err(Corrupt("value window of more than 64 bits"));
            }
            (*lead, *trail) = (leading, 64 - leading - length);
            r.skip(13);
        }
    }
    Ok(last ^ r.take(64 - *lead - *trail) << *trail)
}

/// Leading zeros and length from the top 11 bits.
#[inline(always)]
fn window(bits: u64) -> (u32, u32) {
    let length = (bits >> 53) as u32 & 63;
    ((bits >> 59) as u32, if length == 0 { 64 } else { length })
}

/// Decodes samples with `from <= t < to` to the ends of two columns of equal length.
/// On an error the columns are as before.
pub fn decode(
    data: &[u8],
    from: Timestamp,
    to: Timestamp,
    times: &mut Vec<Timestamp>,
    values: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    let mut d = Decoder::new(data)?;
    let (base, base_v) = (times.len(), values.len());
    // After the first two samples, each takes two bits or more: a header cannot ask for more memory.
    let n = usize::from(d.n);
    let room = n.min(data.len() * 4 + 2);
    times.resize(base + room, 0);
    values.resize(base_v + room, 0.0);
    let kept = d.run(n, from, to, &mut times[base..], &mut values[base_v..]);
    let end = *kept.as_ref().unwrap_or(&0);
    times.truncate(base + end);
    values.truncate(base_v + end);
    kept.map(|_| ())
}

struct Decoder<'a> {
    r: BitReader<'a>,
    n: u16,
    seen: u16,
    t: i64,
    v: u64,
    delta: i64,
    lead: u32,
    trail: u32,
    new_window_seen: bool,
}

/// Bits of a dod by its leading ones, and the largest raw value that is not negative.
const DOD_WIDTH: [u32; 4] = [0, 14, 17, 20];

impl<'a> Decoder<'a> {
    fn new(data: &'a [u8]) -> Result<Decoder<'a>, Corrupt> {
        let (header, _) = data.split_first_chunk::<2>().ok_or(NO_HEADER)?;
        let mut r = BitReader::new(data);
        r.skip(16);
        let n = u16::from_be_bytes(*header);
        Ok(Decoder { r, n, seen: 0, t: 0, v: 0, delta: 0, lead: 0, trail: 0, new_window_seen: false })
    }

    /// Decodes up to `n` samples into the slices; gives how many of them lie in the range.
    fn run(
        &mut self,
        n: usize,
        from: Timestamp,
        to: Timestamp,
        times: &mut [Timestamp],
        values: &mut [f64],
    ) -> Result<usize, Corrupt> {
        let mut k = 0;
        let mut i = 0;
        while i < n {
            // The commonest sample is two zero bits, and often a run of them.
            if i >= 2 {
                let run = self.zero_pairs().min(n - i);
                if run > 0 {
                    let last = self.delta.checked_mul(run as i64).and_then(|d| self.t.checked_add(d));
                    if self.delta <= 0 || last.is_none() {
                        return Err(TIMES_NOT_RISING);
                    }
                    for _ in 0..run {
                        self.t += self.delta;
                        if self.t >= to {
                            return self.r.check().map(|()| k);
                        }
                        if k >= times.len() {
                            return Err(crate::error::ENDS_EARLY);
                        }
                        times[k] = self.t;
                        values[k] = f64::from_bits(self.v);
                        k += usize::from(self.t >= from);
                    }
                    self.r.skip(2 * run as u32);
                    i += run;
                    self.seen = i as u16;
                    continue;
                }
            }
            self.next()?;
            i += 1;
            if self.t >= to {
                return Ok(k);
            }
            if k >= times.len() {
                return Err(crate::error::ENDS_EARLY);
            }
            times[k] = self.t;
            values[k] = f64::from_bits(self.v);
            k += usize::from(self.t >= from);
        }
        self.r.check().map(|()| k)
    }

    /// How many samples of two zero bits follow at once.
    #[inline(always)]
    fn zero_pairs(&self) -> usize {
        (self.r.peek().leading_zeros() / 2) as usize
    }

    #[inline(always)]
    fn next(&mut self) -> Result<(), Corrupt> {
        match self.seen {
            0 => {
                self.t = self.r.varint()?;
                self.v = self.r.take(64);
                self.seen = 1;
                return self.r.check();
            }
            1 => {
                // Not a delta of deltas: the first delta stands for itself.
                self.delta = self.r.uvarint()? as i64;
            }
            _ => self.take_dod(),
        }
        if self.delta <= 0 {
            return Err(TIMES_NOT_RISING);
        }
        self.seen = self.seen.saturating_add(1);
        self.t = self.t.checked_add(self.delta).ok_or(TIMES_NOT_RISING)?;
        self.take_value()?;
        self.r.check()
    }

    #[inline(always)]
    fn take_dod(&mut self) {
        let bits = self.r.peek();
        let ones = bits.leading_ones();
        let dod = if ones < 4 {
            let width = DOD_WIDTH[ones as usize];
            // Two shifts, because the width may be 0.
            let raw = (bits << (ones + 1) >> 1 >> (63 - width)) as i64;
            self.r.skip(ones + 1 + width);
            let half = (1i64 << width) >> 1;
            raw - (i64::from(raw > half) << width)
        } else {
            self.r.skip(4);
            self.r.take(64) as i64
        };
        self.delta = self.delta.wrapping_add(dod);
    }

    /// Without a branch on the kind: same, old window and new window differ in what is selected.
    #[inline(always)]
    fn take_value(&mut self) -> Result<(), Corrupt> {
        let bits = self.r.peek();
        let changed = bits >> 63 != 0;
        let fresh = bits >> 62 == 3;
        let (leading, length) = window(bits << 2);
        let old_length = 64 - self.lead - self.trail;
        let length = if fresh { length } else { old_length };
        let leading = if fresh { leading } else { self.lead };
        if leading + length > 64 {
            return Err(Corrupt("value window of more than 64 bits"));
        }
        self.lead = leading;
        self.trail = 64 - leading - length;
        self.new_window_seen |= fresh;
        let control = 1 + u32::from(changed) + 11 * u32::from(fresh);
        self.r.skip(control);
        // Lengths go from 1 to 64.
        let raw = self.r.peek() >> (64 - length);
        let xor = if changed { raw << self.trail } else { 0 };
        self.r.skip(if changed { length } else { 0 });
        self.v ^= xor;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
