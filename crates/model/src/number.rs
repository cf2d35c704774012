//! Text of floats as Prometheus writes it: shortest digits that give the value back, in four layouts.
//!
//! ```text
//! plain         never an exponent                              0.0000001  1000000000000000000000000
//! general       exponent below 1e-4 and from 1e6 on            1e-07      1e+24
//! api           exponent below 1e-6 and from 1e21 on           1e-07      1e+24
//! open metrics  general, but with .0 where it looks integral   1.0        1e+24
//! ```
//!
//! An exponent has a sign and at least two digits. The rest is `NaN`, `+Inf`, `-Inf`.

/// Longest text: the smallest subnormal in plain layout with sign and 17 digits, rounded up.
const LONGEST: usize = 352;

/// Memory for one number's text, to be used again and again.
pub struct FloatBuffer {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Default for FloatBuffer {
    fn default() -> FloatBuffer {
        FloatBuffer { bytes: [0; LONGEST], len: 0 }
    }
}

/// Shortest decimal digits of a finite value: 0.d1d2d3… × 10^point.
struct Digits {
    negative: bool,
    digits: [u8; 17],
    n: usize,
    point: i32,
}

impl Digits {
    fn of(v: f64) -> Digits {
        let mut text = zmij::Buffer::new();
        let text = text.format_finite(v.abs()).as_bytes();
        let mut d = Digits { negative: v.is_sign_negative(), digits: [b'0'; 17], n: 0, point: 0 };
        let (mut seen_point, mut zeros, mut at) = (false, 0, 0);
        while at < text.len() {
            match text[at] {
                b'e' => break,
                b'.' => seen_point = true,
                b'0' if d.n == 0 => d.point -= i32::from(seen_point),
                digit => {
                    d.point += i32::from(!seen_point);
                    // Zeros count only once another digit follows them.
                    if digit == b'0' {
                        zeros += 1;
                    } else {
                        d.n += zeros;
                        zeros = 0;
                        d.digits[d.n] = digit;
                        d.n += 1;
                    }
                }
            }
            at += 1;
        }
        if at < text.len() {
            let negative = text[at + 1] == b'-';
            let exponent = text[at + 1..].iter().filter(|b| b.is_ascii_digit());
            let exponent = exponent.fold(0, |n, b| n * 10 + i32::from(b - b'0'));
            d.point += if negative { -exponent } else { exponent };
        }
        if d.n == 0 {
            (d.n, d.point) = (1, 1);
        }
        d
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.n]
    }
}

impl FloatBuffer {
    /// Never an exponent: labels of `count_values`, number literals.
    pub fn plain(&mut self, v: f64) -> &str {
        if self.ready_made(v) { self.text() } else { self.lay_out(v, i32::MIN, i32::MAX, false) }
    }

    /// Exponent below 1e-4 and from 1e6 on: histogram texts, annotations.
    pub fn general(&mut self, v: f64) -> &str {
        self.lay_out(v, -4, 6, false)
    }

    /// Sample values in answers of the HTTP API.
    pub fn api(&mut self, v: f64) -> &str {
        // The rule compares values, so that 9.999…e-7 and 1e-6 fall on different sides as they do there.
        let a = v.abs();
        if a != 0.0 && !(1e-6..1e21).contains(&a) {
            self.lay_out(v, i32::MAX, i32::MAX, false)
        } else {
            self.plain(v)
        }
    }

    /// OpenMetrics: label values `le`, `quantile`.
    pub fn open_metrics(&mut self, v: f64) -> &str {
        // It has no negative zero.
        self.lay_out(if v == 0.0 { 0.0 } else { v }, -4, 6, true)
    }

    /// Most values need no layout of ours: their digits come with the point in its place.
    fn ready_made(&mut self, v: f64) -> bool {
        if !v.is_finite() {
            return false;
        }
        let mut text = zmij::Buffer::new();
        let text = text.format_finite(v).as_bytes();
        if text.contains(&b'e') {
            return false;
        }
        self.len = 0;
        self.put(text.strip_suffix(b".0").unwrap_or(text));
        true
    }

    /// An exponent where the value's own is below `least` or at least `most`.
    fn lay_out(&mut self, v: f64, least: i32, most: i32, dot: bool) -> &str {
        self.len = 0;
        if !v.is_finite() {
            self.put(if v.is_nan() {
                b"NaN"
            } else if v > 0.0 {
                b"+Inf"
            } else {
                b"-Inf"
            });
            return self.text();
        }
        let d = Digits::of(v);
        if d.negative {
            self.put(b"-");
        }
        let exponent = d.point - 1;
        if exponent < least || exponent >= most {
            self.scientific(&d, exponent);
        } else {
            self.positional(&d);
            if dot && d.point >= d.n as i32 {
                self.put(b".0");
            }
        }
        self.text()
    }

    fn scientific(&mut self, d: &Digits, exponent: i32) {
        self.put(&d.digits()[..1]);
        if d.n > 1 {
            self.put(b".");
            self.put(&d.digits()[1..]);
        }
        self.put(if exponent < 0 { b"e-" } else { b"e+" });
        let e = exponent.unsigned_abs();
        if e >= 100 {
            self.put(&[b'0' + (e / 100) as u8]);
        }
        self.put(&[b'0' + (e / 10 % 10) as u8, b'0' + (e % 10) as u8]);
    }

    fn positional(&mut self, d: &Digits) {
        if d.point <= 0 {
            self.put(b"0.");
            self.zeros(-d.point as usize);
            self.put(d.digits());
        } else if (d.point as usize) < d.n {
            self.put(&d.digits()[..d.point as usize]);
            self.put(b".");
            self.put(&d.digits()[d.point as usize..]);
        } else {
            self.put(d.digits());
            self.zeros(d.point as usize - d.n);
        }
    }

    fn put(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn zeros(&mut self, n: usize) {
        self.bytes[self.len..self.len + n].fill(b'0');
        self.len += n;
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is ever put")
    }
}

/// Plain layout, in a string of its own.
pub fn format_float(v: f64) -> String {
    FloatBuffer::default().plain(v).to_owned()
}

/// General layout, in a string of its own.
pub fn format_float_general(v: f64) -> String {
    FloatBuffer::default().general(v).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layouts() {
        let mut b = FloatBuffer::default();
        for (v, plain, general, api, open) in [
            (0.0, "0", "0", "0", "0.0"),
            (-0.0, "-0", "-0", "-0", "0.0"),
            (1.0, "1", "1", "1", "1.0"),
            (100.0, "100", "100", "100", "100.0"),
            (0.00001, "0.00001", "1e-05", "0.00001", "1e-05"),
            (1e-7, "0.0000001", "1e-07", "1e-07", "1e-07"),
            (1e6, "1000000", "1e+06", "1000000", "1e+06"),
            (1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21"),
            (-2.5e-12, "-0.0000000000025", "-2.5e-12", "-2.5e-12", "-2.5e-12"),
            (123.456, "123.456", "123.456", "123.456", "123.456"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
        ] {
            assert_eq!(b.plain(v), plain);
            assert_eq!(b.general(v), general);
            assert_eq!(b.api(v), api);
            assert_eq!(b.open_metrics(v), open);
        }
        b.plain(f64::from_bits(1));
        b.plain(-2.2250738585072014e-308);
        b.plain(-f64::MAX);
    }

    /// Every layout against texts that Go and the Prometheus library wrote.
    #[test]
    fn golden_texts() {
        let path = std::env::var("DOLMEN_SHARED")
            .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned())
            + "/golden/go/floats.jsonl.gz";
        let Ok(out) = std::process::Command::new("gzip").args(["-dc", &path]).output() else {
            eprintln!("skipped: no gzip");
            return;
        };
        if !out.status.success() {
            eprintln!("skipped: no {path}");
            return;
        }
        let mut b = FloatBuffer::default();
        for row in String::from_utf8(out.stdout).unwrap().lines() {
            let field = |name: &str| {
                let at = row.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
                &row[at..at + row[at..].find('"').unwrap()]
            };
            let v = f64::from_bits(u64::from_str_radix(field("bits"), 16).unwrap());
            assert_eq!(b.plain(v), field("f"));
            assert_eq!(b.general(v), field("g"));
            assert_eq!(b.api(v), field("api_json"));
            assert_eq!(b.open_metrics(v), field("openmetrics"));
        }
    }

    proptest! {
        #[test]
        fn texts_give_the_value_back(bits in any::<u64>()) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite());
            let mut b = FloatBuffer::default();
            prop_assert_eq!(b.plain(v).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(b.general(v).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(b.api(v).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
