//! A TCP proxy on loopback that breaks connections off after so many bytes: the one fault that a real store cannot
//! be made to show.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;

/// Bytes from the server that a connection may carry where nothing is cut.
const ALL: u64 = u64::MAX;

/// A proxy before one address.
pub struct Proxy {
    /// Its port on loopback.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    /// Bytes from the server after which a connection is broken off.
    cut: AtomicU64,
    stop: AtomicBool,
}

impl Proxy {
    /// Before a port on loopback.
    pub fn start(to: u16) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { to, cut: AtomicU64::new(ALL), stop: AtomicBool::new(false) });
        let inside = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inside.stop.load(Ordering::SeqCst) {
                    return;
                }
                let inside = inside.clone();
                std::thread::spawn(move || inside.carry(client));
            }
        });
        Ok(Proxy { port, shared })
    }

    /// From now on connections are broken off once they have carried so many bytes from the server; those that
    /// have carried more, with the next one.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.cut.store(bytes, Ordering::SeqCst);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.cut_after(ALL);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accept loop, so that it sees the flag.
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    /// Carries bytes both ways until one side ends. An error on either side ends both: that is all there is to do.
    fn carry(self: Arc<Shared>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)) else { return };
        let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        std::thread::spawn(move || {
            let _ended = std::io::copy(&mut from_client, &mut to_server);
            let _closed = to_server.shutdown(Shutdown::Both);
        });
        let (mut server, mut client) = (server, client);
        let (mut buffer, mut carried) = ([0; 16 << 10], 0);
        while let Ok(n @ 1..) = server.read(&mut buffer) {
            let left = self.cut.load(Ordering::SeqCst).saturating_sub(carried).min(n as u64);
            carried += n as u64;
            if client.write_all(&buffer[..left as usize]).is_err() || left < n as u64 {
                break;
            }
        }
        for side in [server, client] {
            let _closed = side.shutdown(Shutdown::Both);
        }
    }
}
