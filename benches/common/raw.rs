//! Requests with objects that this program can't read.

use apikey_api::names;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// Sends an object, or a part of one to be merged into it, as this user; returns what is stored then.
pub(crate) async fn send(
    client: &Client,
    user: Option<&str>,
    method: Method,
    path: &str,
    object: &Value,
) -> kube::Result<String> {
    let kind = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, kind);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client.request_text(request).await
}

/// `managedFields` of a time that only the API server can read.
pub(crate) fn managed_fields(api_version: &str, fields: &Value) -> Value {
    json!([{
        "manager": "x", "operation": "Update", "apiVersion": api_version, "fieldsType": "FieldsV1",
        "time": "9999-12-31T23:59:59Z", "fieldsV1": fields,
    }])
}

/// Labels by which the operator takes a Secret for a delivered one.
pub(crate) fn delivered_labels() -> Value {
    json!({
        names::LABEL_MANAGED_BY: names::MANAGED_BY,
        names::LABEL_COMPONENT: names::COMPONENT_API_KEY,
    })
}

/// Finalizers of about so many bytes.
pub(crate) fn finalizers(bytes: usize) -> Value {
    let one = |n| format!("example.com/{n:052}");
    let length = one(0).len() + r#""","#.len();
    (0..bytes / length).map(one).collect()
}
