//! Frames of a call -> frames of a select.

mod reading;

use std::sync::Arc;

use dolmen_ctx::{Cpu, Ctx, offload};
use dolmen_model::{Error, Kind, Result};
use dolmen_storage::{Frame, FrameStream, Origin, Select};
use futures::{StreamExt, stream};

use super::ClientSettings;
use super::call::{Call, Message};
use super::wait::Wait;
use crate::StoreFacts;
use reading::Reading;

/// A frame of so many bytes is read where it arrives; a larger one by the CPU threads.
const FRAME_BYTES_HERE: usize = 256 << 10;

/// Where a stream stands.
enum Stage {
    /// Frames come.
    Open(Box<Call>),
    /// No more come; what was read is passed on, then the error.
    Closed(Option<Error>),
    /// All is said.
    Done,
}

struct Stream {
    stage: Stage,
    wait: Wait,
    cpu: Arc<dyn Cpu>,
    /// There but for the time in which a frame is read elsewhere.
    reading: Option<Box<Reading>>,
}

/// The stream of a select. Dropping it ends the call.
pub(super) fn stream(
    settings: &ClientSettings,
    ctx: &Ctx,
    select: &Select,
    facts: &StoreFacts,
    origin: &Arc<Origin>,
    call: Call,
    wait: Wait,
) -> Result<FrameStream> {
    let reading = Some(Box::new(Reading::new(settings, ctx, select, facts, origin)?));
    let stream = Stream { stage: Stage::Open(Box::new(call)), wait, cpu: ctx.cpu.clone(), reading };
    let step = |mut stream: Stream| async move { Ok(stream.next().await?.map(|frame| (frame, stream))) };
    Ok(stream::try_unfold(stream, step).boxed())
}

impl Stream {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            self.wait.check()?;
            if let Some(batch) = self.reading()?.batch() {
                return Ok(Some(Frame::Batch(batch)));
            }
            match &mut self.stage {
                Stage::Open(_) => self.read().await?,
                Stage::Closed(error) => {
                    let error = error.take();
                    if self.drain().await? {
                        self.stage = Stage::Closed(error);
                        continue;
                    }
                    self.stage = Stage::Done;
                    return match error {
                        Some(e) => Err(e),
                        None => Ok(Some(Frame::End(self.reading()?.completeness()))),
                    };
                }
                Stage::Done => return Ok(None),
            }
        }
    }

    fn reading(&mut self) -> Result<&mut Reading> {
        self.reading.as_deref_mut().ok_or_else(gone)
    }

    /// Waits for a message and reads it.
    async fn read(&mut self) -> Result<()> {
        let Stage::Open(call) = &mut self.stage else { return Ok(()) };
        let more = match call.next(&mut self.wait).await {
            Ok(Some(message)) => self.frame(message).await,
            Ok(None) => self.reading()?.end().map(|()| false),
            Err(e) => Err(e),
        };
        match more {
            Ok(true) => {}
            Ok(false) => self.stage = Stage::Closed(None),
            // What came before stays valid.
            Err(e) if matches!(e.kind(), Kind::Retry | Kind::Refused | Kind::Corrupt) => {
                self.stage = Stage::Closed(Some(e));
                if self.wait.is_over() {
                    self.reading()?.forget();
                }
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    async fn frame(&mut self, message: Message) -> Result<bool> {
        let large = message.bytes.len() > FRAME_BYTES_HERE;
        self.work(large, |reading| reading.frame(message)).await
    }

    async fn drain(&mut self) -> Result<bool> {
        let large = self.reading()?.sorts();
        self.work(large, Reading::drain).await
    }

    /// Does what takes long on the CPU threads.
    async fn work<T: Send + 'static>(
        &mut self,
        large: bool,
        job: impl FnOnce(&mut Reading) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut reading = self.reading.take().ok_or_else(gone)?;
        let work = move || {
            let value = job(&mut reading);
            (reading, value)
        };
        let (reading, value) = match large {
            true => self.wait.spend(offload(&self.cpu, work)).await?,
            false => self.wait.spend(async { work() }).await,
        };
        self.reading = Some(reading);
        value
    }
}

/// The work that took the reading away died, and said so.
fn gone() -> Error {
    Error::new(Kind::Halt, "a frame was not read to its end")
}
