//! What a call carries, and the world it runs in: all of it comes in as arguments, so that a test can
//! bring another clock, another disk, one thread.

mod budget;
pub use budget::{Budget, Reservation};

mod clock;
pub use clock::{Clock, ManualClock, SystemClock};

mod cpu;
pub use cpu::{Cpu, InlineCpu, PoolCpu, offload};

mod disk;
pub use disk::{Disk, DiskFile, RealDisk};

mod call;
pub use call::{CancelGuard, CancelToken, Ctx};
