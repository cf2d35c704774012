//! A member's failure becomes a lack of the answer, where it concerns that member alone.

use dolmen_model::{Completeness, Error, Kind, Missing, Result, TimeRange};
use dolmen_storage::{Frame, FrameStream};
use futures::{StreamExt, stream};
use smol_str::SmolStr;

/// What an answer lacks without a member.
#[derive(Clone, Debug)]
pub(crate) struct Lack {
    pub site: SmolStr,
    pub range: TimeRange,
}

impl Lack {
    /// A failure as a lack; given back where the whole answer has to fail.
    pub fn of(&self, e: Error) -> Result<Completeness> {
        match e.kind() {
            Kind::Corrupt | Kind::NotFound | Kind::Retry => {
                tracing::warn!("left out of an answer: {e}");
                let (site, range) = (self.site.clone(), self.range);
                // The text names the place, as precisely as it is known.
                let missing = Missing { site, store: SmolStr::default(), range, cause: e.to_string() };
                Ok(Completeness { missing: vec![missing] })
            }
            Kind::Halt | Kind::Invalid | Kind::Limit | Kind::Canceled | Kind::Timeout => Err(e),
        }
    }
}

/// The stream, with an end that tells of a failure.
pub(crate) fn lenient(stream: FrameStream, lack: Lack) -> FrameStream {
    let step = |(stream, lack): (Option<FrameStream>, Lack)| async move {
        let Some(mut stream) = stream else { return Ok(None) };
        let failed = match stream.next().await {
            Some(Ok(end @ Frame::End(_))) => return Ok(Some((end, (None, lack)))),
            Some(Ok(batch)) => return Ok(Some((batch, (Some(stream), lack)))),
            Some(Err(e)) => e,
            None => Error::new(Kind::Retry, "a store's stream stopped without an end"),
        };
        let lacks = lack.of(failed)?;
        Ok(Some((Frame::End(lacks), (None, lack))))
    };
    stream::try_unfold((Some(stream), lack), step).boxed()
}

/// No series, and what is lacking.
pub(crate) fn only_lacks(lacks: Completeness) -> FrameStream {
    stream::once(async { Ok(Frame::End(lacks)) }).boxed()
}
