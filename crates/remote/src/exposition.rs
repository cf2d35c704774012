//! OpenMetrics text, as far as our own `/metrics` uses it: names, labels, values, times.
//!
//! ```text
//! # HELP, # TYPE, # UNIT, # EOF     not needed here
//! name{label="value",…} value [seconds] [# exemplar]
//! ```

use dolmen_model::{Error, Result};

/// One sample of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct ExposedSample {
    /// Labels as they stand, the name as `__name__` first.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// All samples of a text. Times and exemplars are read over.
pub fn parse_exposition(text: &str) -> Result<Vec<ExposedSample>> {
    let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|(i, line)| {
            sample(line).ok_or_else(|| Error::corrupt(format!("metrics text: line {}: not a sample", i + 1)))
        })
        .collect()
}

fn sample(line: &str) -> Option<ExposedSample> {
    let end = line.find(['{', ' '])?;
    let mut labels = vec![("__name__".to_owned(), line[..end].to_owned())];
    let mut rest = &line[end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = label_list(inside, &mut labels)?;
    }
    let value = match rest.split_ascii_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    (end > 0).then_some(ExposedSample { labels, value })
}

/// Reads labels to the closing brace; gives what stands behind it.
fn label_list<'a>(mut rest: &'a str, out: &mut Vec<(String, String)>) -> Option<&'a str> {
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some(behind);
        }
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next()? {
                (i, '"') => break i,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (_, c) => value.push(c),
            }
        };
        out.push((name.to_owned(), value));
        rest = &behind[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_all_shapes() {
        let text = "# TYPE a counter\na_total 3\nb{x=\"1\",y=\"a \\\"b\\\\\\n}\"} -Inf\nc_bucket{le=\"+Inf\"} 17 123.4 # {t=\"u\"} 3\n# EOF\n";
        let got = parse_exposition(text).unwrap();
        let flat: Vec<String> = got.iter().map(|s| format!("{:?} {}", s.labels, s.value)).collect();
        assert_eq!(
            flat,
            [
                "[(\"__name__\", \"a_total\")] 3",
                "[(\"__name__\", \"b\"), (\"x\", \"1\"), (\"y\", \"a \\\"b\\\\\\n}\")] -inf",
                "[(\"__name__\", \"c_bucket\"), (\"le\", \"+Inf\")] 17",
            ]
        );
        for bad in ["a", "a{x=\"1\" 3", "a b", "{} 1", "a{x=1} 2"] {
            assert!(parse_exposition(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_registry_is_read() {
        use prometheus_client::metrics::{family::Family, gauge::Gauge};
        let mut registry = prometheus_client::registry::Registry::default();
        crate::RemoteMetrics::new(&mut registry);
        let odd = Family::<Vec<(String, String)>, Gauge>::default();
        odd.get_or_create(&vec![("v".to_owned(), "a\"b\\c\n,}".to_owned())]).set(7);
        registry.register("odd", "Odd", odd);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let got = parse_exposition(&text).unwrap();
        assert!(got.iter().any(|s| s.labels[0].1 == "dolmen_remote_samples_total"));
        let odd = got.iter().find(|s| s.labels[0].1 == "odd").unwrap();
        assert_eq!((odd.labels[1].1.as_str(), odd.value), ("a\"b\\c\n,}", 7.0));
    }
}
