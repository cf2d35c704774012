//! The flat listing, sorted by block.

use std::collections::BTreeMap;

use dolmen_block::Ulid;
use dolmen_bucket::{Object, from_store, of_block};
use dolmen_ctx::Ctx;
use dolmen_model::Result;
use futures::TryStreamExt;
use object_store::ObjectStore;

/// Objects between two looks at the caller's deadline.
const CHECK_EVERY: usize = 1000;

/// Objects of all blocks.
pub(crate) type Listed = BTreeMap<Ulid, Vec<Object>>;

/// Lists the whole bucket. What is in no folder with a ULID's name is passed over.
pub(crate) async fn list(ctx: &Ctx, store: &dyn ObjectStore) -> Result<Listed> {
    let mut all = Listed::new();
    let mut objects = store.list(None);
    let mut seen = 0usize;
    while let Some(object) = objects.try_next().await.map_err(|e| from_store("list the bucket", e))? {
        if seen.is_multiple_of(CHECK_EVERY) {
            ctx.check()?;
        }
        seen += 1;
        if let Some((ulid, object)) = of_block(object) {
            all.entry(ulid).or_default().push(object);
        }
    }
    for objects in all.values_mut() {
        objects.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(all)
}
