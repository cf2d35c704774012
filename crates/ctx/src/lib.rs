//! What a call carries and the world it runs in: budget, cancel, clock, disk, cpu.
