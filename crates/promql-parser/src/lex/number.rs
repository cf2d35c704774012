//! Where a number or a duration ends; whether it is one in truth is found when its value is taken.

use super::{Lexer, is_alnum};

impl Lexer<'_> {
    /// Reads a number; on `false` the place is where it stopped being one.
    pub(super) fn scan_number(&mut self) -> bool {
        let hex = self.accept(b"0") && self.accept(b"xX");
        if hex {
            self.accept(b"_");
        }
        let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        self.accept(b".");
        if self.peek().is_some_and(is_digit) {
            self.pos += 1;
        }
        let (mut dot, mut exponent) = (false, false);
        while let Some(b) = self.peek() {
            match b {
                b'.' => {
                    self.pos += 1;
                    if dot || hex || self.accept(b"_.") {
                        return false;
                    }
                    dot = true;
                }
                b'e' | b'E' => {
                    self.pos += 1;
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b if is_digit(b) => {
                    while self.peek().is_some_and(is_digit) {
                        self.pos += 1;
                    }
                }
                _ => break,
            }
        }
        !self.peek().is_some_and(is_alnum)
    }

    /// Reads units and more numbers after what is no number.
    pub(super) fn scan_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        // Of `ms`; other wrong units are found with the value.
        self.accept(b"s");
        while self.accept(b"0123456789") {
            while self.accept(b"0123456789") {}
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        if self.peek().is_some_and(is_alnum) {
            self.pos += 1;
            return false;
        }
        true
    }
}
