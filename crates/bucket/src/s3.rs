//! A bucket behind S3's protocol: Ceph's RGW above all.

use std::sync::Arc;
use std::time::Duration;

use dolmen_model::parse_duration;
use dolmen_model::{Context, Error, Kind, Result};
use object_store::aws::AmazonS3Builder;
use object_store::limit::LimitStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::config::{Http, Lookup, S3};
use crate::{Opened, PART_SIZE, PART_SIZE_MAX, PART_SIZE_MIN, Patience};

/// Where the configuration names none. RGW does not look at it; AWS' own default is this one.
const DEFAULT_REGION: &str = "us-east-1";
const DEFAULT_CONNECT: Duration = Duration::from_secs(5);
const DEFAULT_IDLE: Duration = Duration::from_secs(90);
const DEFAULT_IDLE_CONNECTIONS: usize = 100;

pub(crate) fn open(config: &S3, warnings: Vec<String>) -> Result<Opened> {
    let patience = patience(config)?;
    let builder = builder(config)?;
    let options = client(&config.http_config, config.insecure)?;
    // Whole-request timeouts would cut long bodies: the coat watches that bytes keep coming.
    let plain = options.clone().with_timeout_disabled().with_read_timeout(patience.attempt);
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let again = RetryConfig {
        max_retries: patience.retries as usize,
        retry_timeout: patience.total,
        backoff: BackoffConfig {
            init_backoff: patience.backoff,
            max_backoff: patience.backoff_max,
            base: 2.0,
        },
    };
    let build = |options, retry| {
        let built = builder.clone().with_client_options(options).with_retry(retry).build();
        built.map_err(|e| Error::invalid(format!("objstore config: {e}")))
    };
    let store = limited(build(plain, once)?, config.http_config.max_conns_per_host);
    let parts = build(options.with_timeout(patience.attempt), again)?;
    let parts = limited(parts, config.http_config.max_conns_per_host);
    let part_size = match config.part_size {
        0 => PART_SIZE,
        n => n.clamp(PART_SIZE_MIN, PART_SIZE_MAX),
    };
    Ok(Opened { store, parts, patience, warnings, part_size })
}

fn limited(store: impl ObjectStore, at_once: usize) -> Arc<dyn ObjectStore> {
    if at_once == 0 { Arc::new(store) } else { Arc::new(LimitStore::new(store, at_once)) }
}

fn patience(config: &S3) -> Result<Patience> {
    let mut patience = Patience::default();
    if let Some(answer) = duration("response_header_timeout", &config.http_config.response_header_timeout)? {
        patience.attempt = answer;
        patience.total = patience.total.max(answer);
    }
    if config.max_retries > 0 {
        patience.retries = config.max_retries;
    }
    Ok(patience)
}

fn duration(key: &str, text: &Option<String>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    match parse_duration(text) {
        // Go takes 0 for "no limit"; here every request has one.
        Some(0) => Ok(None),
        Some(ms) => Ok(Some(Duration::from_millis(ms.unsigned_abs()))),
        None => Err(Error::invalid(format!(
            "objstore config: http_config.{key}: {text}, expected a duration such as 1m30s"
        ))),
    }
}

fn client(http: &Http, insecure: bool) -> Result<ClientOptions> {
    let idle = http.max_idle_conns_per_host.or(http.max_idle_conns).unwrap_or(DEFAULT_IDLE_CONNECTIONS);
    let mut options = ClientOptions::new()
        .with_allow_http(insecure)
        .with_http1_only()
        .with_connect_timeout(
            duration("tls_handshake_timeout", &http.tls_handshake_timeout)?.unwrap_or(DEFAULT_CONNECT),
        )
        .with_pool_idle_timeout(
            duration("idle_conn_timeout", &http.idle_conn_timeout)?.unwrap_or(DEFAULT_IDLE),
        )
        .with_pool_max_idle_per_host(idle);
    if http.insecure_skip_verify || http.tls_config.insecure_skip_verify {
        options = options.with_allow_invalid_certificates(true);
    }
    let ca = &http.tls_config.ca_file;
    if !ca.is_empty() {
        let doing = || format!("objstore config: http_config.tls_config.ca_file: read {ca}");
        let pem = std::fs::read(ca).context(doing())?;
        let all = Certificate::from_pem_bundle(&pem).map_err(|e| Error::wrap(Kind::Invalid, doing(), e))?;
        options = all.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

fn builder(config: &S3) -> Result<AmazonS3Builder> {
    let virtual_hosted = match config.bucket_lookup_type {
        Lookup::Auto => config.endpoint.ends_with(".amazonaws.com"),
        Lookup::VirtualHosted => true,
        Lookup::Path => false,
    };
    // Without keys the client looks into the environment, then for a web identity, then for the machine's role.
    let mut b = if config.access_key.is_empty() {
        AmazonS3Builder::from_env()
    } else {
        AmazonS3Builder::new()
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key)
    };
    if !config.session_token.is_empty() {
        b = b.with_token(&config.session_token);
    }
    let region = if config.region.is_empty() { DEFAULT_REGION } else { &config.region };
    b = b
        .with_bucket_name(&config.bucket)
        .with_region(region)
        .with_endpoint(endpoint(config, virtual_hosted)?)
        .with_virtual_hosted_style_request(virtual_hosted);
    let sse = &config.sse_config;
    match sse.kind.as_str() {
        "" => Ok(b),
        "SSE-S3" => {
            let key = "aws_server_side_encryption".parse();
            let key = key.map_err(|e| Error::wrap(Kind::Halt, "objstore config: sse_config", e))?;
            Ok(b.with_config(key, "AES256"))
        }
        "SSE-KMS" if !sse.kms_key_id.is_empty() => Ok(b.with_sse_kms_encryption(&sse.kms_key_id)),
        "SSE-KMS" => {
            Err(Error::invalid("objstore config: sse_config.kms_key_id: missing, expected a key's id"))
        }
        "SSE-C" => Ok(b.with_ssec_encryption(sse_c_key(&sse.encryption_key)?)),
        other => Err(Error::invalid(format!(
            "objstore config: sse_config.type: {other}, expected SSE-S3, SSE-KMS or SSE-C"
        ))),
    }
}

/// The address of the service, with the bucket in it where that is asked for.
fn endpoint(config: &S3, virtual_hosted: bool) -> Result<String> {
    let wrong = |expected: &str| {
        Err(Error::invalid(format!("objstore config: endpoint: {}, expected {expected}", config.endpoint)))
    };
    let host = match config.endpoint.split_once("://") {
        None => config.endpoint.as_str(),
        Some(("http", host)) if config.insecure => host,
        Some(("https", host)) if !config.insecure => host,
        Some(("http", _)) => return wrong("HOST:PORT, and insecure: true for plain HTTP"),
        Some(_) => return wrong("HOST:PORT without a scheme"),
    };
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains('/') {
        return wrong("HOST:PORT without a path");
    }
    let scheme = if config.insecure { "http" } else { "https" };
    if virtual_hosted {
        return Ok(format!("{scheme}://{}.{host}", config.bucket));
    }
    Ok(format!("{scheme}://{host}"))
}

/// SSE-C's key stands in a file, 32 bytes; the header wants base64.
fn sse_c_key(path: &str) -> Result<String> {
    let doing = format!("objstore config: sse_config.encryption_key: read {path}");
    let key = std::fs::read(path).context(&doing)?;
    if key.len() != 32 {
        return Err(Error::invalid(format!("{doing}: {} bytes, expected 32", key.len())));
    }
    Ok(base64(&key))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let of = |endpoint: &str, insecure, hosted| {
            let config = S3 { bucket: "b".into(), endpoint: endpoint.into(), insecure, ..S3::default() };
            super::endpoint(&config, hosted).ok()
        };
        assert_eq!(of("h:1", true, false).unwrap(), "http://h:1");
        assert_eq!(of("h", false, false).unwrap(), "https://h");
        assert_eq!(of("http://h:1/", true, false).unwrap(), "http://h:1");
        assert_eq!(of("h", false, true).unwrap(), "https://b.h");
        assert_eq!(of("http://h", false, false), None);
        assert_eq!(of("https://h", true, false), None);
        assert_eq!(of("h/b", true, false), None);
    }

    #[test]
    fn base64_pads() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
