//! Protobuf's wire format, read in place.

use dolmen_model::{Error, Result};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number, an enum, a flag.
    Varint(u64),
    /// A string, bytes, a message.
    Bytes(&'a [u8]),
    /// Of fixed width: nothing that the StoreAPI has.
    Fixed,
}

/// The fields of a message, in their order.
#[derive(Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Fields<'a> {
        Fields(message)
    }

    /// The next field's number and value; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| malformed("no field number"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(len)?)
            }
            5 => self.fixed(4)?,
            _ => return Err(malformed("a type that is not in use")),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(malformed("a number is cut off or too long"))
    }

    fn fixed(&mut self, len: usize) -> Result<Value<'a>> {
        self.take(len).map(|_| Value::Fixed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(len).ok_or_else(|| malformed("a value is cut off"))?;
        self.0 = rest;
        Ok(value)
    }
}

pub(crate) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::corrupt(format!("{what} is not UTF-8")))
}

fn malformed(what: &str) -> Error {
    Error::corrupt(format!("malformed message: {what}"))
}
