//! The merge against a naive model: random label sets over random members.

use std::collections::BTreeMap;

use bytes::Bytes;
use dolmen_model::{Encoding, Error, Kind, LabelBlockBuilder, Labels, Missing, SourceId};
use dolmen_storage::{Frame, Part, RawBatch, RawChunk, RawSeries};
use futures::{StreamExt, stream};
use proptest::prelude::*;

use super::*;

/// Gives fixed series in label order, `per_batch` at a time.
struct Fixed {
    series: Vec<Labels>,
    per_batch: usize,
    source: &'static str,
    missing: Vec<Missing>,
}

#[async_trait]
impl Queryable for Fixed {
    fn cover(&self, _: &Select) -> Cover {
        Cover { range: Some(TimeRange::ALL), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, _: &Select) -> Result<FrameStream> {
        let mut frames = Vec::new();
        for (ord, sets) in self.series.chunks(self.per_batch).enumerate() {
            let mut labels = LabelBlockBuilder::default();
            let series = sets
                .iter()
                .map(|set| {
                    let chunk = RawChunk {
                        mint: 0,
                        maxt: 1,
                        encoding: Encoding::Xor,
                        data: Bytes::from_static(b"x"),
                    };
                    let part = Part {
                        source: SourceId::new([self.source]),
                        origin: None,
                        masked: Arc::from([]),
                        chunks: vec![chunk],
                    };
                    RawSeries { label: labels.push(set.iter()), parts: [part].into_iter().collect() }
                })
                .collect();
            let held = ctx.budget.reserve(100)?;
            frames.push(Ok(Frame::Batch(RawBatch { ord: ord as u64, labels: labels.build(), series, held })));
        }
        frames.push(Ok(Frame::End(Completeness { missing: self.missing.clone() })));
        Ok(stream::iter(frames).boxed())
    }

    async fn labels(&self, _: &Ctx, _: &Select, _: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let mut names: Vec<SmolStr> = self
            .series
            .iter()
            .flat_map(|s| s.iter().map(|(n, _)| SmolStr::from(n)).collect::<Vec<_>>())
            .collect();
        names.sort();
        names.dedup();
        Ok(Answer::whole(names))
    }
}

const SOURCES: [&str; 4] = ["a", "b", "c", "d"];

fn fanout(members: &[Vec<Labels>], per_batch: usize) -> Fanout<Vec<Arc<dyn Queryable>>> {
    Fanout::new(
        members
            .iter()
            .zip(SOURCES)
            .map(|(series, source)| {
                Arc::new(Fixed { series: series.clone(), per_batch, source, missing: vec![] })
                    as Arc<dyn Queryable>
            })
            .collect(),
    )
}

fn run<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
}

async fn collect(q: &dyn Queryable, ctx: &Ctx) -> (Vec<(Labels, Vec<String>)>, Completeness) {
    let mut stream = q.select(ctx, &Select::new(TimeRange::ALL, [])).await.unwrap();
    let mut out = Vec::new();
    loop {
        match stream.next().await.unwrap().unwrap() {
            Frame::Batch(batch) => {
                for s in &batch.series {
                    let sources = s.parts.iter().map(|p| p.source.as_str().to_owned()).collect();
                    out.push((batch.labels.get(s.label).to_labels(), sources));
                }
            }
            Frame::End(completeness) => return (out, completeness),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn series_come_sorted_each_once_with_all_parts(
        members in prop::collection::vec(
            prop::collection::btree_set(prop::collection::btree_map("[abc]", "[xy]{1,2}", 0..3), 0..40), 0..4),
        per_batch in 1usize..7,
    ) {
        let members: Vec<Vec<Labels>> = members
            .iter()
            .map(|sets| {
                let mut labels: Vec<Labels> = sets.iter().map(Labels::from_pairs).collect();
                labels.sort();
                labels
            })
            .collect();
        let mut want: BTreeMap<Labels, Vec<String>> = BTreeMap::new();
        for (series, source) in members.iter().zip(SOURCES) {
            for labels in series {
                want.entry(labels.clone()).or_default().push(source.to_owned());
            }
        }
        let ctx = Ctx::unbounded();
        let (got, completeness) = run(collect(&fanout(&members, per_batch), &ctx));
        prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
        prop_assert!(completeness.is_complete());
        prop_assert_eq!(ctx.budget.used(), 0);
    }
}

#[test]
fn what_a_member_lacks_the_answer_lacks() {
    let missing =
        Missing { site: "dc-b".into(), store: "b".into(), range: TimeRange::ALL, cause: "no answer".into() };
    let member = |missing: Vec<Missing>| -> Arc<dyn Queryable> {
        Arc::new(Fixed { series: vec![Labels::from_pairs([("a", "1")])], per_batch: 1, source: "a", missing })
    };
    let both = Fanout::new(vec![member(vec![missing.clone()]), member(vec![])]);
    let (_, completeness) = run(collect(&both, &Ctx::unbounded()));
    assert_eq!(completeness.missing, [missing]);
}

#[test]
fn the_limit_counts_merged_series() {
    let series: Vec<Labels> = ["1", "2", "3"].iter().map(|v| Labels::from_pairs([("a", v)])).collect();
    let both = fanout(&[series.clone(), series], 1);
    let select = Select { limit: std::num::NonZeroU64::new(2), ..Select::new(TimeRange::ALL, []) };
    let frames: Vec<_> =
        run(async { both.select(&Ctx::unbounded(), &select).await.unwrap().collect().await });
    let n: usize = frames.iter().map(|f| if let Ok(Frame::Batch(b)) = f { b.series.len() } else { 0 }).sum();
    assert_eq!(n, 2);
}

#[test]
fn the_limit_hides_no_lack() {
    let missing =
        Missing { site: "dc-b".into(), store: "b".into(), range: TimeRange::ALL, cause: "no answer".into() };
    let member = |missing: Vec<Missing>| -> Arc<dyn Queryable> {
        let series = ["1", "2", "3"].iter().map(|v| Labels::from_pairs([("a", v)])).collect();
        Arc::new(Fixed { series, per_batch: 1, source: "a", missing })
    };
    let both = Fanout::new(vec![member(vec![]), member(vec![missing.clone()])]);
    let select = Select { limit: std::num::NonZeroU64::new(1), ..Select::new(TimeRange::ALL, []) };
    let mut frames: Vec<_> =
        run(async { both.select(&Ctx::unbounded(), &select).await.unwrap().collect().await });
    let Some(Ok(Frame::End(completeness))) = frames.pop() else { panic!("no end") };
    assert_eq!((frames.len(), completeness.missing), (1, vec![missing]));
}

/// Gives one series, then fails; or fails at once.
struct Broken {
    kind: Kind,
    at_once: bool,
}

#[async_trait]
impl Queryable for Broken {
    fn cover(&self, _: &Select) -> Cover {
        Cover { range: TimeRange::new(5, 9), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        if self.at_once {
            return Err(Error::new(self.kind, "block X is broken"));
        }
        let series = vec![Labels::from_pairs([("a", "0")])];
        let good = Fixed { series, per_batch: 1, source: "b", missing: vec![] };
        let kind = self.kind;
        let mut frames: Vec<_> = good.select(ctx, select).await?.collect().await;
        frames.pop();
        frames.push(Err(Error::new(kind, "block X is broken")));
        Ok(stream::iter(frames).boxed())
    }

    async fn labels(&self, _: &Ctx, _: &Select, _: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        Err(Error::new(self.kind, "block X is broken"))
    }
}

#[test]
fn a_broken_member_is_named_and_the_others_answer() {
    let good = || -> Arc<dyn Queryable> {
        let series = vec![Labels::from_pairs([("a", "1")])];
        Arc::new(Fixed { series, per_batch: 1, source: "a", missing: vec![] })
    };
    let want = Missing {
        site: "".into(),
        store: "".into(),
        range: TimeRange::new(5, 9).unwrap(),
        cause: "block X is broken".into(),
    };
    for at_once in [true, false] {
        for others in [vec![], vec![good()]] {
            let n = others.len();
            let mut members = others;
            members.push(Arc::new(Broken { kind: Kind::Corrupt, at_once }));
            let all = Fanout::new(members);
            let ctx = Ctx::unbounded();
            let (got, completeness) = run(collect(&all, &ctx));
            assert_eq!(got.len(), n + usize::from(!at_once));
            assert_eq!(completeness.missing, std::slice::from_ref(&want));
            let select = Select::new(TimeRange::ALL, []);
            let names = run(all.labels(&ctx, &select, LabelAsk::Names)).unwrap();
            assert_eq!((names.value.len(), names.completeness.missing), (n, vec![want.clone()]));
        }
    }
    // A limit is the caller's affair.
    let all = Fanout::new(vec![good(), Arc::new(Broken { kind: Kind::Limit, at_once: true })]);
    let select = Select::new(TimeRange::ALL, []);
    let e = run(all.select(&Ctx::unbounded(), &select)).err().unwrap();
    assert_eq!(e.kind(), Kind::Limit);
}
