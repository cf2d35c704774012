//! Disks for tests: one that refuses when told to, and one that forgets what was not synced.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dolmen_ctx::{Disk, DiskFile, RealDisk};
use parking_lot::Mutex;

/// What a disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// To write anything.
    Write,
    /// To write more than the first half.
    HalfWrite,
    /// To sync.
    Sync,
}

#[derive(Default)]
struct Faults {
    refuse: Mutex<Option<Refuse>>,
    slow: Mutex<Duration>,
    syncs: AtomicU64,
}

/// The machine's disk, which refuses when told to.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Faults>);

impl FaultyDisk {
    pub fn refuse(&self, what: Option<Refuse>) {
        *self.0.refuse.lock() = what;
    }
    pub fn set_slow(&self, pause: Duration) {
        *self.0.slow.lock() = pause;
    }
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::SeqCst)
    }
}

struct FaultyFile(Box<dyn DiskFile>, Arc<Faults>);

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl DiskFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match *self.1.refuse.lock() {
            Some(Refuse::Write) => Err(full()),
            Some(Refuse::HalfWrite) => {
                self.0.write_all(&bytes[..bytes.len() / 2])?;
                Err(full())
            }
            _ => self.0.write_all(bytes),
        }
    }
    fn sync(&mut self) -> io::Result<()> {
        std::thread::sleep(*self.1.slow.lock());
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if *self.1.refuse.lock() == Some(Refuse::Sync) {
            return Err(io::Error::other("sync refused"));
        }
        self.0.sync()
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(at, bytes)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}

macro_rules! forward {
    ($to:expr, $($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $result { $to.$name($($arg),*) })*
    };
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(RealDisk.create(path)?, self.0.clone())))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(RealDisk.open_append(path)?, self.0.clone())))
    }
    forward! { RealDisk,
        read(path: &Path) -> io::Result<Vec<u8>>;
        read_at(path: &Path, at: u64, len: usize) -> io::Result<Vec<u8>>;
        map(path: &Path) -> io::Result<Bytes>;
        list(dir: &Path) -> io::Result<Vec<String>>;
        len(path: &Path) -> io::Result<u64>;
        exists(path: &Path) -> bool;
        is_dir(path: &Path) -> bool;
        rename(from: &Path, to: &Path) -> io::Result<()>;
        remove_file(path: &Path) -> io::Result<()>;
        remove_dir_all(path: &Path) -> io::Result<()>;
        create_dir_all(path: &Path) -> io::Result<()>;
        sync_dir(dir: &Path) -> io::Result<()>;
    }
}

type Hook = Box<dyn FnMut(&Path) -> io::Result<()> + Send>;

/// The machine's disk, which calls a hook before it makes a file.
#[derive(Clone, Default)]
pub struct HookDisk(Arc<Mutex<Option<Hook>>>);

impl HookDisk {
    /// Calls `hook` from now on; where it fails, no file is made.
    pub fn hook(&self, hook: impl FnMut(&Path) -> io::Result<()> + Send + 'static) {
        *self.0.lock() = Some(Box::new(hook));
    }
    pub fn unhook(&self) {
        *self.0.lock() = None;
    }
}

impl Disk for HookDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        // Not locked while it runs: what it does may make files itself.
        let hook = self.0.lock().take();
        if let Some(mut hook) = hook {
            let result = hook(path);
            self.0.lock().get_or_insert(hook);
            result?;
        }
        RealDisk.create(path)
    }
    forward! { RealDisk,
        open_append(path: &Path) -> io::Result<Box<dyn DiskFile>>;
        read(path: &Path) -> io::Result<Vec<u8>>;
        read_at(path: &Path, at: u64, len: usize) -> io::Result<Vec<u8>>;
        map(path: &Path) -> io::Result<Bytes>;
        list(dir: &Path) -> io::Result<Vec<String>>;
        len(path: &Path) -> io::Result<u64>;
        exists(path: &Path) -> bool;
        is_dir(path: &Path) -> bool;
        rename(from: &Path, to: &Path) -> io::Result<()>;
        remove_file(path: &Path) -> io::Result<()>;
        remove_dir_all(path: &Path) -> io::Result<()>;
        create_dir_all(path: &Path) -> io::Result<()>;
        sync_dir(dir: &Path) -> io::Result<()>;
    }
}

enum Node {
    File { live: Vec<u8>, durable: Vec<u8> },
    Dir { live: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
}

impl Node {
    fn dir() -> Node {
        Node::Dir { live: BTreeMap::new(), durable: BTreeMap::new() }
    }
}

/// A disk in memory. A crash takes what was not synced, or some of it.
#[derive(Clone)]
pub struct CrashDisk(Arc<Mutex<Vec<Node>>>, Arc<Ops>);

/// Counts changes, and keeps the state before one of them.
#[derive(Default)]
struct Ops {
    count: AtomicU64,
    at: AtomicU64,
    kept: Mutex<Option<CrashDisk>>,
}

impl Default for CrashDisk {
    fn default() -> CrashDisk {
        CrashDisk(Arc::new(Mutex::new(vec![Node::dir()])), Arc::default())
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn find(nodes: &[Node], path: &Path) -> io::Result<usize> {
    names(path).iter().try_fold(0, |at, name| match &nodes[at] {
        Node::Dir { live, .. } => live.get(name).copied().ok_or_else(missing),
        Node::File { .. } => Err(missing()),
    })
}

fn entries<'a>(nodes: &'a mut [Node], path: &Path) -> io::Result<(&'a mut BTreeMap<String, usize>, String)> {
    let name = names(path).pop().ok_or_else(missing)?;
    let parent = find(nodes, path.parent().ok_or_else(missing)?)?;
    match &mut nodes[parent] {
        Node::Dir { live, .. } => Ok((live, name)),
        Node::File { .. } => Err(missing()),
    }
}

impl CrashDisk {
    /// How many changes there were.
    pub fn ops(&self) -> u64 {
        self.1.count.load(Ordering::SeqCst)
    }

    /// Power is lost just before change number `at`, and nothing that was not synced is left.
    pub fn lose_power_at(&self, at: u64) {
        self.1.at.store(at, Ordering::SeqCst);
    }

    /// Before which change it is lost.
    pub fn lost_at(&self) -> u64 {
        self.1.at.load(Ordering::SeqCst)
    }

    /// The state after that loss of power.
    pub fn after_loss(&self) -> Option<CrashDisk> {
        self.1.kept.lock().take()
    }

    fn change(&self) {
        if self.1.count.fetch_add(1, Ordering::SeqCst) + 1 == self.1.at.load(Ordering::SeqCst) {
            let after = self.crashed(|_| 0);
            *self.1.kept.lock() = Some(after);
        }
    }

    /// The state after a loss of power, as a disk of its own: who still writes to this one changes nothing there.
    /// Of what was not synced `chance` (draws below its argument) decides.
    pub fn crashed(&self, mut chance: impl FnMut(usize) -> usize) -> CrashDisk {
        let nodes = self.0.lock();
        let after = nodes.iter().map(|node| match node {
            Node::File { live, durable } => {
                let mut kept = durable.clone();
                if live.len() > durable.len() {
                    let more = chance(live.len() - durable.len() + 1);
                    kept.extend_from_slice(&live[durable.len()..durable.len() + more]);
                }
                Node::File { live: kept.clone(), durable: kept }
            }
            Node::Dir { live, durable } => {
                let mut kept = durable.clone();
                for name in live.keys().chain(durable.keys()) {
                    if live.get(name) != durable.get(name) && chance(2) == 1 {
                        match live.get(name) {
                            Some(node) => kept.insert(name.clone(), *node),
                            None => kept.remove(name),
                        };
                    }
                }
                Node::Dir { live: kept.clone(), durable: kept }
            }
        });
        CrashDisk(Arc::new(Mutex::new(after.collect())), Arc::default())
    }

    /// Bytes in files below a directory.
    pub fn bytes(&self, dir: &Path) -> usize {
        fn sum(nodes: &[Node], at: usize) -> usize {
            match &nodes[at] {
                Node::File { live, .. } => live.len(),
                Node::Dir { live, .. } => live.values().map(|at| sum(nodes, *at)).sum(),
            }
        }
        let nodes = self.0.lock();
        find(&nodes, dir).map_or(0, |at| sum(&nodes, at))
    }

    fn file<T>(&self, at: usize, f: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> T) -> T {
        match &mut self.0.lock()[at] {
            Node::File { live, durable } => f(live, durable),
            Node::Dir { .. } => panic!("a directory is read as a file"),
        }
    }
}

struct CrashFile(CrashDisk, usize);

impl DiskFile for CrashFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.change();
        self.0.file(self.1, |live, _| live.extend_from_slice(bytes));
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.change();
        self.0.file(self.1, |live, durable| durable.clone_from(live));
        Ok(())
    }
    fn len(&self) -> u64 {
        self.0.file(self.1, |live, _| live.len() as u64)
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.change();
        self.0.file(self.1, |live, _| live[at as usize..][..bytes.len()].copy_from_slice(bytes));
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.change();
        self.0.file(self.1, |live, durable| {
            live.truncate(len as usize);
            durable.truncate(len as usize);
        });
        Ok(())
    }
}

impl Disk for CrashDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.change();
        let mut nodes = self.0.lock();
        let at = nodes.len();
        let (entries, name) = entries(&mut nodes, path)?;
        // What stood there is emptied in place, as by `O_TRUNC`.
        if let Some(at) = entries.get(&name).copied() {
            nodes[at] = Node::File { live: Vec::new(), durable: Vec::new() };
            return Ok(Box::new(CrashFile(self.clone(), at)));
        }
        entries.insert(name, at);
        nodes.push(Node::File { live: Vec::new(), durable: Vec::new() });
        Ok(Box::new(CrashFile(self.clone(), at)))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let at = find(&self.0.lock(), path)?;
        Ok(Box::new(CrashFile(self.clone(), at)))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let at = find(&self.0.lock(), path)?;
        Ok(self.file(at, |live, _| live.clone()))
    }
    fn read_at(&self, path: &Path, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let node = find(&self.0.lock(), path)?;
        Ok(self.file(node, |live, _| live.iter().skip(at as usize).take(len).copied().collect()))
    }
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.read(path).map(Bytes::from)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let nodes = self.0.lock();
        match &nodes[find(&nodes, dir)?] {
            Node::Dir { live, .. } => Ok(live.keys().cloned().collect()),
            Node::File { .. } => Err(missing()),
        }
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        let at = find(&self.0.lock(), path)?;
        Ok(self.file(at, |live, _| live.len() as u64))
    }
    fn exists(&self, path: &Path) -> bool {
        find(&self.0.lock(), path).is_ok()
    }
    fn is_dir(&self, path: &Path) -> bool {
        let nodes = self.0.lock();
        find(&nodes, path).is_ok_and(|at| matches!(nodes[at], Node::Dir { .. }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change();
        let mut nodes = self.0.lock();
        let (old, name) = entries(&mut nodes, from)?;
        let at = old.remove(&name).ok_or_else(missing)?;
        let (new, name) = entries(&mut nodes, to)?;
        new.insert(name, at);
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change();
        let mut nodes = self.0.lock();
        let (entries, name) = entries(&mut nodes, path)?;
        entries.remove(&name).map(drop).ok_or_else(missing)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change();
        let mut nodes = self.0.lock();
        let mut at = 0;
        for name in names(path) {
            let new = nodes.len();
            let Node::Dir { live, .. } = &mut nodes[at] else { return Err(missing()) };
            let next = *live.entry(name).or_insert(new);
            if next == new {
                nodes.push(Node::dir());
            }
            at = next;
        }
        Ok(())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change();
        let mut nodes = self.0.lock();
        let at = find(&nodes, dir)?;
        if let Node::Dir { live, durable } = &mut nodes[at] {
            durable.clone_from(live);
        }
        Ok(())
    }
}
