//! Label names and values: from the postings' table alone where nothing narrows them, else from the series
//! that match, or from the lists of all values, whichever is less to read.

use std::collections::BTreeSet;
use std::sync::Arc;

use dolmen_ctx::Ctx;
use dolmen_model::Result;
use dolmen_storage::{LabelAsk, Select};
use smol_str::SmolStr;

use super::found::read_labels;
use super::{Block, OWN_LABEL};

/// Bytes that a series entry is expected to take.
const ENTRY_BYTES: u64 = 256;
/// Series whose entries are read in one wave.
const SERIES_PER_WAVE: usize = 64 << 10;

/// The answer: sorted, each once.
pub(crate) async fn labels(
    block: &Arc<Block>,
    ctx: &Ctx,
    select: &Select,
    ask: &LabelAsk,
) -> Result<Vec<SmolStr>> {
    let hidden = |name: &str| name == OWN_LABEL || select.without.iter().any(|w| w == name);
    let Some(own) = block.own_matchers(&select.matchers) else { return Ok(Vec::new()) };
    match ask {
        LabelAsk::Values(name) if hidden(name) => Ok(Vec::new()),
        LabelAsk::Values(name) => match block.external.get(name) {
            Some(value) => {
                let any = own.is_empty() || !block.ids(ctx, &own).await?.0.is_empty();
                Ok(any.then(|| value.into()).into_iter().collect())
            }
            None if own.is_empty() => all_values(block, name),
            None => values(block, ctx, select, name).await,
        },
        LabelAsk::Names => {
            let mut names = match own.is_empty() {
                true => {
                    block.header.postings().names().map(|n| Ok(n?.into())).collect::<Result<BTreeSet<_>>>()?
                }
                false => names(block, ctx, select).await?,
            };
            if !names.is_empty() {
                names.extend(block.external.iter().map(|(name, _)| SmolStr::from(name)));
            }
            names.retain(|name| !hidden(name));
            Ok(names.into_iter().collect())
        }
    }
}

fn all_values(block: &Block, name: &str) -> Result<Vec<SmolStr>> {
    block.header.postings().values(name).map(|(value, _)| text(value)).collect()
}

async fn names(block: &Arc<Block>, ctx: &Ctx, select: &Select) -> Result<BTreeSet<SmolStr>> {
    let (ids, _held) = block.ids(ctx, &select.matchers).await?;
    let mut refs = BTreeSet::new();
    for ids in ids.chunks(SERIES_PER_WAVE) {
        read_labels(block, ctx, ids, |labels| refs.extend(labels.iter().map(|(name, _)| *name))).await?;
    }
    let symbols = block.header.symbols();
    refs.into_iter().map(|r| Ok(symbols.get(r)?.into())).collect()
}

async fn values(block: &Arc<Block>, ctx: &Ctx, select: &Select, name: &str) -> Result<Vec<SmolStr>> {
    let (ids, _held) = block.ids(ctx, &select.matchers).await?;
    let symbols = block.header.symbols();
    let (Some(name_ref), false) = (symbols.find(name), ids.is_empty()) else { return Ok(Vec::new()) };
    let table = block.header.postings();
    let lists: u64 = table.values(name).map(|(_, list)| list.end - list.start).sum();
    if ids.len() as u64 * ENTRY_BYTES < lists {
        let mut refs = BTreeSet::new();
        for ids in ids.chunks(SERIES_PER_WAVE) {
            let of_name =
                |labels: &[(u32, u32)]| labels.iter().find(|(n, _)| *n == name_ref).map(|(_, v)| *v);
            read_labels(block, ctx, ids, |labels| refs.extend(of_name(labels))).await?;
        }
        return refs.into_iter().map(|r| Ok(symbols.get(r)?.into())).collect();
    }
    let (values, ranges): (Vec<&[u8]>, Vec<_>) = table.values(name).unzip();
    let (lists, _fetched) = block.postings(ctx, &ranges).await?;
    let mut out = Vec::new();
    for (value, list) in values.into_iter().zip(lists) {
        let mut any = false;
        list.common(&ids, |_| any = true);
        if any {
            out.push(text(value)?);
        }
    }
    Ok(out)
}

fn text(value: &[u8]) -> Result<SmolStr> {
    let text = std::str::from_utf8(value);
    text.map(SmolStr::from).map_err(|_| dolmen_model::Error::corrupt("index: a value is not UTF-8"))
}
