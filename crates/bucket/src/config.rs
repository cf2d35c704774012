//! The objstore configuration, as Thanos writes it. Keys that are not known are refused with those that are.

use std::collections::BTreeMap;

use dolmen_model::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// A configuration that was read, with what to warn of.
#[derive(Debug)]
pub(crate) enum Objstore {
    S3 { config: Box<S3>, prefix: String, warnings: Vec<String> },
    Filesystem { directory: String, prefix: String, warnings: Vec<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<C> {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    hedging_config: Hedging,
    config: C,
}

/// Only what decides how the rest is read.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hedging {
    enabled: bool,
    #[serde(rename = "up_to")]
    _up_to: IgnoredAny,
    #[serde(rename = "quantile")]
    _quantile: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filesystem {
    directory: String,
}

/// The keys of type S3.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3 {
    pub bucket: String,
    pub endpoint: String,
    pub region: String,
    #[serde(rename = "disable_dualstack")]
    pub _disable_dualstack: bool,
    pub aws_sdk_auth: bool,
    pub access_key: String,
    pub secret_key: String,
    pub session_token: String,
    pub insecure: bool,
    pub signature_version2: bool,
    pub put_user_metadata: BTreeMap<String, String>,
    pub list_objects_version: String,
    pub bucket_lookup_type: Lookup,
    #[serde(rename = "send_content_md5")]
    pub _send_content_md5: bool,
    pub disable_multipart: bool,
    pub part_size: u64,
    pub sse_config: Sse,
    pub sts_endpoint: String,
    pub max_retries: u32,
    pub trace: Trace,
    pub http_config: Http,
}

/// How the bucket's name goes into the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lookup {
    #[default]
    Auto,
    VirtualHosted,
    Path,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sse {
    #[serde(rename = "type")]
    pub kind: String,
    pub kms_key_id: String,
    pub kms_encryption_context: BTreeMap<String, String>,
    pub encryption_key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Trace {
    pub enable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub idle_conn_timeout: Option<String>,
    pub response_header_timeout: Option<String>,
    pub insecure_skip_verify: bool,
    pub tls_handshake_timeout: Option<String>,
    #[serde(rename = "expect_continue_timeout")]
    _expect_continue_timeout: IgnoredAny,
    pub max_idle_conns: Option<usize>,
    pub max_idle_conns_per_host: Option<usize>,
    pub max_conns_per_host: usize,
    pub tls_config: Tls,
    #[serde(rename = "disable_compression")]
    _disable_compression: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub ca_file: String,
    pub cert_file: String,
    pub key_file: String,
    pub server_name: String,
    pub insecure_skip_verify: bool,
}

/// Reads it.
pub(crate) fn parse(yaml: &str) -> Result<Objstore> {
    let head: Head = read(yaml)?;
    let mut warnings = Vec::new();
    match head.kind.to_ascii_uppercase().as_str() {
        "S3" => {
            let whole: Whole<Box<S3>> = read(yaml)?;
            hedging(&whole.hedging_config, &mut warnings);
            whole.config.check(&mut warnings)?;
            Ok(Objstore::S3 { config: whole.config, prefix: whole.prefix, warnings })
        }
        "FILESYSTEM" => {
            let whole: Whole<Filesystem> = read(yaml)?;
            hedging(&whole.hedging_config, &mut warnings);
            let directory = whole.config.directory;
            if directory.is_empty() {
                return Err(bad("directory: empty, expected a path"));
            }
            Ok(Objstore::Filesystem { directory, prefix: whole.prefix, warnings })
        }
        "" => Err(bad("type: missing, expected S3 or FILESYSTEM")),
        _ => Err(bad(format!("type: {}, expected S3 or FILESYSTEM", head.kind))),
    }
}

fn read<T: DeserializeOwned>(yaml: &str) -> Result<T> {
    serde_saphyr::from_str(yaml).map_err(|e| {
        // The first line says what is wrong and where; the rest draws the place.
        bad(e.to_string().lines().next().unwrap_or_default())
    })
}

fn bad(text: impl std::fmt::Display) -> Error {
    Error::invalid(format!("objstore config: {text}"))
}

fn hedging(h: &Hedging, warnings: &mut Vec<String>) {
    if h.enabled {
        warnings.push("hedging_config.enabled: requests are not hedged yet".to_owned());
    }
}

impl S3 {
    fn check(&self, warnings: &mut Vec<String>) -> Result<()> {
        for (key, value) in [("bucket", &self.bucket), ("endpoint", &self.endpoint)] {
            if value.is_empty() {
                return Err(bad(format!("{key}: missing, expected a value")));
            }
        }
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err(bad("access_key and secret_key: one is given, expected both or neither"));
        }
        if self.aws_sdk_auth && !self.access_key.is_empty() {
            return Err(bad("aws_sdk_auth: true beside access_key, expected one of them"));
        }
        let tls = &self.http_config.tls_config;
        // These would change what is stored, or who we are: better no bucket than another than was meant.
        let unsupported = [
            ("signature_version2: true", self.signature_version2),
            ("put_user_metadata", !self.put_user_metadata.is_empty()),
            ("disable_multipart: true", self.disable_multipart),
            ("sse_config.kms_encryption_context", !self.sse_config.kms_encryption_context.is_empty()),
            ("sts_endpoint", !self.sts_endpoint.is_empty()),
            ("http_config.tls_config.cert_file", !tls.cert_file.is_empty()),
            ("http_config.tls_config.key_file", !tls.key_file.is_empty()),
            ("http_config.tls_config.server_name", !tls.server_name.is_empty()),
        ];
        if let Some((key, _)) = unsupported.iter().find(|(_, given)| *given) {
            return Err(bad(format!("{key}: not supported, expected it to be left out")));
        }
        match self.list_objects_version.as_str() {
            "" | "v2" => {}
            "v1" => warnings.push("list_objects_version: v1 is not built, v2 is used".to_owned()),
            other => return Err(bad(format!("list_objects_version: {other}, expected v1 or v2"))),
        }
        if self.trace.enable {
            warnings.push("trace.enable: requests are counted, not traced".to_owned());
        }
        if self.http_config.max_conns_per_host > 0 {
            warnings
                .push("http_config.max_conns_per_host: bounds requests at once, not connections".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BucketMetrics, open};

    const FULL: &str = include_str!("../tests/s3.yml");

    fn err(yaml: &str) -> String {
        let e = parse(yaml).unwrap_err();
        assert_eq!(e.kind(), dolmen_model::Kind::Invalid);
        e.to_string()
    }

    #[test]
    fn all_keys_of_thanos_are_known() {
        let Objstore::S3 { config, prefix, warnings } = parse(FULL).unwrap() else { panic!("not S3") };
        assert_eq!((config.bucket.as_str(), prefix.as_str()), ("blocks", "tenant/a"));
        assert_eq!(config.part_size, 67_108_864);
        assert_eq!(config.http_config.idle_conn_timeout.as_deref(), Some("1m30s"));
        assert!(warnings.is_empty(), "{warnings:?}");
        open(FULL, &BucketMetrics::new(&mut Default::default())).unwrap();
    }

    #[test]
    fn unknown_keys_are_named_with_those_expected() {
        let s3 = |more: &str| format!("type: S3\nconfig:\n  bucket: b\n  endpoint: e\n{more}");
        let cases = [
            (s3("  acces_key: x\n"), &["acces_key", "access_key"][..]),
            (s3("  http_config: {idle: 1s}\n"), &["idle", "idle_conn_timeout"]),
            (s3("perfix: x\n"), &["perfix", "prefix"]),
            ("type: FILESYSTEM\nconfig: {dir: /x}\n".to_owned(), &["dir", "directory"]),
            ("type: GCS\nconfig: {}\n".to_owned(), &["GCS", "S3 or FILESYSTEM"]),
            ("config: {}\n".to_owned(), &["type: missing", "S3 or FILESYSTEM"]),
            ("type: S3\nconfig: {endpoint: e}\n".to_owned(), &["bucket: missing"]),
            ("type: [S3\n".to_owned(), &["objstore config"]),
            (s3("  access_key: x\n"), &["access_key and secret_key"]),
            (s3("  signature_version2: true\n"), &["signature_version2: true: not supported"]),
            (s3("  put_user_metadata: {X-Amz-Storage-Class: COLD}\n"), &["put_user_metadata"]),
            (s3("  bucket_lookup_type: dns\n"), &["dns", "virtual-hosted"]),
        ];
        for (yaml, wants) in cases {
            let text = err(&yaml);
            for want in wants {
                assert!(text.contains(want), "{text:?} lacks {want:?}");
            }
            assert!(!text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn harmless_keys_are_warnings() {
        let yaml = "type: s3\nhedging_config: {enabled: true, up_to: 3, quantile: 0.9}\nconfig: {bucket: b, \
                    endpoint: e, list_objects_version: v1, trace: {enable: true}}\n";
        let Objstore::S3 { warnings, .. } = parse(yaml).unwrap() else { panic!("not S3") };
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }
}
