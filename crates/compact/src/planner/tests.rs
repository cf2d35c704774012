//! Replays what Thanos' planners decided, plan by plan.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::golden::golden;

fn block(v: &Value) -> PlanBlock {
    let n = |key: &str| v[key].as_i64().unwrap_or(0);
    let size = v["index_size_in_meta"].as_u64().or_else(|| v["index_size_in_bucket"].as_u64());
    PlanBlock {
        ulid: v["ulid"].as_str().unwrap().parse().unwrap(),
        min_time: n("minTime"),
        max_time: n("maxTime"),
        failed: v["failed"] == true,
        series: n("numSeries") as u64,
        tombstones: n("numTombstones") as u64,
        resolution: n("resolution"),
        index_size: size.unwrap_or(0),
        no_compact: v["no_compact_mark"] == true,
    }
}

fn ulids(v: &Value) -> Vec<Ulid> {
    v.as_array().into_iter().flatten().map(|u| u.as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn plans_are_those_of_thanos() {
    let Some(cases) = golden("plans.jsonl.gz") else { return };
    let (mut steps, mut wrong) = (0, BTreeMap::<String, Vec<String>>::new());
    for case in &cases {
        let planner = Planner {
            ranges: case["ranges"].as_array().unwrap().iter().map(|r| r.as_i64().unwrap()).collect(),
            index_size_max: case["index_size_limit"].as_u64().filter(|l| *l > 0).unwrap_or(u64::MAX),
        };
        let mut blocks: Vec<PlanBlock> = case["blocks"].as_array().unwrap().iter().map(block).collect();
        for step in case["steps"].as_array().unwrap() {
            steps += 1;
            let plan = planner.plan(&blocks);
            let want_marks: BTreeSet<Ulid> = step["newly_no_compact_marked"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|m| m["id"].as_str().unwrap().parse().unwrap())
                .collect();
            let marks: BTreeSet<Ulid> = plan.leave_out.iter().map(|(u, _)| *u).collect();
            if plan.merge != ulids(&step["plan"]) || marks != want_marks {
                let text = format!("{}: {:?} {marks:?}, expected {step}", case["id"], plan.merge);
                wrong.entry(case["kind"].to_string()).or_default().push(text);
                break;
            }
            blocks.iter_mut().for_each(|b| b.no_compact |= marks.contains(&b.ulid));
            blocks.retain(|b| !plan.merge.contains(&b.ulid));
            if step["result_block"].is_object() {
                blocks.push(block(&step["result_block"]));
                blocks.sort_by_key(|b| b.min_time);
            }
        }
    }
    assert!(wrong.is_empty(), "of {} cases, {steps} steps: {wrong:#?}", cases.len());
    assert!(steps > 1000, "{steps} steps");
}

#[test]
fn nothing_to_do_with_few_blocks() {
    let planner = Planner { ranges: vec![10, 20], index_size_max: u64::MAX };
    assert_eq!(planner.plan(&[]), Plan::default());
    let one = block(&serde_json::json!({"ulid": "01J5AX2XPVD762P1MMJY1XF70E", "minTime": 0, "maxTime": 10}));
    assert_eq!(planner.plan(&[one]), Plan::default());
}
