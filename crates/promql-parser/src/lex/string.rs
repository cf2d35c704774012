//! Quoted texts; their values are taken later.

use super::{Lexer, Result};
use crate::text::code_point;
use crate::token::{Kind, Token};

impl Lexer<'_> {
    /// A text and the quotes around it.
    pub(super) fn string(&mut self, quote: u8) -> Result<Token> {
        self.pos += 1;
        loop {
            let Some(c) = self.char() else {
                let kind = if quote == b'`' { "raw" } else { "quoted" };
                return self.error(format!("unterminated {kind} string"));
            };
            self.pos += c.len_utf8();
            match c {
                char::REPLACEMENT_CHARACTER => return self.error("invalid UTF-8 rune"),
                '\n' if quote != b'`' => return self.error("unterminated quoted string"),
                '\\' if quote != b'`' => self.escape(quote)?,
                c if c == char::from(quote) => return self.token(Kind::String),
                _ => {}
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, quote: u8) -> Result<()> {
        let Some(c) = self.char() else {
            return self.error("escape sequence not terminated");
        };
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (0, 8, 0),
            c if c == char::from(quote) => (0, 8, 0),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, char::MAX as u32),
            'U' => (8, 16, char::MAX as u32),
            c => return self.error(format!("unknown escape sequence {}", code_point(c))),
        };
        if base == 16 || digits == 0 {
            self.pos += c.len_utf8();
        }
        let mut value = 0u32;
        for _ in 0..digits {
            let Some(c) = self.char() else {
                return self.error("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(base) else {
                return self.error(format!("illegal character {} in escape sequence", code_point(c)));
            };
            self.pos += 1;
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.error("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}
