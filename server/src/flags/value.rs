//! Values of flags: durations, sizes, labels, addresses.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use dolmen_model::parse_duration;

/// A duration in milliseconds, written as Prometheus writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub i64);

impl Millis {
    /// As the standard library has it.
    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.unsigned_abs())
    }
}

impl FromStr for Millis {
    type Err = String;
    fn from_str(text: &str) -> Result<Millis, String> {
        parse_duration(text).map(Millis).ok_or_else(|| "a duration such as 30s, 5m or 2h".to_owned())
    }
}

/// A size in bytes: a number, or one with KiB, MiB, GiB (or KB, MB, GB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match &text[digits..] {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => 0u64,
        };
        match text[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) {
            Some(bytes) if unit > 0 && bytes > 0 => Ok(Size(bytes)),
            _ => Err("a size such as 512KiB, 32MiB or 2GiB".to_owned()),
        }
    }
}

/// `name="value"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl FromStr for Label {
    type Err = String;
    fn from_str(text: &str) -> Result<Label, String> {
        let expected = || "NAME=\"VALUE\" such as site=\"dc-a\"".to_owned();
        let (name, quoted) = text.split_once('=').ok_or_else(expected)?;
        let plain = |n: &str| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let value: String = match quoted.starts_with('"') {
            true => serde_json::from_str(quoted).map_err(|_| expected())?,
            false => quoted.to_owned(),
        };
        let good =
            plain(name) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && !value.is_empty();
        if !good || name.starts_with("__") || name == "dolmen" {
            return Err(expected());
        }
        Ok(Label { name: name.to_owned(), value })
    }
}

/// `host:port`; an empty host is every address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Address, String> {
        let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
        found.map(Address).ok_or_else(|| "HOST:PORT such as 127.0.0.1:10902 or :0".to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_labels() {
        assert_eq!("32MiB".parse(), Ok(Size(32 << 20)));
        for bad in ["", "0", "MiB", "3 MiB", "-1", "99999999999GiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        let label = Label { name: "site".into(), value: "dc-a".into() };
        assert_eq!("site=\"dc-a\"".parse(), Ok(label.clone()));
        assert_eq!("site=dc-a".parse(), Ok(label));
        for bad in ["site", "=\"a\"", "site=\"\"", "1a=\"b\"", "__name__=\"a\"", "site=\"a", "dolmen=\"x\""] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
    }
}
