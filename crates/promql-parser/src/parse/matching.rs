//! Lists of labels, and what stands between an operator and its right side.

use smol_str::SmolStr;

use super::{Parser, Result};
use crate::ast::{BinaryOp, Card, Matching};
use crate::text::{quote, unquote};
use crate::token::{Kind, Token};

impl Parser<'_> {
    /// `(a, "b.c")`, and the place after it.
    pub(super) fn grouping(&mut self) -> Result<(Vec<SmolStr>, u32)> {
        if self.take(Kind::LeftParen)?.is_none() {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        let mut labels = Vec::new();
        if let Some(close) = self.take(Kind::RightParen)? {
            return Ok((labels, close.span.end));
        }
        loop {
            let token = self.peek()?;
            labels.push(self.grouping_label(token)?);
            if let Some(close) = self.take(Kind::RightParen)? {
                return Ok((labels, close.span.end));
            }
            if self.take(Kind::Comma)?.is_none() {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
            if let Some(close) = self.take(Kind::RightParen)? {
                return Ok((labels, close.span.end));
            }
        }
    }

    fn grouping_label(&mut self, token: Token) -> Result<SmolStr> {
        let written = self.str(token.span);
        if token.kind.names_label() {
            self.bump();
            return Ok(SmolStr::new(written));
        }
        if token.kind != Kind::String {
            return Err(self.unexpected("grouping opts", "label"));
        }
        self.bump();
        let label = unquote(written);
        if label.is_empty() || crate::text::has_stray_bytes(&label) {
            return Err(self.error(token.span, format!("invalid label name for grouping: {}", quote(&label))));
        }
        Ok(SmolStr::new(label))
    }

    /// `bool on (a) group_left (b) fill (0)`; all of it may be missing.
    pub(super) fn matching(&mut self) -> Result<(bool, Matching)> {
        let mut matching = Matching {
            card: Card::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let bool = self.take(Kind::Bool)?.is_some();
        let kind = self.peek()?.kind;
        if matches!(kind, Kind::On | Kind::Ignoring) {
            self.bump();
            matching.on = kind == Kind::On;
            matching.labels = self.grouping()?.0;
            matching.card = match self.peek()?.kind {
                Kind::GroupLeft => Card::ManyToOne,
                Kind::GroupRight => Card::OneToMany,
                _ => Card::OneToOne,
            };
            if matching.card != Card::OneToOne {
                self.bump();
                let next = self.peek()?.kind;
                // A parenthesis is taken for the list even where an expression could begin with it.
                if next == Kind::LeftParen || !next.begins_expr() {
                    matching.include = self.grouping()?.0;
                }
            }
        }
        match self.peek()?.kind {
            Kind::Fill => {
                self.bump();
                matching.fill_left = Some(self.fill()?);
                matching.fill_right = matching.fill_left;
            }
            Kind::FillLeft => {
                self.bump();
                matching.fill_left = Some(self.fill()?);
                if self.take(Kind::FillRight)?.is_some() {
                    matching.fill_right = Some(self.fill()?);
                }
            }
            Kind::FillRight => {
                self.bump();
                matching.fill_right = Some(self.fill()?);
                if self.take(Kind::FillLeft)?.is_some() {
                    matching.fill_left = Some(self.fill()?);
                }
            }
            _ => {}
        }
        Ok((bool, matching))
    }

    /// `(-1)`
    fn fill(&mut self) -> Result<f64> {
        self.expect(Kind::LeftParen)?;
        let minus = self.sign()?.is_some_and(|t| t.kind == Kind::Op(BinaryOp::Sub));
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected_here());
        }
        self.bump();
        let value = self.number(token)?.value;
        self.expect(Kind::RightParen)?;
        Ok(if minus { -value } else { value })
    }

    /// Takes a sign where there is one.
    pub(super) fn sign(&mut self) -> Result<Option<Token>> {
        match self.take(Kind::Op(BinaryOp::Add))? {
            Some(token) => Ok(Some(token)),
            None => self.take(Kind::Op(BinaryOp::Sub)),
        }
    }
}
