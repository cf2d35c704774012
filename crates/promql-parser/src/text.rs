//! Quoted texts as Go writes and reads them.
//!
//! A quoted text may hold any bytes (`"\xff"`), a Rust string may not: a byte that is no part of a character
//! stands as one of the 128 last code points, from U+10FF80 on, and is printed as a byte again.

use std::fmt::{self, Write};

/// The code point that stands for byte 0.
const STRAY: u32 = 0x10_ff00;

/// The byte that a character stands for, where it stands for one.
fn stray_byte(c: char) -> Option<u8> {
    u8::try_from((c as u32).checked_sub(STRAY)?).ok().filter(|b| *b >= 0x80)
}

/// Whether a text that was written in a query is no UTF-8.
pub fn has_stray_bytes(text: &str) -> bool {
    text.chars().any(|c| stray_byte(c).is_some())
}

/// A text in double quotes.
pub fn quote(text: &str) -> String {
    Quoted(text).to_string()
}

/// The same, cut after ten characters where it is longer than ten bytes.
pub(crate) fn quote_start(text: &str) -> String {
    match text.char_indices().nth(10) {
        Some((end, _)) if text.len() > 10 => format!("{}...", Quoted(&text[..end])),
        _ if text.len() > 10 => format!("{}...", Quoted(text)),
        _ => quote(text),
    }
}

/// Displays as the text in double quotes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            escape(f, c, '"')?;
        }
        f.write_char('"')
    }
}

/// A character in single quotes; none is the end of the text.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let mut out = "'".to_owned();
    // Writing into a string cannot fail.
    let _ = escape(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// `U+0023 '#'`
pub(crate) fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", c as u32);
    if is_print(c) { format!("{number} '{c}'") } else { number }
}

fn escape(f: &mut impl Write, c: char, quote: char) -> fmt::Result {
    if let Some(byte) = stray_byte(c) {
        return write!(f, "\\x{byte:02x}");
    }
    match c {
        '\\' => f.write_str("\\\\"),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        c if c == quote => write!(f, "\\{c}"),
        c if is_print(c) => f.write_char(c),
        c if c < ' ' || c == '\x7f' => write!(f, "\\x{:02x}", c as u32),
        c if (c as u32) < 0x10000 => write!(f, "\\u{:04x}", c as u32),
        c => write!(f, "\\U{:08x}", c as u32),
    }
}

fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library knows what is printable, but tells it by escaping only; a combining mark is
    // escaped unless something stands before it.
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().nth(1) == Some(c)
}

/// The value of a quoted text that the lexer has let pass.
pub(crate) fn unquote(quoted: &str) -> String {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if quoted.starts_with('`') {
        // As Go reads raw texts.
        return inner.to_owned();
    }
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        match chars.next() {
            Some('a') => out.push(7),
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('v') => out.push(11),
            Some('x') => out.push(digits(&mut chars, 0, 2, 16) as u8),
            Some('u') => push(&mut out, code(digits(&mut chars, 0, 4, 16))),
            Some('U') => push(&mut out, code(digits(&mut chars, 0, 8, 16))),
            Some(c @ '0'..='7') => out.push(digits(&mut chars, c as u32 - '0' as u32, 2, 8) as u8),
            Some(c) => push(&mut out, c),
            None => {}
        }
    }
    from_bytes(&out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn code(number: u32) -> char {
    char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Reads `n` more digits after `value`.
fn digits(chars: &mut std::str::Chars<'_>, value: u32, n: usize, base: u32) -> u32 {
    chars
        .by_ref()
        .take(n)
        .fold(value, |v, c| v.wrapping_mul(base).wrapping_add(c.to_digit(base).unwrap_or_default()))
}

fn from_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|b| code(STRAY + u32::from(*b))));
    }
    out
}

/// Whether a name needs no quotes.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_as_go_quotes() {
        for (text, quoted) in [
            ("a\"b'\\\n\0", r#""a\"b'\\\n\x00""#),
            ("é\u{301}\u{a0}\u{10ffff}\u{200b}", "\"é\u{301}\\u00a0\\xff\\u200b\""),
            ("\u{7f}\u{e000}\u{f0000}", r#""\x7f\ue000\U000f0000""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted), text);
        }
        assert_eq!(unquote(r"'\xe2\x82\xac\377\u20ac\'\101'"), "€\u{10ffff}€'A");
        assert_eq!(unquote(r"`a\n`"), r"a\n");
        assert!(has_stray_bytes(&unquote(r#""\xff""#)) && !has_stray_bytes("é\u{e0ff}"));
        assert_eq!(quote_start("\"dead|other\""), "\"\\\"dead|othe\"...");
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(code_point('#'), "U+0023 '#'");
        assert_eq!(code_point('\n'), "U+000A");
    }
}
