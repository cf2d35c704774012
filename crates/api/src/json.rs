//! JSON text, written straight into bytes.
//!
//! ```text
//! time       seconds, with three decimals where there are milliseconds    1435781451.780
//! value      a string: shortest digits                                    "0.25" "1e-07" "NaN" "+Inf"
//! label      escaped as JSON demands
//! text       also < > & and the line separators, as \u003c
//! histogram  {"count":"4","sum":"7","buckets":[[rule,"lower","upper","count"],…]}
//! rule       0 (lower, upper]   1 [lower, upper)   2 (lower, upper)   3 [lower, upper]
//! ```

use bytes::Bytes;
use dolmen_model::{FloatBuffer, FloatHistogram, Timestamp};
use dolmen_promql_exec::histogram::buckets::api_buckets;

/// Bytes that grow.
#[derive(Default)]
pub(crate) struct Json {
    bytes: Vec<u8>,
    float: FloatBuffer,
}

impl Json {
    /// How much there is.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for a piece that is more than `bytes` long by one entry.
    pub fn expect(&mut self, bytes: usize) {
        if !self.bytes.is_empty() || self.bytes.capacity() > 0 {
            return;
        }
        self.bytes.reserve(bytes + 1024);
    }

    /// Gives away what there is.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    /// What there is, as text.
    pub fn into_string(self) -> String {
        String::from_utf8(self.bytes).expect("only UTF-8 is ever put")
    }

    /// JSON that is known to be right.
    pub fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// A comma, but before the first of a list.
    pub fn comma(&mut self, place: usize) {
        if place > 0 {
            self.bytes.push(b',');
        }
    }

    /// A string that people wrote.
    pub fn text(&mut self, text: &str) {
        self.quoted(text, true);
    }

    /// A list of such strings.
    pub fn texts<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.raw("[");
        for (i, text) in texts.iter().enumerate() {
            self.comma(i);
            self.text(text.as_ref());
        }
        self.raw("]");
    }

    /// A label set.
    pub fn labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        self.raw("{");
        for (i, (name, value)) in labels.enumerate() {
            self.comma(i);
            self.quoted(name, false);
            self.raw(":");
            self.quoted(value, false);
        }
        self.raw("}");
    }

    /// A time.
    pub fn time(&mut self, t: Timestamp) {
        if t < 0 {
            self.raw("-");
        }
        let t = t.unsigned_abs();
        self.integer(t / 1000);
        let ms = t % 1000;
        if ms != 0 {
            let digits = [b'.', b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8];
            self.bytes.extend_from_slice(&digits);
        }
    }

    /// A time as a JSON number: the form of scalars and strings.
    pub fn time_number(&mut self, t: Timestamp) {
        self.bytes.extend_from_slice(self.float.api(t as f64 / 1000.0).as_bytes());
    }

    /// A sample's value.
    pub fn value(&mut self, v: f64) {
        self.bytes.push(b'"');
        // Counts are the most common values, and need no search for their shortest digits.
        let count = v as u32;
        if f64::from(count).to_bits() == v.to_bits() {
            self.integer(count.into());
        } else {
            self.bytes.extend_from_slice(self.float.api(v).as_bytes());
        }
        self.bytes.push(b'"');
    }

    /// A scalar's value: never an exponent.
    pub fn plain_value(&mut self, v: f64) {
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(self.float.plain(v).as_bytes());
        self.bytes.push(b'"');
    }

    /// A finite number of its own.
    pub fn number(&mut self, v: f64) {
        self.bytes.extend_from_slice(self.float.api(v).as_bytes());
    }

    /// `[time,"value"]`.
    pub fn float_point(&mut self, t: Timestamp, v: f64) {
        self.raw("[");
        self.time(t);
        self.raw(",");
        self.value(v);
        self.raw("]");
    }

    /// `[time,{histogram}]`.
    pub fn histogram_point(&mut self, t: Timestamp, h: &FloatHistogram) {
        self.raw("[");
        self.time(t);
        self.raw(",{\"count\":");
        self.value(h.count);
        self.raw(",\"sum\":");
        self.value(h.sum);
        let mut some = false;
        for (rule, lower, upper, count) in api_buckets(h) {
            self.raw(if some { ",[" } else { ",\"buckets\":[[" });
            some = true;
            self.integer(rule.into());
            for v in [lower, upper, count] {
                self.raw(",");
                self.value(v);
            }
            self.raw("]");
        }
        self.raw(if some { "]}]" } else { "}]" });
    }

    fn integer(&mut self, mut n: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[at..]);
    }

    fn quoted(&mut self, text: &str, html: bool) {
        let bytes = text.as_bytes();
        self.bytes.push(b'"');
        let mut done = 0;
        for (i, &b) in bytes.iter().enumerate() {
            let short = match b {
                b'"' => Some(b'"'),
                b'\\' => Some(b'\\'),
                b'\n' => Some(b'n'),
                b'\r' => Some(b'r'),
                b'\t' => Some(b't'),
                0..0x20 => None,
                b'<' | b'>' | b'&' if html => None,
                // U+2028 and U+2029 are three bytes long.
                0xe2 if html && matches!(bytes[i + 1..i + 3], [0x80, 0xa8 | 0xa9]) => {
                    self.bytes.extend_from_slice(&bytes[done..i]);
                    self.raw(if bytes[i + 2] == 0xa8 { "\\u2028" } else { "\\u2029" });
                    done = i + 3;
                    continue;
                }
                _ => continue,
            };
            self.bytes.extend_from_slice(&bytes[done..i]);
            done = i + 1;
            match short {
                Some(letter) => self.bytes.extend_from_slice(&[b'\\', letter]),
                None => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let (high, low) = (HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]);
                    self.bytes.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                }
            }
        }
        self.bytes.extend_from_slice(&bytes[done..]);
        self.bytes.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.take().to_vec()).unwrap()
    }

    #[test]
    fn times() {
        for (t, text) in [
            (0, "0"),
            (1, "0.001"),
            (1_435_781_451_780, "1435781451.780"),
            (1_435_781_451_000, "1435781451"),
            (-1, "-0.001"),
            (-12_050, "-12.050"),
            (999, "0.999"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|j| j.time(t)), text);
        }
        assert_eq!(written(|j| j.time_number(1_500)), "1.5");
        assert_eq!(written(|j| j.time_number(1_795_385_795_125)), "1795385795.125");
    }

    #[test]
    fn values() {
        for (v, value, plain) in [
            (1e-7, "\"1e-07\"", "\"0.0000001\""),
            (1e21, "\"1e+21\"", "\"1000000000000000000000\""),
            (f64::NEG_INFINITY, "\"-Inf\"", "\"-Inf\""),
            (0.0, "\"0\"", "\"0\""),
            (-0.0, "\"-0\"", "\"-0\""),
            (4_294_967_295.0, "\"4294967295\"", "\"4294967295\""),
            (4_294_967_296.0, "\"4294967296\"", "\"4294967296\""),
            (0.1 + 0.2, "\"0.30000000000000004\"", "\"0.30000000000000004\""),
        ] {
            assert_eq!(written(|j| j.value(v)), value);
            assert_eq!(written(|j| j.plain_value(v)), plain);
        }
    }

    #[test]
    fn strings() {
        let odd = "a\"\\\n\r\t\u{1}<&>\u{2028}é\u{7f}";
        let text = r#""a\"\\\n\r\t\u0001\u003c\u0026\u003e\u2028é"#.to_owned() + "\u{7f}\"";
        assert_eq!(written(|j| j.text(odd)), text);
        let label = r#"{"a\"\\\n\r\t\u0001<&>"#.to_owned() + "\u{2028}é\u{7f}\":\"\"}";
        assert_eq!(written(|j| j.labels([(odd, "")].into_iter())), label);
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>()) {
            let both = written(|j| j.texts(&[&text])) ;
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&both).unwrap(), vec![text.clone()]);
            let label = written(|j| j.labels([("n", text.as_str())].into_iter()));
            let label: std::collections::HashMap<String, String> = serde_json::from_str(&label).unwrap();
            prop_assert_eq!(&label["n"], &text);
        }

        #[test]
        fn times_come_back(t in -1_i64 << 48..1_i64 << 48) {
            let seconds: f64 = written(|j| j.time(t)).parse().unwrap();
            prop_assert_eq!((seconds * 1000.0).round() as i64, t);
        }
    }
}
