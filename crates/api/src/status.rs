//! What clients ask beside queries: who answers, and things that Dolmen does not have (yet), which are empty.

use chrono::{DateTime, SecondsFormat};
use serde_json::json;

use crate::answer::Answer;
use crate::state::Api;

/// The Prometheus whose API and PromQL this is.
const PROMETHEUS: &str = "3.14.0";

/// Who answers.
pub(crate) fn buildinfo(api: &Api) -> Answer {
    let s = &api.state.settings;
    Answer::json(
        json!({
            "version": PROMETHEUS, "revision": s.revision, "branch": "", "buildUser": "", "buildDate": "",
            "goVersion": "", "application": "Dolmen", "dolmenVersion": s.version,
        })
        .to_string(),
    )
}

/// What the process runs in.
pub(crate) fn runtimeinfo(api: &Api) -> Answer {
    let time = |ms: i64| {
        DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
    };
    let cwd = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Answer::json(
        json!({
            "startTime": time(api.state.settings.started), "CWD": cwd, "hostname": hostname.trim_end(),
            "serverTime": time(api.state.clock.now()), "reloadConfigSuccess": true,
            "lastConfigTime": time(api.state.settings.started), "corruptionCount": 0,
            "goroutineCount": 0, "GOMAXPROCS": api.state.cpu.width(), "GOMEMLIMIT": 0, "GOGC": "",
            "GODEBUG": "", "storageRetention": "",
        })
        .to_string(),
    )
}

/// The command line.
pub(crate) fn flags(api: &Api) -> Answer {
    Answer::json(json!(api.state.settings.flags).to_string())
}

/// Endpoints that have nothing to tell, and how they say so.
pub(crate) const EMPTY: [(&str, &str); 8] = [
    ("/api/v1/rules", "{\"groups\":[]}"),
    ("/api/v1/alerts", "{\"alerts\":[]}"),
    ("/api/v1/metadata", "{}"),
    ("/api/v1/targets", "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"),
    ("/api/v1/targets/metadata", "[]"),
    ("/api/v1/scrape_pools", "{\"scrapePools\":[]}"),
    ("/api/v1/alertmanagers", "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"),
    ("/api/v1/status/config", "{\"yaml\":\"\"}"),
];
