//! Opens a listening socket, or says exactly why not.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// An open socket.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `address`, which the flag `flag` gave: `host:port`, `:port` for all interfaces, port 0 for
    /// any free one.
    pub async fn bind(flag: &str, address: &str) -> Result<Listener, BindError> {
        let refuse =
            |found: String, expected: &'static str| BindError { flag: flag.to_owned(), found, expected };
        let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
        let well_formed =
            full.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !well_formed {
            return Err(refuse(format!("`{address}`"), "HOST:PORT or :PORT"));
        }
        let socket = TcpListener::bind(&full).await.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => refuse(format!("{address} is in use"), "a free port"),
            io::ErrorKind::PermissionDenied => {
                refuse(format!("{address} is not permitted"), "a port from 1024 on")
            }
            io::ErrorKind::AddrNotAvailable => {
                refuse(format!("{address} is no address of this machine"), "one of its own")
            }
            _ => refuse(format!("{address}: {e}"), "an address to listen at"),
        })?;
        let address =
            socket.local_addr().map_err(|e| refuse(format!("{address}: {e}"), "an address to listen at"))?;
        Ok(Listener { socket, address })
    }

    /// Where it really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A socket that could not be opened: a mistake in the command line, exit code 2.
/// Prints as `FLAG: FOUND, expected EXPECTED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The flag that gave the address.
    pub flag: String,
    /// What is wrong with it.
    pub found: String,
    /// What would be right.
    pub expected: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, expected {}", self.flag, self.found, self.expected)
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_was_found_and_what_was_expected() {
        let first = Listener::bind("--http-address", "127.0.0.1:0").await.unwrap();
        let taken = first.address().to_string();
        let text = |r: Result<Listener, BindError>| r.unwrap_err().to_string();
        assert_eq!(
            text(Listener::bind("--http-address", &taken).await),
            format!("--http-address: {taken} is in use, expected a free port")
        );
        for bad in ["", "10902", "localhost:", "host:99999"] {
            let want = format!("--http-address: `{bad}`, expected HOST:PORT or :PORT");
            assert_eq!(text(Listener::bind("--http-address", bad).await), want);
        }
        assert_ne!(Listener::bind("x", ":0").await.unwrap().address().port(), 0);
    }
}
