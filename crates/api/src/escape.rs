//! Label names in paths that hold characters which old clients do not know.
//!
//! ```text
//! U__http_2e_status   http.status
//! _HEX_  the character with that code      __  an underscore
//! ```

/// Longest code in hexadecimal.
const CODE_MAX: usize = 6;

/// The name that is meant; text that is not escaped, or wrongly, means itself.
pub(crate) fn unescape(text: &str) -> String {
    decode(text).unwrap_or_else(|| text.to_owned())
}

fn decode(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("U__")?;
    let mut name = String::new();
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            name.push('_');
            rest = after;
            continue;
        }
        let (code, after) = rest.split_once('_')?;
        if code.len() > CODE_MAX || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, name) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__host_2e_name", "host.name"),
            ("U__a__b", "a_b"),
            ("U___1f600_", "😀"),
            ("U__", ""),
            ("U__a_2e", "U__a_2e"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_0000041_", "U__a_0000041_"),
            ("U_x", "U_x"),
        ] {
            assert_eq!(unescape(text), name);
        }
    }
}
