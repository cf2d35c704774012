//! `host:port` -> how it is connected to.

use std::time::Duration;

use dolmen_model::{Error, Result};
use http::Uri;
use tonic::transport::Endpoint;

use super::ClientSettings;

/// What one call may hold unread.
const STREAM_WINDOW: u32 = 4 << 20;
/// What all calls together may hold unread: out of reach, since a query that reads slowly must not keep others
/// from their frames.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Thanos' servers hang up on who pings more often than every ten seconds.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(12);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn endpoint(address: &str, settings: &ClientSettings) -> Result<Endpoint> {
    let bad = |why: &str| Error::invalid(format!("store address {address:?}: {why}"));
    let plain = address.strip_prefix("http://").unwrap_or(address);
    if plain.contains("://") {
        return Err(bad("only http:// is known"));
    }
    let uri: Uri = format!("http://{plain}").parse().map_err(|_| bad("expected host:port"))?;
    let whole = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let place = uri.authority().filter(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    match place.and_then(|a| a.port_u16()) {
        Some(port) if port != 0 && whole => {}
        _ => return Err(bad("expected host:port")),
    }
    Ok(Endpoint::from(uri)
        .connect_timeout(settings.response_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let settings = ClientSettings::default();
        for good in ["127.0.0.1:10901", "store-a.dc-b:10901", "http://[::1]:10901", "http://a:1/"] {
            assert!(endpoint(good, &settings).is_ok(), "{good}");
        }
        for bad in ["", "a", "a:", ":1", "a:0", "a:99999", "https://a:1", "a:1/b", "a:1?b", "u@a:1", "a b:1"]
        {
            let e = endpoint(bad, &settings).unwrap_err();
            assert_eq!(e.kind(), dolmen_model::Kind::Invalid, "{bad}");
        }
    }
}
