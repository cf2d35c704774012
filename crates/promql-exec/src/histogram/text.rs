//! Written form of a histogram: label values of `count_values`, annotations, errors of tests.
//!
//! ```text
//! {count:7, sum:12.5, [-2,-1):1, [-0.001,0.001]:2, (1,2]:4}
//! ```

use dolmen_model::{FloatBuffer, HistRef};

use super::buckets::{Bucket, negative_rev, positive, zero};

/// The written form; empty buckets are left out.
pub fn to_text<'a>(h: impl Into<HistRef<'a>>) -> String {
    let h = h.into();
    let mut out = Text::default();
    out.text.push_str("{count:");
    out.number(h.count);
    out.text.push_str(", sum:");
    out.number(h.sum);
    let custom = h.layout.is_custom();
    let filled = |b: &Bucket| b.count != 0.0;
    for b in negative_rev(h).filter(filled) {
        out.bucket(&b, "[", if b.upper > 0.0 { "]" } else { ")" });
    }
    if h.zero_count != 0.0 {
        out.bucket(&zero(h), "[", "]");
    }
    for b in positive(h).filter(filled) {
        let lower_inside = if custom { b.lower == f64::NEG_INFINITY } else { b.lower < 0.0 };
        out.bucket(&b, if lower_inside { "[" } else { "(" }, "]");
    }
    out.text.push('}');
    out.text
}

#[derive(Default)]
struct Text {
    text: String,
    number: FloatBuffer,
}

impl Text {
    fn number(&mut self, v: f64) {
        self.text.push_str(self.number.general(v));
    }

    fn bucket(&mut self, b: &Bucket, open: &str, close: &str) {
        self.text.push_str(", ");
        self.text.push_str(open);
        self.number(b.lower);
        self.text.push(',');
        self.number(b.upper);
        self.text.push_str(close);
        self.text.push(':');
        self.number(b.count);
    }
}
