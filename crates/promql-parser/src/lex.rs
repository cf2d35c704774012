//! Text -> words.
//!
//! What a character means depends on where it stands. Inside braces keywords are plain names. After `[` only
//! what can begin a duration is let in; once a number stood there, ordinary words are read again but for
//! names. So the errors come out as those of Prometheus, whose lexer has the same modes.

use crate::ast::{BinaryOp, Span};
use crate::error::ParseError;
use crate::text::{quote, quote_char};
use crate::token::{Kind, Token, keyword};

mod number;
mod string;

/// Reads one word after the other.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// Where the word begins that is being read.
    start: usize,
    pos: usize,
    parens: u32,
    in_braces: bool,
    in_brackets: bool,
    /// Between `[` and the first number.
    before_duration: bool,
    got_duration: bool,
    got_colon: bool,
}

type Result<T> = std::result::Result<T, ParseError>;

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_alpha(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphabetic()
}

fn is_alnum(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphanumeric()
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer {
            text,
            start: 0,
            pos: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            before_duration: false,
            got_duration: false,
            got_colon: false,
        }
    }

    /// The next word; at the end of the text, `Eof` again and again.
    pub(crate) fn next(&mut self) -> Result<Token> {
        loop {
            while self.peek().is_some_and(is_space) {
                self.pos += 1;
            }
            self.start = self.pos;
            if self.before_duration || self.peek() != Some(b'#') {
                break;
            }
            while self.peek().is_some_and(|b| !matches!(b, b'\n' | b'\r')) {
                self.pos += 1;
            }
        }
        if self.before_duration {
            self.duration()
        } else if self.in_braces {
            self.brace()
        } else {
            self.statement()
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.peek().is_some_and(|b| set.contains(&b));
        self.pos += usize::from(found);
        found
    }

    /// The character at the present place.
    fn char(&self) -> Option<char> {
        self.text.get(self.pos..).and_then(|rest| rest.chars().next())
    }

    fn word(&self) -> &'a str {
        self.text.get(self.start..self.pos).unwrap_or_default()
    }

    fn token(&self, kind: Kind) -> Result<Token> {
        Ok(Token { kind, span: Span { start: self.start as u32, end: self.pos as u32 } })
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        let span = Span { start: self.start as u32, end: self.text.len() as u32 };
        Err(ParseError::new(self.text, span, message))
    }

    /// The same, told of the place after what was read.
    fn error_after<T>(&mut self, message: impl Into<String>) -> Result<T> {
        self.start = self.pos;
        self.error(message)
    }

    /// A word of one or two characters.
    fn op(&mut self, len: usize, kind: Kind) -> Result<Token> {
        self.pos += len;
        self.token(kind)
    }

    fn statement(&mut self) -> Result<Token> {
        let Some(b) = self.peek() else {
            if self.parens != 0 {
                return self.error("unclosed left parenthesis");
            }
            if self.in_brackets {
                return self.error("unclosed left bracket");
            }
            return self.token(Kind::Eof);
        };
        let second = self.text.as_bytes().get(self.pos + 1).copied();
        match (b, second) {
            (b',', _) => self.op(1, Kind::Comma),
            (b'@', _) => self.op(1, Kind::At),
            (b'=', Some(b'=')) => self.op(2, Kind::Op(BinaryOp::Eq)),
            (b'=', Some(b'~')) => self.error("unexpected character after '=': '~'"),
            (b'=', _) => self.op(1, Kind::Equal),
            (b'!', Some(b'=')) => self.op(2, Kind::Op(BinaryOp::Ne)),
            (b'!', _) => {
                self.pos += 1;
                let c = quote_char(self.char());
                self.error(format!("unexpected character after '!': {c}"))
            }
            (b'<', Some(b'=')) => self.op(2, Kind::Op(BinaryOp::Le)),
            (b'<', Some(b'/')) => self.op(2, Kind::Op(BinaryOp::TrimUpper)),
            (b'<', _) => self.op(1, Kind::Op(BinaryOp::Lt)),
            (b'>', Some(b'=')) => self.op(2, Kind::Op(BinaryOp::Ge)),
            (b'>', Some(b'/')) => self.op(2, Kind::Op(BinaryOp::TrimLower)),
            (b'>', _) => self.op(1, Kind::Op(BinaryOp::Gt)),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => self.number_or_duration(),
            (b'"' | b'\'' | b'`', _) => self.string(b),
            (b'(', _) | (b')', _) => self.paren(b),
            (b'{', _) => {
                self.in_braces = true;
                self.op(1, Kind::LeftBrace)
            }
            (b'[', _) => self.left_bracket(),
            (b']', _) => self.right_bracket(),
            _ if is_alpha(b) || b == b':' => {
                if self.in_brackets {
                    self.bracket_word(b)
                } else {
                    self.name()
                }
            }
            _ => match arithmetic(b) {
                Some(op) => self.op(1, Kind::Op(op)),
                None => self.error(format!("unexpected character: {}", quote_char(self.char()))),
            },
        }
    }

    fn paren(&mut self, b: u8) -> Result<Token> {
        if b == b'(' {
            self.parens += 1;
            return self.op(1, Kind::LeftParen);
        }
        self.pos += 1;
        match self.parens.checked_sub(1) {
            Some(left) => {
                self.parens = left;
                self.token(Kind::RightParen)
            }
            None => self.error_after("unexpected right parenthesis ')'"),
        }
    }

    fn left_bracket(&mut self) -> Result<Token> {
        if self.in_brackets {
            return self.error("unexpected left bracket '['");
        }
        self.in_brackets = true;
        self.before_duration = true;
        self.got_colon = false;
        self.op(1, Kind::LeftBracket)
    }

    fn right_bracket(&mut self) -> Result<Token> {
        if !self.in_brackets {
            return self.error("unexpected right bracket ']'");
        }
        self.in_brackets = false;
        self.before_duration = false;
        self.op(1, Kind::RightBracket)
    }

    /// A letter or colon in brackets, after a number.
    fn bracket_word(&mut self, b: u8) -> Result<Token> {
        if b == b':' {
            if self.got_colon {
                return self.error("unexpected colon ':'");
            }
            self.got_colon = true;
            return self.op(1, Kind::Colon);
        }
        match self.duration_word(b) {
            Some(kind) => self.token(kind),
            None => {
                self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(char::from(b)))))
            }
        }
    }

    /// `step`, `range`, `min_of`, `max_of`
    fn duration_word(&mut self, b: u8) -> Option<Kind> {
        if !matches!(b, b's' | b'S' | b'm' | b'M' | b'r' | b'R') {
            return None;
        }
        while self.peek().is_some_and(is_alpha) {
            self.pos += 1;
        }
        keyword(self.word()).filter(|k| matches!(k, Kind::Step | Kind::Range | Kind::MinOf | Kind::MaxOf))
    }

    fn duration(&mut self) -> Result<Token> {
        let Some(b) = self.peek() else {
            return self.error("unexpected end of input in duration expression");
        };
        let second = self.text.as_bytes().get(self.pos + 1);
        match b {
            b']' => self.right_bracket(),
            b':' => {
                self.pos += 1;
                if !self.got_duration {
                    return self.error_after("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.error_after("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                self.token(Kind::Colon)
            }
            b'(' | b')' => self.paren(b),
            b',' => self.op(1, Kind::Comma),
            b'0'..=b'9' | b'.' if b != b'.' || second.is_some_and(u8::is_ascii_digit) => {
                self.got_duration = true;
                self.before_duration = false;
                self.number_or_duration()
            }
            _ => {
                if let Some(op) = arithmetic(b) {
                    return self.op(1, Kind::Op(op));
                }
                let c = self.char();
                match self.duration_word(b) {
                    Some(kind) => self.token(kind),
                    None => {
                        self.error(format!("unexpected character in duration expression: {}", quote_char(c)))
                    }
                }
            }
        }
    }

    fn brace(&mut self) -> Result<Token> {
        let Some(b) = self.peek() else {
            return self.error("unexpected end of input inside braces");
        };
        let second = self.text.as_bytes().get(self.pos + 1).copied();
        match (b, second) {
            (b',', _) => self.op(1, Kind::Comma),
            (b'"' | b'\'' | b'`', _) => self.string(b),
            (b'=', Some(b'~')) => self.op(2, Kind::EqualRegex),
            (b'=', _) => self.op(1, Kind::Equal),
            (b'!', Some(b'~')) => self.op(2, Kind::NotEqualRegex),
            (b'!', Some(b'=')) => self.op(2, Kind::Op(BinaryOp::Ne)),
            (b'!', _) => {
                self.pos += 1;
                let c = quote_char(self.char());
                self.error(format!("unexpected character after '!' inside braces: {c}"))
            }
            (b'{', _) => self.error("unexpected left brace '{'"),
            (b'}', _) => {
                self.in_braces = false;
                self.op(1, Kind::RightBrace)
            }
            _ if is_alpha(b) => {
                while self.peek().is_some_and(is_alnum) {
                    self.pos += 1;
                }
                self.token(Kind::Identifier)
            }
            _ => self.error(format!("unexpected character inside braces: {}", quote_char(self.char()))),
        }
    }

    fn name(&mut self) -> Result<Token> {
        while self.peek().is_some_and(|b| is_alnum(b) || b == b':') {
            self.pos += 1;
        }
        let word = self.word();
        let kind = match keyword(word) {
            // Metrics may have these names: they are keywords before a parenthesis only.
            Some(Kind::Fill | Kind::FillLeft | Kind::FillRight) if !self.before_paren() => Kind::Identifier,
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.token(kind)
    }

    fn before_paren(&self) -> bool {
        let rest = self.text.as_bytes().get(self.pos..).unwrap_or_default();
        rest.iter().find(|b| !is_space(**b)) == Some(&b'(')
    }

    fn number_or_duration(&mut self) -> Result<Token> {
        if self.scan_number() {
            return self.token(Kind::Number);
        }
        if self.scan_duration() {
            return self.token(Kind::Duration);
        }
        self.error(format!("bad number or duration syntax: {}", quote(self.word())))
    }
}

fn arithmetic(b: u8) -> Option<BinaryOp> {
    Some(match b {
        b'+' => BinaryOp::Add,
        b'-' => BinaryOp::Sub,
        b'*' => BinaryOp::Mul,
        b'/' => BinaryOp::Div,
        b'%' => BinaryOp::Mod,
        b'^' => BinaryOp::Pow,
        _ => return None,
    })
}
