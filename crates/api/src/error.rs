//! Why a request has no answer, as JSON.
//!
//! ```text
//! bad_data     400  parameters, expressions          timeout      503  deadline passed
//! bad_data     413  form too large                   unavailable  503  overloaded
//! execution    422  evaluation, limits, data         internal     500  data could not be read
//!                   missing that was required
//! canceled     499  client left
//! ```

use axum::response::{IntoResponse, Response};
use dolmen_model::{Error, Kind};
use dolmen_promql::{PromqlError, PromqlErrorKind};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::json::Json;

/// Seconds after which an overloaded server may be asked again.
const RETRY_SECONDS: &str = "5";

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: u16,
    class: &'static str,
    text: String,
    retry: bool,
}

impl ApiError {
    fn new(code: u16, class: &'static str, text: impl Into<String>) -> ApiError {
        ApiError { code, class, text: text.into(), retry: false }
    }

    /// The request makes no sense.
    pub fn bad_data(text: impl Into<String>) -> ApiError {
        ApiError::new(400, "bad_data", text)
    }

    /// A parameter makes no sense.
    pub fn parameter(name: &str, text: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter \"{name}\": {text}"))
    }

    /// The form is larger than allowed.
    pub fn too_large(limit: usize) -> ApiError {
        ApiError::new(413, "bad_data", format!("the form is larger than {limit} bytes"))
    }

    /// There is no answer that could be given.
    pub fn execution(text: impl Into<String>) -> ApiError {
        ApiError::new(422, "execution", text)
    }

    /// The deadline passed.
    pub fn timeout(text: impl Into<String>) -> ApiError {
        ApiError::new(503, "timeout", text)
    }

    /// Too much is asked at once.
    pub fn overloaded(text: impl Into<String>) -> ApiError {
        ApiError { retry: true, ..ApiError::new(503, "unavailable", text) }
    }

    /// What an expression gave. Where the expression itself is wrong, the parameter is named.
    pub fn of_query(e: PromqlError) -> ApiError {
        match e.kind {
            PromqlErrorKind::BadData => ApiError::parameter("query", e.text),
            PromqlErrorKind::Execution | PromqlErrorKind::Limit => ApiError::execution(e.text),
            PromqlErrorKind::Timeout => ApiError::timeout(e.text),
            PromqlErrorKind::Canceled => ApiError::new(499, "canceled", e.text),
            PromqlErrorKind::Internal => ApiError::new(500, "internal", e.text),
        }
    }
}

impl From<Error> for ApiError {
    fn from(e: Error) -> ApiError {
        let text = e.to_string();
        match e.kind() {
            Kind::Canceled => ApiError::new(499, "canceled", text),
            Kind::Timeout => ApiError::timeout(text),
            Kind::Invalid | Kind::Limit => ApiError::execution(text),
            Kind::Retry | Kind::Halt | Kind::NotFound | Kind::Corrupt | Kind::Refused => {
                ApiError::new(500, "internal", text)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.code == 500 {
            tracing::warn!(error = %self.text, "query");
        }
        let mut json = Json::default();
        json.raw("{\"status\":\"error\",\"errorType\":\"");
        json.raw(self.class);
        json.raw("\",\"error\":");
        json.text(&self.text);
        json.raw("}");
        let code = StatusCode::from_u16(self.code).expect("all codes above are between 100 and 999");
        let mut answer = (code, json.take()).into_response();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        answer
    }
}
