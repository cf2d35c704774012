//! Whom a question is asked of, and whether its answer may lack something.

use std::sync::Arc;

use dolmen_fanout::Fanout;
use dolmen_model::{Completeness, Matcher};
use dolmen_storage::Queryable;

use crate::error::ApiError;
use crate::form::Form;
use crate::state::{Api, ApiState};

/// On what terms a question is answered.
pub(crate) struct Terms {
    /// Who is asked.
    pub queryable: Arc<dyn Queryable>,
    /// Whether an answer may lack something.
    partial: bool,
}

impl Terms {
    /// Reads `storeMatch[]` and `partial_response`.
    pub fn read(api: &Api, form: &Form) -> Result<Terms, ApiError> {
        let state = &api.state;
        let partial = form.boolean("partial_response", state.settings.partial_response)?;
        let mut sets: Vec<Arc<[Matcher]>> = Vec::new();
        for text in form.all("storeMatch[]") {
            let set = state.evaluator.selector(text);
            sets.push(set.map_err(|e| ApiError::parameter("storeMatch[]", e.text))?.into());
        }
        let queryable = if sets.is_empty() { state.queryable.clone() } else { only(state, &sets) };
        Ok(Terms { queryable, partial })
    }

    /// An error where the answer lacks something and may not.
    pub fn check(&self, lacks: &Completeness) -> Result<(), ApiError> {
        match lacks.missing.as_slice() {
            [first, rest @ ..] if !self.partial => {
                let more =
                    if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                Err(ApiError::execution(format!("{first}{more}")))
            }
            _ => Ok(()),
        }
    }
}

/// The stores that pass one of the sets. What the process itself holds has no address, nor other labels.
fn only(state: &ApiState, sets: &[Arc<[Matcher]>]) -> Arc<dyn Queryable> {
    match &state.stores {
        Some(stores) => stores.only(sets),
        None if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) => state.queryable.clone(),
        None => Arc::new(Fanout::new(Vec::new())),
    }
}
