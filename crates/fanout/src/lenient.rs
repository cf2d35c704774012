//! A member's failure becomes a lack of the answer, where it concerns that member alone.

use dolmen_model::{Completeness, Error, Kind, Missing, Result, TimeRange};
use dolmen_storage::{Frame, FrameStream, Origin};
use futures::{StreamExt, stream};

/// What an answer lacks without a member.
#[derive(Clone, Debug)]
pub(crate) struct Lack {
    pub origin: Origin,
    pub range: TimeRange,
}

impl Lack {
    /// A failure as a lack; given back where the whole answer has to fail.
    pub fn of(&self, e: Error) -> Result<Completeness> {
        match e.kind() {
            Kind::Corrupt | Kind::NotFound | Kind::Refused | Kind::Retry => {
                let Origin { site, store } = self.origin.clone();
                tracing::debug!(%site, %store, "left out of an answer: {e}");
                let missing = Missing { site, store, range: self.range, cause: e.to_string() };
                Ok(Completeness { missing: vec![missing] })
            }
            Kind::Halt | Kind::Invalid | Kind::Limit | Kind::Canceled | Kind::Timeout => Err(e),
        }
    }

    /// Names the member where what it lacks names none.
    pub fn named(&self, mut lacks: Completeness) -> Completeness {
        for missing in lacks.missing.iter_mut().filter(|m| m.store.is_empty()) {
            missing.store = self.origin.store.clone();
            if missing.site.is_empty() {
                missing.site = self.origin.site.clone();
            }
        }
        lacks
    }
}

/// The stream, with an end that tells of a failure.
pub(crate) fn lenient(stream: FrameStream, lack: Lack) -> FrameStream {
    let step = |(stream, lack): (Option<FrameStream>, Lack)| async move {
        let Some(mut stream) = stream else { return Ok(None) };
        let failed = match stream.next().await {
            Some(Ok(Frame::End(lacks))) => {
                let end = Frame::End(lack.named(lacks));
                return Ok(Some((end, (None, lack))));
            }
            Some(Ok(batch)) => return Ok(Some((batch, (Some(stream), lack)))),
            Some(Err(e)) => e,
            None => Error::new(Kind::Retry, "stream stopped without an end"),
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
