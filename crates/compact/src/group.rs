//! Groups: blocks with equal external labels and resolution, which alone may be merged.

/// The key of a group, as Thanos writes it: `RESOLUTION@HASH`. For logs and work folders; never stored.
///
/// The hash is xxHash64 over each name and value, sorted by name, each followed by the byte 0xFF.
pub fn group_key<'a>(resolution_ms: i64, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<(&str, &str)> = labels.into_iter().collect();
    pairs.sort_unstable();
    let mut bytes = Vec::new();
    for text in pairs.iter().flat_map(|(n, v)| [n, v]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0xff);
    }
    format!("{resolution_ms}@{}", xxhash_rust::xxh64::xxh64(&bytes, 0))
}

#[cfg(test)]
mod tests {
    use crate::golden::golden;

    #[test]
    fn keys_are_those_of_thanos() {
        let Some(cases) = golden("group-keys.jsonl.gz") else { return };
        for case in &cases {
            let labels = case["labels"].as_object().into_iter().flatten();
            let pairs: Vec<(&str, &str)> = labels.map(|(n, v)| (n.as_str(), v.as_str().unwrap())).collect();
            let key = super::group_key(case["resolution"].as_i64().unwrap(), pairs);
            assert_eq!(key, case["group_key"].as_str().unwrap(), "{}", case["labels_string"]);
        }
        assert!(cases.len() >= 200);
    }
}
