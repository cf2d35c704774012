//! A request's body: snappy's block format, decompressed only after its claim has been checked.

use std::fmt;

use bytes::Bytes;

/// Why a body is refused before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It would be larger than the limit: 413.
    TooLarge {
        /// Bytes decompressed, as claimed.
        claimed: u64,
        /// The limit.
        limit: u64,
    },
    /// It is not snappy's block format, or claims more than that can hold: 400.
    Broken(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooLarge { claimed, limit } => write!(
                f,
                "request of {claimed} bytes decompressed is over --receive.max-request-bytes ({limit})"
            ),
            BodyError::Broken(what) => write!(f, "snappy: {what}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// The decompressed length that a body claims, if it may be believed.
pub fn decoded_len(body: &[u8], limit: u64) -> Result<usize, BodyError> {
    let claimed = snap::raw::decompress_len(body).map_err(|e| BodyError::Broken(e.to_string()))?;
    if body.is_empty() {
        return Err(BodyError::Broken("the body is empty".to_owned()));
    }
    if claimed as u64 > limit {
        return Err(BodyError::TooLarge { claimed: claimed as u64, limit });
    }
    // Three bytes of snappy give at most 64.
    if claimed as u64 > 22 * body.len() as u64 + 64 {
        let text = format!("{claimed} bytes are claimed to stand in {}, which cannot be", body.len());
        return Err(BodyError::Broken(text));
    }
    Ok(claimed)
}

/// Decompresses a body whose claimed length is at most `limit`.
pub fn decompress(body: &[u8], limit: u64) -> Result<Bytes, BodyError> {
    let mut out = vec![0; decoded_len(body, limit)?];
    let n =
        snap::raw::Decoder::new().decompress(body, &mut out).map_err(|e| BodyError::Broken(e.to_string()))?;
    out.truncate(n);
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_checked_before_memory_is_taken() {
        let body = snap::raw::Encoder::new().compress_vec(&[7; 1000]).unwrap();
        assert_eq!(decompress(&body, 1000).unwrap().len(), 1000);
        let too_large = decompress(&body, 999).unwrap_err();
        assert_eq!(too_large, BodyError::TooLarge { claimed: 1000, limit: 999 });
        assert!(too_large.to_string().contains("--receive.max-request-bytes"));
        // Five bytes that claim four gigabytes, or a hundred megabytes.
        for bomb in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x80, 0xc2, 0xd7, 0x2f, 0]] {
            assert!(matches!(decompress(bomb, 32 << 20), Err(BodyError::TooLarge { .. })));
            assert!(matches!(decompress(bomb, u64::MAX), Err(BodyError::Broken(_))));
        }
        for broken in [&[][..], &[0x80], &[5, 1, 2], b"hello"] {
            assert!(matches!(decompress(broken, 32 << 20), Err(BodyError::Broken(_))), "{broken:?}");
        }
    }
}
