//! Answers that Thanos gave, replayed to our client: it reads what the recorded messages say.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "client/server.rs"]
#[allow(dead_code, reason = "the other tests of the client use all of it")]
mod server;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dolmen_ctx::Ctx;
use dolmen_model::{Completeness, Kind, Labels, TimeRange};
use dolmen_proto::thanos::info::InfoResponse;
use dolmen_proto::thanos::series_response::Result as Item;
use dolmen_proto::thanos::{Label, LabelNamesResponse, Series, SeriesRequest, SeriesResponse};
use dolmen_storage::{Frame, LabelAsk, Origin, Select, Values};
use dolmen_storeapi::{ClientSettings, StoreClient, StoreFacts};
use futures::StreamExt;
use prost::Message;
use serde_json::Value as Json;
use server::{Server, Step};

/// An exchange of the index.
struct Exchange {
    id: u64,
    server: String,
    method: String,
    name: String,
    /// Of a select: label sets alone.
    skip_chunks: bool,
    messages: Vec<Vec<u8>>,
    code: u32,
    code_name: String,
    status: &'static str,
}

fn golden() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let dir = std::env::var_os("DOLMEN_SHARED").map_or(beside, PathBuf::from).join("golden/storeapi");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: golden is not there");
    None
}

fn exchanges(dir: &Path) -> Vec<Exchange> {
    let index = std::fs::read_to_string(dir.join("index.jsonl")).unwrap();
    let read = |line: &str| {
        let row: Json = serde_json::from_str(line).unwrap();
        let text = |v: &Json| v.as_str().unwrap().to_owned();
        let bytes = std::fs::read(dir.join(text(&row["response_file"]))).unwrap();
        let mut rest = &bytes[..];
        let mut messages = Vec::new();
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (message, after) = after.split_at(u32::from_be_bytes(*len) as usize);
            messages.push(message.to_vec());
            rest = after;
        }
        assert_eq!(messages.len() as u64, row["frames"].as_u64().unwrap());
        let method = text(&row["method"]);
        let request = std::fs::read(dir.join(text(&row["request_file"]))).unwrap();
        let skip_chunks =
            method.ends_with("/Series") && SeriesRequest::decode(&request[..]).unwrap().skip_chunks;
        Exchange {
            skip_chunks,
            id: row["id"].as_u64().unwrap(),
            server: text(&row["server"]),
            method,
            name: text(&row["name"]),
            messages,
            code: row["status"]["number"].as_u64().unwrap() as u32,
            code_name: text(&row["status"]["code"]),
            status: text(&row["status"]["message"]).leak(),
        }
    };
    index.lines().map(read).collect()
}

/// Chunks of a label set, each once: times, encoding, data.
type Chunks = BTreeSet<(i64, i64, u8, Vec<u8>)>;

/// What an answer says.
#[derive(Debug, Default, PartialEq)]
struct Content {
    /// By label set, and by the values of the labels that were taken out.
    series: BTreeMap<Labels, BTreeMap<String, Chunks>>,
    strings: Vec<String>,
    warnings: Vec<String>,
    error: Option<String>,
}

fn one_line(text: &str) -> String {
    let mut out: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

fn labels(labels: &[Label], keep: impl Fn(&str) -> bool) -> Labels {
    Labels::from_pairs(labels.iter().filter(|l| keep(&l.name)).map(|l| (&l.name, &l.value)))
}

/// What the recorded messages say, read by prost. `None`: aggregates, which are asked for by no query of ours.
fn recorded(exchange: &Exchange, without: &[&str]) -> Option<Content> {
    let mut content = Content::default();
    for message in &exchange.messages {
        if exchange.method == "/thanos.Store/Series" {
            let series: Vec<Series> = match SeriesResponse::decode(&message[..]).unwrap().result.unwrap() {
                Item::Series(series) => vec![series],
                Item::Batch(batch) => batch.series,
                Item::Warning(text) => {
                    content.warnings.push(one_line(&text));
                    continue;
                }
                Item::Hints(_) => continue,
            };
            for s in series {
                let left_out: Vec<String> = without
                    .iter()
                    .map(|n| {
                        s.labels.iter().find(|l| l.name == *n).map_or(String::new(), |l| l.value.clone())
                    })
                    .collect();
                let source = match left_out.iter().all(String::is_empty) {
                    true => String::new(),
                    false => left_out.join("\u{1f}"),
                };
                let set = content.series.entry(labels(&s.labels, |n| !without.contains(&n))).or_default();
                for c in s.chunks {
                    let raw = c.raw?;
                    let chunk = (c.min_time, c.max_time, raw.r#type as u8 + 1, raw.data.to_vec());
                    set.entry(source.clone()).or_default().insert(chunk);
                }
            }
        } else {
            // Both kinds of answers have equal fields.
            let answer = LabelNamesResponse::decode(&message[..]).unwrap();
            let names = exchange.method.ends_with("LabelNames");
            let hidden = |n: &str| n.is_empty() || names && without.contains(&n);
            content.strings.extend(answer.names.into_iter().filter(|n| !hidden(n)));
            content.warnings.extend(answer.warnings.iter().map(|w| one_line(w)));
        }
    }
    content.strings.sort();
    content.warnings.sort();
    content.warnings.dedup();
    let error = format!("{}: {}", exchange.code_name, exchange.status);
    content.error = (exchange.code != 0).then(|| one_line(&error));
    Some(content)
}

fn warnings(completeness: Completeness, origin: &Origin, range: TimeRange) -> Vec<String> {
    let mut causes = Vec::new();
    for m in completeness.missing {
        assert_eq!((&m.site, &m.store, m.range), (&origin.site, &origin.store, range));
        causes.push(m.cause);
    }
    causes.sort();
    causes
}

/// What our client makes of it.
async fn read(client: &StoreClient, exchange: &Exchange, facts: &StoreFacts, without: &[&str]) -> Content {
    let ctx = Ctx::unbounded();
    let select = Select {
        values: if exchange.skip_chunks { Values::None } else { Values::Samples },
        without: without.iter().map(|n| (*n).into()).collect(),
        ..Select::new(TimeRange::ALL, [])
    };
    let origin = Arc::new(Origin { site: "dc".into(), store: exchange.server.as_str().into() });
    let range = facts.range.unwrap_or(TimeRange::ALL);
    let mut content = Content::default();
    let failed = |e: dolmen_model::Error| {
        assert!(matches!(e.kind(), Kind::Retry | Kind::Refused | Kind::Corrupt), "{e:?}");
        Some(e.to_string())
    };
    if exchange.method != "/thanos.Store/Series" {
        let ask = match exchange.method.as_str() {
            "/thanos.Store/LabelNames" => LabelAsk::Names,
            _ => LabelAsk::Values("any".into()),
        };
        match client.labels(&ctx, &select, ask, facts, &origin).await {
            Ok(answer) => {
                content.strings = answer.value.iter().map(|s| s.to_string()).collect();
                content.warnings = warnings(answer.completeness, &origin, range);
            }
            Err(e) => content.error = failed(e),
        }
        return content;
    }
    let mut stream = match client.select(&ctx, &select, facts, &origin).await {
        Ok(stream) => stream,
        Err(e) => {
            content.error = failed(e);
            return content;
        }
    };
    let mut last: Option<Labels> = None;
    let mut ord = 0;
    while let Some(frame) = stream.next().await {
        match frame {
            Ok(Frame::Batch(batch)) => {
                assert_eq!(batch.ord, ord);
                ord += 1;
                for s in &batch.series {
                    let set = batch.labels.get(s.label).to_labels();
                    assert!(last.as_ref().is_none_or(|last| *last < set), "{set} after {last:?}");
                    last = Some(set.clone());
                    let sources = content.series.entry(set).or_default();
                    for part in &s.parts {
                        assert_eq!(part.origin.as_ref(), Some(&origin));
                        assert!(part.chunks.is_sorted_by(|a, b| a.maxt < b.mint));
                        let chunks = sources.entry(part.source.as_str().to_owned()).or_default();
                        for c in &part.chunks {
                            assert!(chunks.insert((c.mint, c.maxt, c.encoding as u8, c.data.to_vec())));
                        }
                    }
                }
            }
            Ok(Frame::End(completeness)) => {
                content.warnings = warnings(completeness, &origin, range);
                assert!(stream.next().await.is_none());
                return content;
            }
            Err(e) => {
                content.error = failed(e);
                return content;
            }
        }
    }
    panic!("a stream without an end");
}

/// The facts that recorded Infos tell, by server.
async fn infos(client: &StoreClient, current: &Current, all: &[Exchange]) -> HashMap<String, StoreFacts> {
    let mut facts = HashMap::new();
    for exchange in all.iter().filter(|e| e.method == "/thanos.info.Info/Info") {
        current.set(exchange);
        let read = client.info().await.unwrap();
        let info = InfoResponse::decode(&exchange.messages[0][..]).unwrap();
        let store = info.store.unwrap();
        assert_eq!(read.component, info.component_type);
        let sets: Vec<Labels> = info.label_sets.iter().map(|s| labels(&s.labels, |_| true)).collect();
        assert_eq!(read.label_sets, sets);
        let range = read.range.unwrap();
        assert_eq!(range.mint(), store.min_time);
        assert_eq!(range.maxt(), store.max_time.saturating_add(1));
        assert_eq!(
            (read.without, read.sharding, read.parts),
            (store.supports_without_replica_labels, store.supports_sharding, false)
        );
        assert_eq!(read.tsdbs.len(), store.tsdb_infos.len());
        for (read, info) in read.tsdbs.iter().zip(&store.tsdb_infos) {
            assert_eq!(read.labels, labels(&info.labels.as_ref().unwrap().labels, |_| true));
            assert_eq!(read.range.mint(), info.min_time);
            assert_eq!(read.range.maxt(), info.max_time.saturating_add(1));
        }
        facts.insert(exchange.server.clone(), read);
    }
    facts
}

/// What the server answers next.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Recorded>>);

/// Messages, and the status: its number and text.
type Recorded = (Vec<Vec<u8>>, u32, &'static str);

impl Current {
    fn set(&self, e: &Exchange) {
        *self.0.lock().unwrap() = (e.messages.clone(), e.code, e.status);
    }

    fn steps(&self) -> Vec<Step> {
        let (messages, code, status) = self.0.lock().unwrap().clone();
        messages.into_iter().map(Step::Message).chain([Step::Status(code, status)]).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_thanos_are_read() {
    let Some(dir) = golden() else { return };
    let all = exchanges(&dir);
    let current = Current::default();
    let server = Server::start({
        let current = current.clone();
        move |_, _| current.steps()
    })
    .await;
    let client = StoreClient::new(&server.address, ClientSettings::default()).unwrap();
    let facts = infos(&client, &current, &all).await;
    // A receiver of the same kind, whose Info was not recorded.
    let facts_of = |server: &str| &facts[if server == "receive2" { "receive1" } else { server }];
    let (mut replayed, mut equal) = (facts.len(), facts.len());
    let (mut left_out, mut series, mut chunks) = (0, 0, 0);
    for exchange in all.iter().filter(|e| e.method.starts_with("/thanos.Store/")) {
        current.set(exchange);
        let facts = facts_of(&exchange.server);
        let shown = format!("{} {} {}", exchange.id, exchange.server, exchange.name);
        if recorded(exchange, &[]).is_none() {
            // Downsampled data comes with federation; till then it must not pass for raw samples.
            let content = read(&client, exchange, facts, &[]).await;
            assert_eq!(content.error.as_deref(), Some("chunk without raw samples"), "{shown}");
            left_out += 1;
            continue;
        }
        replayed += 1;
        let mut all_equal = true;
        for without in [&[][..], &["replica"], &["instance", "receive_replica", "replica"]] {
            let want = recorded(exchange, without).unwrap();
            let content = read(&client, exchange, facts, without).await;
            if without.is_empty() {
                series += content.series.len();
                chunks +=
                    content.series.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum::<usize>();
            }
            if content != want {
                all_equal = false;
                eprintln!("{shown} without {without:?}: {content:?}\ninstead of {want:?}");
            }
        }
        equal += usize::from(all_equal);
    }
    println!(
        "golden-client: replayed={replayed} equal={equal} left_out={left_out} series={series} chunks={chunks}"
    );
    assert_eq!(replayed, equal);
    assert_eq!(replayed + left_out, 131);
}
