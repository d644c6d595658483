//! Samples as a file for other tools.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use pitviper_pprof::{Profile, Sample, SampleType, write_collapsed, write_pprof, write_speedscope};
use pitviper_query::views::Answer;
use pitviper_query::views::profiles::{self as view, ExportRequest, ProfileExport};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Body, Params};
use crate::problem::Problem;
use crate::state::Api;

/// In which form.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Form {
    /// The format of the file; `pprof` by default.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// A format that other tools read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProfileFormat)]
pub(crate) enum Format {
    /// google/pprof's protobuf, not compressed.
    #[default]
    Pprof,
    /// The JSON of speedscope.
    Speedscope,
    /// A line a stack, as `flamegraph.pl` reads it.
    Collapsed,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Pprof => "application/octet-stream",
            Self::Speedscope => "application/json",
            Self::Collapsed => "text/plain; charset=utf-8",
        }
    }

    fn disposition(self) -> &'static str {
        match self {
            Self::Pprof => "attachment; filename=\"profile.pprof\"",
            Self::Speedscope => "attachment; filename=\"profile.speedscope.json\"",
            Self::Collapsed => "attachment; filename=\"profile.collapsed.txt\"",
        }
    }

    fn printer(self) -> fn(&Answer<ProfileExport>) -> Vec<u8> {
        match self {
            Self::Pprof => |answer| write_pprof(&profile(&answer.data)),
            Self::Speedscope => {
                |answer| write_speedscope(&profile(&answer.data), &answer.data.sample_type).into_bytes()
            }
            Self::Collapsed => |answer| write_collapsed(&profile(&answer.data), &answer.data.sample_type).into_bytes(),
        }
    }
}

/// Samples by stack as a file for other tools.
#[utoipa::path(
    post, path = "/api/v1/profiles/export", tag = "profiles", operation_id = "exportProfile",
    params(Form), request_body = ExportRequest,
    responses(
        (status = 200, description = "The file", content((String = "application/octet-stream"), (serde_json::Value = "application/json"), (String = "text/plain"))),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn export(
    State(api): State<Api>,
    Params(Form { format }): Params<Form>,
    Body(request): Body<ExportRequest>,
) -> Result<Response, Problem> {
    let ask = async move |store: &dyn pitviper_store::Store, now_us| view::export(store, &request, now_us).await;
    let mut response = api.render(format.content_type(), ask, format.printer()).await?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(format.disposition()));
    Ok(response)
}

fn profile(of: &ProfileExport) -> Profile {
    let sample = |(stack, value): &(u32, i64)| Sample { stack: *stack, values: vec![*value], labels: Vec::new() };
    Profile {
        time_unix_nano: of.start_ns.max(0).cast_unsigned(),
        duration_ns: of.end_ns.saturating_sub(of.start_ns.max(0)).max(0).cast_unsigned(),
        types: vec![SampleType { name: of.sample_type.clone(), unit: of.unit.clone() }],
        frames: of.frames.clone(),
        stacks: of.stacks.clone(),
        samples: of.values.iter().map(sample).collect(),
    }
}
